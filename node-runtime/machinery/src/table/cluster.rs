//! Cells of what the pods stand on: node, services, volumes, events, metrics.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    age::since,
    look::{at, int, items, joined, labels, or_none, text, text_or},
};

pub(super) fn node(object: &Value, age: String) -> Vec<Value> {
    let info = at(object, "status.nodeInfo");
    let address =
        |kind| items(object, "status.addresses").find(|a| text(a, "type") == kind).map(|a| text(a, "address"));
    vec![
        node_status(object).into(),
        node_roles(object).into(),
        age.into(),
        text(info, "kubeletVersion").into(),
        address("InternalIP").unwrap_or("<none>").into(),
        address("ExternalIP").unwrap_or("<none>").into(),
        text_or(info, "osImage", "<unknown>").into(),
        text_or(info, "kernelVersion", "<unknown>").into(),
        text_or(info, "containerRuntimeVersion", "<unknown>").into(),
    ]
}

fn node_status(object: &Value) -> String {
    let ready = items(object, "status.conditions").find(|c| text(c, "type") == "Ready");
    let status = match ready.map(|c| text(c, "status")) {
        None => "Unknown",
        Some("True") => "Ready",
        Some(_) => "NotReady",
    };
    let disabled = if at(object, "spec.unschedulable") == true { ",SchedulingDisabled" } else { "" };
    format!("{status}{disabled}")
}

fn node_roles(object: &Value) -> String {
    let labels = at(object, "metadata.labels").as_object();
    let role = |(key, value): (&String, &Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some("") | None if key != "kubernetes.io/role" => None,
        Some(role) => Some(role.to_string()),
        None => value.as_str().filter(|v| !v.is_empty()).map(str::to_string),
    };
    let mut roles: Vec<String> = labels.into_iter().flatten().filter_map(role).collect();
    roles.sort();
    roles.dedup();
    or_none(roles.join(","))
}

pub(super) fn service(object: &Value, age: String) -> Vec<Value> {
    let cluster_ip = items(object, "spec.clusterIPs").filter_map(Value::as_str).next();
    let port = |p: &Value| {
        let node = match int(p, "nodePort") {
            0 => String::new(),
            port => format!(":{port}"),
        };
        format!("{}{node}/{}", int(p, "port"), text_or(p, "protocol", "TCP"))
    };
    let ports: Vec<String> = items(object, "spec.ports").map(port).collect();
    vec![
        text(object, "spec.type").into(),
        cluster_ip.unwrap_or("<none>").into(),
        external_ip(object).into(),
        or_none(ports.join(",")).into(),
        age.into(),
        labels(at(object, "spec.selector")).into(),
    ]
}

fn external_ip(object: &Value) -> String {
    let external = joined(items(object, "spec.externalIPs").filter_map(Value::as_str));
    match text(object, "spec.type") {
        "ExternalName" => text(object, "spec.externalName").into(),
        "LoadBalancer" => {
            let ingress = |i| text_or(i, "ip", text(i, "hostname"));
            let given = joined(items(object, "status.loadBalancer.ingress").map(ingress));
            match (given.as_str(), external.as_str()) {
                ("", "") => "<pending>".into(),
                ("", _) => external,
                (_, "") => given,
                _ => format!("{given},{external}"),
            }
        }
        _ => or_none(external),
    }
}

/// `RWO,ROX`: access modes in short, each once.
fn access_modes(modes: &Value) -> String {
    let known =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| modes.as_array().is_some_and(|list| list.iter().any(|m| m == mode));
    joined(known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short))
}

fn phase(object: &Value) -> &str {
    match at(object, "metadata.deletionTimestamp") {
        Value::Null => text(object, "status.phase"),
        _ => "Terminating",
    }
}

/// The storage class: the field, or the annotation that preceded it.
fn storage_class_of(object: &Value) -> &str {
    let annotations = at(object, "metadata.annotations");
    match annotations.get("volume.beta.kubernetes.io/storage-class").and_then(Value::as_str) {
        Some(class) => class,
        None => text(object, "spec.storageClassName"),
    }
}

pub(super) fn persistent_volume(object: &Value, age: String) -> Vec<Value> {
    let claim = match at(object, "spec.claimRef") {
        Value::Null => String::new(),
        claim => format!("{}/{}", text(claim, "namespace"), text(claim, "name")),
    };
    vec![
        text(object, "spec.capacity.storage").into(),
        access_modes(at(object, "spec.accessModes")).into(),
        text(object, "spec.persistentVolumeReclaimPolicy").into(),
        phase(object).into(),
        claim.into(),
        storage_class_of(object).into(),
        text_or(object, "spec.volumeAttributesClassName", "<unset>").into(),
        text(object, "status.reason").into(),
        age.into(),
        text_or(object, "spec.volumeMode", "<unset>").into(),
    ]
}

