//! What controllers want to know of pods, and how they make them.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::{Pod, PodCondition, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use crate::run::{Obj, Run};

/// `status.phase`; a pod that nobody has looked at is Pending.
pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("Pending")
}

/// Succeeded or Failed: it will never run again.
pub(crate) fn finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Neither finished nor going.
pub(crate) fn active(pod: &Obj<Pod>) -> bool {
    !finished(pod) && !pod.terminating()
}

pub(crate) fn condition<'p>(pod: &'p Pod, kind: &str) -> Option<&'p PodCondition> {
    pod.status.as_ref()?.conditions.as_deref()?.iter().find(|c| c.type_ == kind)
}

pub(crate) fn ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|c| c.status == "True")
}

/// When it became ready.
fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|c| c.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0))
}

/// Ready for at least `min_ready_secs`. If only time is missing, the run comes
/// back when it is over.
pub(crate) fn available(run: &mut Run<'_>, pod: &Obj<Pod>, min_ready_secs: i32) -> bool {
    let Some(since) = ready_since(pod) else { return false };
    let due = since + SignedDuration::from_secs(i64::from(min_ready_secs.max(0)));
    if min_ready_secs > 0 && due > run.now {
        run.wake(due);
        return false;
    }
    true
}

/// Containers' restarts, added up.
pub(crate) fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.as_ref();
    let containers = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let init = status.and_then(|s| s.init_container_statuses.as_deref()).unwrap_or_default();
    containers.iter().chain(init).map(|c| c.restart_count).sum()
}

/// Order in which surplus pods go, first to last: those that serve least.
pub(crate) fn sort_for_deletion(pods: &mut [&Obj<Pod>]) {
    pods.sort_by_cached_key(|pod| {
        let assigned = pod.spec.as_ref().is_some_and(|s| s.node_name.is_some());
        let phase = match phase(pod) {
            "Pending" => 0,
            "Running" => 2,
            _ => 1,
        };
        let cost = pod.meta().annotations.get("controller.kubernetes.io/pod-deletion-cost");
        let cost: i32 = cost.and_then(|c| c.parse().ok()).unwrap_or(0);
        let since = Reverse(ready_since(pod));
        let age = (Reverse(restarts(pod)), Reverse(pod.created()), pod.name().to_owned());
        (assigned, phase, ready(pod), cost, since, age)
    });
}

/// A pod as its template says, for an owner; without name.
pub(crate) fn from_template(template: &PodTemplateSpec, namespace: &str, owner: OwnerReference) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            namespace: Some(namespace.into()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// A name `prefix` + five characters, not longer than a name may be.
pub(crate) fn random_name(run: &mut Run<'_>, prefix: &str, owner_uid: &str) -> String {
    let cut: String = prefix.chars().take(58).collect();
    format!("{cut}{}", run.suffix(owner_uid))
}
