//! `status` of a Pod object, as the kubelet writes it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::apis::meta::v1::Time};

use crate::{
    desired::{Container as Want, Pod, Role},
    observed::{Container, Exit, Observed, State, failure_key},
    plan::{Course, after_exit, course},
};

/// Everything that a status depends on.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What is.
    pub observed: &'a Observed,
    /// How the latest run that ended did so: its id and end, by
    /// [`failure_key`].
    pub ended: &'a BTreeMap<String, (String, Exit)>,
    /// The status before this one.
    pub previous: Option<&'a core::PodStatus>,
    /// Seconds since boot.
    pub now: f64,
    /// The same by the clock.
    pub clock: Timestamp,
}

/// The status. Times of what did not change are those of the previous one.
pub fn pod_status(v: &View<'_>) -> core::PodStatus {
    let View { pod, observed, previous, .. } = v;
    let phase = phase(v);
    let over = matches!(phase, "Succeeded" | "Failed");
    let sandbox = observed.sandboxes.get(&pod.uid);
    let host_ips = observed.node.map(|n| n.all().iter().map(|ip| core::HostIP { ip: ip.to_string() }).collect());
    // The address of a pod that came to its end stays on record.
    let pod_ip = sandbox.map(|s| s.ip.to_string()).or_else(|| previous.and_then(|p| p.pod_ip.clone()).filter(|_| over));
    let listed = |s: &crate::observed::Sandbox| s.ips().iter().map(|ip| core::PodIP { ip: ip.to_string() }).collect();
    let pod_ips = sandbox.map(listed).or_else(|| previous.and_then(|p| p.pod_ips.clone()).filter(|_| over));
    let (init, main): (Vec<&Want>, Vec<&Want>) = pod.containers.iter().partition(|c| c.role != Role::Main);
    let statuses = |list: &[&Want], before: Option<&Vec<core::ContainerStatus>>| {
        let one = |want: &&Want| {
            let before = before.and_then(|b| b.iter().find(|b| b.name == want.name));
            container_status(v, want, before)
        };
        Some(list.iter().map(one).collect::<Vec<_>>()).filter(|l| !l.is_empty())
    };
    let ended = ended_by_node(v);
    let kept = |f: fn(&core::PodStatus) -> &Option<String>| previous.and_then(|p| f(p).clone()).filter(|_| over);
    core::PodStatus {
        phase: Some(phase.into()),
        reason: ended.map(|(reason, _)| reason.to_owned()).or_else(|| kept(|p| &p.reason)),
        message: ended.map(|(_, message)| message.to_owned()).or_else(|| kept(|p| &p.message)),
        conditions: Some(conditions(v, phase)),
        host_ips,
        host_ip: observed.node.map(|n| n.ip.to_string()),
        pod_ips,
        pod_ip,
        qos_class: Some(pod.qos.as_str().into()),
        start_time: previous.and_then(|p| p.start_time.clone()).or(Some(Time(v.clock))),
        init_container_statuses: statuses(&init, previous.and_then(|p| p.init_container_statuses.as_ref())),
        container_statuses: statuses(&main, previous.and_then(|p| p.container_statuses.as_ref())),
        ..core::PodStatus::default()
    }
}

/// Reason and message, where the node ends the pod before its time.
fn ended_by_node<'a>(v: &View<'a>) -> Option<(&'static str, &'a str)> {
    match course(v.pod, v.observed, v.now) {
        Course::DeadlineExceeded => {
            Some(("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"))
        }
        Course::Evicted => v.observed.evicted.get(&v.pod.uid).map(|why| ("Evicted", why.as_str())),
        Course::Going | Course::Succeeded | Course::Failed => None,
    }
}

