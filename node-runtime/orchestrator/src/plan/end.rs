//! How containers and pods end: preStop hook, SIGTERM, SIGKILL, removal.
//!
//! Source: Kubernetes, "Pod Lifecycle", termination of Pods, and KEP-753 for
//! the order of sidecars.

use crate::{
    desired::{Pod, Role},
    observed::{Container, HookState, Observed, State},
};

use super::{Action, Plan, Signal, Teardown};

/// Time that a container gets at least after its hook used up the rest, and a
/// sidecar after the others did.
const GRACE_LEAST_SECS: f64 = 2.0;

/// One container on its way out; true once it has ended. `why` is for people.
pub(super) fn container(
    id: &str,
    c: &Container,
    pod: Option<&Pod>,
    grace_secs: u32,
    why: &str,
    now: f64,
    plan: &mut Plan,
) -> bool {
    if c.state != State::Running {
        return true;
    }
    let Some(s) = &c.stopping else {
        let hook = pod.and_then(|p| p.container(&c.labels.container)).and_then(|c| c.pre_stop.clone());
        // Without time there is none for a hook.
        let hook = hook.filter(|_| grace_secs > 0);
        plan.actions.push(Action::Stop { id: id.into(), grace_secs, hook, why: why.into() });
        return false;
    };
    // A second order to end can only shorten the time.
    let limit = s.since + f64::from(s.grace_secs.min(grace_secs));
    match s.term_at {
        None if s.hook == HookState::Running && now < limit => plan.wake(limit),
        None => plan.actions.push(Action::Signal { id: id.into(), signal: Signal::Term }),
        Some(at) => {
            let least = if s.hook == HookState::None || grace_secs == 0 { at } else { at + GRACE_LEAST_SECS };
            let due = limit.max(least);
            if now >= due {
                plan.actions.push(Action::Signal { id: id.into(), signal: Signal::Kill });
                // SIGKILL cannot be refused, but the exit may be seen a moment
                // later.
                plan.wake(now + 1.0);
            } else {
                plan.wake(due);
            }
        }
    }
    false
}

/// All containers of a pod, sidecars last and in reverse order; true once all
/// have ended. They stay, as records of how they ended.
pub(super) fn pod(pod: &Pod, grace_secs: u32, why: &str, observed: &Observed, now: f64, plan: &mut Plan) -> bool {
    let since = observed.of_pod(&pod.uid).filter_map(|(_, c)| c.stopping).map(|s| s.since).reduce(f64::min);
    let left = since.map_or(f64::from(grace_secs), |s| s + f64::from(grace_secs) - now);
    let sidecar = |c: &Container| pod.container(&c.labels.container).is_some_and(|c| c.role == Role::Sidecar);
    let mut ended = true;
    for (id, c) in observed.of_pod(&pod.uid).filter(|(_, c)| !sidecar(c)) {
        ended &= container(id, c, Some(pod), grace_secs, why, now, plan);
    }
    for s in pod.with_role(Role::Sidecar).rev() {
        for (id, c) in observed.of_pod(&pod.uid).filter(|(_, c)| c.labels.container == s.name) {
            // Its turn comes when all that need it are gone, or the time is up.
            if !ended && left > 0.0 && c.stopping.is_none() {
                plan.wake(now + left);
                return false;
            }
            let grace = if grace_secs == 0 { 0.0 } else { left.max(GRACE_LEAST_SECS) };
            let grace = c.stopping.map_or(grace as u32, |s| s.grace_secs.min(grace_secs));
            ended &= container(id, c, Some(pod), grace, why, now, plan);
        }
    }
    ended
}

/// The containers of a pod, all of which have ended; true if there are any.
pub(super) fn remove_containers(uid: &str, observed: &Observed, plan: &mut Plan) -> bool {
    let before = plan.actions.len();
    plan.actions.extend(observed.of_pod(uid).map(|(id, _)| Action::Remove { id: id.into() }));
    plan.actions.len() > before
}

/// A pod that nobody wants: everything of it goes.
pub(super) fn orphan(uid: &str, observed: &Observed, now: f64, plan: &mut Plan) {
    let mut any = false;
    for (id, c) in observed.of_pod(uid) {
        any = true;
        if container(id, c, None, c.labels.grace_secs, "the pod is not wanted any more", now, plan) {
            plan.actions.push(Action::Remove { id: id.into() });
        }
    }
    if !any {
        plan.actions.push(Action::TeardownPod { uid: uid.into(), what: Teardown::Everything });
    }
}
