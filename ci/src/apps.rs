//! Applications that people run, from Debian's packages, packed as app images,
//! and the registry that a site would have them in.

use std::{
    fs::File,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use skerry::deliver::vm::HOST_FROM_GUEST;

use crate::tools::{Tools, run};

/// Time for the registry to come up.
const START_MAX: Duration = Duration::from_secs(60);

/// Redis with its command line client, as Debian builds it.
///
/// # Errors
/// If it is not there or cannot be packed.
pub fn pack_redis(tools: &Tools, layout: &Path) -> Result<()> {
    let root = unpacked()?;
    let bin = root.join("usr/bin");
    let mut args = vec!["app".into(), "pack".into(), bin.join("redis-server").into_os_string()];
    args.extend(["--out".into(), layout.into(), "--root".into(), root.clone().into_os_string()]);
    args.extend(["--with".into(), bin.join("redis-cli").into_os_string(), "--port".into(), "6379".into()]);
    tools.skerry(args).map(drop)
}

/// A static busybox: a shell and its tools in one program.
///
/// # Errors
/// If it is not there or cannot be packed.
pub fn pack_busybox(tools: &Tools, layout: &Path) -> Result<()> {
    let root = unpacked()?;
    let found = ["bin/busybox", "usr/bin/busybox"].map(|p| root.join(p)).into_iter().find(|p| p.is_file());
    let program = found.with_context(|| format!("no busybox below {}; run ci/setup", root.display()))?;
    tools.skerry(["app".into(), "pack".into(), program.into_os_string(), "--out".into(), layout.into()]).map(drop)
}

/// Where `ci/setup` unpacks the packages.
fn unpacked() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = set("SKERRY_CI_CACHE").or_else(|| set("HOME").map(|h| h.join(".cache/skerry-ci")));
    let root = cache.context("HOME is not set")?.join("apps");
    ensure!(root.join("usr/bin/redis-server").is_file(), "{} has no redis-server; run ci/setup", root.display());
    Ok(root)
}

/// Debian's docker-registry on this machine, without TLS. Dropping it stops it.
#[derive(Debug)]
pub struct SiteRegistry {
    child: Child,
    port: u16,
}

impl SiteRegistry {
    /// Serve an empty registry on a port of the loopback.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(dir: &Path, port: u16) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let (config, log) = (dir.join("config.yml"), dir.join("log"));
        let settings = serde_json::json!({"version": "0.1", "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": dir.join("storage")}},
            "http": {"addr": format!("127.0.0.1:{port}")}});
        // JSON is YAML.
        std::fs::write(&config, settings.to_string()).with_context(|| format!("writing {}", config.display()))?;
        let output = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().context("starting docker-registry; ci/setup fetches it")?;
        let mut registry = Self { child, port };
        let end = Instant::now() + START_MAX;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if registry.child.try_wait()?.is_some() || Instant::now() > end {
                bail!("docker-registry does not come up: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(registry)
    }

    /// Push the image of a layout.
    ///
    /// # Errors
    /// If skopeo is missing or fails.
    pub fn push(&self, layout: &Path, name: &str) -> Result<()> {
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]);
        command.arg(format!("oci:{}", layout.display())).arg(format!("docker://127.0.0.1:{}/{name}", self.port));
        run(&mut command).map(drop)
    }

    /// `HOST:PORT` as a node names it.
    pub fn host(&self) -> String {
        format!("{HOST_FROM_GUEST}:{}", self.port)
    }
}

impl Drop for SiteRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
