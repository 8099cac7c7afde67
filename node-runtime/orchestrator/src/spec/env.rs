//! Environment of a container: values, fields of the pod, `$(NAME)`.

use std::{collections::BTreeMap, net::Ipv4Addr};

use crate::desired::{Container, EnvSource, Pod};

/// What `fieldRef` can name.
#[derive(Debug, Clone)]
pub struct PodFacts<'a> {
    /// Pod.
    pub pod: &'a Pod,
    /// Node name.
    pub node_name: &'a str,
    /// Address of the pod.
    pub pod_ip: Ipv4Addr,
    /// Address of the node.
    pub host_ip: Ipv4Addr,
}

/// What a shell-less image would expect to find.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `NAME=value` lines; a later definition of a name replaces an earlier one.
pub fn environment(container: &Container, facts: &PodFacts<'_>) -> Vec<String> {
    let mut values: BTreeMap<&str, String> = BTreeMap::new();
    let mut order: Vec<&str> = vec![];
    let defaults = [("PATH", PATH.to_owned()), ("HOSTNAME", facts.pod.name.clone())];
    for (name, value) in defaults {
        values.insert(name, value);
        order.push(name);
    }
    for e in &container.env {
        let value = match &e.value {
            EnvSource::Text(t) => expand(t, &values),
            EnvSource::Field(path) => field(path, facts),
        };
        if values.insert(&e.name, value).is_none() {
            order.push(&e.name);
        }
    }
    order.iter().map(|n| format!("{n}={}", values[n])).collect()
}

fn field(path: &str, f: &PodFacts<'_>) -> String {
    let keyed = |prefix: &str, map: &BTreeMap<String, String>| {
        path.strip_prefix(prefix).and_then(|r| r.strip_suffix("']")).and_then(|k| map.get(k).cloned())
    };
    match path {
        "metadata.name" => f.pod.name.clone(),
        "metadata.namespace" => f.pod.namespace.clone(),
        "metadata.uid" => f.pod.uid.clone(),
        "spec.nodeName" => f.node_name.into(),
        "status.podIP" => f.pod_ip.to_string(),
        "status.hostIP" => f.host_ip.to_string(),
        // A label that is not there is empty, as in Kubernetes.
        _ => keyed("metadata.labels['", &f.pod.labels)
            .or_else(|| keyed("metadata.annotations['", &f.pod.annotations))
            .unwrap_or_default(),
    }
}

/// `$(NAME)` becomes the value of an earlier variable, `$$` becomes `$`;
/// references to unknown names stay as they are (Kubernetes core/v1 EnvVar).
fn expand(text: &str, values: &BTreeMap<&str, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("$(").and_then(|r| r.split_once(')')) {
            match values.get(name) {
                Some(v) => out.push_str(v),
                None => out.push_str(&rest[..name.len() + 3]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let values: BTreeMap<&str, String> = [("A", "1".to_owned()), ("B", "$(A)".to_owned())].into();
        for (text, want) in [
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)y$(B)", "x1y$(A)"),
            ("$$(A)", "$(A)"),
            ("$(NOPE)", "$(NOPE)"),
            ("$(A", "$(A"),
            ("5$", "5$"),
            ("$A", "$A"),
        ] {
            assert_eq!(expand(text, &values), want, "{text}");
        }
    }
}
