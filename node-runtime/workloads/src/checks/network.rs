//! Services and network policies.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use k8s_openapi::{
    api::{
        core::v1::{Service, ServiceSpec},
        networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    meta,
    names::{self, Form},
};
use crate::cause::Causes;

/// Addresses of Services: 10.96.0.0/16.
const SERVICE_NET: [u8; 2] = [10, 96];

pub(super) fn service(s: &Service, out: &mut Causes) {
    let Some(spec) = &s.spec else { return out.required("spec", "") };
    names::labels(spec.selector.iter().flatten(), "spec.selector", out);
    cluster_ip(spec, out);
    let headless = spec.cluster_ip.as_deref() == Some("None");
    if spec.ports.as_ref().is_none_or(Vec::is_empty) && !headless {
        out.required("spec.ports", "");
    }
    service_ports(spec, out);
    if spec.session_affinity.as_deref() != Some("ClientIP") && spec.session_affinity_config.is_some() {
        let why = "must not be set when session affinity is None";
        out.forbidden("spec.sessionAffinityConfig", why);
    }
    let node_port = spec.type_.as_deref() == Some("NodePort");
    if spec.external_traffic_policy.is_some() && !node_port {
        out.invalid(
            "spec.externalTrafficPolicy",
            spec.external_traffic_policy.clone(),
            "may only be set for externally-accessible services",
        );
    }
}

fn cluster_ip(spec: &ServiceSpec, out: &mut Causes) {
    let ip = spec.cluster_ip.as_deref().unwrap_or("");
    let all = spec.cluster_ips.as_deref().unwrap_or_default();
    let allowed = |ip: &str| ip.parse::<Ipv4Addr>().is_ok_and(|ip| ip.octets()[..2] == SERVICE_NET);
    match ip {
        "" => {}
        "None" if spec.type_.as_deref() == Some("NodePort") => {
            out.invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for NodePort services");
        }
        "None" => {}
        ip if !allowed(ip) => {
            let why = "must be empty, 'None', or an address of the node's Services, 10.96.0.0/16";
            out.invalid("spec.clusterIP", ip, why);
        }
        _ => {}
    }
    if all.len() > 1 {
        out.invalid("spec.clusterIPs", all.to_vec(), "may only hold up to 1 values: the node has IPv4 only");
    }
    if all.first().is_some_and(|first| first != ip) {
        out.invalid("spec.clusterIPs", all.to_vec(), "first value must match `clusterIP`");
    }
    if spec.ip_families.as_ref().is_some_and(|f| f.len() > 1) {
        out.duplicate("spec.ipFamilies[1]", "IPv4");
    }
}

