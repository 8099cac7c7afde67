//! Debian's kubectl against a node.

use std::{
    io::Write as _,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    http,
    node::{BOOT_MAX, Node},
    product::Product,
    tools::Tools,
};

/// Pause between questions.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// A `kubectl port-forward`. Dropping it ends it.
#[derive(Debug)]
pub struct Forward {
    child: Child,
    /// Port of the loopback.
    pub port: u16,
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A kubectl that an administrator would use.
#[derive(Debug)]
pub struct Kubectl {
    program: PathBuf,
    server: String,
    token: String,
    home: PathBuf,
}

impl Kubectl {
    /// For a node of this product; its home is in `dir`.
    ///
    /// # Errors
    /// If there is no kubectl, or no token.
    pub fn of(product: &Product, node: &Node, dir: &Path) -> Result<Self> {
        let script = Tools::locate()?.root.join("ci/kubectl");
        let out = Command::new(&script).output().with_context(|| format!("running {}", script.display()))?;
        ensure!(out.status.success(), "no kubectl: {}", String::from_utf8_lossy(&out.stderr));
        let path = product.token();
        let token = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let home = dir.join("kubectl");
        std::fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
        Ok(Self {
            program: String::from_utf8_lossy(&out.stdout).trim().into(),
            server: format!("https://127.0.0.1:{}", node.api_port()),
            token: token.trim().into(),
            home,
        })
    }

    /// Run it; its output.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn run(&self, line: &[&str]) -> Result<String> {
        self.feed(line, "")
    }

    /// Run it with a text on its standard input; its output.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn feed(&self, line: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        // What is written fits into a pipe; who does not read it says so itself.
        let _ = child.stdin.take().context("standard input is a pipe")?.write_all(input.as_bytes());
        let out = child.wait_with_output().context("waiting for kubectl")?;
        let (said, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        ensure!(out.status.success(), "kubectl {} failed: {error}{said}", line.join(" "));
        Ok(said.into_owned())
    }

    /// Forward a port of the loopback to a port of a pod or service.
    ///
    /// # Errors
    /// If kubectl does not listen, or ends.
    pub fn forward(&self, target: &str, port: u16) -> Result<Forward> {
        let local = http::free_port()?;
        let mut command = self.command(&["port-forward", target, &format!("{local}:{port}")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("starting kubectl")?;
        let mut forward = Forward { child, port: local };
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, local)).is_err() {
            ensure!(forward.child.try_wait()?.is_none(), "kubectl port-forward {target} ended");
            ensure!(started.elapsed() < BOOT_MAX, "kubectl port-forward {target} does not listen");
            sleep(ASK_EVERY);
        }
        Ok(forward)
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        // The authority is the node's own, and the machine is ours.
        command.args(["--server", &self.server, "--token", &self.token, "--insecure-skip-tls-verify"]);
        command.args(line).env("HOME", &self.home).env_remove("KUBECONFIG");
        command
    }

    /// Run it until its output fits.
    ///
    /// # Panics
    /// If it never does.
    pub fn until(&self, line: &[&str], fits: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let last = self.run(line);
            match last {
                Ok(text) if fits(&text) => return text,
                other => assert!(started.elapsed() < BOOT_MAX, "kubectl {} never fits: {other:?}", line.join(" ")),
            }
            sleep(ASK_EVERY);
        }
    }
}
