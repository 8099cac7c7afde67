//! What pods cost in memory: the orchestrator, and everything else for each
//! one. In a guest, with the real kernel, containerd and shim of a node.

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use skerry_formats::status::ProcessMemory;

use super::{
    bed::{Bed, say},
    entry::Entry,
};
use crate::{
    kubectl::Kubectl,
    node::{BOOT_MAX, Node, UPDATE_MAX},
    product::Variant,
    server::{Rate, UpdateServer},
};

/// Numbers of pods that are measured.
const PODS: [u32; 3] = [1, 10, 50];
/// Memory of the guest.
const MEMORY_MIB: u64 = 2048;
/// Time for the node to come to rest.
const SETTLE: Duration = Duration::from_secs(45);
/// Name of the orchestrator's process, as the kernel cuts it.
const ORCHESTRATOR: &str = "skerry-orchestr";
/// What an orchestrator may use, MB, and what each pod may add.
const GOAL: (f64, f64) = (15.0, 0.1);
/// What each pod may cost in all, the app left out, MB.
const GOAL_POD: f64 = 4.0;

/// Memory with some number of pods.
struct Look {
    pods: u32,
    orchestrator: u64,
    containerd: u64,
    shims: u64,
    used: u64,
    apps: u64,
}

/// Scale the demo's app up and look at the node each time.
///
/// # Errors
/// If the node does not come up, or pods do not get Ready.
pub fn measure(bed: &Bed) -> Result<Vec<Entry>> {
    let image = bed.release(&Variant::V1)?.join("disk.img.zst");
    let dir = bed.folder("pods")?;
    let repo = dir.join("updates");
    bed.product.publish(&bed.release(&Variant::V1)?, &repo)?;
    let _server = UpdateServer::start(&repo, &dir.join("nginx"), bed.port, Rate::Unlimited)?;
    let mut node = Node::create(&image, &dir.join("node"))?;
    node.config().memory_mib = MEMORY_MIB;
    node.power_on()?;
    node.wait_app(BOOT_MAX)?;
    node.wait_blessed(1, UPDATE_MAX)?;
    let kubectl = Kubectl::of(&bed.product, &node, &dir)?;
    let mut looks = vec![];
    for pods in PODS {
        say(&format!("Pods: {pods}"));
        kubectl.run(&["scale", "deployment/hello", &format!("--replicas={pods}")])?;
        kubectl.run(&["rollout", "status", "deployment/hello", "--timeout=1800s"])?;
        sleep(SETTLE);
        looks.push(look(&node, pods)?);
    }
    Ok(entries(&looks))
}

fn look(node: &Node, pods: u32) -> Result<Look> {
    let status = node.status()?;
    let process = |name: &str| pss(&status.processes, name);
    let memory = |name: &str| status.memory.get(name).copied().with_context(|| format!("no figure {name}"));
    let apps = process("hello")?;
    ensure!(status.processes.get("hello").is_some_and(|p| p.count == pods), "{pods} apps are not running");
    Ok(Look {
        pods,
        orchestrator: process(ORCHESTRATOR)?,
        containerd: process("containerd")?,
        shims: process("containerd-shim")?,
        used: memory("total")?.saturating_sub(memory("available")?),
        apps,
    })
}

fn pss(all: &BTreeMap<String, ProcessMemory>, name: &str) -> Result<u64> {
    let found = all.iter().find(|(n, _)| n.as_str() == name);
    let (_, memory) = found.with_context(|| format!("no process {name} among {:?}", all.keys()))?;
    memory.pss_bytes.with_context(|| format!("the kernel does not show the memory of {name}"))
}

fn entries(looks: &[Look]) -> Vec<Entry> {
    let mut out = vec![];
    for l in looks {
        let goal = GOAL.0 + GOAL.1 * f64::from(l.pods);
        let name = format!("orchestrator, {} pods", l.pods);
        out.push(Entry::megabytes(&name, l.orchestrator, "PSS at rest, API and controllers included").at_most(goal));
    }
    for l in looks {
        let name = format!("containerd, {} pods", l.pods);
        out.push(Entry::megabytes(&name, l.containerd, "PSS at rest"));
    }
    if let [.., few, many] = looks {
        let count = u64::from(many.pods - few.pods);
        let each = |f: fn(&Look) -> u64| f(many).saturating_sub(f(few)) / count;
        let note =
            format!("between {} and {} pods, of the node's whole memory, the app's own left out", few.pods, many.pods);
        out.push(Entry::megabytes("each pod, all told", each(|l| l.used - l.apps.min(l.used)), note).at_most(GOAL_POD));
        out.push(Entry::megabytes("each pod's shim", each(|l| l.shims), "PSS of containerd-shim-runc-v2-rs"));
    }
    out
}
