//! Services, network policies, endpoints.

use serde_json::{Value, json};

use super::{child, families, items, set, text};

/// How long a client stays with one pod, in seconds.
const AFFINITY_SECS: i64 = 10_800;

pub(super) fn service(object: &mut Value, old: Option<&Value>) {
    let spec = child(object, "spec");
    set(spec, "type", "ClusterIP");
    let old = old.and_then(|o| o.get("spec")).unwrap_or(&Value::Null);
    keep_node_ports(spec, old);
    set(spec, "sessionAffinity", "None");
    if text(spec, "sessionAffinity") == "ClientIP" {
        set(child(child(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds", AFFINITY_SECS);
    }
    for port in items(spec, "ports") {
        set(port, "protocol", "TCP");
        if let Some(number) = port.get("port").cloned() {
            set(port, "targetPort", number);
        }
    }
    set(spec, "internalTrafficPolicy", "Cluster");
    if text(spec, "type") == "NodePort" {
        set(spec, "externalTrafficPolicy", "Cluster");
    }
    families::apply(spec, old);
}

/// Ports that the node gave stay if the client does not mention them, and go
/// if the new type has no use for them.
fn keep_node_ports(spec: &mut Value, old: &Value) {
    let node_port = text(spec, "type") == "NodePort";
    let had = text(old, "type") == "NodePort";
    let same = |port: &Value, o: &Value| {
        let protocol =
            |p: &Value| if text(p, "protocol").is_empty() { "TCP".into() } else { text(p, "protocol").to_owned() };
        port.get("port") == o.get("port") && protocol(port) == protocol(o)
    };
    for port in items(spec, "ports") {
        let before = old["ports"].as_array().and_then(|list| list.iter().find(|o| same(port, o)));
        let Some(number) = before.and_then(|o| o.get("nodePort")) else { continue };
        if node_port {
            set(port, "nodePort", number.clone());
        } else if had && port.get("nodePort") == Some(number) {
            remove(port, "nodePort");
        }
    }
    if !node_port && had && spec.get("externalTrafficPolicy") == old.get("externalTrafficPolicy") {
        remove(spec, "externalTrafficPolicy");
    }
}

fn remove(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}

pub(super) fn policy(object: &mut Value) {
    let spec = child(object, "spec");
    for direction in ["ingress", "egress"] {
        for rule in items(spec, direction) {
            items(rule, "ports").for_each(|p| set(p, "protocol", "TCP"));
        }
    }
    let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|e| !e.is_empty());
    set(spec, "policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
}

pub(super) fn endpoint_slice(object: &mut Value) {
    for port in items(object, "ports") {
        set(port, "name", "");
        set(port, "protocol", "TCP");
    }
}
