//! Debian's kubectl against a node.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    node::{BOOT_MAX, Node},
    product::Product,
    tools::Tools,
};

/// Pause between questions.
const ASK_EVERY: Duration = Duration::from_millis(500);

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
        let mut command = Command::new(&self.program);
        // The authority is the node's own, and the machine is ours.
        command.args(["--server", &self.server, "--token", &self.token, "--insecure-skip-tls-verify"]);
        command.args(line).env("HOME", &self.home).env_remove("KUBECONFIG");
        let out = command.output().with_context(|| format!("running {}", self.program.display()))?;
        let (said, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        ensure!(out.status.success(), "kubectl {} failed: {error}{said}", line.join(" "));
        Ok(said.into_owned())
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
