//! Cells of the workload kinds, and which function makes those of the others.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::{seconds_between, since},
    cluster, human_duration,
    look::{at, condition_true, count, int, items, joined, label_selector, labels, or_none, text, text_or},
    pod,
};
use crate::Kind;

/// The cells of an object, as many as its kind has columns.
pub(super) fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    let name = text(object, "metadata.name");
    let age = since(at(object, "metadata.creationTimestamp").as_str(), now);
    let row = |cells: Vec<Value>| [vec![name.into()], cells].concat();
    match (kind.group, kind.kind) {
        ("", "Pod") => pod::cells(object, now),
        ("", "Event") => cluster::event(object, now),
        ("", "Node") => row(cluster::node(object, age)),
        ("", "Service") => row(cluster::service(object, age)),
        ("", "Namespace") => row(vec![text(object, "status.phase").into(), age.into()]),
        ("", "Secret") => row(vec![text(object, "type").into(), count(object, "data").into(), age.into()]),
        ("", "ConfigMap") => row(vec![(count(object, "data") + count(object, "binaryData")).into(), age.into()]),
        ("", "ServiceAccount") => row(vec![count(object, "secrets").into(), age.into()]),
        ("", "PersistentVolume") => row(cluster::persistent_volume(object, age)),
        ("", "PersistentVolumeClaim") => row(cluster::claim(object, age)),
        ("apps", "Deployment") => row(deployment(object, age)),
        ("apps", "ReplicaSet") => row(replica_set(object, age)),
        ("apps", "StatefulSet") => row(stateful_set(object, age)),
        ("apps", "DaemonSet") => row(daemon_set(object, age)),
        ("apps", "ControllerRevision") => row(vec![owner(object).into(), int(object, "revision").into(), age.into()]),
        ("batch", "Job") => row(job(object, age, now)),
        ("batch", "CronJob") => row(cron_job(object, age, now)),
        ("storage.k8s.io", "StorageClass") => cluster::storage_class(object, age),
        ("networking.k8s.io", "NetworkPolicy") => {
            row(vec![label_selector(at(object, "spec.podSelector")).into(), age.into()])
        }
        ("discovery.k8s.io", "EndpointSlice") => row(cluster::endpoint_slice(object, age)),
        ("metrics.k8s.io", _) => row(cluster::metrics(object)),
        ("os.skerry.dev", "Release") => row(release(object, age)),
        _ => row(vec![age.into()]),
    }
}

/// Names and images of the containers of a pod template.
fn template(object: &Value, path: &str) -> [Value; 2] {
    let containers = |field| joined(items(object, path).map(|c| text(c, field))).into();
    [containers("name"), containers("image")]
}

const CONTAINERS: &str = "spec.template.spec.containers";

fn selector(object: &Value) -> Value {
    label_selector(at(object, "spec.selector")).into()
}

fn ready_of_wanted(object: &Value) -> Value {
    format!("{}/{}", int(object, "status.readyReplicas"), int(object, "spec.replicas")).into()
}

fn deployment(object: &Value, age: String) -> Vec<Value> {
    let [names, images] = template(object, CONTAINERS);
    let (updated, available) = (int(object, "status.updatedReplicas"), int(object, "status.availableReplicas"));
    vec![ready_of_wanted(object), updated.into(), available.into(), age.into(), names, images, selector(object)]
}

fn replica_set(object: &Value, age: String) -> Vec<Value> {
    let [names, images] = template(object, CONTAINERS);
    let numbers = ["spec.replicas", "status.replicas", "status.readyReplicas"];
    let mut cells: Vec<Value> = numbers.iter().map(|path| int(object, path).into()).collect();
    cells.extend([age.into(), names, images, selector(object)]);
    cells
}

fn stateful_set(object: &Value, age: String) -> Vec<Value> {
    let [names, images] = template(object, CONTAINERS);
    vec![ready_of_wanted(object), age.into(), names, images]
}

fn daemon_set(object: &Value, age: String) -> Vec<Value> {
    let numbers = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ];
    let mut cells: Vec<Value> = numbers.iter().map(|field| int(at(object, "status"), field).into()).collect();
    let [names, images] = template(object, CONTAINERS);
    let nodes = labels(at(object, "spec.template.spec.nodeSelector"));
    cells.extend([nodes.into(), age.into(), names, images, selector(object)]);
    cells
}

