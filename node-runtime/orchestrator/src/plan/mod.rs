//! `plan(desired, observed, now)`: the difference as a list of actions. Pure;
//! it looks at nothing else and decides everything.
//!
//! A plan is carried out in order, then everything is observed again. An empty
//! plan means: nothing to do before [`Plan::wake_at`].

mod backoff;
mod end;
mod lifecycle;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub(crate) use backoff::after_exit;
pub use backoff::{BACKOFF_FIRST_SECS, BACKOFF_MAX_SECS, BACKOFF_RESET_SECS, failure_delay};
pub(crate) use lifecycle::restarts;
pub use lifecycle::{Course, course};

use crate::{
    desired::{Desired, Hook},
    network::{Ruleset, ruleset_input},
    observed::{Observed, failure_key},
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
    /// Remove things of a pod that has no running container.
    TeardownPod {
        /// Pod.
        uid: String,
        /// How much.
        what: Teardown,
    },
    /// Write the files of the pod's volumes anew.
    UpdateFiles {
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
    /// Begin to end a container: the hook, if there is one, else SIGTERM.
    Stop {
        /// Container.
        id: String,
        /// Time until SIGKILL.
        grace_secs: u32,
        /// preStop hook.
        hook: Option<Hook>,
        /// For people.
        why: String,
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

/// How much of a pod goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teardown {
    /// Its network, to be made anew.
    Network,
    /// Network, volumes and layers; logs stay.
    Finished,
    /// Everything but claims.
    Everything,
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
            Self::SetupPod { uid } | Self::TeardownPod { uid, .. } => failure_key(uid, None),
            Self::UpdateFiles { uid } => format!("{uid}:files"),
            Self::Start { uid, container, .. } => failure_key(uid, Some(container)),
            Self::Stop { id, .. } | Self::Signal { id, .. } | Self::Remove { id } => id.clone(),
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
    let seen = observed.containers.values().map(|c| &c.labels.pod_uid);
    let known: BTreeSet<&String> = seen.chain(observed.sandboxes.keys()).chain(&observed.on_disk).collect();
    for uid in known.into_iter().filter(|uid| !desired.pods.contains_key(*uid)) {
        end::orphan(uid, observed, now, &mut plan);
    }
    for pod in desired.pods.values() {
        lifecycle::pod(pod, observed, now, &mut plan);
    }
    // Rules first: a new pod's address was seen before its containers start, so
    // policies hold from their first packet on; and nothing new goes to an
    // endpoint that was Ready a moment ago.
    let rules = ruleset_input(desired, observed);
    if observed.rules.as_ref() != Some(&rules) {
        plan.actions.insert(0, Action::ApplyRules(Box::new(rules)));
    }
    hold_back_failed(observed, now, &mut plan);
    plan
}

/// What ends every container, for a node that goes down. Nothing else of a pod
/// is touched: it starts again at the next boot, as after a power cut.
/// Longer than `most_secs` no container gets.
pub fn drain(desired: &Desired, observed: &Observed, most_secs: u32, now: f64) -> Plan {
    let mut plan = Plan::default();
    for pod in desired.pods.values() {
        let grace_secs = pod.deletion_grace_secs.unwrap_or(pod.grace_secs).min(most_secs);
        if end::pod(pod, grace_secs, "the node goes down", observed, now, &mut plan) {
            end::remove_containers(&pod.uid, observed, &mut plan);
        }
    }
    for (id, c) in observed.containers.iter().filter(|(_, c)| !desired.pods.contains_key(&c.labels.pod_uid)) {
        if end::container(id, c, None, c.labels.grace_secs.min(most_secs), "the node goes down", now, &mut plan) {
            plan.actions.push(Action::Remove { id: id.clone() });
        }
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
