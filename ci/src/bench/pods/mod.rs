//! What pods cost: memory of the node's programs and of each pod, processor
//! time and writes at rest, a boot to many pods, and how fast they start.
//!
//! In a guest, with the kernel and everything else of a node; and on this
//! machine itself ([`native`]), because a guest that is emulated tells nothing
//! about time.

mod guest;
mod look;
pub mod native;
mod workload;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::{
    guest::Guest,
    look::{Look, percent_of_core},
    native::{Part, part},
};
use super::{
    bed::{Bed, say},
    entry::Entry,
};

/// Numbers of pods that are measured.
const PODS: [u32; 3] = [1, 10, 50];
/// Pods of the node at rest.
const PODS_REST: u32 = 10;
/// Jobs that come and go.
const JOBS: u32 = 30;
/// What an orchestrator may use, MB, and what each pod may add.
const GOAL: (f64, f64) = (15.0, 0.1);
/// What each pod may cost in all, the app left out, MB.
const GOAL_POD: f64 = 4.0;
/// What the node may write at rest, MB a day.
const GOAL_WRITES: f64 = 5.0;
/// Variable with the seconds that a node is watched at rest.
const REST_SECS: &str = "SKERRY_BENCH_REST_SECS";
/// The same without it.
const REST_SECS_DEFAULT: u64 = 600;

/// Scale pods up and down, run Jobs, rest, boot; look at the node each time.
///
/// # Errors
/// If the node does not come up, or pods do not get Ready.
pub fn measure(bed: &Bed) -> Result<Vec<Entry>> {
    say("Pods: a guest of 1 GiB boots, offline");
    let mut guest = Guest::start(bed)?;
    let mut looks = vec![];
    for pods in PODS {
        say(&format!("Pods: {pods}"));
        looks.push(shown(guest.scale(pods)?));
    }
    say(&format!("Pods: down to {PODS_REST}, and {JOBS} Jobs come and go"));
    guest.scale(PODS_REST)?;
    guest.churn(JOBS)?;
    let mut entries = memory(&looks);
    let rest = rest(bed, &guest, rest_time()?)?;
    entries.extend(leaks(&looks, &rest.after));
    entries.extend(rest.entries());
    entries.extend(native::rest_entries(&rest.native));
    say(&format!("Pods: a boot with {PODS_REST}, after a power cut"));
    let secs = guest.boot(PODS_REST)?;
    let note = "after a power cut, the guest reaches nothing outside; asked with kubectl twice a second";
    entries.push(Entry::new(format!("power-on to {PODS_REST} pods Ready"), secs, "s", note));
    drop(guest);
    entries.extend(native::measure(bed)?);
    Ok(entries)
}

fn shown(look: Look) -> Look {
    println!("  {}", look.line());
    look
}

fn rest_time() -> Result<Duration> {
    let secs = match std::env::var(REST_SECS) {
        Ok(text) => text.parse().with_context(|| format!("{REST_SECS} = {text:?} is no number of seconds"))?,
        Err(_) => REST_SECS_DEFAULT,
    };
    Ok(Duration::from_secs(secs))
}

/// A node that nobody asks for anything.
struct Rest {
    before: Look,
    after: Look,
    written: u64,
    secs: f64,
    native: native::Rest,
}

/// The guest, and meanwhile the same programs on this machine: it is idle.
fn rest(bed: &Bed, guest: &Guest, time: Duration) -> Result<Rest> {
    say(&format!("Pods: {PODS_REST} at rest for {} s", time.as_secs()));
    let before = shown(guest.look()?.with(PODS_REST)?);
    let (started, written) = (Instant::now(), guest.written()?);
    let native = part(bed, Part::Rest, time)?;
    let secs = started.elapsed().as_secs_f64();
    let written = guest.written()?.saturating_sub(written);
    Ok(Rest { before, after: shown(guest.look()?.with(PODS_REST)?), written, secs, native })
}

impl Rest {
    fn entries(&self) -> Vec<Entry> {
        let a_day = self.written as f64 / self.secs * 86_400.0 / 1e6;
        let note = format!(
            "extrapolated from {:.3} MB in {:.0} s that the guest wrote to its disk, file systems and journal included",
            self.written as f64 / 1e6,
            self.secs
        );
        let cpu = percent_of_core(self.before.cpu_millis(), self.after.cpu_millis(), self.secs);
        vec![
            Entry::new(format!("flash writes at rest, {PODS_REST} pods"), a_day, "MB/day", note).at_most(GOAL_WRITES),
            Entry::new(
                format!("idle CPU in the guest, {PODS_REST} pods"),
                cpu,
                "%",
                format!(
                    "of one core, orchestrator, containerd and shims, {:.0} s, readiness asked every second; under emulation \
                     an instruction takes many times longer than on hardware",
                    self.secs
                ),
            ),
        ]
    }
}

