//! Service → what the ruleset needs, and which virtual addresses it has.
//!
//! Whoever keeps the objects writes addresses into `spec.clusterIPs`, and
//! those count; a Service without any gets the ones of [`cluster_ips`].
//!
//! On one node `externalTrafficPolicy` and `internalTrafficPolicy` change
//! nothing: every endpoint is local, and clients' addresses are always kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::util::intstr::IntOrString};
use sha2::{Digest, Sha256};
pub use skerry_workloads::{Family, SERVICE_NETWORK4 as NETWORK4, SERVICE_NETWORK6 as NETWORK6};

use super::Pod;
use crate::network::policy::Protocol;

/// How long a client stays with a pod where the Service does not say so.
const AFFINITY_SECS: u32 = 10_800;

/// One service with addresses of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Virtual addresses, one per address family.
    pub cluster_ips: Vec<IpAddr>,
    /// Labels that its pods carry.
    pub selector: BTreeMap<String, String>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Pods that are not Ready get traffic too.
    pub not_ready_too: bool,
    /// A client that comes again within this time comes to the same pod.
    pub affinity_secs: Option<u32>,
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

impl ServicePort {
    /// The number in this pod.
    pub fn resolve(&self, pod: &Pod) -> Option<u16> {
        match &self.target {
            Target::Number(n) => Some(*n),
            Target::Name(name) => {
                let protocol = if self.udp { Protocol::Udp } else { Protocol::Tcp };
                pod.named_ports.get(&(name.clone(), protocol)).copied()
            }
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

/// Services in order of their names, and one line for each that cannot be.
pub(super) fn all(objects: &[Arc<core::Service>], ipv6: bool) -> (Vec<Service>, Vec<String>) {
    let (mut services, mut problems, mut taken) = (vec![], vec![], BTreeSet::new());
    // Those that know their addresses are placed first, then those that know
    // one of two.
    let mut order: Vec<&Arc<core::Service>> = objects.iter().collect();
    order.sort_by_key(|s| std::cmp::Reverse(fixed_ips(s).len()));
    for s in order {
        let addresses = cluster_ips(s, &taken, ipv6);
        match addresses {
            Ok(ips) if ips.is_empty() => {}
            Ok(ips) => {
                taken.extend(&ips);
                services.push(service(s, ips));
            }
            Err(e) => problems.push(format!("Service {}: {e}", title(s))),
        }
    }
    services.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    (services, problems)
}

fn title(s: &core::Service) -> String {
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    format!("{}/{}", text(&s.metadata.namespace), text(&s.metadata.name))
}

fn service(s: &core::Service, cluster_ips: Vec<IpAddr>) -> Service {
    let spec = s.spec.clone().unwrap_or_default();
    let number = |n: i32| u16::try_from(n).unwrap_or(0);
    let ports = spec.ports.iter().flatten().map(|p| ServicePort {
        udp: p.protocol.as_deref() == Some("UDP"),
        port: number(p.port),
        node_port: p.node_port.map(number).filter(|n| *n > 0),
        target: match &p.target_port {
            None | Some(IntOrString::Int(0)) => Target::Number(number(p.port)),
            Some(IntOrString::Int(n)) => Target::Number(number(*n)),
            Some(IntOrString::String(name)) => Target::Name(name.clone()),
        },
    });
    Service {
        namespace: s.metadata.namespace.clone().unwrap_or_default(),
        name: s.metadata.name.clone().unwrap_or_default(),
        cluster_ips,
        ports: ports.collect(),
        not_ready_too: spec.publish_not_ready_addresses.unwrap_or(false),
        affinity_secs: affinity(&spec),
        selector: spec.selector.unwrap_or_default(),
    }
}

fn affinity(spec: &core::ServiceSpec) -> Option<u32> {
    let client = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref());
    let secs = client.and_then(|c| c.timeout_seconds).and_then(|s| u32::try_from(s).ok()).filter(|s| *s > 0);
    (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| secs.unwrap_or(AFFINITY_SECS))
}

/// Address families of a Service, the primary one first; also of a headless
/// one, whose names lead to addresses of these families.
///
/// # Errors
/// It asks for a family that the node does not have: one line for its author.
pub fn families(spec: &core::ServiceSpec, ipv6: bool) -> Result<Vec<Family>, String> {
    let named = spec.ip_families.iter().flatten().next().map(String::as_str);
    let first = match (named, spec_ips(spec).first()) {
        (Some("IPv6"), _) => Family::V6,
        (None, Some(ip)) => Family::of(ip),
        _ => Family::V4,
    };
    let missing = |what: &str| Err(format!("spec.{what}: this node has no IPv6"));
    match (spec.ip_family_policy.as_deref(), ipv6) {
        (Some("RequireDualStack"), false) => missing("ipFamilyPolicy RequireDualStack"),
        (_, false) if first == Family::V6 => missing("ipFamilies IPv6"),
        (Some("RequireDualStack" | "PreferDualStack"), true) => Ok(vec![first, first.other()]),
        _ => Ok(vec![first]),
    }
}

/// Virtual addresses of a Service, one per family, the primary one first; none
/// if it is headless or a mere name. `taken` are those of other Services,
/// `ipv6` says whether the node has IPv6 ([`crate::Config::ipv6`]). A Service
/// with a list of addresses has these, whatever its policy says: a node that
/// got its IPv6 later adds none.
///
/// # Errors
/// One line for its author.
pub fn cluster_ips(s: &core::Service, taken: &BTreeSet<IpAddr>, ipv6: bool) -> Result<Vec<IpAddr>, String> {
    let default = core::ServiceSpec::default();
    let spec = s.spec.as_ref().unwrap_or(&default);
    let none = spec.cluster_ip.as_deref() == Some("None");
    if none || spec.type_.as_deref() == Some("ExternalName") {
        return Ok(vec![]);
    }
    let fixed = fixed_ips(s);
    let given = spec.cluster_ips.as_ref().is_some_and(|ips| !ips.is_empty());
    let families = match given {
        true => fixed.iter().map(Family::of).filter(|f| ipv6 || *f == Family::V4).collect(),
        false => families(spec, ipv6)?,
    };
    let mut out = vec![];
    for family in families {
        let ip = match fixed.iter().find(|ip| Family::of(ip) == family) {
            Some(ip) => *ip,
            None => free_ip(&title(s), family, taken).ok_or("no cluster address is left")?,
        };
        if taken.contains(&ip) {
            return Err(format!("spec.clusterIP {ip} is taken by another Service"));
        }
        out.push(ip);
    }
    Ok(out)
}

fn fixed_ips(s: &core::Service) -> Vec<IpAddr> {
    s.spec.as_ref().map(spec_ips).unwrap_or_default()
}

fn spec_ips(spec: &core::ServiceSpec) -> Vec<IpAddr> {
    let first = spec.cluster_ip.iter();
    let mut all: Vec<IpAddr> =
        first.chain(spec.cluster_ips.iter().flatten()).filter_map(|ip| ip.parse().ok()).collect();
    all.dedup();
    all
}

/// An address for the Service `namespace/name`: it follows from the name, so
/// that it is the same after a reboot and in every node of a fleet; the next
/// free one where two names collide. `None`: all are taken.
pub fn free_ip(name: &str, family: Family, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let h = Sha256::digest(name);
    let start = u16::from_be_bytes([h[0], h[1]]);
    let address = |[a, b]: [u8; 2]| -> IpAddr {
        match family {
            Family::V4 => {
                let [x, y, _, _] = NETWORK4.0.octets();
                [x, y, a, b].into()
            }
            Family::V6 => Ipv6Addr::from_bits(NETWORK6.0.to_bits() | u128::from(u16::from_be_bytes([a, b]))).into(),
        }
    };
    (0..=u16::MAX)
        .map(|i| start.wrapping_add(i).to_be_bytes())
        // The first ones are what clusters give to themselves.
        .filter(|[a, b]| !(*a == 0 && *b < 16) && (*a, *b) != (255, 255))
        .map(address)
        .find(|ip| !taken.contains(ip))
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
