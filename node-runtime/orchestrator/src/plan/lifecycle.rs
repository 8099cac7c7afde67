//! One pod from its start to its end, as the kubelet does it.
//!
//! Source: Kubernetes, "Pod Lifecycle" and "Sidecar Containers".

use super::{Action, Plan, Teardown, backoff, end};
use crate::{
    desired::{Container as Want, Pod, RestartPolicy, Role},
    observed::{Container, Observed, State, failure_key},
};

/// How far a pod has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Something runs, or shall run.
    Going,
    /// All containers ended well and stay ended.
    Succeeded,
    /// One ended badly and stays ended.
    Failed,
    /// It ran for longer than it may.
    DeadlineExceeded,
    /// It took more than it may.
    Evicted,
}

/// Time between SIGTERM and SIGKILL of evicted pods, as with the kubelet.
const EVICTION_GRACE_SECS: u32 = 1;

/// How far the pod has come. Pure, and the same for plan and status.
pub fn course(pod: &Pod, observed: &Observed, now: f64) -> Course {
    if observed.evicted.contains_key(&pod.uid) {
        return Course::Evicted;
    }
    if deadline(pod, observed).is_some_and(|at| now >= at) {
        return Course::DeadlineExceeded;
    }
    if pod.restart == RestartPolicy::Always || pod.containers.is_empty() {
        return Course::Going;
    }
    let ended = |c: &Want| match observed.latest(&pod.uid, &c.name)?.1.state {
        State::Exited { code, .. } if !restarts(pod.restart, c.role, code) => Some(code),
        _ => None,
    };
    if pod.with_role(Role::Init).any(|c| ended(c).is_some_and(|code| code != 0)) {
        return Course::Failed;
    }
    match pod.with_role(Role::Main).map(ended).collect::<Option<Vec<u32>>>() {
        None if cannot_go_on(pod, observed) => Course::Failed,
        None => Course::Going,
        Some(codes) if codes.iter().all(|c| *c == 0) => Course::Succeeded,
        Some(_) => Course::Failed,
    }
}

/// A pod that runs only once lost its network, by a reboot for example.
fn cannot_go_on(pod: &Pod, observed: &Observed) -> bool {
    let mut all = observed.of_pod(&pod.uid).map(|(_, c)| c.state).peekable();
    pod.restart == RestartPolicy::Never
        && !observed.sandboxes.get(&pod.uid).is_some_and(|s| s.intact)
        && all.peek().is_some()
        && all.all(|s| s != State::Running)
}

fn deadline(pod: &Pod, observed: &Observed) -> Option<f64> {
    Some(observed.pods_started.get(&pod.uid)? + f64::from(pod.deadline_secs?))
}

/// Does a container that ended with this status start again?
pub(crate) fn restarts(policy: RestartPolicy, role: Role, code: u32) -> bool {
    match (role, policy) {
        (Role::Sidecar, _) => true,
        (Role::Init, RestartPolicy::Always | RestartPolicy::OnFailure) => code != 0,
        (Role::Main, RestartPolicy::Always) => true,
        (Role::Main, RestartPolicy::OnFailure) => code != 0,
        (_, RestartPolicy::Never) => false,
    }
}

/// Everything that is due for one wanted pod.
pub(super) fn pod(pod: &Pod, observed: &Observed, now: f64, plan: &mut Plan) {
    if let Some(grace_secs) = pod.deletion_grace_secs {
        return delete(pod, grace_secs, observed, now, plan);
    }
    if pod.finished || course(pod, observed, now) != Course::Going {
        return finish(pod, observed, now, plan);
    }
    if let Some(at) = deadline(pod, observed) {
        plan.wake(at);
    }
    let sandbox = observed.sandboxes.get(&pod.uid);
    match sandbox {
        Some(s) if s.intact => {}
        _ => return remake(pod, sandbox.is_some(), observed, now, plan),
    }
    if pod.volumes_missing.is_none() && observed.files.get(&pod.uid) != Some(&pod.files_hash) {
        plan.actions.push(Action::UpdateFiles { uid: pod.uid.clone() });
    }
    strangers(pod, observed, now, plan);
    run(pod, observed, now, plan);
}

fn delete(pod: &Pod, grace_secs: u32, observed: &Observed, now: f64, plan: &mut Plan) {
    if !end::pod(pod, grace_secs, "the pod is deleted", observed, now, plan) {
        return;
    }
    let any = end::remove_containers(&pod.uid, observed, plan);
    if !any && (observed.sandboxes.contains_key(&pod.uid) || observed.on_disk.contains(&pod.uid)) {
        plan.actions.push(Action::TeardownPod { uid: pod.uid.clone(), what: Teardown::Everything });
    }
}

