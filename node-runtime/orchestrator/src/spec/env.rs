//! Environment of a container: values, fields of the pod, `$(NAME)`.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::{
    desired::{Container, EnvSource, Pod},
    observed::NodeAddresses,
};

/// What `fieldRef` can name.
#[derive(Debug, Clone)]
pub struct PodFacts<'a> {
    /// Pod.
    pub pod: &'a Pod,
    /// Node name.
    pub node_name: &'a str,
    /// Address of the pod.
    pub pod_ip: Ipv4Addr,
    /// Its address of IPv6, if it has one.
    pub pod_ip6: Option<Ipv6Addr>,
    /// Addresses of the node.
    pub node: NodeAddresses,
}

/// What a shell-less image would expect to find.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `NAME=value` lines; a later definition of a name replaces an earlier one.
pub fn environment(container: &Container, facts: &PodFacts<'_>) -> Vec<String> {
    let (order, values) = variables(container, facts);
    order.iter().map(|n| format!("{n}={}", values[n])).collect()
}

/// Program and arguments with `$(NAME)` replaced.
pub fn arguments(container: &Container, facts: &PodFacts<'_>) -> Vec<String> {
    let (_, values) = variables(container, facts);
    container.args.iter().map(|a| expand(a, &values)).collect()
}

/// A text of a container's mounts with `$(NAME)` replaced.
pub fn expanded(text: &str, container: &Container, facts: &PodFacts<'_>) -> String {
    expand(text, &variables(container, facts).1)
}

type Values<'a> = BTreeMap<&'a str, String>;

fn variables<'a>(container: &'a Container, facts: &PodFacts<'_>) -> (Vec<&'a str>, Values<'a>) {
    let mut values = Values::new();
    let mut order: Vec<&str> = vec![];
    let defaults = [("PATH", PATH.to_owned()), ("HOSTNAME", facts.pod.hostname.clone())];
    for (name, value) in defaults {
        values.insert(name, value);
        order.push(name);
    }
    for e in &container.env {
        let value = match &e.value {
            EnvSource::Text(t) => expand(t, &values),
            EnvSource::Literal(t) => t.clone(),
            EnvSource::Field(path) => field(path, facts),
        };
        if values.insert(&e.name, value).is_none() {
            order.push(&e.name);
        }
    }
    (order, values)
}

fn field(path: &str, f: &PodFacts<'_>) -> String {
    match path {
        "spec.nodeName" => f.node_name.into(),
        "status.podIP" => f.pod_ip.to_string(),
        "status.podIPs" => f.pod_ip6.map_or(f.pod_ip.to_string(), |six| format!("{},{six}", f.pod_ip)),
        "status.hostIP" => f.node.ip.to_string(),
        "status.hostIPs" => f.node.ip6.map_or(f.node.ip.to_string(), |six| format!("{},{six}", f.node.ip)),
        // A label that is not there is empty, as in Kubernetes.
        _ => pod_field(path, f.pod).unwrap_or_default(),
    }
}

/// A field of the pod's metadata; `None`: there is no such field.
pub fn pod_field(path: &str, pod: &Pod) -> Option<String> {
    let keyed = |prefix: &str, map: &BTreeMap<String, String>| {
        let key = path.strip_prefix(prefix)?.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    };
    Some(match path {
        "metadata.name" => pod.name.clone(),
        "metadata.namespace" => pod.namespace.clone(),
        "metadata.uid" => pod.uid.clone(),
        "spec.serviceAccountName" => pod.service_account.clone(),
        _ => keyed("metadata.labels['", &pod.labels).or_else(|| keyed("metadata.annotations['", &pod.annotations))?,
    })
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
    fn addresses_of_pod_and_node() {
        let pod = Pod::default();
        let facts = |six: bool| PodFacts {
            pod: &pod,
            node_name: "n",
            pod_ip: Ipv4Addr::new(10, 244, 0, 2),
            pod_ip6: six.then_some(Ipv6Addr::LOCALHOST),
            node: NodeAddresses { ip: Ipv4Addr::new(192, 0, 2, 1), ip6: six.then_some(Ipv6Addr::UNSPECIFIED) },
        };
        for (path, one, two) in [
            ("status.podIP", "10.244.0.2", "10.244.0.2"),
            ("status.podIPs", "10.244.0.2", "10.244.0.2,::1"),
            ("status.hostIP", "192.0.2.1", "192.0.2.1"),
            ("status.hostIPs", "192.0.2.1", "192.0.2.1,::"),
        ] {
            assert_eq!((field(path, &facts(false)).as_str(), field(path, &facts(true)).as_str()), (one, two), "{path}");
        }
    }

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
