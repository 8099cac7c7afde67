//! Which changes must be on the disk before they are acknowledged.
//!
//! Desired state must: nobody else has it. Statuses need not: the node finds
//! them again by looking. They change all the time, and writing each one would
//! wear the flash out, so they are written together, now and then.

use serde_json::Value;
use skerry_machinery::Kind;

use crate::body;

/// When a change is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged.
    Durable,
    /// With the next batch; lost if power fails before.
    Batched,
}

/// Kinds whose objects are made anew from others, or matter only for an hour.
const DERIVED: &[&str] = &["Event", "EndpointSlice", "Lease"];

/// Of the change from `old` to `new`; `None`: there is no such object.
pub(crate) fn of(kind: &'static Kind, old: Option<&Value>, new: Option<&Value>) -> Durability {
    if DERIVED.contains(&kind.kind) {
        return Durability::Batched;
    }
    match (old, new) {
        (Some(old), Some(new)) if body::only_status_differs(old, new) && settled(kind, old) == settled(kind, new) => {
            Durability::Batched
        }
        _ => Durability::Durable,
    }
}

/// Has work ended for good? Forgetting that would run it a second time.
fn settled(kind: &'static Kind, object: &Value) -> bool {
    let status = &object["status"];
    match kind.kind {
        "Pod" => matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")),
        "Job" => status["conditions"].as_array().is_some_and(|all| {
            all.iter().any(|c| matches!(c["type"].as_str(), Some("Complete" | "Failed")) && c["status"] == "True")
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skerry_machinery::kind;

    use super::{Durability::*, *};

    #[test]
    fn table() {
        let running =
            json!({"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {}, "status": {"phase": "Running"}});
        let ready = json!({"metadata": {"name": "a", "resourceVersion": "2", "managedFields": [1]}, "spec": {},
            "status": {"phase": "Running", "conditions": []}});
        let ended = json!({"metadata": {"name": "a"}, "spec": {}, "status": {"phase": "Failed"}});
        let labelled =
            json!({"metadata": {"name": "a", "labels": {"a": "b"}}, "spec": {}, "status": {"phase": "Running"}});
        let changed = json!({"metadata": {"name": "a"}, "spec": {"x": 1}, "status": {"phase": "Running"}});
        let (pod, event, service, job) =
            (kind("", "Pod"), kind("", "Event"), kind("", "Service"), kind("batch", "Job"));
        for (kind, old, new, wanted) in [
            (pod, None, Some(&running), Durable),
            (pod, Some(&running), None, Durable),
            (pod, Some(&running), Some(&ready), Batched),
            (pod, Some(&running), Some(&ended), Durable),
            (pod, Some(&running), Some(&labelled), Durable),
            (pod, Some(&running), Some(&changed), Durable),
            (event, None, Some(&running), Batched),
            (event, Some(&running), None, Batched),
            (service, Some(&running), Some(&ended), Batched),
        ] {
            assert_eq!(of(kind, old, new), wanted, "{} {old:?} {new:?}", kind.kind);
        }
        let (open, done) =
            (json!({"status": {}}), json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}));
        assert_eq!(of(job, Some(&open), Some(&done)), Durable);
    }
}