fn service_ports(spec: &ServiceSpec, out: &mut Causes) {
    let ports = spec.ports.as_deref().unwrap_or_default();
    let (mut names, mut numbers, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (i, p) in ports.iter().enumerate() {
        let here = format!("spec.ports[{i}]");
        let protocol = p.protocol.as_deref().unwrap_or("TCP");
        if p.port == 0 {
            out.required(format!("{here}.port"), "");
        }
        match p.name.as_deref().unwrap_or("") {
            "" if ports.len() > 1 => out.required(format!("{here}.name"), ""),
            "" => {}
            name => {
                names::name(name, Form::Label, format!("{here}.name"), out);
                if !names.insert(name) {
                    out.duplicate(format!("{here}.name"), name);
                }
            }
        }
        if !numbers.insert((p.port, protocol)) {
            out.duplicate(here.as_str(), serde_json::json!({"port": p.port, "protocol": protocol}));
        }
        if let Some(IntOrString::String(name)) = &p.target_port {
            names::port_name(name, format!("{here}.targetPort"), out);
        }
        let Some(node_port) = p.node_port else { continue };
        if spec.type_.as_deref() != Some("NodePort") {
            out.forbidden(format!("{here}.nodePort"), "may not be used when `type` is 'ClusterIP'");
        } else if !taken.insert((node_port, protocol)) {
            out.duplicate(format!("{here}.nodePort"), node_port);
        }
    }
}

pub(super) fn policy(p: &NetworkPolicy, out: &mut Causes) {
    let Some(spec) = &p.spec else { return out.required("spec", "") };
    if let Some(s) = &spec.pod_selector {
        meta::selector(s, "spec.podSelector", out);
    }
    for (i, rule) in spec.ingress.iter().flatten().enumerate() {
        peers(rule.from.as_deref(), &format!("spec.ingress[{i}].from"), out);
        policy_ports(rule.ports.as_deref(), &format!("spec.ingress[{i}].ports"), out);
    }
    for (i, rule) in spec.egress.iter().flatten().enumerate() {
        peers(rule.to.as_deref(), &format!("spec.egress[{i}].to"), out);
        policy_ports(rule.ports.as_deref(), &format!("spec.egress[{i}].ports"), out);
    }
}

fn peers(peers: Option<&[NetworkPolicyPeer]>, field: &str, out: &mut Causes) {
    for (i, p) in peers.unwrap_or_default().iter().enumerate() {
        let here = format!("{field}[{i}]");
        let selectors = [("podSelector", &p.pod_selector), ("namespaceSelector", &p.namespace_selector)];
        let selects = selectors.iter().any(|(_, s)| s.is_some());
        match (&p.ip_block, selects) {
            (None, false) => out.required(here.as_str(), "must specify a peer"),
            (Some(_), true) => out.forbidden(here.as_str(), "may not specify both ipBlock and another peer"),
            _ => {}
        }
        for (name, s) in selectors {
            if let Some(s) = s {
                meta::selector(s, &format!("{here}.{name}"), out);
            }
        }
        let Some(block) = &p.ip_block else { continue };
        let Some(net) = cidr(&block.cidr, format!("{here}.ipBlock.cidr"), out) else { continue };
        for (j, e) in block.except.iter().flatten().enumerate() {
            let at = format!("{here}.ipBlock.except[{j}]");
            if let Some(inner) = cidr(e, at.clone(), out)
                && (inner.1 <= net.1 || masked(inner.0, net.1) != net.0)
            {
                out.invalid(at, e.as_str(), "must be a strict subset of `cidr`");
            }
        }
    }
}

fn cidr(text: &str, field: String, out: &mut Causes) -> Option<(u32, u32)> {
    if text.is_empty() {
        out.required(field, "");
        return None;
    }
    let parsed = text.split_once('/').and_then(|(ip, bits)| {
        let ip: IpAddr = ip.parse().ok()?;
        let bits = bits.parse::<u32>().ok().filter(|b| *b <= if ip.is_ipv4() { 32 } else { 128 })?;
        Some((ip, bits))
    });
    match parsed {
        Some((IpAddr::V4(ip), bits)) => return Some((masked(ip.to_bits(), bits), bits)),
        Some((IpAddr::V6(_), _)) => out.invalid(field, text, "not supported on this node: pods have IPv4 only"),
        None => out.invalid(field, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24)"),
    }
    None
}

fn masked(ip: u32, bits: u32) -> u32 {
    ip & u32::MAX.checked_shl(32 - bits).unwrap_or(0)
}

fn policy_ports(ports: Option<&[NetworkPolicyPort]>, field: &str, out: &mut Causes) {
    for (i, p) in ports.unwrap_or_default().iter().enumerate() {
        let here = format!("{field}[{i}]");
        if let Some(IntOrString::String(name)) = &p.port {
            names::port_name(name, format!("{here}.port"), out);
        }
        match (p.end_port, &p.port) {
            (None, _) => {}
            (Some(_), None) => {
                out.required(format!("{here}.endPort"), "may not be specified when `port` is not specified")
            }
            (Some(end), Some(IntOrString::String(_))) => {
                out.invalid(format!("{here}.endPort"), end, "may not be specified when `port` is non-numeric");
            }
            (Some(end), Some(IntOrString::Int(port))) if end < *port => {
                out.invalid(format!("{here}.endPort"), end, "must be greater than or equal to `port`");
            }
            _ => {}
        }
    }
}
