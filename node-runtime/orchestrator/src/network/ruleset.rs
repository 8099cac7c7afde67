//! What the packet filter shall do, as a value. Pure; [`super::render`] writes
//! it down for `nft`.
//!
//! Readiness comes straight from what was observed, not by way of
//! EndpointSlices: those are for readers of the API.

use std::net::IpAddr;

use super::policy::{Isolation, PolicyPod, isolations};
use crate::{
    desired::{Desired, Pod, Service, ServicePort},
    observed::Observed,
};

/// Everything that the rules depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Ports of services, in order.
    pub forwards: Vec<Forward>,
    /// Pods that NetworkPolicies isolate.
    pub isolations: Vec<Isolation>,
}

/// One port of a service, for one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// UDP instead of TCP?
    pub udp: bool,
    /// Virtual address.
    pub cluster_ip: IpAddr,
    /// Port of the virtual address.
    pub port: u16,
    /// Port of the node.
    pub node_port: Option<u16>,
    /// A client comes to the same pod again within this time
    /// (`sessionAffinity: ClientIP`).
    pub affinity_secs: Option<u32>,
    /// Ready pods, in order.
    pub endpoints: Vec<Endpoint>,
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Pod address, of the family of the virtual address.
    pub ip: IpAddr,
    /// Pod port.
    pub port: u16,
}

/// The rules that belong to this state: Ready pods are endpoints, and all pods
/// of Services that ask for it; policies isolate all pods that have a network,
/// Ready or not.
pub fn ruleset_input(desired: &Desired, observed: &Observed) -> Ruleset {
    let mut forwards = vec![];
    for service in &desired.services {
        for p in &service.ports {
            for cluster_ip in &service.cluster_ips {
                forwards.push(Forward {
                    udp: p.udp,
                    cluster_ip: *cluster_ip,
                    port: p.port,
                    node_port: p.node_port,
                    affinity_secs: service.affinity_secs,
                    endpoints: endpoints(service, p, cluster_ip, desired, observed),
                });
            }
        }
    }
    Ruleset { forwards, isolations: isolated(desired, observed) }
}

fn endpoints(
    service: &Service,
    port: &ServicePort,
    cluster_ip: &IpAddr,
    desired: &Desired,
    observed: &Observed,
) -> Vec<Endpoint> {
    let serves = |pod: &Pod| {
        let alive = pod.deletion_grace_secs.is_none() && !pod.finished;
        observed.pod_ready(pod) || service.not_ready_too && alive
    };
    let endpoint = |pod: &Pod| {
        let ips = observed.sandboxes.get(&pod.uid)?.ips();
        let ip = ips.into_iter().find(|ip| ip.is_ipv4() == cluster_ip.is_ipv4())?;
        Some(Endpoint { ip, port: port.resolve(pod)? })
    };
    let pods = desired.pods.values().filter(|pod| service.selects(pod) && serves(pod));
    let mut found: Vec<Endpoint> = pods.filter_map(endpoint).collect();
    found.sort();
    found.dedup();
    found
}

fn isolated(desired: &Desired, observed: &Observed) -> Vec<Isolation> {
    if desired.policies.is_empty() {
        return vec![];
    }
    // Pods on the node's network are the node, and no policy is about that.
    let with_network = desired.pods.values().filter(|p| !p.host_network);
    let pod = |p: &Pod| {
        Some(PolicyPod {
            namespace: p.namespace.clone(),
            labels: p.labels.clone(),
            addresses: observed.sandboxes.get(&p.uid)?.ips(),
            ports: p.named_ports.clone(),
            exempt: false,
        })
    };
    let mut pods: Vec<PolicyPod> = with_network.filter_map(pod).collect();
    pods.push(PolicyPod::name_server(observed.gateways.clone()));
    isolations(&desired.policies, &pods, &desired.namespaces)
}

#[cfg(test)]
#[path = "ruleset_tests.rs"]
mod tests;
