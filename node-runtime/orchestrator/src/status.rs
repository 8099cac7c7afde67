//! The status document: what the updater's health gate and people read.

use skerry_formats::{
    status::{OrchestratorStatus, WorkloadStatus},
    versioned::Document,
};

use crate::{
    desired::{Desired, Pod, Role, Workload},
    executor::Memory,
    observed::{Observed, State, failure_key},
    probes::{Kind, Prober},
};

/// Everything that goes into the document beside the time.
pub(crate) struct View<'a> {
    pub(crate) node: &'a str,
    pub(crate) desired: &'a Desired,
    /// Last successful observation.
    pub(crate) observed: &'a Observed,
    pub(crate) memory: &'a Memory,
    pub(crate) prober: &'a Prober,
    pub(crate) containerd_error: Option<&'a str>,
    pub(crate) manifest_errors: &'a [String],
}

/// The document at time `now` (seconds since boot).
pub(crate) fn document(v: &View<'_>, now: f64) -> OrchestratorStatus {
    OrchestratorStatus {
        format: OrchestratorStatus::header(),
        node: v.node.into(),
        heartbeat_secs: now as u64,
        containerd_error: v.containerd_error.map(Into::into),
        manifest_errors: v.manifest_errors.to_vec(),
        workloads: v.desired.workloads.iter().map(|d| workload(v, d)).collect(),
        events: v.memory.events.iter().cloned().collect(),
    }
}

fn workload(v: &View<'_>, d: &Workload) -> WorkloadStatus {
    let pods: Vec<&Pod> = v.desired.pods.values().filter(|p| d.pods.contains(&p.uid)).collect();
    // What cannot be seen does not count as Ready.
    let is_ready = |p: &&Pod| v.containerd_error.is_none() && v.observed.pod_ready(p);
    let ready = pods.iter().copied().filter(is_ready).count() as u32;
    let of_this = |c: &&crate::observed::Container| d.pods.contains(&c.labels.pod_uid);
    let message = if ready == d.replicas {
        String::new()
    } else if let Some(e) = v.containerd_error {
        e.into()
    } else {
        let first = pods.iter().find(|p| !is_ready(p)).and_then(|p| missing(v, p));
        first.unwrap_or_else(|| format!("{ready} of {} pods are Ready", d.replicas))
    };
    WorkloadStatus {
        kind: d.kind.clone(),
        namespace: d.namespace.clone(),
        name: d.name.clone(),
        desired: d.replicas,
        ready,
        message,
        restarts: v.observed.containers.values().filter(of_this).map(|c| c.labels.attempt).sum(),
    }
}

/// Why a pod is not Ready, one line.
fn missing(v: &View<'_>, pod: &Pod) -> Option<String> {
    let failure =
        |key: String| v.observed.failures.get(&key).or(v.memory.failures.get(&key)).map(|f| f.message.clone());
    if let Some(f) = failure(failure_key(&pod.uid, None)) {
        return Some(f);
    }
    if let Some(m) = &pod.volumes_missing {
        return Some(format!("{}: {m}", pod.name));
    }
    for c in &pod.containers {
        if let Some(f) = failure(failure_key(&pod.uid, Some(&c.name))) {
            return Some(f);
        }
        let place = format!("{}: container {}", pod.name, c.name);
        let found = v.observed.latest(&pod.uid, &c.name);
        if let Some(w) = c.waiting.as_ref().filter(|_| !found.is_some_and(|(_, o)| o.state == State::Running)) {
            return Some(format!("{place}: {}", w.message));
        }
        let Some((id, o)) = found else { return Some(format!("{place} is not started yet")) };
        match o.state {
            State::Absent => return Some(format!("{place} is not started yet")),
            State::Exited { code: 0, .. } if c.role == Role::Init => {}
            State::Exited { code, .. } => {
                return Some(format!("{place} ended with status {code} (restarts: {})", o.labels.attempt));
            }
            State::Running if c.role == Role::Init => return Some(format!("{place} runs before the others may")),
            State::Running if o.unhealthy.is_some() => {
                let why = o.unhealthy.as_ref().map(|u| u.message.as_str()).unwrap_or_default();
                return Some(format!("{place}: {why}"));
            }
            State::Running if !o.started => return Some(format!("{place} has not come up yet")),
            State::Running if !o.ready => {
                let why = v.prober.verdict(id, Kind::Readiness).and_then(|p| p.last_error());
                return Some(format!("{place} is not ready: {}", why.unwrap_or("its readiness probe has not run yet")));
            }
            State::Running => {}
        }
    }
    None
}
