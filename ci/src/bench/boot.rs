//! How long a node takes from power-on to its app, stage by stage, and how much
//! memory it uses.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use skerry_formats::status::NodeStatus;

use super::{
    bed::{Bed, median_by, say},
    entry::Entry,
};
use crate::{
    node::{BOOT_MAX, Node, UPDATE_MAX},
    product::Variant,
    server::{Rate, UpdateServer},
};

/// Start of the names of the stages, in the order of the boot.
pub const STAGE: &str = "boot stage: ";
/// The same for the first boot.
pub const FIRST_STAGE: &str = "first boot stage: ";
/// Boots of a disk that was booted before.
const BOOTS: u32 = 3;
/// Time for a node to come to rest before its memory is measured.
const SETTLE: Duration = Duration::from_secs(30);

/// Measure boots and memory of the first release in a 1 GiB guest.
///
/// # Errors
/// If the node does not come up.
pub fn measure(bed: &Bed) -> Result<Vec<Entry>> {
    let image = bed.release(&Variant::V1)?.join("disk.img.zst");
    let dir = bed.folder("boot")?;
    let repo = dir.join("updates");
    bed.product.publish(&bed.release(&Variant::V1)?, &repo)?;
    let _server = UpdateServer::start(&repo, &dir.join("nginx"), bed.port, Rate::Unlimited)?;
    let mut node = Node::create(&image, &dir.join("node"))?;
    say("Boot: the first, of a fresh disk");
    let first = boot(&mut node)?;
    node.wait_blessed(1, UPDATE_MAX)?;
    let memory = memory_used(&node)?;
    let mut boots = Vec::new();
    for n in 1..=BOOTS {
        say(&format!("Boot: {n} of {BOOTS}, after a power cut"));
        boots.push(boot(&mut node)?);
    }
    let all: Vec<String> = boots.iter().map(|b| format!("{:.1}", b.total)).collect();
    let middle = median_by(boots, |b| b.total).context("at least one boot")?;
    let mut entries = vec![
        Entry::new(
            "power-on to app, first boot",
            first.total,
            "s",
            "fresh disk: partition table grown, DATA made and formatted; 1 GiB, 2 CPUs",
        ),
        Entry::new(
            "power-on to app",
            middle.total,
            "s",
            format!("median of {} s, each after a power cut; 1 GiB, 2 CPUs", all.join(", ")),
        ),
    ];
    let stages = |start: &str, boot: &Boot| {
        boot.stages.iter().map(|s| Entry::new(format!("{start}{}", s.name), s.secs, "s", s.what)).collect::<Vec<_>>()
    };
    entries.extend(stages(STAGE, &middle));
    entries.extend(stages(FIRST_STAGE, &first));
    entries.push(
        Entry::megabytes(
            "memory used, 1 GiB guest",
            memory,
            "MemTotal − MemAvailable with the app running, 30 s after it was blessed",
        )
        .at_most(150.0),
    );
    Ok(entries)
}

/// Memory in use once the node has come to rest.
///
/// # Errors
/// If the node does not tell.
pub fn memory_used(node: &Node) -> Result<u64> {
    std::thread::sleep(SETTLE);
    let status = node.status()?;
    let figure = |name: &str| {
        status.memory.get(name).copied().with_context(|| format!("the node does not tell its {name} memory"))
    };
    Ok(figure("total")?.saturating_sub(figure("available")?))
}

/// One boot.
#[derive(Debug)]
struct Boot {
    total: f64,
    stages: Vec<Stage>,
}

/// A part of a boot.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stage {
    name: &'static str,
    what: &'static str,
    secs: f64,
}

fn boot(node: &mut Node) -> Result<Boot> {
    node.power_on()?;
    let answer = node.wait_app(BOOT_MAX)?;
    let total = answer.after.as_secs_f64();
    let status: NodeStatus = node.status()?;
    let console = node.serial().map(|s| s.tail(usize::MAX)).unwrap_or_default();
    let stages = stages(&console, &status.boot, total);
    println!(
        "  {total:.1} s: {}",
        stages.iter().map(|s| format!("{} {:.1}", s.name, s.secs)).collect::<Vec<_>>().join(", ")
    );
    Ok(Boot { total, stages })
}

