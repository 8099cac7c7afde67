//! NetworkPolicy → which pods are isolated and what still reaches them. Pure.
//!
//! Source: Kubernetes `networking.k8s.io/v1` NetworkPolicy. A pod is isolated
//! in a direction as soon as one policy of that direction selects it; then only
//! what some such policy allows gets through. Answers to allowed connections
//! always do, and so do the node itself (probes) and what a pod sends to itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

/// A pod as policies see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyPod {
    /// Namespace.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Numbers of its ports by name and protocol.
    pub ports: BTreeMap<(String, Protocol), u16>,
    /// Only a peer: no policy isolates it.
    pub exempt: bool,
}

impl PolicyPod {
    /// The node's name server, which stands where clusters have pods for that:
    /// a policy that allows those allows this one, and isolation without such
    /// a policy cuts off names as it does there.
    pub fn name_server(addresses: Vec<IpAddr>) -> Self {
        let port = |name: &str, protocol| ((name.to_owned(), protocol), 53);
        Self {
            namespace: "kube-system".into(),
            labels: [("k8s-app".to_owned(), "kube-dns".to_owned())].into(),
            addresses,
            ports: [port("dns", Protocol::Udp), port("dns-tcp", Protocol::Tcp)].into(),
            exempt: true,
        }
    }
}

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Which way packets go, seen from the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

/// Pods that are isolated in one direction by the same policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// Direction.
    pub direction: Direction,
    /// Addresses of the pods.
    pub pods: BTreeSet<IpAddr>,
    /// What gets through; nothing: nothing does.
    pub allows: Vec<Allow>,
}

/// Peers and ports that are allowed together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allow {
    /// The other side.
    pub peers: Peers,
    /// Destination ports; none: all ports of all protocols.
    pub ports: Vec<PortRange>,
}

/// The other side of an allowed connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peers {
    /// Everybody.
    Any,
    /// These pods.
    Pods(BTreeSet<IpAddr>),
    /// A network without parts of it.
    Block {
        /// `10.0.0.0/8`.
        cidr: String,
        /// Networks inside it that are not meant.
        except: Vec<String>,
    },
}

/// Ports from one number to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// Protocol.
    pub protocol: Protocol,
    /// First; 0 with last 65535: all.
    pub first: u16,
    /// Last.
    pub last: u16,
}

/// Labels of namespaces by name.
pub type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// What the policies come to for these pods.
pub fn isolations(policies: &[Arc<NetworkPolicy>], pods: &[PolicyPod], namespaces: &Namespaces) -> Vec<Isolation> {
    let mut by_rules: Vec<Isolation> = vec![];
    for pod in pods.iter().filter(|p| !p.addresses.is_empty() && !p.exempt) {
        for direction in [Direction::Ingress, Direction::Egress] {
            let mine: Vec<&Arc<NetworkPolicy>> =
                policies.iter().filter(|p| selects(p, pod) && has_direction(p, direction)).collect();
            if mine.is_empty() {
                continue;
            }
            let mut allows: Vec<Allow> =
                mine.iter().flat_map(|p| allowed(p, direction, pod, pods, namespaces)).collect();
            allows.sort();
            allows.dedup();
            // Pods of one Deployment have the same rules: one chain for all.
            match by_rules.iter_mut().find(|i| i.direction == direction && i.allows == allows) {
                Some(same) => same.pods.extend(&pod.addresses),
                None => {
                    by_rules.push(Isolation { direction, pods: pod.addresses.iter().copied().collect(), allows });
                }
            }
        }
    }
    by_rules
}

fn selects(policy: &NetworkPolicy, pod: &PolicyPod) -> bool {
    let namespace = policy.metadata.namespace.as_deref().unwrap_or("default");
    let selector = policy.spec.as_ref().and_then(|s| s.pod_selector.as_ref());
    namespace == pod.namespace && selector.is_none_or(|s| matches(s, &pod.labels))
}

/// `policyTypes`; where it is not given, always Ingress, and Egress if there
/// are egress rules.
fn has_direction(policy: &NetworkPolicy, direction: Direction) -> bool {
    let Some(spec) = &policy.spec else { return direction == Direction::Ingress };
    match (&spec.policy_types, direction) {
        (Some(types), Direction::Ingress) => types.iter().any(|t| t == "Ingress"),
        (Some(types), Direction::Egress) => types.iter().any(|t| t == "Egress"),
        (None, Direction::Ingress) => true,
        (None, Direction::Egress) => spec.egress.as_ref().is_some_and(|e| !e.is_empty()),
    }
}