pub(super) fn claim(object: &Value, age: String) -> Vec<Value> {
    let volume = text(object, "spec.volumeName");
    let (capacity, modes) = match volume {
        "" => ("", String::new()),
        _ => (text(object, "status.capacity.storage"), access_modes(at(object, "status.accessModes"))),
    };
    vec![
        phase(object).into(),
        volume.into(),
        capacity.into(),
        modes.into(),
        storage_class_of(object).into(),
        text_or(object, "spec.volumeAttributesClassName", "<unset>").into(),
        age.into(),
        text_or(object, "spec.volumeMode", "<unset>").into(),
    ]
}

pub(super) fn storage_class(object: &Value, age: String) -> Vec<Value> {
    let annotations = at(object, "metadata.annotations");
    let is_default =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|name| annotations.get(name).is_some_and(|v| v == "true"));
    let mark = if is_default { " (default)" } else { "" };
    vec![
        format!("{}{mark}", text(object, "metadata.name")).into(),
        text(object, "provisioner").into(),
        text_or(object, "reclaimPolicy", "Delete").into(),
        text_or(object, "volumeBindingMode", "Immediate").into(),
        (at(object, "allowVolumeExpansion") == true).into(),
        age.into(),
    ]
}

/// The first three, and how many more.
fn some_of(list: &[String]) -> String {
    match list.len() {
        0 => "<unset>".into(),
        n if n > 3 => format!("{} + {} more...", list[..3].join(","), n - 3),
        _ => list.join(","),
    }
}

pub(super) fn endpoint_slice(object: &Value, age: String) -> Vec<Value> {
    let port = |p: &Value| match at(p, "port").as_i64() {
        Some(port) => port.to_string(),
        None => text_or(p, "name", "*").to_string(),
    };
    let ports: Vec<String> = items(object, "ports").map(port).collect();
    let addresses = items(object, "endpoints").flat_map(|e| items(e, "addresses"));
    let addresses: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_string).collect();
    vec![text(object, "addressType").into(), some_of(&ports).into(), some_of(&addresses).into(), age.into()]
}

pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let time = |path| at(object, path).as_str();
    let series = at(object, "series");
    let first = time("firstTimestamp").or(time("eventTime"));
    let last = at(series, "lastObservedTime").as_str().or(time("lastTimestamp")).or(first);
    let count = at(series, "count").as_i64().unwrap_or(int(object, "count")).max(1);
    let about = at(object, "involvedObject");
    let target = match (text(about, "kind").to_lowercase(), text(about, "name")) {
        (kind, "") => kind,
        (kind, name) => format!("{kind}/{name}"),
    };
    vec![
        since(last, now).into(),
        text(object, "type").into(),
        text(object, "reason").into(),
        target.into(),
        text(about, "fieldPath").into(),
        event_source(object).into(),
        text(object, "message").trim().into(),
        since(first, now).into(),
        count.into(),
        text(object, "metadata.name").into(),
    ]
}

fn event_source(object: &Value) -> String {
    let component = text_or(object, "source.component", text(object, "reportingComponent"));
    match text_or(object, "source.host", text(object, "reportingInstance")) {
        "" => component.into(),
        host => format!("{component}, {host}"),
    }
}

/// Use of a node, or of all containers of a pod.
pub(super) fn metrics(object: &Value) -> Vec<Value> {
    let window = text(object, "window").into();
    if let usage @ Value::Object(_) = at(object, "usage") {
        return vec![text(usage, "cpu").into(), text(usage, "memory").into(), window];
    }
    let sum = |resource: &str| -> Value {
        let used: Vec<&str> = items(object, "containers").map(|c| text(at(c, "usage"), resource)).collect();
        match used.as_slice() {
            [one] => (*one).into(),
            many => sum_of(many).into(),
        }
    };
    vec![sum("cpu"), sum("memory"), window]
}

