//! The status for people.

use std::{collections::BTreeMap, fmt::Write as _};

use skerry_formats::status::{NodeStatus, OrchestratorStatus, ProcessUse, Progress, ReleaseRef, UpdaterStatus};

/// Width of the progress bar in characters.
const BAR_WIDTH: u64 = 24;

/// Processes that the table names.
const PROCESSES_SHOWN: usize = 6;

/// Render the whole status.
pub fn render(s: &NodeStatus) -> String {
    let mut out = String::new();
    line(&mut out, "node", &format!("{}, up {}", s.node, duration(s.uptime_secs as u64)));
    let mem = |key: &str| s.memory.get(key).copied().unwrap_or(0) >> 20;
    line(&mut out, "memory", &format!("{} of {} MiB used", mem("used"), mem("total")));
    if !s.processes.is_empty() {
        line(&mut out, "processes", &processes(&s.processes));
    }
    match &s.updater {
        Some(u) => updater(&mut out, u),
        None => line(&mut out, "updater", "not running (no status document)"),
    }
    match &s.orchestrator {
        Some(o) => orchestrator(&mut out, o, s.uptime_secs),
        None => line(&mut out, "workloads", "orchestrator not running (no status document)"),
    }
    if let Some(api) = &s.api {
        line(&mut out, "api", &format!("Kubernetes on {}", api.listen));
        line(&mut out, "", &format!("authority SHA-256 {}", api.authority_sha256));
    }
    for (stage, secs) in &s.boot {
        line(&mut out, &format!("boot: {stage}"), &format!("{secs:.1} s"));
    }
    out
}

/// The largest processes, MiB resident.
fn processes(all: &BTreeMap<String, ProcessUse>) -> String {
    let mut sorted: Vec<_> = all.iter().collect();
    sorted.sort_by_key(|(_, m)| std::cmp::Reverse(m.rss_bytes));
    let one = |(name, m): &(&String, &ProcessUse)| format!("{name} {}", m.rss_bytes.div_ceil(1 << 20));
    sorted.iter().take(PROCESSES_SHOWN).map(one).collect::<Vec<_>>().join(", ")
}

fn line(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "{key:<14}{value}");
}

fn name(r: &ReleaseRef) -> String {
    format!("{} ({})", r.sequence, r.version)
}

fn updater(out: &mut String, u: &UpdaterStatus) {
    line(out, "product", &format!("{} on {}", u.product, u.board));
    let trial = if u.blessed { "" } else { ", on trial" };
    line(out, "running", &format!("{}{trial}", name(&u.running)));
    line(out, "previous", &u.previous.as_ref().map_or("-".into(), name));
    line(out, "candidate", &u.candidate.as_ref().map_or("-".into(), name));
    line(out, "update", &format!("{}: {}", u.state, u.message));
    if let Some(p) = &u.progress {
        line(out, "", &bar(p));
    }
    if let Some(l) = &u.last_update {
        let text =
            format!("{} -> {}, {} of {} bytes fetched", name(&l.from), name(&l.to), l.fetched_bytes, l.full_bytes);
        line(out, "last update", &text);
    }
    if let Some(r) = &u.last_rollback {
        line(out, "last rollback", &format!("from {}: {}", name(&r.release), r.reason));
    }
    if let Some(e) = &u.last_error {
        line(out, "last error", e);
    }
}

fn bar(p: &Progress) -> String {
    let filled = (p.done_bytes * BAR_WIDTH).checked_div(p.planned_bytes).unwrap_or(BAR_WIDTH).min(BAR_WIDTH) as usize;
    let percent = (p.done_bytes * 100).checked_div(p.planned_bytes).unwrap_or(100).min(100);
    let empty = BAR_WIDTH as usize - filled;
    format!("[{}{}] {percent} %", "#".repeat(filled), ".".repeat(empty))
}

fn orchestrator(out: &mut String, o: &OrchestratorStatus, uptime_secs: f64) {
    let age = (uptime_secs as u64).saturating_sub(o.heartbeat_secs);
    if age > skerry_formats::status::HEARTBEAT_SECS_MAX {
        line(out, "workloads", &format!("orchestrator silent for {}", duration(age)));
    }
    if let Some(e) = &o.containerd_error {
        line(out, "containerd", e);
    }
    for e in &o.manifest_errors {
        line(out, "manifest", e);
    }
    for w in &o.workloads {
        let mut text = format!("{}/{}  {}/{} Ready", w.namespace, w.name, w.ready, w.desired);
        if w.restarts > 0 {
            let _ = write!(text, ", {} restarts", w.restarts);
        }
        if !w.message.is_empty() {
            let _ = write!(text, ": {}", w.message);
        }
        line(out, &w.kind.to_lowercase(), &text);
    }
}

