//! Where in an object its pod is.

use serde_json::Value;
use skerry_machinery::Kind;

/// Path of the pod, or pod template, of an object; `None` for kinds without.
/// The path of a Pod is empty: the object is the pod.
pub fn pod_path(kind: &Kind) -> Option<&'static [&'static str]> {
    Some(match (kind.group, kind.kind) {
        ("", "Pod") => &[],
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") | ("batch", "Job") => &["spec", "template"],
        ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template"],
        _ => return None,
    })
}

/// The pod, or pod template, of an object.
pub fn pod_of<'a>(kind: &Kind, object: &'a Value) -> Option<&'a Value> {
    pod_path(kind)?.iter().try_fold(object, |v, step| v.get(step))
}

/// Full path of a field of the pod: `spec.template.spec.hostNetwork`.
pub(crate) fn full_path(kind: &Kind, field: &str) -> String {
    let path = pod_path(kind).unwrap_or_default();
    path.iter().copied().chain([field]).collect::<Vec<_>>().join(".")
}
