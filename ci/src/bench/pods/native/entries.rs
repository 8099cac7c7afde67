//! The figures from what was measured on this machine.

use anyhow::Result;

use super::{
    super::{GOAL, look::percent_of_core, pods},
    Lists, Podman, Rest, Starts, lists,
};
use crate::bench::entry::Entry;

/// Time of our own until a container runs, ms.
const GOAL_OWN_MS: f64 = 150.0;
/// Processor time at rest, percent of one core.
const GOAL_REST: f64 = 0.5;
/// K3s' own documentation, "Resource Profiling": a server that runs a workload.
const K3S_SERVER: (&str, f64) =
    ("K3s server with its agent and another workload, as K3s' documentation (Resource Profiling) has it", 1596.0);

/// Sorted, for quantiles.
struct Times(Vec<f64>);

impl Times {
    fn of(all: &[f64]) -> Self {
        let mut sorted = all.to_vec();
        sorted.sort_by(f64::total_cmp);
        Times(sorted)
    }

    /// By nearest rank; 0 of nothing.
    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    fn spread(&self) -> String {
        format!("{} times, {:.1} to {:.1} ms", self.0.len(), self.percentile(0), self.percentile(100))
    }
}

/// Starts, memory, lists.
pub fn all(starts: &Starts, lists: &Lists, podman: &Result<Podman>, crun_version: &str) -> Vec<Entry> {
    let mut out = times(starts, podman, crun_version);
    out.extend(memory(starts, podman));
    out.extend(api(lists));
    out
}

fn times(starts: &Starts, podman: &Result<Podman>, crun_version: &str) -> Vec<Entry> {
    let [running, ready, crun] = [&starts.running, &starts.ready, &starts.crun].map(|t| Times::of(t));
    let peer = |entry: Entry, percent| match podman {
        Ok(p) => {
            let note = "`podman kube play` of the same pod without probes, until it returns";
            entry.beside(format!("{}: {note}", p.version), Times::of(&p.running).percentile(percent))
        }
        Err(error) => {
            let note = format!("{}; podman does not run here: {error:#}", entry.note);
            Entry { note, ..entry }
        }
    };
    let quantiles = |name: &str, times: &Times, note: &str| {
        [50, 99].map(|p| {
            let note = format!("{}; {note}", times.spread());
            Entry::new(format!("{name}, p{p}"), times.percentile(p), "ms", note)
        })
    };
    let mut out = vec![];
    // With more pods, more is compared and probed all the time.
    let fifth = starts.running.len() / 5;
    let part = |part: &[f64]| Times::of(part).percentile(50);
    let note = format!(
        "request sent until a watch shows it; one pod after the other, all stay: p50 of the first fifth {:.1}, of the last {:.1}; \
         image local, network included",
        part(starts.running.get(..fifth).unwrap_or_default()),
        part(starts.running.get(starts.running.len() - fifth..).unwrap_or_default())
    );
    for (entry, percent) in quantiles("pod created → running", &running, &note).into_iter().zip([50, 99]) {
        out.push(peer(entry, percent));
    }
    let own = (running.percentile(50) - crun.percentile(50)).max(0.0);
    let note = "the first of the two figures around this one less the other";
    out.push(Entry::new("our own time beyond crun's, p50", own, "ms", note).at_most(GOAL_OWN_MS));
    out.push(quantiles("crun create and start alone", &crun, crun_version)[0].clone());
    out.extend(quantiles("pod created → Ready", &ready, "readiness asked at once, then every second"));
    out
}

fn memory(starts: &Starts, podman: &Result<Podman>) -> Vec<Entry> {
    let mut out = vec![];
    for l in &starts.looks {
        let goal = GOAL.0 + GOAL.1 * f64::from(l.pods);
        let name = format!("orchestrator on this host, {}", pods(l.pods));
        out.push(Entry::megabytes(name, l.orchestrator.pss_bytes, "PSS; the program as it is shipped").at_most(goal));
    }
    if let [.., few, many] = starts.looks.as_slice() {
        let each = |bytes: u64| bytes as f64 / f64::from(many.pods) / 1e6;
        let entry = Entry::new("shim of each pod on this host", each(many.shims.pss_bytes), "MB", "PSS");
        out.push(match podman {
            Ok(p) => entry.beside(
                format!("{}: conmon twice, pause and share of aardvark-dns", p.version),
                p.own_bytes_each as f64 / 1e6,
            ),
            Err(_) => entry,
        });
        let all = few.orchestrator.pss_bytes + few.containerd.pss_bytes + few.shims.pss_bytes;
        let name = format!("orchestrator, containerd and shims on this host, {}", pods(few.pods));
        out.push(
            Entry::megabytes(name, all, "PSS; the peer's figure is published, not measured")
                .beside(K3S_SERVER.0, K3S_SERVER.1),
        );
    }
    out
}

fn api(lists: &Lists) -> Vec<Entry> {
    let note = format!("ConfigMaps of {} bytes, JSON over TLS", lists::OBJECT_BYTES);
    let mut out = vec![];
    for (name, times) in [
        (format!("list of {} objects", lists::OBJECTS), &lists.lists),
        (format!("change until each of {} watchers has it", lists::WATCHERS), &lists.events),
    ] {
        let times = Times::of(times);
        for p in [50, 99] {
            out.push(Entry::new(
                format!("{name}, p{p}"),
                times.percentile(p),
                "ms",
                format!("{}; {note}", times.spread()),
            ));
        }
    }
    out
}

/// A node at rest.
pub fn rest(rest: &Rest) -> Vec<Entry> {
    let percent = |of: fn(&super::Look) -> u64| percent_of_core(of(&rest.before), of(&rest.after), rest.secs);
    let note = format!(
        "of one core, {:.0} s, readiness of each pod asked every second: orchestrator {:.2}, containerd {:.2}, shims {:.2}; \
         the apps' own {:.2} left out; a guest at rest ran beside it",
        rest.secs,
        percent(|l| l.orchestrator.cpu_millis),
        percent(|l| l.containerd.cpu_millis),
        percent(|l| l.shims.cpu_millis),
        percent(|l| l.apps.cpu_millis)
    );
    let name = format!("idle CPU on this host, {}", pods(rest.after.pods));
    vec![Entry::new(name, percent(super::Look::cpu_millis), "%", note).at_most(GOAL_REST)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn quantiles_are_measured_values() {
        let times = Times::of(&(1..=100).rev().map(f64::from).collect::<Vec<_>>());
        assert_eq!([0, 50, 99, 100].map(|p| times.percentile(p)), [1.0, 50.0, 99.0, 100.0]);
        assert_eq!(Times::of(&[]).percentile(50), 0.0);
    }

    #[test]
    fn crun_is_taken_off_and_podman_is_the_peer() {
        let starts = Starts { running: vec![100.0; 3], ready: vec![120.0; 3], crun: vec![30.0; 3], looks: vec![] };
        let podman = Ok(Podman { version: "podman 4".into(), running: vec![400.0], own_bytes_each: 1 });
        let entries = times(&starts, &podman, "crun 1");
        assert_eq!((entries[0].value, entries[0].ratio), (100.0, Some(0.25)));
        assert_eq!(entries[2].value, 70.0);
        assert!(entries[2].goal.unwrap().met);
        let entries = times(&starts, &Err(anyhow!("no")), "crun 1");
        assert!(entries[0].peer.is_none() && entries[0].note.contains("podman does not run here: no"));
    }
}