/// Memory by number of pods.
fn memory(looks: &[Look]) -> Vec<Entry> {
    let mut out = vec![];
    for l in looks {
        let goal = GOAL.0 + GOAL.1 * f64::from(l.pods);
        let name = format!("orchestrator, {}", pods(l.pods));
        let note = "PSS at rest; API server, controllers and kubelet";
        out.push(Entry::megabytes(name, l.orchestrator.pss_bytes, note).at_most(goal));
    }
    for l in looks {
        let name = format!("containerd, {}", pods(l.pods));
        out.push(Entry::megabytes(name, l.containerd.pss_bytes, "PSS at rest"));
    }
    if let [.., few, many] = looks {
        let count = f64::from(many.pods - few.pods);
        let each = |f: fn(&Look) -> u64| (f(many) as f64 - f(few) as f64) / count;
        let between = format!("between {} and {} pods", few.pods, many.pods);
        let note = format!("{between}: growth of MemTotal − MemAvailable, kernel included, the apps' PSS left out");
        let all = each(|l| l.used_bytes) - each(|l| l.apps.pss_bytes);
        out.push(Entry::new("each pod, all told", all / 1e6, "MB", note).at_most(GOAL_POD));
        let shim = each(|l| l.shims.pss_bytes) / 1e6;
        out.push(Entry::new("each pod's shim", shim, "MB", format!("{between}: PSS of containerd-shim-runc-v2-rs")));
        let share = each(|l| l.orchestrator.pss_bytes) / 1e6;
        out.push(Entry::new("each pod in the orchestrator", share, "MB", between).at_most(GOAL.1));
    }
    out
}

/// What is left after pods and Jobs went, beside what the same number of pods
/// took before.
fn leaks(looks: &[Look], after: &Look) -> Vec<Entry> {
    let Some(before) = looks.iter().find(|l| l.pods == after.pods) else { return vec![] };
    let peak = looks.iter().map(|l| l.pods).max().unwrap_or_default();
    let note = format!("after {peak} pods, {JOBS} Jobs that ended and were deleted, and {} pods again", after.pods);
    let mut out = vec![
        Entry::new(
            "shims left behind",
            f64::from(after.shims.count) - f64::from(after.pods),
            "shims",
            format!("shims without a pod {note}"),
        )
        .at_most(0.0),
    ];
    for (name, of) in [
        ("orchestrator", (|l| l.orchestrator.pss_bytes) as fn(&Look) -> u64),
        ("containerd", |l| l.containerd.pss_bytes),
        ("memory in use", |l| l.used_bytes),
    ] {
        let entry = Entry::megabytes(format!("{name} after churn"), of(after), &note);
        out.push(entry.beside("before", of(before) as f64 / 1e6));
    }
    out
}

fn pods(count: u32) -> String {
    if count == 1 { "1 pod".into() } else { format!("{count} pods") }
}

#[cfg(test)]
mod tests {
    use super::{look::Process, *};

    fn look(pods: u32, orchestrator: u64, used_bytes: u64) -> Look {
        let process = |count, pss_bytes| Process { count, pss_bytes, cpu_millis: 100 };
        Look {
            pods,
            orchestrator: process(1, orchestrator),
            containerd: process(1, 30_000_000),
            shims: process(pods, 1_500_000 * u64::from(pods)),
            apps: process(pods, 500_000 * u64::from(pods)),
            used_bytes,
        }
    }

    fn value(entries: &[Entry], name: &str) -> f64 {
        entries.iter().find(|e| e.name == name).map_or(f64::NAN, |e| e.value)
    }

    #[test]
    fn what_a_pod_costs_is_the_growth_without_the_app() {
        let entries = memory(&[look(1, 0, 0), look(10, 14_000_000, 100_000_000), look(50, 16_000_000, 260_000_000)]);
        assert!((value(&entries, "each pod, all told") - 3.5).abs() < 1e-9);
        assert!((value(&entries, "each pod's shim") - 1.5).abs() < 1e-9);
        assert!((value(&entries, "each pod in the orchestrator") - 0.05).abs() < 1e-9);
        let goals: Vec<f64> = entries.iter().filter_map(|e| e.goal).map(|g| g.max).collect();
        assert_eq!(goals, [15.1, 16.0, 20.0, 4.0, 0.1]);
    }

    #[test]
    fn a_shim_without_a_pod_is_a_leak() {
        let before = look(10, 14_000_000, 100_000_000);
        let mut after = before;
        after.shims.count = 11;
        let entries = leaks(&[before], &after);
        assert_eq!(value(&entries, "shims left behind"), 1.0);
        assert!(entries[0].goal.is_some_and(|g| !g.met));
        assert_eq!(entries[1].ratio, Some(1.0));
    }

    #[test]
    fn writes_are_extrapolated_to_a_day() {
        let before = look(10, 1, 1);
        let native = native::Rest { before, after: before, secs: 600.0 };
        let rest = Rest { before, after: before, written: 20_000, secs: 600.0, native };
        assert!((value(&rest.entries(), "flash writes at rest, 10 pods") - 2.88).abs() < 1e-9);
    }
}