fn phase(v: &View<'_>) -> &'static str {
    let View { pod, observed, previous, now, .. } = v;
    let before = match previous.and_then(|p| p.phase.as_deref()) {
        Some("Succeeded") => return "Succeeded",
        Some("Failed") => return "Failed",
        Some("Running") => "Running",
        _ => "Pending",
    };
    let all: Vec<&Container> = observed.of_pod(&pod.uid).map(|(_, c)| c).collect();
    if all.iter().any(|c| c.state == State::Running) && course(pod, observed, *now) != Course::Going {
        return before;
    }
    match course(pod, observed, *now) {
        Course::Succeeded => return "Succeeded",
        Course::Failed | Course::DeadlineExceeded | Course::Evicted => return "Failed",
        Course::Going => {}
    }
    let code = |c: &&Container| match c.state {
        State::Exited { code, .. } => Some(code),
        _ => None,
    };
    // A deleted pod has come to its end when nothing of it runs, whatever its
    // restart policy.
    if pod.deletion_grace_secs.is_some() && !all.is_empty() && all.iter().all(|c| code(c).is_some()) {
        return if all.iter().all(|c| code(c) == Some(0)) { "Succeeded" } else { "Failed" };
    }
    let started = |c: &Want| observed.attempts.contains_key(&failure_key(&pod.uid, Some(&c.name)));
    if pod.with_role(Role::Main).any(started) { "Running" } else { before }
}

fn condition(v: &View<'_>, kind: &str, ok: bool, reason: Option<&str>, message: Option<String>) -> core::PodCondition {
    let status = if ok { "True" } else { "False" };
    let conditions = v.previous.and_then(|p| p.conditions.as_ref());
    let before = conditions.into_iter().flatten().find(|c| c.type_ == kind && c.status == status);
    core::PodCondition {
        type_: kind.into(),
        status: status.into(),
        reason: reason.map(Into::into),
        message,
        last_transition_time: before.and_then(|b| b.last_transition_time.clone()).or(Some(Time(v.clock))),
        ..core::PodCondition::default()
    }
}

fn conditions(v: &View<'_>, phase: &str) -> Vec<core::PodCondition> {
    let View { pod, observed, .. } = v;
    let over = matches!(phase, "Succeeded" | "Failed");
    let names = |fits: &dyn Fn(&Want) -> bool| -> Vec<String> {
        pod.containers.iter().filter(|c| fits(c)).map(|c| c.name.clone()).collect()
    };
    let state = |c: &Want| observed.latest(&pod.uid, &c.name).map(|(_, c)| c);
    let uninitialized = names(&|c| match c.role {
        Role::Init => !state(c).is_some_and(|c| matches!(c.state, State::Exited { code: 0, .. })),
        Role::Sidecar => !state(c).is_some_and(|c| c.started && c.state == State::Running),
        Role::Main => false,
    });
    let running = pod.with_role(Role::Main).any(|c| state(c).is_some_and(|c| c.state != State::Absent));
    let initialized = uninitialized.is_empty() || running;
    let unready = names(&|c| c.role != Role::Init && !state(c).is_some_and(Container::is_ready));
    let has_network = observed.sandboxes.get(&pod.uid).is_some_and(|s| s.intact);
    let list = |what: &str, names: &[String]| Some(format!("containers with {what} status: [{}]", names.join(" ")));
    let (ready, why, text) = match phase {
        "Succeeded" => (false, Some("PodCompleted"), None),
        "Failed" => (false, Some("PodFailed"), None),
        _ if unready.is_empty() && has_network => (true, None, None),
        _ => (false, Some("ContainersNotReady"), list("unready", &unready)),
    };
    let (init_why, init_text) = match (initialized, phase) {
        (true, "Succeeded") => (Some("PodCompleted"), None),
        (true, _) => (None, None),
        (false, _) => (Some("ContainersNotInitialized"), list("incomplete", &uninitialized)),
    };
    let done = over && phase == "Succeeded";
    vec![
        condition(v, "PodReadyToStartContainers", has_network, None, None),
        condition(
            v,
            "Initialized",
            initialized || done,
            init_why.filter(|_| !done || initialized),
            init_text.filter(|_| !done),
        ),
        condition(v, "Ready", ready && pod.deletion_grace_secs.is_none(), why, text.clone()),
        condition(v, "ContainersReady", ready, why, text),
        condition(v, "PodScheduled", true, None, None),
    ]
}

fn waiting(reason: &str, message: Option<String>) -> core::ContainerState {
    let waiting = core::ContainerStateWaiting { reason: Some(reason.into()), message };
    core::ContainerState { waiting: Some(waiting), ..core::ContainerState::default() }
}

fn terminated(id: &str, e: &Exit) -> core::ContainerState {
    let second = |t: Option<Timestamp>| t.and_then(|t| Timestamp::from_second(t.as_second()).ok()).map(Time);
    let terminated = core::ContainerStateTerminated {
        container_id: Some(format!("containerd://{id}")),
        exit_code: i32::try_from(e.code).unwrap_or(255),
        reason: Some(e.reason.clone()),
        message: Some(e.message.clone()).filter(|m| !m.is_empty()),
        started_at: second(e.started_at),
        finished_at: second(e.finished_at),
        signal: None,
    };
    core::ContainerState { terminated: Some(terminated), ..core::ContainerState::default() }
}

fn container_status(v: &View<'_>, want: &Want, before: Option<&core::ContainerStatus>) -> core::ContainerStatus {
    let uid = &v.pod.uid;
    let key = failure_key(uid, Some(&want.name));
    let have = v.observed.latest(uid, &want.name).filter(|(_, c)| c.state != State::Absent);
    let running = have.is_some_and(|(_, c)| c.state == State::Running);
    let (state, crashed) = state(v, want, have, before);
    let last = match v.ended.get(&key) {
        Some((id, e)) if crashed || have.is_none_or(|(now, _)| now != id) && state.terminated.is_none() => {
            Some(terminated(id, e))
        }
        _ => before.and_then(|b| b.last_state.clone()),
    };
    let ready = match want.role {
        Role::Init => matches!(have.map(|(_, c)| c.state), Some(State::Exited { code: 0, .. })),
        _ => have.is_some_and(|(_, c)| c.is_ready()),
    };
    let attempt = have.map(|(_, c)| c.labels.attempt).or(v.observed.attempts.get(&key).copied()).unwrap_or(0);
    core::ContainerStatus {
        name: want.name.clone(),
        image: want.image.clone(),
        image_id: match have {
            Some((_, c)) => c.labels.image_id.clone(),
            None => before.map(|b| b.image_id.clone()).unwrap_or_default(),
        },
        container_id: have
            .map(|(id, _)| format!("containerd://{id}"))
            .or_else(|| before.and_then(|b| b.container_id.clone())),
        ready: ready && (running || want.role == Role::Init),
        started: Some(running && have.is_some_and(|(_, c)| c.started)),
        restart_count: i32::try_from(attempt).unwrap_or(i32::MAX),
        state: Some(state),
        last_state: Some(last.unwrap_or_default()),
        ..core::ContainerStatus::default()
    }
}

/// The state, and whether the last run is what it waits for.
fn state(
    v: &View<'_>,
    want: &Want,
    have: Option<(&str, &Container)>,
    before: Option<&core::ContainerStatus>,
) -> (core::ContainerState, bool) {
    let failure = v.observed.failures.get(&failure_key(&v.pod.uid, Some(&want.name)));
    match have.map(|(id, c)| (id, c, c.state)) {
        Some((_, c, State::Running)) => {
            let running = core::ContainerStateRunning { started_at: c.started_at.map(Time) };
            let kept = before.and_then(|b| b.state.as_ref()?.running.clone());
            // A second up or down is the rounding of another look.
            let close = |a: &core::ContainerStateRunning| match (&a.started_at, &running.started_at) {
                (Some(a), Some(b)) => (a.0.as_second() - b.0.as_second()).abs() <= 1,
                (a, b) => a == b,
            };
            let running = kept.filter(close).unwrap_or(running);
            (core::ContainerState { running: Some(running), ..core::ContainerState::default() }, false)
        }
        Some((id, c, State::Exited { at, ran_secs, .. })) => {
            let Some(exit) = &c.exit else { return (waiting("ContainerCreating", None), false) };
            let (delay, _) = after_exit(c.labels.backoff_secs, ran_secs);
            let going = course(v.pod, v.observed, v.now) == Course::Going;
            let alive = going && !v.pod.finished && v.pod.deletion_grace_secs.is_none();
            let again = alive && crate::plan::restarts(v.pod.restart, want.role, exit.code);
            if again && let Some(w) = &want.waiting {
                return (waiting(&w.reason, Some(w.message.clone())), true);
            }
            if again && delay > 0 && v.now < at + f64::from(delay) {
                let text =
                    format!("back-off {} restarting failed container={} pod={}", span(delay), want.name, v.pod.title());
                return (waiting("CrashLoopBackOff", Some(text)), true);
            }
            (terminated(id, exit), false)
        }
        _ => {
            if let Some(w) = &want.waiting {
                return (waiting(&w.reason, Some(w.message.clone())), false);
            }
            if let Some(f) = failure {
                return (waiting("CreateContainerError", Some(f.message.clone())), false);
            }
            // Of a pod that came to its end the last state stays.
            let kept = before.and_then(|b| b.state.clone()).filter(|s| s.terminated.is_some());
            if let Some(kept) = kept.filter(|_| v.pod.finished || v.pod.deletion_grace_secs.is_some()) {
                return (kept, false);
            }
            let first = v.pod.containers.first().is_some_and(|c| c.role != Role::Main && want.role == Role::Main);
            (waiting(if first { "PodInitializing" } else { "ContainerCreating" }, None), false)
        }
    }
}

/// `10s`, `1m20s`, `5m0s`, as Go writes durations.
fn span(secs: u32) -> String {
    if secs < 60 { format!("{secs}s") } else { format!("{}m{}s", secs / 60, secs % 60) }
}

#[cfg(test)]
#[path = "pod_status_tests.rs"]
mod tests;
