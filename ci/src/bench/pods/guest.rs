//! A node in a virtual machine that reaches nothing outside, and a pod in it
//! that looks at all processes.

use std::{
    io::Write as _,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use skerry::deliver::vm::Network;
use skerry_formats::status::NodeStatus;

use super::{look::Look, workload};
use crate::{
    bench::bed::Bed,
    kubectl::Kubectl,
    node::{BOOT_MAX, Node, UPDATE_MAX},
    product::Variant,
};

/// Time for the node to come to rest.
const SETTLE: Duration = Duration::from_secs(30);
/// Pause between questions.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// kubectl's limit for whatever it waits for.
const WAIT: &str = "--timeout=1800s";

/// The node.
pub struct Guest {
    node: Node,
    kubectl: Kubectl,
    dir: PathBuf,
}

impl Guest {
    /// Boot the first release in 1 GiB, offline, and start the pod that looks.
    ///
    /// # Errors
    /// If the node does not come up.
    pub fn start(bed: &Bed) -> Result<Self> {
        let image = bed.release(&Variant::V1)?.join("disk.img.zst");
        let dir = bed.folder("pods")?;
        let mut node = Node::create(&image, &dir.join("node"))?;
        node.set_network(Network::Restricted);
        node.power_on()?;
        node.wait_app(BOOT_MAX)?;
        node.wait_blessed(1, UPDATE_MAX)?;
        let kubectl = Kubectl::of(&bed.product, &node, &dir)?;
        let guest = Guest { node, kubectl, dir };
        guest.apply(workload::probe().into_iter().chain([workload::deployment()]))?;
        guest.kubectl.run(&["scale", "deployment/hello", "--replicas=0"])?;
        guest.kubectl.run(&["wait", "-n", "probe", "pod/probe", "--for=condition=Ready", WAIT])?;
        guest.gone(&["get", "pods", "-l", "app=hello", "-o", "name"])?;
        Ok(guest)
    }

    /// Scale to this many pods, the one that looks included, wait until all are
    /// Ready and the node has come to rest.
    ///
    /// # Errors
    /// If they do not get Ready.
    pub fn scale(&self, pods: u32) -> Result<Look> {
        self.replicas(pods - 1)?;
        sleep(SETTLE);
        self.look()?.with(pods)
    }

    fn replicas(&self, replicas: u32) -> Result<()> {
        self.kubectl.run(&["scale", "deployment/bench", &format!("--replicas={replicas}")])?;
        self.kubectl.run(&["rollout", "status", "deployment/bench", WAIT])?;
        self.until(&["get", "pods", "-l", "app=bench", "-o", "name"], |t| t.lines().count() == replicas as usize)
    }

    /// What the node's programs use.
    ///
    /// # Errors
    /// If the pod that looks cannot be asked.
    pub fn look(&self) -> Result<Look> {
        let line = ["exec", "-n", "probe", "probe", "--", "/node/skerry-node", "status", "--json"];
        let text = self.kubectl.run(&line)?;
        let status: NodeStatus = serde_json::from_str(&text).with_context(|| format!("the node says {text:?}"))?;
        Look::of(&status)
    }

    /// Run Jobs, all at once, and delete them.
    ///
    /// # Errors
    /// If one does not end, or its pod stays.
    pub fn churn(&self, jobs: u32) -> Result<()> {
        self.apply((0..jobs).map(workload::job))?;
        self.kubectl.run(&["wait", "-n", "probe", "job", "-l", "app=churn", "--for=condition=complete", WAIT])?;
        self.kubectl.run(&["delete", "-n", "probe", "job", "-l", "app=churn"])?;
        self.gone(&["get", "pods", "-n", "probe", "-l", "app=churn", "-o", "name"])
    }

    /// Bytes written to the disk since power-on.
    ///
    /// # Errors
    /// If QEMU does not tell.
    pub fn written(&self) -> Result<u64> {
        self.node.disk_bytes_written()
    }

    /// Cut the power with this many pods on the node; seconds from power-on
    /// until all are Ready again.
    ///
    /// # Errors
    /// If they do not get Ready.
    pub fn boot(&mut self, pods: u32) -> Result<f64> {
        self.kubectl.run(&["delete", "-n", "probe", "pod/probe"])?;
        // The baked pod is back after a boot: that is what the image says.
        self.replicas(pods - 1)?;
        self.node.power_on()?;
        let started = Instant::now();
        // After a boot no pod is Ready before it was seen to be.
        let line = ["get", "pods", "-o", "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}"];
        let all = vec!["True"; pods as usize];
        while !self.kubectl.run(&line).is_ok_and(|t| t.split_whitespace().eq(all.iter().copied())) {
            ensure!(started.elapsed() < BOOT_MAX, "{pods} pods are not Ready after a boot\n{}", self.node.tail());
            sleep(ASK_EVERY);
        }
        Ok(started.elapsed().as_secs_f64())
    }

    fn apply(&self, objects: impl Iterator<Item = Value>) -> Result<()> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects.collect::<Vec<_>>()});
        let mut file = tempfile::NamedTempFile::new_in(&self.dir).context("making a file for manifests")?;
        file.write_all(list.to_string().as_bytes()).context("writing manifests")?;
        let path = file.path().to_string_lossy().into_owned();
        self.kubectl.run(&["apply", "-f", &path]).map(drop)
    }

    fn gone(&self, line: &[&str]) -> Result<()> {
        self.until(line, |text| text.trim().is_empty())
    }

    fn until(&self, line: &[&str], fits: impl Fn(&str) -> bool) -> Result<()> {
        let started = Instant::now();
        loop {
            let said = self.kubectl.run(line);
            if said.as_ref().is_ok_and(|t| fits(t)) {
                return Ok(());
            }
            ensure!(started.elapsed() < BOOT_MAX, "kubectl {} never fits: {said:?}", line.join(" "));
            sleep(ASK_EVERY);
        }
    }
}
