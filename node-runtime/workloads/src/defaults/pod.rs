//! Pods and pod templates.

use serde_json::{Value, json};

use super::{child, items, put, set, text};

/// Mode of files that come from objects: 0644.
const FILE_MODE: i64 = 0o644;

/// A pod.
pub(super) fn pod(object: &mut Value) {
    let spec = child(object, "spec");
    pod_spec(spec);
    set(spec, "enableServiceLinks", true);
    if text(spec, "serviceAccountName").is_empty() {
        put(spec, "serviceAccountName", "default");
        put(spec, "serviceAccount", "default");
    }
    for list in ["containers", "initContainers"] {
        items(spec, list).for_each(requests_from_limits);
    }
}

/// The pod template of a workload.
pub(super) fn template(spec: &mut Value) {
    pod_spec(child(child(spec, "template"), "spec"));
}

fn requests_from_limits(container: &mut Value) {
    let Some(limits) = container["resources"].get("limits").and_then(Value::as_object).cloned() else { return };
    if limits.is_empty() {
        return;
    }
    let requests = child(&mut container["resources"], "requests");
    for (name, value) in limits {
        set(requests, &name, value);
    }
}

fn pod_spec(spec: &mut Value) {
    set(spec, "restartPolicy", "Always");
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "schedulerName", "default-scheduler");
    set(spec, "securityContext", json!({}));
    service_account(spec);
    let host_network = spec["hostNetwork"] == true;
    for list in ["initContainers", "containers"] {
        items(spec, list).for_each(|c| container(c, host_network));
    }
    items(spec, "volumes").for_each(volume);
}

/// `serviceAccount` is the old name of `serviceAccountName` and says the same.
fn service_account(spec: &mut Value) {
    let (new, old) = (text(spec, "serviceAccountName"), text(spec, "serviceAccount"));
    let name = if new.is_empty() { old } else { new }.to_owned();
    if !name.is_empty() {
        put(spec, "serviceAccountName", name.as_str());
        put(spec, "serviceAccount", name);
    }
}

fn container(c: &mut Value, host_network: bool) {
    let policy = if has_moving_tag(text(c, "image")) { "Always" } else { "IfNotPresent" };
    set(c, "imagePullPolicy", policy);
    set(c, "resources", json!({}));
    set(c, "terminationMessagePath", "/dev/termination-log");
    set(c, "terminationMessagePolicy", "File");
    for port in items(c, "ports") {
        set(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            set(port, "hostPort", number);
        }
    }
    for e in items(c, "env") {
        if let Some(source) = e.get_mut("valueFrom") {
            value_source(source);
        }
    }
    for name in ["startupProbe", "livenessProbe", "readinessProbe"] {
        if let Some(probe) = c.get_mut(name) {
            probe_fields(probe);
        }
    }
    for name in ["postStart", "preStop"] {
        if let Some(http) = c.get_mut("lifecycle").and_then(|l| l.get_mut(name)).and_then(|h| h.get_mut("httpGet")) {
            http_get(http);
        }
    }
}

/// No tag, or `latest`, and no digest: what it names may change.
fn has_moving_tag(image: &str) -> bool {
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    !image.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn probe_fields(probe: &mut Value) {
    set(probe, "timeoutSeconds", 1);
    set(probe, "periodSeconds", 10);
    set(probe, "successThreshold", 1);
    set(probe, "failureThreshold", 3);
    if let Some(http) = probe.get_mut("httpGet") {
        http_get(http);
    }
    if let Some(grpc) = probe.get_mut("grpc") {
        set(grpc, "service", "");
    }
}

fn http_get(http: &mut Value) {
    if text(http, "path").is_empty() {
        put(http, "path", "/");
    }
    set(http, "scheme", "HTTP");
}

fn value_source(source: &mut Value) {
    if let Some(field) = source.get_mut("fieldRef") {
        set(field, "apiVersion", "v1");
    }
    if let Some(resource) = source.get_mut("resourceFieldRef") {
        set(resource, "divisor", "0");
    }
}

fn volume(v: &mut Value) {
    if v.as_object().is_some_and(|map| map.keys().all(|k| k == "name")) {
        set(v, "emptyDir", json!({}));
    }
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(s) = v.get_mut(source) {
            set(s, "defaultMode", FILE_MODE);
        }
    }
    if let Some(downward) = v.get_mut("downwardAPI") {
        items(downward, "items").for_each(value_source);
    }
    for source in v.get_mut("projected").map(|p| items(p, "sources")).into_iter().flatten() {
        if let Some(downward) = source.get_mut("downwardAPI") {
            items(downward, "items").for_each(value_source);
        }
    }
    if let Some(path) = v.get_mut("hostPath") {
        set(path, "type", "");
    }
}

#[cfg(test)]
mod tests {
    use super::has_moving_tag;

    #[test]
    fn moving_tags() {
        for (image, want) in [
            ("nginx", true),
            ("nginx:latest", true),
            ("nginx:1.27", false),
            ("localhost:5000/nginx", true),
            ("localhost:5000/nginx:1", false),
            ("nginx@sha256:00", false),
            ("nginx:latest@sha256:00", false),
        ] {
            assert_eq!(has_moving_tag(image), want, "{image}");
        }
    }
}
