//! A node in a folder: containerd, the cluster in a process of its own, and
//! kubectl, all in network and mount namespaces that the test made.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use skerry_cluster::Config;
use skerry_formats::{
    ObjectDigest, Sequence, Sha256Digest,
    baked::{ApiConfig, AppConfig, BakedApp, HealthConfig, NodeConfig, Reserved},
    versioned::Document,
};
use skerry_orchestrator::AppRoots;

/// Set in the process that is the node.
pub const CHILD: &str = "SKERRY_TEST_CLUSTER_DIR";
/// Where the API listens.
pub const LISTEN: &str = "127.0.0.1:6443";

/// Ends the process when the test ends, however it ends.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Bench {
    pub dir: PathBuf,
    containerd: PathBuf,
    path: String,
    kubectl: PathBuf,
}

/// The node's configuration.
pub fn config(dir: &Path) -> Config {
    let mut config = Config {
        state_dir: dir.join("state"),
        run_dir: dir.join("run/kubernetes"),
        volumes_dir: dir.join("volumes"),
        images_dir: dir.join("images"),
        updater_status: dir.join("updater.json"),
        sysroot: dir.join("sysroot"),
        console: false,
        ..Config::default()
    };
    let name = dir.file_name().unwrap().to_string_lossy().to_lowercase().replace('.', "");
    config.kubelet = skerry_orchestrator::Config {
        node_config: dir.join("node.json"),
        manifests: dir.join("manifests"),
        app_roots: AppRoots::Folders(dir.join("apps")),
        run_dir: dir.join("run"),
        pods_dir: dir.join("pods"),
        logs_dir: dir.join("logs"),
        status: dir.join("status.json"),
        containerd_socket: dir.join("c/s.sock"),
        runtime_name: fs::read_to_string(dir.join("runtime")).unwrap(),
        cgroup_parent: format!("/skerry-test-{name}"),
        node_name: Some(name),
        ..config.kubelet
    };
    config
}

pub fn run_ok(program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Nothing of this is seen by the rest of the machine.
pub fn enter_namespaces() {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    // Hosts with both cgroup hierarchies: crun wants one.
    if Path::new("/sys/fs/cgroup/unified").exists() {
        let _ = umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH);
    }
    run_ok("ip", &["link", "set", "lo", "up"]);
}

fn node_config() -> NodeConfig {
    NodeConfig {
        format: NodeConfig::header(),
        product: "p".into(),
        board: "b".into(),
        version: "1".into(),
        sequence: Sequence(1),
        update: None,
        health: HealthConfig { timeout_secs: 60, stable_secs: 5, checks: vec![] },
        status_listen: None,
        api: Some(ApiConfig { listen: LISTEN.into(), tokens: vec![] }),
        images: Default::default(),
        reserved: Reserved { memory_bytes: 0, cpu_millis: 0 },
        apps: vec![BakedApp {
            name: "web".into(),
            image: "localhost/web:1".into(),
            manifest_digest: Sha256Digest([0; 32]),
            composefs: ObjectDigest([0; 32]),
            config: AppConfig { entrypoint: vec!["/server".into()], ..AppConfig::default() },
        }],
    }
}