/// The pod has come to its end: what still runs ends, containers and logs stay.
fn finish(pod: &Pod, observed: &Observed, now: f64, plan: &mut Plan) {
    let (grace_secs, why) = match observed.evicted.contains_key(&pod.uid) {
        true => (pod.grace_secs.min(EVICTION_GRACE_SECS), "the pod is evicted"),
        false => (pod.grace_secs, "the pod has come to its end"),
    };
    let ended = end::pod(pod, grace_secs, why, observed, now, plan);
    if ended && observed.sandboxes.contains_key(&pod.uid) {
        plan.actions.push(Action::TeardownPod { uid: pod.uid.clone(), what: Teardown::Finished });
    }
}

/// There is no network, or not all of it. Containers live in a network that is
/// gone; they cannot be kept.
fn remake(pod: &Pod, remains: bool, observed: &Observed, now: f64, plan: &mut Plan) {
    let mut any = false;
    for (id, c) in observed.of_pod(&pod.uid) {
        let role = pod.container(&c.labels.container).map(|c| c.role);
        // What has done its work stays done.
        let done = matches!(c.state, State::Exited { code, .. } if !restarts(pod.restart, Role::Main, code));
        if done && role == Some(Role::Main) {
            continue;
        }
        any = true;
        let ended = end::container(id, c, Some(pod), pod.grace_secs, "the pod's network is gone", now, plan);
        if ended && pod.restart != RestartPolicy::Never {
            plan.actions.push(Action::Remove { id: id.into() });
        }
    }
    if any {
        return;
    }
    if remains {
        plan.actions.push(Action::TeardownPod { uid: pod.uid.clone(), what: Teardown::Network });
    } else if pod.volumes_missing.is_none() {
        plan.actions.push(Action::SetupPod { uid: pod.uid.clone() });
    }
}

/// Containers that are not the pod's, or not the latest of their name.
fn strangers(pod: &Pod, observed: &Observed, now: f64, plan: &mut Plan) {
    for (id, c) in observed.of_pod(&pod.uid) {
        let name = &c.labels.container;
        let latest = observed.latest(&pod.uid, name).is_some_and(|(latest, _)| latest == id);
        let wanted = pod.container(name).is_some() && latest;
        if !wanted && end::container(id, c, None, c.labels.grace_secs, "it is not wanted any more", now, plan) {
            plan.actions.push(Action::Remove { id: id.into() });
        }
    }
}

/// Init containers and sidecars in their order, then the rest together.
fn run(pod: &Pod, observed: &Observed, now: f64, plan: &mut Plan) {
    // Once one of them has started, initialization is done for good.
    let initialized = pod
        .with_role(Role::Main)
        .any(|c| observed.latest(&pod.uid, &c.name).is_some_and(|(_, c)| c.state != State::Absent));
    for want in pod.containers.iter().filter(|c| c.role != Role::Main) {
        let have = observed.latest(&pod.uid, &want.name);
        if want.role == Role::Init {
            let done = matches!(have.map(|(_, c)| c.state), Some(State::Exited { code: 0, .. }));
            if initialized || done {
                continue;
            }
            return keep(pod, want, have, observed, now, plan);
        }
        keep(pod, want, have, observed, now, plan);
        let up = have.is_some_and(|(_, c)| c.state == State::Running && c.started && c.stopping.is_none());
        if !up && !initialized {
            return;
        }
    }
    for want in pod.with_role(Role::Main) {
        keep(pod, want, observed.latest(&pod.uid, &want.name), observed, now, plan);
    }
}

/// Start, restart or end one container, or leave it as it is.
fn keep(pod: &Pod, want: &Want, have: Option<(&str, &Container)>, observed: &Observed, now: f64, plan: &mut Plan) {
    let start = |attempt, backoff_secs, replaces: Option<&str>| Action::Start {
        uid: pod.uid.clone(),
        container: want.name.clone(),
        attempt,
        backoff_secs,
        replaces: replaces.map(Into::into),
    };
    match have.map(|(id, c)| (id, c, c.state)) {
        // A running container does not mind what its next start would lack.
        Some((id, c, State::Running)) => {
            let grace = c.unhealthy.as_ref().and_then(|u| u.grace_secs).unwrap_or(pod.grace_secs);
            if c.stopping.is_some() || c.unhealthy.is_some() {
                let why = c.unhealthy.as_ref().map(|u| format!("{}, will be restarted", u.message));
                end::container(id, c, Some(pod), grace, &why.unwrap_or_default(), now, plan);
            }
        }
        Some((_, _, State::Exited { code, .. })) if !restarts(pod.restart, want.role, code) => {}
        _ if want.waiting.is_some() => {}
        None => {
            let before = observed.attempts.get(&failure_key(&pod.uid, Some(&want.name)));
            plan.actions.push(start(before.map_or(0, |a| a + 1), 0, None));
        }
        Some((id, _, State::Absent)) => plan.actions.push(Action::Remove { id: id.into() }),
        Some((id, c, State::Exited { at, ran_secs, .. })) => {
            let (delay, next) = backoff::after_exit(c.labels.backoff_secs, ran_secs);
            let restart_at = at + f64::from(delay);
            if now < restart_at {
                plan.wake(restart_at);
            } else {
                plan.actions.push(start(c.labels.attempt + 1, next, Some(id)));
            }
        }
    }
}
