//! Service → what the ruleset needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::util::intstr::IntOrString};
use sha2::{Digest, Sha256};

use super::Pod;

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Virtual address in 10.96.0.0/16.
    pub cluster_ip: Ipv4Addr,
    /// Labels that its pods carry.
    pub selector: BTreeMap<String, String>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Pods that are not Ready get traffic too.
    pub not_ready_too: bool,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePort {
    /// UDP instead of TCP?
    pub udp: bool,
    /// Port of the virtual address.
    pub port: u16,
    /// Port of the node.
    pub node_port: Option<u16>,
    /// Port of the pod.
    pub target: Target,
}

/// A port of a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// By number.
    Number(u16),
    /// By the name that a container gave it.
    Name(String),
}

impl Target {
    /// The number in this pod.
    pub fn resolve(&self, pod: &Pod) -> Option<u16> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Name(name) => pod.containers.iter().find_map(|c| c.ports.get(name).copied()),
        }
    }
}

impl Service {
    /// Does the service lead to this pod?
    pub fn selects(&self, pod: &Pod) -> bool {
        // Without a selector it leads nowhere, not everywhere.
        !self.selector.is_empty()
            && pod.namespace == self.namespace
            && self.selector.iter().all(|(k, v)| pod.labels.get(k) == Some(v))
    }
}

fn fixed_ip(s: &core::Service) -> Option<Ipv4Addr> {
    s.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()
}

/// Services with an address of their own are placed first.
pub(super) fn has_fixed_ip(s: &core::Service) -> bool {
    fixed_ip(s).is_some()
}

/// `None`: a Service without an address of its own.
pub(super) fn service(s: &core::Service, taken: &mut BTreeSet<Ipv4Addr>) -> Result<Option<Service>, String> {
    let namespace = s.metadata.namespace.clone().unwrap_or_default();
    let name = s.metadata.name.clone().unwrap_or_default();
    let spec = s.spec.clone().unwrap_or_default();
    if spec.cluster_ip.as_deref() == Some("None") || spec.type_.as_deref() == Some("ExternalName") {
        return Ok(None);
    }
    let cluster_ip = match fixed_ip(s) {
        Some(ip) => ip,
        None => free_ip(&format!("{namespace}/{name}"), taken).ok_or("no cluster address is left")?,
    };
    if !taken.insert(cluster_ip) {
        return Err(format!("Service {namespace}/{name}: spec.clusterIP {cluster_ip} is taken by another Service"));
    }
    let number = |n: i32| u16::try_from(n).unwrap_or(0);
    let ports = spec.ports.iter().flatten().map(|p| ServicePort {
        udp: p.protocol.as_deref() == Some("UDP"),
        port: number(p.port),
        node_port: p.node_port.map(number),
        target: match &p.target_port {
            None => Target::Number(number(p.port)),
            Some(IntOrString::Int(n)) => Target::Number(number(*n)),
            Some(IntOrString::String(name)) => Target::Name(name.clone()),
        },
    });
    Ok(Some(Service {
        namespace,
        name,
        cluster_ip,
        ports: ports.collect(),
        not_ready_too: spec.publish_not_ready_addresses.unwrap_or(false),
        selector: spec.selector.unwrap_or_default(),
    }))
}

/// The address follows from the name, so that it is the same after a reboot
/// and in every node of a fleet; the next free one where two names collide.
fn free_ip(name: &str, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let h = Sha256::digest(name);
    let start = u16::from_be_bytes([h[0], h[1]]);
    (0..=u16::MAX)
        .map(|i| start.wrapping_add(i).to_be_bytes())
        .filter(|[a, b]| (*a, *b) != (0, 0) && (*a, *b) != (255, 255))
        .map(|[a, b]| Ipv4Addr::new(10, 96, a, b))
        .find(|ip| !taken.contains(ip))
}