impl Bench {
    /// `SKERRY_TEST_CONTAINERD_DIR` names a folder with containerd 2.1 and
    /// `containerd-shim-runc-v2-rs`, the pair that nodes have; else the
    /// host's containerd is used with its own shim.
    pub fn prepare(dir: &Path, kubectl: PathBuf, manifests: &str) -> Self {
        let own = std::env::var_os("SKERRY_TEST_CONTAINERD_DIR").map(PathBuf::from);
        let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let c = dir.join("c").display().to_string();
        let (runtime, toml) = match &own {
            Some(_) => {
                let asset = manifest_dir.join("../../builder/src/tree/assets/containerd-config.toml");
                let text = fs::read_to_string(asset).unwrap();
                let text = text.replace("/run/containerd/containerd.sock", &format!("{c}/s.sock"));
                ("io.containerd.runc.v2-rs", text.replace("/run/containerd", &c).replace("oom_score = -999", ""))
            }
            None => (
                "io.containerd.runc.v2",
                format!(
                    "version = 2\nroot = \"{c}/root\"\nstate = \"{c}/state\"\n\
                     disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{c}/s.sock\"\n"
                ),
            ),
        };
        for folder in ["c", "manifests", "apps/web", "home"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        fs::write(dir.join("runtime"), runtime).unwrap();
        fs::write(dir.join("containerd.toml"), toml).unwrap();
        fs::write(dir.join("manifests/all.yaml"), manifests).unwrap();
        fs::write(dir.join("node.json"), node_config().to_bytes()).unwrap();
        let source = manifest_dir.join("../orchestrator/tests/support/server.rs");
        let flags = ["--edition=2024", "-Ctarget-feature=+crt-static", "-Cstrip=symbols", "-o"];
        let program = dir.join("apps/web/server");
        run_ok("rustc", &[&flags[..], &[program.to_str().unwrap(), source.to_str().unwrap()]].concat());
        let path = std::env::var("PATH").unwrap();
        let path = own.as_ref().map_or(path.clone(), |d| format!("{}:{path}", d.display()));
        Self { dir: dir.into(), containerd: own.map_or("containerd".into(), |d| d.join("containerd")), path, kubectl }
    }

    pub fn containerd(&self) -> Running {
        let log = fs::File::options().append(true).create(true).open(self.dir.join("containerd.log")).unwrap();
        let mut command = Command::new(&self.containerd);
        command.arg("--config").arg(self.dir.join("containerd.toml")).env("PATH", &self.path);
        Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// The node's own process.
    pub fn node(&self) -> Running {
        let log = fs::File::options().append(true).create(true).open(self.dir.join("node.log")).unwrap();
        let me = std::env::current_exe().unwrap();
        Running(Command::new(me).env(CHILD, &self.dir).stdin(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// Run kubectl; its output if it succeeded.
    pub fn try_kubectl(&self, line: &[&str], input: &str) -> Result<String, String> {
        let mut command = Command::new(&self.kubectl);
        command.args(line).env("HOME", self.dir.join("home"));
        command.env("KUBECONFIG", self.dir.join("run/kubernetes/admin.kubeconfig"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        match out.status.success() {
            true => Ok(text(&out.stdout)),
            false => Err(text(&out.stderr) + &text(&out.stdout)),
        }
    }

    pub fn kubectl(&self, line: &[&str]) -> String {
        self.with_input(line, "")
    }

    pub fn with_input(&self, line: &[&str], input: &str) -> String {
        self.try_kubectl(line, input).unwrap_or_else(|e| panic!("kubectl {}: {e}\n{}", line.join(" "), self.log()))
    }

    /// Run it again and again until its output fits, with a limit that only a
    /// failure reaches.
    pub fn until(&self, line: &[&str], fits: impl Fn(&str) -> bool) -> String {
        let mut last = Err("it never ran".to_owned());
        for _ in 0..240 {
            last = self.try_kubectl(line, "");
            if let Ok(text) = &last
                && fits(text)
            {
                return text.clone();
            }
            sleep(Duration::from_millis(500));
        }
        panic!("never came: kubectl {}\n{last:?}\n{}\n{}", line.join(" "), self.state(), self.log());
    }

    fn state(&self) -> String {
        self.try_kubectl(&["get", "all,events,pvc,pv", "-A"], "").unwrap_or_else(|e| e)
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.join("node.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

/// Debian's kubectl; an error if it cannot be had.
pub fn kubectl() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/kubectl");
    let out = Command::new(script).output().map_err(|e| e.to_string())?;
    match out.status.success() {
        true => Ok(String::from_utf8_lossy(&out.stdout).trim().into()),
        false => Err(String::from_utf8_lossy(&out.stderr).into_owned()),
    }
}