fn allowed(
    policy: &NetworkPolicy,
    direction: Direction,
    pod: &PolicyPod,
    pods: &[PolicyPod],
    namespaces: &Namespaces,
) -> Vec<Allow> {
    type Rule<'a> = (Option<&'a Vec<NetworkPolicyPeer>>, Option<&'a Vec<NetworkPolicyPort>>);
    let Some(spec) = &policy.spec else { return vec![] };
    let rules: Vec<Rule<'_>> = match direction {
        Direction::Ingress => spec.ingress.iter().flatten().map(|r| (r.from.as_ref(), r.ports.as_ref())).collect(),
        Direction::Egress => spec.egress.iter().flatten().map(|r| (r.to.as_ref(), r.ports.as_ref())).collect(),
    };
    let home = policy.metadata.namespace.as_deref().unwrap_or("default");
    let mut out = vec![];
    for (peers, ports) in rules {
        // A named port means another number in each pod that is connected to.
        let ports = ports.map(Vec::as_slice).unwrap_or_default();
        let peers = peers.map(Vec::as_slice).unwrap_or_default();
        for target in peers_of(peers, home, pods, namespaces) {
            let named_in: Vec<&PolicyPod> = match (direction, &target) {
                (Direction::Ingress, _) => vec![pod],
                (Direction::Egress, Peers::Pods(ips)) => {
                    pods.iter().filter(|p| p.addresses.iter().any(|a| ips.contains(a))).collect()
                }
                (Direction::Egress, Peers::Any) => pods.iter().collect(),
                (Direction::Egress, Peers::Block { .. }) => vec![],
            };
            out.extend(with_ports(target, ports, direction, &named_in));
        }
    }
    out
}

/// The peers of one rule; none written down: everybody.
fn peers_of(peers: &[NetworkPolicyPeer], home: &str, pods: &[PolicyPod], namespaces: &Namespaces) -> Vec<Peers> {
    if peers.is_empty() {
        return vec![Peers::Any];
    }
    let one = |peer: &NetworkPolicyPeer| {
        if let Some(block) = &peer.ip_block {
            return Peers::Block { cidr: block.cidr.clone(), except: block.except.clone().unwrap_or_default() };
        }
        let in_namespace = |p: &&PolicyPod| match &peer.namespace_selector {
            None => p.namespace == home,
            Some(s) => matches(s, &namespace_labels(&p.namespace, namespaces)),
        };
        let wanted = |p: &&PolicyPod| peer.pod_selector.as_ref().is_none_or(|s| matches(s, &p.labels));
        Peers::Pods(pods.iter().filter(in_namespace).filter(wanted).flat_map(|p| p.addresses.clone()).collect())
    };
    peers.iter().map(one).collect()
}

/// With the label that every namespace has.
fn namespace_labels(name: &str, namespaces: &Namespaces) -> BTreeMap<String, String> {
    let mut labels = namespaces.get(name).cloned().unwrap_or_default();
    labels.insert("kubernetes.io/metadata.name".into(), name.into());
    labels
}

fn with_ports(peers: Peers, ports: &[NetworkPolicyPort], direction: Direction, named_in: &[&PolicyPod]) -> Vec<Allow> {
    if ports.is_empty() {
        return vec![Allow { peers, ports: vec![] }];
    }
    let mut numbers: Vec<PortRange> = ports.iter().filter_map(range).collect();
    numbers.sort();
    let mut out = vec![];
    for (name, protocol) in ports.iter().filter_map(named) {
        for pod in named_in {
            let Some(&number) = pod.ports.get(&(name.to_owned(), protocol)) else { continue };
            let range = PortRange { protocol, first: number, last: number };
            if direction == Direction::Ingress {
                numbers.push(range);
            } else {
                let only = Peers::Pods(pod.addresses.iter().copied().collect());
                out.push(Allow { peers: only, ports: vec![range] });
            }
        }
    }
    // Ports that nobody has: the rule allows nothing, and must not turn into
    // "all ports".
    if !numbers.is_empty() {
        out.push(Allow { peers, ports: numbers });
    }
    out
}

fn protocol(port: &NetworkPolicyPort) -> Option<Protocol> {
    match port.protocol.as_deref() {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some(_) => None,
    }
}

fn range(port: &NetworkPolicyPort) -> Option<PortRange> {
    let protocol = protocol(port)?;
    match &port.port {
        None => Some(PortRange { protocol, first: 0, last: u16::MAX }),
        Some(IntOrString::Int(first)) => {
            let first = u16::try_from(*first).ok()?;
            let last = port.end_port.and_then(|e| u16::try_from(e).ok()).unwrap_or(first);
            Some(PortRange { protocol, first, last: last.max(first) })
        }
        Some(IntOrString::String(_)) => None,
    }
}

fn named(port: &NetworkPolicyPort) -> Option<(&str, Protocol)> {
    match &port.port {
        Some(IntOrString::String(name)) => Some((name.as_str(), protocol(port)?)),
        _ => None,
    }
}

/// Does a selector take these labels? An empty one takes all.
fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(k, v)| labels.get(k) == Some(v));
    let expressions = selector.match_expressions.iter().flatten();
    equal
        && expressions.into_iter().all(|e| {
            let values = e.values.as_deref().unwrap_or_default();
            let have = labels.get(&e.key);
            match e.operator.as_str() {
                "In" => have.is_some_and(|v| values.contains(v)),
                "NotIn" => have.is_none_or(|v| !values.contains(v)),
                "Exists" => have.is_some(),
                "DoesNotExist" => have.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
