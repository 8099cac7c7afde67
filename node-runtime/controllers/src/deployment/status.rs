//! Status of a Deployment, as `kubectl rollout status` reads it.

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus};

use super::Rollout;
use crate::{replicaset::some, run::Run};

const PROGRESSING: &str = "Progressing";
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";
/// Seconds without progress before a rollout counts as stuck.
const DEADLINE_SECS: i32 = 600;

impl Rollout<'_> {
    /// Write the status if it changed. `held`: the rollout does not go on in
    /// this run, so progress is not judged.
    pub(super) fn write_status(&self, run: &mut Run<'_>, held: bool) {
        let old = self.d.status.clone().unwrap_or_default();
        let mut status = self.count(run, &old);
        self.set_available(run, &mut status);
        let no_deadline = self.spec.progress_deadline_seconds == Some(i32::MAX);
        if !no_deadline {
            self.set_paused(run, &mut status);
            if !held {
                self.set_progress(run, &old, &mut status);
            }
        }
        if self.d.status.as_ref() != Some(&status) {
            let mut new = self.d.v.clone();
            new.status = Some(status);
            run.update_status(self.d.key(), &new);
        }
    }

    fn count(&self, run: &Run<'_>, old: &DeploymentStatus) -> DeploymentStatus {
        let all: i32 = self.all().map(|s| s.now.all).sum();
        let available: i32 = self.all().map(|s| s.now.available).sum();
        let mut collisions = old.collision_count;
        if self.new.is_none() && self.name_taken(run) {
            collisions = Some(collisions.unwrap_or(0) + 1);
        }
        DeploymentStatus {
            observed_generation: Some(self.d.meta().generation),
            replicas: some(all),
            updated_replicas: some(self.new.as_ref().map_or(0, |s| s.now.all)),
            ready_replicas: some(self.all().map(|s| s.now.ready).sum()),
            available_replicas: some(available),
            unavailable_replicas: some((all - available).max(0)),
            collision_count: collisions,
            ..old.clone()
        }
    }

    /// Has a ReplicaSet of something else our new one's name?
    fn name_taken(&self, run: &Run<'_>) -> bool {
        let wanted = self.wanted_name();
        let sets = run.stored(crate::kinds::replica_set());
        sets.iter().any(|s| s.key.name == wanted && s.key.namespace == self.d.ns())
    }

    fn set_available(&self, run: &Run<'_>, status: &mut DeploymentStatus) {
        let (_, unavailable) = self.bounds();
        let enough = status.available_replicas.unwrap_or(0) >= self.replicas - unavailable;
        let (state, reason, message) = if enough {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        set(run, status, "Available", state, reason, message.into());
    }

    fn set_paused(&self, run: &Run<'_>, status: &mut DeploymentStatus) {
        let paused = self.spec.paused == Some(true);
        let reason = get(status).and_then(|c| c.reason.as_deref());
        if reason == Some(TIMED_OUT) {
            return;
        }
        if paused && reason != Some(PAUSED) {
            set(run, status, PROGRESSING, "Unknown", PAUSED, "Deployment is paused".into());
        } else if !paused && reason == Some(PAUSED) {
            set(run, status, PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".into());
        }
    }

    fn set_progress(&self, run: &mut Run<'_>, old: &DeploymentStatus, status: &mut DeploymentStatus) {
        let name = self.new.as_ref().map_or_else(|| self.wanted_name(), |s| s.obj.name().into());
        let condition = get(status).cloned();
        let reason = condition.as_ref().and_then(|c| c.reason.as_deref());
        let message = condition.as_ref().and_then(|c| c.message.as_deref()).unwrap_or_default();
        // The condition still speaks of the rollout before this one.
        let stale = reason == Some(COMPLETE) && !message.contains(&format!("\"{name}\""));
        if condition.is_none() || stale {
            drop_progress(status);
            set(
                run,
                status,
                PROGRESSING,
                "True",
                "NewReplicaSetCreated",
                format!("Created new replica set \"{name}\""),
            );
        }
        let counts_equal = status.replicas == status.updated_replicas;
        if reason == Some(COMPLETE) && !stale && counts_equal {
            return;
        }
        if self.complete(status) {
            let text = format!("ReplicaSet \"{name}\" has successfully progressed.");
            set(run, status, PROGRESSING, "True", COMPLETE, text);
        } else if progressed(old, status) {
            let text = format!("ReplicaSet \"{name}\" is progressing.");
            let before = get(status).filter(|c| c.status == "True").and_then(|c| c.last_transition_time.clone());
            drop_progress(status);
            set(run, status, PROGRESSING, "True", "ReplicaSetUpdated", text);
            if let Some(c) = status.conditions.iter_mut().flatten().find(|c| c.type_ == PROGRESSING) {
                c.last_transition_time = before.or(c.last_transition_time.take());
            }
        } else if self.timed_out(run, status) {
            let text = format!("ReplicaSet \"{name}\" has timed out progressing.");
            set(run, status, PROGRESSING, "False", TIMED_OUT, text);
        }
    }

    fn complete(&self, status: &DeploymentStatus) -> bool {
        let all = |n: Option<i32>| n.unwrap_or(0) == self.replicas;
        self.new.is_some()
            && all(status.updated_replicas)
            && all(status.replicas)
            && all(status.available_replicas)
            && self.old.iter().all(|s| s.replicas == 0)
    }

    fn timed_out(&self, run: &mut Run<'_>, status: &DeploymentStatus) -> bool {
        let Some(condition) = get(status) else { return false };
        match condition.reason.as_deref() {
            Some(COMPLETE) => return false,
            Some(TIMED_OUT) => return true,
            _ => {}
        }
        let Some(from) = condition.last_update_time.as_ref() else { return false };
        let secs = self.spec.progress_deadline_seconds.unwrap_or(DEADLINE_SECS);
        let due = from.0 + SignedDuration::from_secs(i64::from(secs));
        if due < run.now {
            return true;
        }
        run.wake(due + SignedDuration::from_secs(1));
        false
    }
}

/// More pods are new, ready or available, or fewer are old.
fn progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let n = |n: Option<i32>| n.unwrap_or(0);
    let outdated = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
    n(new.updated_replicas) > n(old.updated_replicas)
        || outdated(new) < outdated(old)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

fn get(status: &DeploymentStatus) -> Option<&DeploymentCondition> {
    status.conditions.iter().flatten().find(|c| c.type_ == PROGRESSING)
}

fn drop_progress(status: &mut DeploymentStatus) {
    status.conditions.get_or_insert_default().retain(|c| c.type_ != PROGRESSING);
}

/// Set a condition; with the same status and reason it stays as it is.
fn set(run: &Run<'_>, status: &mut DeploymentStatus, kind: &str, state: &str, reason: &str, message: String) {
    let conditions = status.conditions.get_or_insert_default();
    let old = conditions.iter().find(|c| c.type_ == kind);
    if old.is_some_and(|c| c.status == state && c.reason.as_deref() == Some(reason)) {
        return;
    }
    let since = old.filter(|c| c.status == state).and_then(|c| c.last_transition_time.clone());
    conditions.retain(|c| c.type_ != kind);
    conditions.push(DeploymentCondition {
        type_: kind.into(),
        status: state.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_transition_time: since.or(Some(run.time())),
        last_update_time: Some(run.time()),
    });
}