/// Sum of quantities of one unit (`n` for processor time, `Ki` for memory, as
/// the node writes them); with mixed units, the list.
fn sum_of(quantities: &[&str]) -> String {
    let split = |q: &str| {
        let digits = q.find(|c: char| !c.is_ascii_digit()).unwrap_or(q.len());
        q[..digits].parse::<u64>().ok().map(|n| (n, q[digits..].to_string()))
    };
    let parts: Option<Vec<(u64, String)>> = quantities.iter().map(|q| split(q)).collect();
    match parts.as_deref() {
        Some([(first, unit), rest @ ..]) if rest.iter().all(|(_, u)| u == unit) => {
            let sum = rest.iter().fold(*first, |sum, (n, _)| sum.saturating_add(*n));
            format!("{sum}{unit}")
        }
        _ => quantities.join("+"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes() {
        let object = json!({
            "metadata": {"labels": {"node-role.kubernetes.io/edge": "", "kubernetes.io/role": "box", "x": "y"}},
            "spec": {"unschedulable": true},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
                "nodeInfo": {"kubeletVersion": "v1.34.0", "osImage": "Skerry", "kernelVersion": "6.12"},
            },
        });
        let expected = json!([
            "Ready,SchedulingDisabled",
            "box,edge",
            "1d",
            "v1.34.0",
            "192.0.2.7",
            "<none>",
            "Skerry",
            "6.12",
            "<unknown>"
        ]);
        assert_eq!(json!(node(&object, "1d".into())), expected);
        assert_eq!(node_status(&json!({})), "Unknown");
        assert_eq!(node_roles(&json!({})), "<none>");
    }

    #[test]
    fn services() {
        for (object, expected) in [
            (
                json!({"spec": {"type": "ClusterIP", "clusterIPs": ["10.43.0.1"], "selector": {"b": "1", "a": "2"},
                    "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]}}),
                json!(["ClusterIP", "10.43.0.1", "<none>", "80/TCP,53:30053/UDP", "1m", "a=2,b=1"]),
            ),
            (
                json!({"spec": {"type": "LoadBalancer", "clusterIPs": ["None"]}}),
                json!(["LoadBalancer", "None", "<pending>", "<none>", "1m", "<none>"]),
            ),
            (
                json!({"spec": {"type": "LoadBalancer", "externalIPs": ["192.0.2.2"]},
                    "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}),
                json!(["LoadBalancer", "<none>", "192.0.2.1,192.0.2.2", "<none>", "1m", "<none>"]),
            ),
            (
                json!({"spec": {"type": "ExternalName", "externalName": "db.example.com"}}),
                json!(["ExternalName", "<none>", "db.example.com", "<none>", "1m", "<none>"]),
            ),
        ] {
            assert_eq!(json!(service(&object, "1m".into())), expected);
        }
    }

    #[test]
    fn storage() {
        let volume = json!({
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "a", "name": "c"},
                "storageClassName": "local", "volumeMode": "Filesystem"},
            "status": {"phase": "Bound"},
        });
        let expected = json!(["1Gi", "RWO,RWX", "Retain", "Bound", "a/c", "local", "<unset>", "", "1m", "Filesystem"]);
        assert_eq!(json!(persistent_volume(&volume, "1m".into())), expected);
        let mut bound = json!({
            "spec": {"volumeName": "v", "storageClassName": "local"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
        });
        let expected = json!(["Bound", "v", "1Gi", "RWO", "local", "<unset>", "1m", "<unset>"]);
        assert_eq!(json!(claim(&bound, "1m".into())), expected);
        bound["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(claim(&bound, "1m".into())[0], "Terminating");
        let class = json!({"provisioner": "p",
            "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
        let expected = json!(["local (default)", "p", "Delete", "Immediate", false, "1m"]);
        assert_eq!(json!(storage_class(&class, "1m".into())), expected);
    }

    #[test]
    fn events() {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let event = |object: Value| json!(super::event(&object, now));
        let expected = json!([
            "5m",
            "Warning",
            "BackOff",
            "pod/web",
            "spec.containers{a}",
            "kubelet, box",
            "no",
            "60m",
            4,
            "web.1"
        ]);
        let object = json!({
            "metadata": {"name": "web.1"}, "type": "Warning", "reason": "BackOff", "message": " no\n", "count": 4,
            "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{a}"},
            "source": {"component": "kubelet", "host": "box"},
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:55:00Z",
        });
        assert_eq!(event(object), expected);
        let object = json!({"metadata": {"name": "e"}, "eventTime": "2026-01-01T00:30:00.000000Z",
            "reportingComponent": "c", "reportingInstance": "i", "firstTimestamp": null, "lastTimestamp": null,
            "series": {"count": 7, "lastObservedTime": "2026-01-01T00:59:00.000000Z"}});
        assert_eq!(event(object), json!(["60s", "", "", "", "", "c, i", "", "30m", 7, "e"]));
    }

    #[test]
    fn slices_and_metrics() {
        let slice = json!({"addressType": "IPv4", "ports": [{"port": 80}, {"name": "x"}],
            "endpoints": [{"addresses": ["1", "2"]}, {"addresses": ["3"]}, {"addresses": ["4"]}, {"addresses": ["5"]}]});
        assert_eq!(json!(endpoint_slice(&slice, "1m".into())), json!(["IPv4", "80,x", "1,2,3 + 2 more...", "1m"]));
        assert_eq!(endpoint_slice(&json!({}), "1m".into())[1], "<unset>");
        let node = json!({"usage": {"cpu": "100n", "memory": "5Ki"}, "window": "15s"});
        assert_eq!(json!(metrics(&node)), json!(["100n", "5Ki", "15s"]));
        let pod = json!({"window": "15s", "containers": [
            {"usage": {"cpu": "1n", "memory": "5Ki"}}, {"usage": {"cpu": "2n", "memory": "6Ki"}}]});
        assert_eq!(json!(metrics(&pod)), json!(["3n", "11Ki", "15s"]));
    }
}
