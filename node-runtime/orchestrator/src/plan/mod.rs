//! `plan(desired, observed, now)`: the difference as a list of actions. Pure;
//! it looks at nothing else and decides everything.
//!
//! A plan is carried out in order, then everything is observed again. An empty
//! plan means: nothing to do before [`Plan::wake_at`].

mod backoff;
mod rollout;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use backoff::{BACKOFF_FIRST_SECS, BACKOFF_MAX_SECS, BACKOFF_RESET_SECS, failure_delay};

use crate::{
    desired::{Desired, Pod},
    network::{Ruleset, ruleset_input},
    observed::{Container, Observed, State, failure_key},
};

/// What to do now, and when to look again at the latest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// Seconds since boot at which something becomes due by itself.
    pub wake_at: Option<f64>,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the pod's network, files and volumes.
    SetupPod {
        /// Pod.
        uid: String,
    },
    /// Remove the pod's network, files and volumes.
    TeardownPod {
        /// Pod.
        uid: String,
    },
    /// Create and start a container.
    Start {
        /// Pod.
        uid: String,
        /// Container name.
        container: String,
        /// How often it was started before.
        attempt: u32,
        /// Delay before the next start, should it exit.
        backoff_secs: u32,
        /// Ended container to remove first.
        replaces: Option<String>,
    },
    /// Send a signal.
    Signal {
        /// Container.
        id: String,
        /// Which.
        signal: Signal,
    },
    /// Remove a container that does not run.
    Remove {
        /// Container.
        id: String,
    },
    /// Make this ruleset the one that is applied.
    ApplyRules(Box<Ruleset>),
}

/// A signal to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Please end.
    Term,
    /// End.
    Kill,
}

impl Action {
    /// Key under which a failure of this action is remembered.
    pub fn key(&self) -> String {
        match self {
            Self::SetupPod { uid } | Self::TeardownPod { uid } => failure_key(uid, None),
            Self::Start { uid, container, .. } => failure_key(uid, Some(container)),
            Self::Signal { id, .. } | Self::Remove { id } => id.clone(),
            Self::ApplyRules(_) => "rules".into(),
        }
    }
}

impl Plan {
    fn wake(&mut self, at: f64) {
        self.wake_at = Some(self.wake_at.map_or(at, |w| w.min(at)));
    }
}

/// What separates `observed` from `desired` at time `now` (seconds since boot).
pub fn plan(desired: &Desired, observed: &Observed, now: f64) -> Plan {
    let mut plan = Plan::default();
    let rollout = rollout::decide(desired, observed);
    for uid in &rollout.terminate {
        terminate(uid, observed, now, &mut plan);
    }
    for uid in &rollout.run {
        if let Some(pod) = desired.pods.get(*uid) {
            run_pod(pod, observed, now, &mut plan);
        }
    }
    // Rules last: a new pod's address is known by then, and an endpoint that
    // goes away is Ready no longer the moment it is told to end.
    let rules = ruleset_input(desired, observed);
    if observed.rules.as_ref() != Some(&rules) {
        plan.actions.push(Action::ApplyRules(Box::new(rules)));
    }
    hold_back_failed(observed, now, &mut plan);
    plan
}

/// What failed before waits for its time.
fn hold_back_failed(observed: &Observed, now: f64, plan: &mut Plan) {
    for action in std::mem::take(&mut plan.actions) {
        match observed.failures.get(&action.key()) {
            Some(f) if now < f.retry_at => plan.wake(f.retry_at),
            _ => plan.actions.push(action),
        }
    }
}

/// Everything of the pod goes, containers first.
fn terminate(uid: &str, observed: &Observed, now: f64, plan: &mut Plan) {
    let mut any = false;
    for (id, c) in observed.of_pod(uid) {
        any = true;
        end_container(id, c, now, plan);
    }
    if !any {
        plan.actions.push(Action::TeardownPod { uid: uid.into() });
    }
}

/// SIGTERM, after the grace time SIGKILL, and removal once it has ended.
fn end_container(id: &str, c: &Container, now: f64, plan: &mut Plan) {
    match (c.state, c.term_sent_at) {
        (State::Running, None) => plan.actions.push(Action::Signal { id: id.into(), signal: Signal::Term }),
        (State::Running, Some(at)) => kill_when_due(id, c, at, now, plan),
        _ => plan.actions.push(Action::Remove { id: id.into() }),
    }
}

fn kill_when_due(id: &str, c: &Container, term_at: f64, now: f64, plan: &mut Plan) {
    let due = term_at + f64::from(c.labels.grace_secs);
    if now >= due {
        plan.actions.push(Action::Signal { id: id.into(), signal: Signal::Kill });
        // SIGKILL cannot be refused, but the exit may be seen a moment later.
        plan.wake(now + 1.0);
    } else {
        plan.wake(due);
    }
}

fn run_pod(pod: &Pod, observed: &Observed, now: f64, plan: &mut Plan) {
    let sandbox = observed.sandboxes.get(&pod.uid);
    if !sandbox.is_some_and(|s| s.intact) {
        // Containers live in a network that is gone; they cannot be kept.
        let mut any = false;
        for (id, c) in observed.of_pod(&pod.uid) {
            any = true;
            end_container(id, c, now, plan);
        }
        if any {
            return;
        }
        if sandbox.is_some() {
            plan.actions.push(Action::TeardownPod { uid: pod.uid.clone() });
        } else {
            plan.actions.push(Action::SetupPod { uid: pod.uid.clone() });
        }
        return;
    }
    let mut wanted = BTreeSet::new();
    for want in &pod.containers {
        // More than one of a name: the latest attempt counts.
        let have = observed
            .of_pod(&pod.uid)
            .filter(|(_, c)| c.labels.container == want.name)
            .max_by_key(|(_, c)| c.labels.attempt);
        wanted.extend(have.map(|(id, _)| id));
        let start = |attempt, backoff_secs, replaces: Option<&str>| Action::Start {
            uid: pod.uid.clone(),
            container: want.name.clone(),
            attempt,
            backoff_secs,
            replaces: replaces.map(Into::into),
        };
        match have.map(|(id, c)| (id, c, c.state)) {
            None => plan.actions.push(start(0, 0, None)),
            Some((id, _, State::Absent)) => plan.actions.push(Action::Remove { id: id.into() }),
            Some((id, c, State::Running)) => match c.term_sent_at {
                Some(at) => kill_when_due(id, c, at, now, plan),
                None if c.unhealthy.is_some() => {
                    plan.actions.push(Action::Signal { id: id.into(), signal: Signal::Term });
                }
                None => {}
            },
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
    for (id, c) in observed.of_pod(&pod.uid).filter(|(id, _)| !wanted.contains(id)) {
        end_container(id, c, now, plan);
    }
}
