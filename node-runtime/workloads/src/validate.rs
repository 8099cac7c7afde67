//! Values and references inside an object, and between objects, that the shape
//! alone cannot check.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Container, PodSpec, Probe, Service},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{Object, Problem, Workload, problem::Collector, quantity};

const POD: &str = "spec.template.spec";

/// Check one object.
pub(crate) fn object(object: &Object, out: &mut Collector<'_>) {
    let (namespace, name) = object.key();
    // Pod names are made from the Deployment's name and stay DNS labels.
    dns_label(name, 50, "metadata.name", out);
    match object {
        Object::Deployment(d) => {
            dns_label(namespace, 63, "metadata.namespace", out);
            deployment(d, out);
        }
        Object::Service(s) => {
            dns_label(namespace, 63, "metadata.namespace", out);
            service(s, out);
        }
        Object::Namespace(_) => {}
    }
}

fn is_dns_label(text: &str, max: usize) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= max && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn dns_label(text: &str, max: usize, field: &str, out: &mut Collector<'_>) {
    if text.is_empty() {
        out.add(field, "is missing");
    } else if !is_dns_label(text, max) {
        out.add(field, format!("{text:?} must be at most {max} of a-z, 0-9 and -, and neither start nor end with -"));
    }
}

fn deployment(d: &Deployment, out: &mut Collector<'_>) {
    let Some(spec) = &d.spec else { return out.add("spec", "is missing") };
    let labels = spec.template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    match spec.selector.match_labels.as_ref().filter(|m| !m.is_empty()) {
        None => out.add("spec.selector.matchLabels", "is missing"),
        Some(wanted) => {
            for (k, v) in wanted.iter().filter(|(k, v)| labels.get(*k) != Some(v)) {
                let message = format!("spec.template.metadata.labels does not carry {k}: {v}");
                out.add(format!("spec.selector.matchLabels['{k}']"), message);
            }
        }
    }
    match &spec.template.spec {
        None => out.add(POD, "is missing"),
        Some(pod) => pod_spec(pod, out),
    }
}