/// Split `total` at what the console shows (seconds since power-on before each
/// line) and at what init noted (seconds since the kernel started). A mark that
/// is missing leaves its time to the next stage.
fn stages(console: &str, noted: &BTreeMap<String, f64>, total: f64) -> Vec<Stage> {
    let line = |needle: &str| console.lines().find(|l| l.contains(needle)).and_then(power_on_secs);
    let kernel = kernel_start(console);
    let note = |name: &str| Some(kernel? + noted.get(name)?);
    let marks = [
        ("firmware", "UEFI, until it starts the boot loader", line("BdsDxe: starting")),
        ("boot loader", "systemd-boot and stub read and check the kernel image, kernel unpacks itself", kernel),
        ("kernel", "until init runs", note("init-kernel-to-init")),
        ("init", "modules, SYSTEM, seals, root and /var mounted, until systemd takes over", note("init-switch-root")),
        ("systemd", "until it starts containerd", line("Starting containerd.service")),
        ("containerd", "until it is ready", line("Started containerd.service")),
        ("orchestrator", "until it has reconciled once", line("Started skerry-orchestrator.service")),
        ("app", "until it answers through its NodePort", Some(total)),
    ];
    let mut stages = Vec::new();
    let mut last = 0.0;
    for (name, what, end) in marks {
        let Some(end) = end else { continue };
        // The app may answer before the orchestrator says that it has started.
        let end = end.clamp(last, total);
        stages.push(Stage { name, what, secs: end - last });
        last = end;
    }
    stages
}

/// Seconds since power-on that the harness wrote before a console line.
fn power_on_secs(line: &str) -> Option<f64> {
    line.split_whitespace().next()?.parse().ok()
}

/// When the kernel's clock began: no line is shown earlier than it is written,
/// so that the least difference is the closest.
fn kernel_start(console: &str) -> Option<f64> {
    let difference = |line: &str| {
        let (_, rest) = line.split_once(" [")?;
        let kernel: f64 = rest.split_once(']')?.0.trim().parse().ok()?;
        Some(power_on_secs(line)? - kernel)
    };
    console.lines().filter_map(difference).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CONSOLE: &str = "    4.070 BdsDxe: loading Boot0001 \"UEFI Misc Device\"\n\
            \x20   4.072 BdsDxe: starting Boot0001 \"UEFI Misc Device\"\n\
            \x20   5.921 [    0.852006] mtrr: your CPUs had inconsistent fixed MTRR settings\n\
            \x20   7.197 [    2.150000] amd_pstate: the _CPC object is not present\n\
            \x20  12.439 [  OK  ] Reached target paths.target - Path Units.\n\
            \x20  15.016          Starting containerd.service - Container Runtime...\n\
            \x20  18.331 [  OK  ] Started containerd.service - Container Runtime.\n\
            \x20  22.051 M[  OK  ] Started skerry-orchestrator.service - Skerry Orchestrator.\n";

    fn noted() -> BTreeMap<String, f64> {
        BTreeMap::from([("init-kernel-to-init".into(), 2.5), ("init-switch-root".into(), 6.0)])
    }

    #[test]
    fn a_boot_is_split_without_gap() {
        let stages = stages(CONSOLE, &noted(), 23.7);
        let secs: Vec<(&str, i64)> = stages.iter().map(|s| (s.name, (s.secs * 1000.0).round() as i64)).collect();
        // The kernel started at 7.197 − 2.150 = 5.047.
        let want = [
            ("firmware", 4072),
            ("boot loader", 975),
            ("kernel", 2500),
            ("init", 3500),
            ("systemd", 3969),
            ("containerd", 3315),
            ("orchestrator", 3720),
            ("app", 1649),
        ];
        assert_eq!(secs, want);
        assert!((stages.iter().map(|s| s.secs).sum::<f64>() - 23.7).abs() < 1e-9);
    }

    #[test]
    fn missing_and_late_marks_keep_the_sum() {
        let early = stages(CONSOLE, &noted(), 20.0);
        assert_eq!(early.last().map(|s| (s.name, s.secs)), Some(("app", 0.0)));
        let bare = stages("", &BTreeMap::new(), 9.0);
        assert_eq!(bare.iter().map(|s| (s.name, s.secs)).collect::<Vec<_>>(), [("app", 9.0)]);
        assert!((early.iter().map(|s| s.secs).sum::<f64>() - 20.0).abs() < 1e-9);
    }
}
