//! What the programs of a node use, seen in its status document: the same way
//! in a guest and on the host.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use skerry_formats::status::{NodeStatus, ProcessUse};

/// Name of the orchestrator's process, as the kernel cuts it.
const ORCHESTRATOR: &str = "skerry-orchestr";
/// Name of the app's process.
pub const APP: &str = "hello";

/// The node's programs with some number of pods.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Look {
    /// Pods that run.
    pub pods: u32,
    /// API server, controllers and kubelet.
    pub orchestrator: Process,
    /// containerd.
    pub containerd: Process,
    /// All shims.
    pub shims: Process,
    /// All apps.
    pub apps: Process,
    /// `MemTotal` − `MemAvailable`.
    pub used_bytes: u64,
}

/// All processes of one name.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Process {
    /// How many.
    pub count: u32,
    /// Memory, shared pages split.
    pub pss_bytes: u64,
    /// Processor time.
    pub cpu_millis: u64,
}

impl Look {
    /// From a status document written by a process that may look into others.
    ///
    /// # Errors
    /// If a program does not run, or its memory is not shown.
    pub fn of(status: &NodeStatus) -> Result<Self> {
        let memory = |name: &str| status.memory.get(name).copied().with_context(|| format!("no figure {name}"));
        // Without pods there are none of these.
        let some = |name: &str| match status.processes.contains_key(name) {
            true => process(status, name),
            false => Ok(Process::default()),
        };
        let apps = some(APP)?;
        Ok(Look {
            pods: apps.count,
            orchestrator: process(status, ORCHESTRATOR)?,
            containerd: process(status, "containerd")?,
            shims: some("containerd-shim")?,
            apps,
            used_bytes: memory("total")?.saturating_sub(memory("available")?),
        })
    }

    /// The same, with this many pods.
    ///
    /// # Errors
    /// If there are more or fewer.
    pub fn with(self, pods: u32) -> Result<Self> {
        ensure!(self.pods == pods, "{} apps run, not {pods}", self.pods);
        Ok(self)
    }

    /// Processor time of the node's own programs.
    pub fn cpu_millis(&self) -> u64 {
        [self.orchestrator, self.containerd, self.shims].iter().map(|p| p.cpu_millis).sum()
    }

    /// For the terminal.
    pub fn line(&self) -> String {
        let one = |name: &str, p: Process| format!("{name} {:.1} MB", p.pss_bytes as f64 / 1e6);
        format!(
            "{} pods: {}, {}, {} {}, {}, in use {:.1} MB",
            self.pods,
            one("orchestrator", self.orchestrator),
            one("containerd", self.containerd),
            self.shims.count,
            one("shims", self.shims),
            one("apps", self.apps),
            self.used_bytes as f64 / 1e6
        )
    }
}

fn process(status: &NodeStatus, name: &str) -> Result<Process> {
    let found = status.processes.get(name);
    let ProcessUse { count, pss_bytes, cpu_millis, .. } =
        *found.with_context(|| format!("no process {name} among {:?}", status.processes.keys()))?;
    let pss_bytes = pss_bytes.with_context(|| format!("the kernel does not show the memory of {name}"))?;
    Ok(Process { count, pss_bytes, cpu_millis })
}

/// The difference of two looks, in percent of one core.
pub fn percent_of_core(before: u64, after: u64, secs: f64) -> f64 {
    after.saturating_sub(before) as f64 / 10.0 / secs.max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use skerry_formats::versioned::Document as _;

    use super::*;

    fn status(shims: Option<u64>) -> NodeStatus {
        let process = |count, pss_bytes| ProcessUse { count, pss_bytes, cpu_millis: 500, ..Default::default() };
        NodeStatus {
            format: NodeStatus::header(),
            node: "box".into(),
            uptime_secs: 65.0,
            memory: [("total".to_owned(), 1000), ("available".to_owned(), 900)].into(),
            processes: [
                (ORCHESTRATOR.to_owned(), process(1, Some(10))),
                ("containerd".to_owned(), process(1, Some(20))),
                ("containerd-shim".to_owned(), process(2, shims)),
                (APP.to_owned(), process(2, Some(4))),
            ]
            .into(),
            updater: None,
            orchestrator: None,
            api: None,
            boot: Default::default(),
        }
    }

    #[test]
    fn programs_are_found_and_added_up() {
        let look = Look::of(&status(Some(6))).unwrap().with(2).unwrap();
        assert_eq!((look.used_bytes, look.shims.count, look.cpu_millis()), (100, 2, 1500));
        assert!(look.with(3).is_err());
        assert!(Look::of(&status(None)).unwrap_err().to_string().contains("does not show"));
        let mut none = status(Some(6));
        none.processes.remove("containerd");
        assert!(Look::of(&none).unwrap_err().to_string().contains("no process containerd"));
    }

    #[test]
    fn shares_are_of_one_core() {
        assert!((percent_of_core(1000, 4000, 600.0) - 0.5).abs() < 1e-9);
    }
}
