//! What the packet filter shall do, as a value. Pure; [`super::render`] writes
//! it down for `nft`.

use std::net::IpAddr;

use super::policy::Isolation;
use crate::{desired::Desired, observed::Observed};

/// Everything that the rules depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Ports of services, in order.
    pub forwards: Vec<Forward>,
    /// Pods that NetworkPolicies isolate.
    pub isolations: Vec<Isolation>,
}

/// One port of a service.
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
    /// Does a client always come to the same pod (`sessionAffinity: ClientIP`)?
    pub sticky: bool,
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
/// of Services that ask for it.
pub fn ruleset_input(desired: &Desired, observed: &Observed) -> Ruleset {
    let mut forwards = vec![];
    for service in &desired.services {
        for p in &service.ports {
            let serves = |pod: &crate::desired::Pod| {
                let alive = pod.deletion_grace_secs.is_none() && !pod.finished;
                observed.pod_ready(pod) || service.not_ready_too && alive
            };
            let pods = desired.pods.values().filter(|pod| service.selects(pod) && serves(pod));
            let endpoint = |pod: &crate::desired::Pod| {
                Some(Endpoint { ip: observed.sandboxes.get(&pod.uid)?.ip.into(), port: p.target.resolve(pod)? })
            };
            let mut endpoints: Vec<Endpoint> = pods.filter_map(endpoint).collect();
            endpoints.sort();
            forwards.push(Forward {
                udp: p.udp,
                cluster_ip: service.cluster_ip.into(),
                port: p.port,
                node_port: p.node_port,
                sticky: false,
                endpoints,
            });
        }
    }
    Ruleset { forwards, isolations: vec![] }
}