fn duration(secs: u64) -> String {
    match secs {
        0..=119 => format!("{secs} s"),
        120..=7199 => format!("{} min", secs / 60),
        7200..=172_799 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use skerry_formats::{
        Sequence,
        status::{ApiStatus, FailedRelease, WorkloadStatus},
        versioned::Document as _,
    };

    use super::*;

    fn release(sequence: u32) -> ReleaseRef {
        ReleaseRef { sequence: Sequence(sequence), version: format!("1.{sequence}") }
    }

    fn status() -> NodeStatus {
        NodeStatus {
            format: NodeStatus::header(),
            node: "box".into(),
            uptime_secs: 65.0,
            memory: BTreeMap::from([("total".into(), 1 << 30), ("used".into(), 130 << 20)]),
            processes: BTreeMap::new(),
            updater: None,
            orchestrator: None,
            api: None,
            boot: BTreeMap::from([("init".into(), 2.25)]),
        }
    }

    #[test]
    fn missing_documents_are_said_to_be_missing() {
        let text = render(&status());
        assert_eq!(
            text,
            "node          box, up 65 s\n\
             memory        130 of 1024 MiB used\n\
             updater       not running (no status document)\n\
             workloads     orchestrator not running (no status document)\n\
             boot: init    2.2 s\n"
        );
    }

    #[test]
    fn the_api_is_shown_with_what_tells_the_node() {
        let authority_sha256 = "ab".repeat(32).parse().unwrap();
        let api = ApiStatus { format: ApiStatus::header(), listen: "0.0.0.0:6443".into(), authority_sha256 };
        let text = render(&NodeStatus { api: Some(api), ..status() });
        let lines =
            format!("api           Kubernetes on 0.0.0.0:6443\n              authority SHA-256 {}\n", "ab".repeat(32));
        assert!(text.contains(&lines), "{text}");
    }

    #[test]
    fn the_largest_processes_come_first() {
        let mut s = status();
        for (i, name) in ["a", "b", "c", "d", "e", "f", "g"].into_iter().enumerate() {
            s.processes.insert(name.into(), ProcessUse { count: 1, rss_bytes: (i as u64) << 20, ..Default::default() });
        }
        assert!(render(&s).contains("processes     g 6, f 5, e 4, d 3, c 2, b 1\n"), "{}", render(&s));
    }

    #[test]
    fn update_progress_rollback_and_workloads_are_shown() {
        let mut s = status();
        s.updater = Some(UpdaterStatus {
            format: UpdaterStatus::header(),
            product: "demo".into(),
            board: "pc".into(),
            running: release(2),
            blessed: true,
            previous: Some(release(1)),
            candidate: Some(release(4)),
            state: "fetching".into(),
            message: "fetching release 4 (1.4)".into(),
            progress: Some(Progress { planned_bytes: 1000, done_bytes: 500, objects: 4, objects_done: 1 }),
            last_update: None,
            last_rollback: Some(FailedRelease {
                release: release(3),
                reason: "did not boot: 3 tries used up".into(),
                at: 0,
            }),
            failed: vec![],
            last_check: None,
            last_error: None,
        });
        s.orchestrator = Some(OrchestratorStatus {
            format: OrchestratorStatus::header(),
            node: "box".into(),
            heartbeat_secs: 60,
            containerd_error: None,
            manifest_errors: vec![],
            workloads: vec![WorkloadStatus {
                kind: "Deployment".into(),
                namespace: "default".into(),
                name: "hello".into(),
                desired: 1,
                ready: 0,
                message: "readiness probe: status 500".into(),
                restarts: 2,
            }],
            events: vec![],
        });
        let text = render(&s);
        for line in [
            "running       2 (1.2)\n",
            "previous      1 (1.1)\n",
            "candidate     4 (1.4)\n",
            "              [############............] 50 %\n",
            "last rollback from 3 (1.3): did not boot: 3 tries used up\n",
            "deployment    default/hello  0/1 Ready, 2 restarts: readiness probe: status 500\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
    }
}