fn job(object: &Value, age: String, now: Timestamp) -> Vec<Value> {
    let status = if condition_true(object, "Complete") {
        "Complete"
    } else if condition_true(object, "Failed") {
        "Failed"
    } else if !at(object, "metadata.deletionTimestamp").is_null() {
        "Terminating"
    } else {
        let known = ["Suspended", "FailureTarget", "SuccessCriteriaMet"];
        known.into_iter().find(|c| condition_true(object, c)).unwrap_or("Running")
    };
    let succeeded = int(object, "status.succeeded");
    let completions = match (at(object, "spec.completions").as_i64(), int(object, "spec.parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let duration = match text(object, "status.startTime").parse() {
        Err(_) => String::new(),
        Ok(start) => {
            let end = text(object, "status.completionTime").parse().unwrap_or(now);
            human_duration(seconds_between(start, end))
        }
    };
    let [names, images] = template(object, CONTAINERS);
    vec![status.into(), completions.into(), duration.into(), age.into(), names, images, selector(object)]
}

fn cron_job(object: &Value, age: String, now: Timestamp) -> Vec<Value> {
    let suspend = match at(object, "spec.suspend").as_bool() {
        None => "<unset>",
        Some(true) => "True",
        Some(false) => "False",
    };
    let last = match at(object, "status.lastScheduleTime").as_str() {
        None => "<none>".into(),
        time => since(time, now),
    };
    let [names, images] = template(object, "spec.jobTemplate.spec.template.spec.containers");
    vec![
        text(object, "spec.schedule").into(),
        text_or(object, "spec.timeZone", "<none>").into(),
        suspend.into(),
        count(object, "status.active").into(),
        last.into(),
        age.into(),
        names,
        images,
        label_selector(at(object, "spec.jobTemplate.spec.selector")).into(),
    ]
}

/// The controller of an object: `statefulset.apps/web`.
fn owner(object: &Value) -> String {
    let owner = items(object, "metadata.ownerReferences").find(|o| at(o, "controller") == true);
    let shown = owner.map(|o| {
        let group = text(o, "apiVersion").rsplit_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
        format!("{}{group}/{}", text(o, "kind").to_lowercase(), text(o, "name"))
    });
    or_none(shown.unwrap_or_default())
}

/// What a release says stands in `spec`, what it is to the node in `status`.
fn release(object: &Value, age: String) -> Vec<Value> {
    let sequence = at(object, "spec.sequence").as_i64().map_or(Value::Null, |n| json!(n));
    vec![text(object, "spec.version").into(), sequence, text(object, "status.state").into(), age.into()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(group: &str, kind: &str, mut object: Value) -> Value {
        object["metadata"]["name"] = "x".into();
        object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        cells(crate::kind(group, kind), &object, now).into()
    }

    #[test]
    fn workloads() {
        let template = json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:1"}]}});
        let selector = json!({"matchLabels": {"app": "x"}});
        let spec = json!({"replicas": 3, "selector": selector, "template": template});
        let status = json!({"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1});
        let object = json!({"spec": spec, "status": status});
        for (kind, expected) in [
            ("Deployment", json!(["x", "1/3", 2, 1, "120m", "a,b", "i:1,j:1", "app=x"])),
            ("ReplicaSet", json!(["x", 3, 2, 1, "120m", "a,b", "i:1,j:1", "app=x"])),
            ("StatefulSet", json!(["x", "1/3", "120m", "a,b", "i:1,j:1"])),
        ] {
            assert_eq!(shown("apps", kind, object.clone()), expected, "{kind}");
        }
        let object = json!({"spec": spec, "status": {"desiredNumberScheduled": 1, "numberReady": 1}});
        let expected = json!(["x", 1, 0, 1, 0, 0, "<none>", "120m", "a,b", "i:1,j:1", "app=x"]);
        assert_eq!(shown("apps", "DaemonSet", object), expected);
        let owners = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true}]);
        let object = json!({"revision": 4, "metadata": {"ownerReferences": owners}});
        assert_eq!(shown("apps", "ControllerRevision", object), json!(["x", "statefulset.apps/web", 4, "120m"]));
    }

    #[test]
    fn jobs() {
        for (object, expected) in [
            (json!({"spec": {"completions": 1}}), json!(["Running", "0/1", ""])),
            (
                json!({"spec": {"completions": 1}, "status": {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z",
                    "completionTime": "2026-01-01T00:00:42Z", "conditions": [{"type": "Complete", "status": "True"}]}}),
                json!(["Complete", "1/1", "42s"]),
            ),
            (
                json!({"spec": {"parallelism": 2}, "status": {"startTime": "2026-01-01T01:00:00Z"}}),
                json!(["Running", "0/1 of 2", "60m"]),
            ),
            (
                json!({"spec": {}, "status": {"conditions": [{"type": "Suspended", "status": "True"}]}}),
                json!(["Suspended", "0/1", ""]),
            ),
        ] {
            let cells = shown("batch", "Job", object);
            assert_eq!(json!(cells.as_array().unwrap()[1..4]), expected);
        }
        let object = json!({
            "spec": {"schedule": "*/5 * * * *", "suspend": false},
            "status": {"active": [{}], "lastScheduleTime": "2026-01-01T01:59:00Z"},
        });
        let expected = json!(["x", "*/5 * * * *", "<none>", "False", 1, "60s", "120m", "", "", "<none>"]);
        assert_eq!(shown("batch", "CronJob", object), expected);
    }

    #[test]
    fn small_kinds() {
        for (group, kind, object, expected) in [
            ("", "Namespace", json!({"status": {"phase": "Active"}}), json!(["x", "Active", "120m"])),
            ("", "Secret", json!({"type": "Opaque", "data": {"a": ""}}), json!(["x", "Opaque", 1, "120m"])),
            ("", "ServiceAccount", json!({}), json!(["x", 0, "120m"])),
            ("networking.k8s.io", "NetworkPolicy", json!({"spec": {}}), json!(["x", "<none>", "120m"])),
            (
                "os.skerry.dev",
                "Release",
                json!({"spec": {"version": "1.2", "sequence": 7}, "status": {"state": "Running"}}),
                json!(["x", "1.2", 7, "Running", "120m"]),
            ),
        ] {
            assert_eq!(shown(group, kind, object), expected, "{kind}");
        }
    }
}
