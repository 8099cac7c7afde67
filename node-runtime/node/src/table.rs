//! The status for people.

use std::fmt::Write as _;

use skerry_formats::status::{NodeStatus, OrchestratorStatus, Progress, ReleaseRef, UpdaterStatus};

/// Width of the progress bar in characters.
const BAR_WIDTH: u64 = 24;

/// Render the whole status.
pub fn render(s: &NodeStatus) -> String {
    let mut out = String::new();
    line(&mut out, "node", &format!("{}, up {}", s.node, duration(s.uptime_secs as u64)));
    let mem = |key: &str| s.memory.get(key).copied().unwrap_or(0) >> 20;
    line(&mut out, "memory", &format!("{} of {} MiB used", mem("used"), mem("total")));
    match &s.updater {
        Some(u) => updater(&mut out, u),
        None => line(&mut out, "updater", "not running (no status document)"),
    }
    match &s.orchestrator {
        Some(o) => orchestrator(&mut out, o, s.uptime_secs),
        None => line(&mut out, "workloads", "orchestrator not running (no status document)"),
    }
    for (stage, secs) in &s.boot {
        line(&mut out, &format!("boot: {stage}"), &format!("{secs:.1} s"));
    }
    out
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
        let text = format!("{} -> {}, {} of {} bytes fetched", name(&l.from), name(&l.to), l.fetched_bytes, l.full_bytes);
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
