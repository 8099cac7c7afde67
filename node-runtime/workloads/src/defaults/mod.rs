//! Values that the API server sets where the client gave none.
//!
//! Source: the `defaults.go` of each API group of Kubernetes 1.34, and the
//! admission plugins that are on by default. Setting them twice changes
//! nothing.

mod apps;
mod batch;
mod config;
mod families;
mod network;
mod pod;

use serde_json::{Map, Value, json};
use skerry_machinery::Kind;

/// Set the defaults of `object`, whose shape was checked. `old` is the object
/// as it is: what the node gave it stays.
pub(crate) fn apply(kind: &Kind, object: &mut Value, old: Option<&Value>) {
    match (kind.group, kind.kind) {
        ("", "Namespace") => config::namespace(object),
        ("", "Secret") => config::secret(object),
        ("", "Pod") => pod::pod(object),
        ("", "Service") => network::service(object, old),
        ("", "PersistentVolumeClaim") => config::claim(child(object, "spec")),
        ("", "PersistentVolume") => config::volume(object),
        ("networking.k8s.io", "NetworkPolicy") => network::policy(object),
        ("discovery.k8s.io", "EndpointSlice") => network::endpoint_slice(object),
        ("storage.k8s.io", "StorageClass") => {
            set(object, "reclaimPolicy", "Delete");
            set(object, "volumeBindingMode", "Immediate");
        }
        ("apps", "Deployment") => apps::deployment(child(object, "spec")),
        ("apps", "ReplicaSet") => apps::replica_set(child(object, "spec")),
        ("apps", "StatefulSet") => apps::stateful_set(child(object, "spec")),
        ("apps", "DaemonSet") => apps::daemon_set(child(object, "spec")),
        ("batch", "Job") => batch::job(object),
        ("batch", "CronJob") => batch::cron_job(child(object, "spec")),
        _ => {}
    }
}

/// `status` of a new object, as the API server writes it at creation.
pub fn initial_status(kind: &Kind, object: &Value) -> Option<Value> {
    Some(match (kind.group, kind.kind) {
        ("", "Namespace") => json!({"phase": "Active"}),
        ("", "Pod") => json!({"phase": "Pending", "qosClass": crate::qos::qos_class(&object["spec"])}),
        ("", "PersistentVolumeClaim" | "PersistentVolume") => json!({"phase": "Pending"}),
        ("", "Service") => json!({"loadBalancer": {}}),
        ("apps", "StatefulSet" | "ReplicaSet") => json!({"replicas": 0}),
        ("apps", "DaemonSet") => json!({
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
        }),
        ("apps", "Deployment") | ("batch", _) => json!({}),
        _ => return None,
    })
}

/// Set a field that is not there.
fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut()
        && !map.contains_key(field)
    {
        map.insert(field.into(), value.into());
    }
}

/// Set a field, whatever was there.
fn put(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        map.insert(field.into(), value.into());
    }
}

/// The object in a field, made if it is not there.
fn child<'a>(parent: &'a mut Value, field: &str) -> &'a mut Value {
    if !parent.is_object() {
        *parent = Value::Object(Map::new());
    }
    let value = &mut parent[field];
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value
}

/// The objects in a list field.
fn items<'a>(parent: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    parent.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or("")
}
