//! Services and network policies.

use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::{
    api::{
        core::v1::{Service, ServiceSpec},
        networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    families, meta,
    names::{self, Form},
};
use crate::{cause::Causes, family::prefix};

pub(super) fn service(s: &Service, out: &mut Causes) {
    let Some(spec) = &s.spec else { return out.required("spec", "") };
    names::labels(spec.selector.iter().flatten(), "spec.selector", out);
    families::service(spec, out);
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
                && !inner.within(&net)
            {
                out.invalid(at, e.as_str(), "must be a strict subset of `cidr`");
            }
        }
    }
}

/// An address block.
struct Cidr {
    v4: bool,
    /// The address in the first bits, those after the prefix 0.
    bits: u128,
    len: u8,
}

impl Cidr {
    fn parse(text: &str) -> Option<Self> {
        let (ip, len) = text.split_once('/')?;
        let (bits, max) = match ip.parse().ok()? {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 32),
            IpAddr::V6(ip) => (ip.to_bits(), 128),
        };
        let len = len.parse().ok().filter(|len| *len <= max)?;
        Some(Self { v4: max == 32, bits: prefix(bits, len), len })
    }

    /// Is it a part of the other, and not all of it?
    fn within(&self, other: &Self) -> bool {
        self.v4 == other.v4 && self.len > other.len && prefix(self.bits, other.len) == other.bits
    }
}

fn cidr(text: &str, field: String, out: &mut Causes) -> Option<Cidr> {
    if text.is_empty() {
        out.required(field, "");
        return None;
    }
    let parsed = Cidr::parse(text);
    if parsed.is_none() {
        out.invalid(field, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
    parsed
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