fn pod_spec(pod: &PodSpec, out: &mut Collector<'_>) {
    if pod.containers.is_empty() {
        out.add(format!("{POD}.containers"), "at least one container is needed");
    }
    let mut volumes = BTreeSet::new();
    for (i, v) in pod.volumes.iter().flatten().enumerate() {
        let field = format!("{POD}.volumes[{i}]");
        dns_label(&v.name, 63, &format!("{field}.name"), out);
        if !volumes.insert(v.name.as_str()) {
            out.add(format!("{field}.name"), format!("{:?} is used twice", v.name));
        }
        if v.empty_dir.is_none() {
            out.add(field, "has no source; supported is emptyDir");
        }
    }
    let (mut names, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for (i, c) in pod.containers.iter().enumerate() {
        let field = format!("{POD}.containers[{i}]");
        dns_label(&c.name, 63, &format!("{field}.name"), out);
        if !names.insert(c.name.as_str()) {
            out.add(format!("{field}.name"), format!("{:?} is used twice", c.name));
        }
        for (j, p) in c.ports.iter().flatten().enumerate() {
            let key = (p.container_port, p.protocol.clone().unwrap_or_else(|| "TCP".into()));
            if !ports.insert(key) {
                out.add(format!("{field}.ports[{j}]"), "the pod uses this port twice");
            }
        }
        container(c, &volumes, &field, out);
    }
}

fn container(c: &Container, volumes: &BTreeSet<&str>, field: &str, out: &mut Collector<'_>) {
    if c.image.as_deref().unwrap_or("").is_empty() {
        out.add(format!("{field}.image"), "is missing");
    }
    for (i, p) in c.ports.iter().flatten().enumerate() {
        if let Some(name) = &p.name
            && !is_dns_label(name, 15)
        {
            out.add(format!("{field}.ports[{i}].name"), "must be at most 15 of a-z, 0-9 and -");
        }
    }
    env(c, field, out);
    resources(c, field, out);
    for (i, m) in c.volume_mounts.iter().flatten().enumerate() {
        if !volumes.contains(m.name.as_str()) {
            out.add(format!("{field}.volumeMounts[{i}].name"), format!("the pod has no volume {:?}", m.name));
        }
        if !m.mount_path.starts_with('/') || m.mount_path == "/" || m.mount_path.split('/').any(|p| p == "..") {
            out.add(format!("{field}.volumeMounts[{i}].mountPath"), "must be an absolute path below /, without ..");
        }
    }
    if c.working_dir.as_ref().is_some_and(|w| !w.starts_with('/')) {
        out.add(format!("{field}.workingDir"), "must be an absolute path");
    }
    for (what, p) in [("readinessProbe", &c.readiness_probe), ("livenessProbe", &c.liveness_probe)] {
        if let Some(p) = p {
            probe(p, c, &format!("{field}.{what}"), out);
        }
    }
    if c.liveness_probe.as_ref().and_then(|p| p.success_threshold).is_some_and(|n| n != 1) {
        out.add(format!("{field}.livenessProbe.successThreshold"), "must be 1 for a liveness probe");
    }
}

fn env(c: &Container, field: &str, out: &mut Collector<'_>) {
    for (i, e) in c.env.iter().flatten().enumerate() {
        let here = format!("{field}.env[{i}]");
        if e.name.is_empty() || e.name.contains('=') || e.name.contains('\0') {
            out.add(format!("{here}.name"), "must be a name without =");
        }
        let path = e.value_from.as_ref().map(|v| v.field_ref.as_ref().map(|f| f.field_path.as_str()));
        match (&e.value, path) {
            (Some(_), Some(_)) => out.add(here, "has both value and valueFrom"),
            (_, Some(None)) => out.add(format!("{here}.valueFrom"), "has no source; supported is fieldRef"),
            (_, Some(Some(path))) if !field_path_known(path) => out.add(
                format!("{here}.valueFrom.fieldRef.fieldPath"),
                format!(
                    "{path:?} is not supported; supported are {}, metadata.labels['KEY'], metadata.annotations['KEY']",
                    FIELD_PATHS.join(", ")
                ),
            ),
            _ => {}
        }
    }
}

const FIELD_PATHS: [&str; 6] =
    ["metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "status.podIP", "status.hostIP"];

fn field_path_known(path: &str) -> bool {
    let keyed = |prefix: &str| {
        path.strip_prefix(prefix).and_then(|r| r.strip_suffix("']")).is_some_and(|k| !k.is_empty() && !k.contains('\''))
    };
    FIELD_PATHS.contains(&path) || keyed("metadata.labels['") || keyed("metadata.annotations['")
}

fn resources(c: &Container, field: &str, out: &mut Collector<'_>) {
    let Some(r) = &c.resources else { return };
    for key in ["cpu", "memory"] {
        let get = |m: &Option<BTreeMap<String, _>>| {
            m.as_ref()
                .and_then(|m| m.get(key))
                .and_then(|q: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| quantity::millis(&q.0))
        };
        let (limit, request) = (get(&r.limits), get(&r.requests));
        if let (Some(l), Some(q)) = (limit, request)
            && q > l
        {
            out.add(format!("{field}.resources.requests.{key}"), "is larger than the limit");
        }
        let (least, unit) = if key == "cpu" { (1, "1m") } else { (4_000_000_000, "4M") };
        if limit.is_some_and(|l| l < least) {
            out.add(format!("{field}.resources.limits.{key}"), format!("is less than {unit}; nothing runs in that"));
        }
    }
}

fn probe(p: &Probe, c: &Container, field: &str, out: &mut Collector<'_>) {
    let Some(http) = &p.http_get else {
        return out.add(field, "has no action; supported is httpGet");
    };
    if !http.path.as_deref().unwrap_or("/").starts_with('/') {
        out.add(format!("{field}.httpGet.path"), "must start with /");
    }
    if let IntOrString::String(name) = &http.port
        && !c.ports.iter().flatten().any(|p| p.name.as_ref() == Some(name))
    {
        out.add(format!("{field}.httpGet.port"), format!("the container has no port named {name:?}"));
    }
}

fn service(s: &Service, out: &mut Collector<'_>) {
    let Some(spec) = &s.spec else { return out.add("spec", "is missing") };
    if spec.selector.as_ref().is_none_or(|m| m.is_empty()) {
        out.add("spec.selector", "is missing; a Service without selector is not supported");
    }
    if let Some(ip) = &spec.cluster_ip
        && !ip.is_empty()
        && !ip.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.octets()[..2] == [10, 96])
    {
        out.add("spec.clusterIP", "must be an address in 10.96.0.0/16 (headless Services are not supported)");
    }
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() {
        out.add("spec.ports", "at least one port is needed");
    }
    let node_port = spec.type_.as_deref() == Some("NodePort");
    for (i, p) in ports.iter().enumerate() {
        match (node_port, p.node_port) {
            (false, Some(_)) => out.add(format!("spec.ports[{i}].nodePort"), "needs spec.type: NodePort"),
            (true, None) => out.add(
                format!("spec.ports[{i}].nodePort"),
                "is missing; a baked Service says which port of the node it takes (30000 to 32767)",
            ),
            _ => {}
        }
        if ports.len() > 1 && p.name.as_deref().unwrap_or("").is_empty() {
            out.add(format!("spec.ports[{i}].name"), "is missing; with several ports each needs a name");
        }
    }
}

/// Check what objects take from each other: node ports and namespaces.
pub(crate) fn across(workloads: &[Workload]) -> Vec<Problem> {
    let mut node_ports: BTreeMap<(i32, String), String> = BTreeMap::new();
    let mut problems = vec![];
    for w in workloads {
        let Object::Service(s) = &w.object else { continue };
        let mut out = Collector::new(&w.origin, w.object.title());
        let ports = s.spec.as_ref().and_then(|s| s.ports.as_deref()).unwrap_or_default();
        for (i, p) in ports.iter().enumerate() {
            let Some(port) = p.node_port else { continue };
            let key = (port, p.protocol.clone().unwrap_or_else(|| "TCP".into()));
            if let Some(other) = node_ports.insert(key, w.object.title()) {
                out.add(format!("spec.ports[{i}].nodePort"), format!("{port} is already taken by {other}"));
            }
        }
        problems.append(&mut out.problems);
    }
    problems
}
