//! A node's own programs in a folder of this machine: containerd, the shim and
//! `skerry-node` as they are shipped, crun as the machine has it. In network,
//! mount and process namespaces that end with this process.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest as _, Sha256};
use skerry_formats::{
    ObjectDigest, Sequence, Sha256Digest,
    baked::{ApiConfig, ApiToken, AppConfig, BakedApp, HealthConfig, NodeConfig, Reserved},
    layout,
    status::NodeStatus,
    versioned::Document as _,
};

use super::super::look::Look;
use crate::{
    api::{Api, Connection},
    tools::{Tools, run},
};

/// Where the API listens, in a network namespace of its own.
const LISTEN: &str = "127.0.0.1:6443";
/// Token of the administrator; it is worth nothing outside the namespace.
const TOKEN: &str = "a-token-that-only-this-measurement-knows";
/// containerd's configuration on a node.
const CONTAINERD: &str = "builder/src/tree/assets/containerd-config.toml";
/// Time limit for anything to come; only a failure reaches it.
const COME_MAX: Duration = Duration::from_secs(120);

/// Ends a program when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The node.
pub struct Host {
    dir: PathBuf,
    program: PathBuf,
    api: Api,
    _node: Running,
    _containerd: Running,
}

impl Host {
    /// Start it in an empty folder. To be called in namespaces of its own.
    ///
    /// # Errors
    /// If a program does not start, or the API does not answer.
    pub fn start(dir: &Path, tools: &Tools, containerd: &Path) -> Result<Self> {
        enter()?;
        prepare(dir, tools, containerd)?;
        let containerd = {
            let mut command = Command::new(dir.join("bin/containerd"));
            command.arg("--config").arg(dir.join("containerd.toml"));
            // As the unit on a node sets it.
            command.envs([("GOMAXPROCS", "2"), ("GOGC", "50")]);
            command.env("PATH", format!("{}:{}", dir.join("bin").display(), std::env::var("PATH")?));
            start(&mut command, &dir.join("containerd.log"))?
        };
        let program = dir.join("bin/skerry-node");
        let mut command = Command::new(&program);
        let node = start(command.arg("--root").arg(dir).arg("orchestrator"), &dir.join("node.log"))?;
        let api = come("the API", dir, || {
            let kubeconfig = fs::read_to_string(dir.join("run/skerry/kubernetes/admin.kubeconfig"))?;
            let api = Api::new(LISTEN.parse::<SocketAddr>()?, &kubeconfig, TOKEN)?;
            api.connect()?.ask("GET", "/readyz", None)?;
            Ok(api)
        })?;
        Ok(Host { dir: dir.to_owned(), program, api, _node: node, _containerd: containerd })
    }

    /// A connection to the API.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn connect(&self) -> Result<Connection> {
        self.api.connect()
    }

    /// What the programs use, by the node's own status document.
    ///
    /// # Errors
    /// If one of them does not run.
    pub fn look(&self) -> Result<Look> {
        Look::of(&status(&self.program, &self.dir)?)
    }

    /// Folders of the OCI bundles that run.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn bundles(&self) -> Result<Vec<PathBuf>> {
        let dir = self.dir.join("run/containerd/io.containerd.runtime.v2.task/skerry");
        let entries = fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))?;
        Ok(entries.flatten().map(|e| e.path()).filter(|p| p.join("config.json").is_file()).collect())
    }

    /// Wait for something; the failure shows the log.
    ///
    /// # Errors
    /// If it does not come.
    pub fn wait<T>(&self, what: &str, ask: impl FnMut() -> Result<T>) -> Result<T> {
        come(what, &self.dir, ask)
    }
}

/// The status document of a folder; of these namespaces, if it is no node's.
///
/// # Errors
/// If the program fails.
pub fn status(program: &Path, root: &Path) -> Result<NodeStatus> {
    let text = run(Command::new(program).arg("--root").arg(root).args(["status", "--json"]))?;
    serde_json::from_str(&text).context("reading the status document")
}

/// Make the namespaces fit for containers.
///
/// # Errors
/// If there is no loopback.
pub fn enter() -> Result<()> {
    // Hosts with both cgroup hierarchies: crun wants one.
    if Path::new("/sys/fs/cgroup/unified").exists() {
        let _ = run(Command::new("umount").args(["-l", "/sys/fs/cgroup/unified"]));
    }
    // Shims make their sockets there whatever containerd's folders are.
    fs::create_dir_all("/run/containerd").context("making /run/containerd")?;
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run/containerd"]))?;
    run(Command::new("ip").args(["link", "set", "lo", "up"])).map(drop)
}

fn prepare(dir: &Path, tools: &Tools, containerd: &Path) -> Result<()> {
    for folder in ["bin", "apps/hello", "run/containerd", "usr/lib/skerry/manifests"] {
        fs::create_dir_all(dir.join(folder)).with_context(|| format!("making {folder} in {}", dir.display()))?;
    }
    let shim = "containerd-shim-runc-v2-rs";
    for (from, to) in [
        (containerd.to_owned(), "bin/containerd"),
        (tools.runtime.join(shim), "bin/containerd-shim-runc-v2-rs"),
        (tools.runtime.join("skerry-node"), "bin/skerry-node"),
        (tools.app("1.0.0"), "apps/hello/hello"),
    ] {
        fs::copy(&from, dir.join(to)).with_context(|| format!("copying {}", from.display()))?;
    }
    let path = tools.root.join(CONTAINERD);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let run = dir.join("run/containerd").display().to_string();
    let text = text.replace("/run/containerd", &run).replace("oom_score = -999", "");
    fs::write(dir.join("containerd.toml"), text).context("writing containerd's configuration")?;
    fs::write(dir.join(layout::BAKED_NODE_CONFIG), node_config().to_bytes()).context("writing the node's configuration")
}

fn node_config() -> NodeConfig {
    let token = ApiToken { user: "bench".into(), role: "admin".into(), sha256: hex::encode(Sha256::digest(TOKEN)) };
    NodeConfig {
        format: NodeConfig::header(),
        product: "bench".into(),
        board: "host".into(),
        version: "1".into(),
        sequence: Sequence(1),
        update: None,
        health: HealthConfig { timeout_secs: 60, stable_secs: 5, checks: vec![] },
        status_listen: None,
        api: Some(ApiConfig { listen: LISTEN.into(), tokens: vec![token] }),
        images: Default::default(),
        reserved: Reserved { memory_bytes: 0, cpu_millis: 0 },
        apps: vec![BakedApp {
            name: "hello".into(),
            image: "localhost/hello:demo".into(),
            manifest_digest: Sha256Digest([0; 32]),
            composefs: ObjectDigest([0; 32]),
            config: AppConfig { entrypoint: vec!["/hello".into()], ..AppConfig::default() },
        }],
    }
}

fn start(command: &mut Command, log: &Path) -> Result<Running> {
    let file = fs::File::create(log).with_context(|| format!("making {}", log.display()))?;
    let command = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    Ok(Running(command.spawn().with_context(|| format!("starting {:?}", command.get_program()))?))
}

fn come<T>(what: &str, dir: &Path, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        let error = match ask() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let log = || {
            let text = fs::read_to_string(dir.join("node.log")).unwrap_or_default();
            text.lines().rev().take(20).collect::<Vec<_>>().join("\n")
        };
        ensure!(
            started.elapsed() < COME_MAX,
            "{what} does not come: {error:#}\nlast lines of its log first:\n{}",
            log()
        );
        sleep(Duration::from_millis(50));
    }
}
