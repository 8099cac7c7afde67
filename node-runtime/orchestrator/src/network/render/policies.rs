//! NetworkPolicies.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::{Value, json};

use super::{
    Names, Table,
    expr::{back, by_family, drop, equal, field, jump, matches, meta, prefix, to_itself, transport},
};
use crate::network::policy::{Allow, Direction, Isolation, Peers, PortRange, Protocol};

pub(super) fn policies(isolations: &[Isolation], names: &Names<'_>, out: &mut Table) {
    let known = matches(json!({"ct": {"key": "state"}}), "in", json!(["established", "related"]));
    let isolated: BTreeSet<IpAddr> = isolations.iter().flat_map(|i| i.pods.iter().copied()).collect();
    for chain in ["from-pods", "to-pods"] {
        out.rule(chain, vec![known.clone(), back()]);
        for same in to_itself(isolated.iter()) {
            out.rule(chain, vec![same, back()]);
        }
    }
    let from_pod = equal(meta("iifname"), json!(names.pod_links));
    let to_pod = equal(meta("oifname"), json!(names.pod_links));
    out.rule("forward", vec![from_pod.clone(), jump("from-pods")]);
    out.rule("forward", vec![to_pod, jump("to-pods")]);
    // What pods send to the node itself.
    out.rule("input", vec![from_pod, jump("from-pods")]);
    for (i, isolation) in isolations.iter().enumerate() {
        let chain = format!("policy-{i}");
        out.chain(&chain);
        for allow in &isolation.allows {
            for expr in allow_rules(allow, isolation.direction) {
                out.rule(&chain, expr);
            }
        }
        // Neighbour discovery is how IPv6 finds the way; it is no traffic.
        let discovery = json!({"set": ["nd-neighbor-solicit", "nd-neighbor-advert"]});
        out.rule(&chain, vec![equal(field("icmpv6", "type"), discovery), back()]);
        out.rule(&chain, vec![drop()]);
        let (entry, own) = match isolation.direction {
            Direction::Ingress => ("to-pods", "daddr"),
            Direction::Egress => ("from-pods", "saddr"),
        };
        for (family, set) in by_family(isolation.pods.iter()) {
            out.rule(entry, vec![equal(field(family, own), set), jump(&chain)]);
        }
    }
}

/// Rules that let this through.
fn allow_rules(allow: &Allow, direction: Direction) -> Vec<Vec<Value>> {
    let other = match direction {
        Direction::Ingress => "saddr",
        Direction::Egress => "daddr",
    };
    let peers: Vec<Vec<Value>> = match &allow.peers {
        Peers::Any => vec![vec![]],
        Peers::Pods(pods) => {
            by_family(pods.iter()).into_iter().map(|(f, set)| vec![equal(field(f, other), set)]).collect()
        }
        Peers::Block { cidr, except } => {
            let family = if cidr.contains(':') { "ip6" } else { "ip" };
            let mut expr = vec![equal(field(family, other), prefix(cidr))];
            expr.extend(except.iter().map(|e| matches(field(family, other), "!=", prefix(e))));
            vec![expr]
        }
    };
    let ports: Vec<Vec<Value>> =
        if allow.ports.is_empty() { vec![vec![]] } else { allow.ports.iter().map(port_match).collect() };
    peers.iter().flat_map(|p| ports.iter().map(|q| [p.clone(), q.clone(), vec![back()]].concat())).collect()
}

fn port_match(range: &PortRange) -> Vec<Value> {
    let protocol = transport(range.protocol == Protocol::Udp);
    match (range.first, range.last) {
        (0, u16::MAX) => vec![equal(meta("l4proto"), json!(protocol))],
        (first, last) if first == last => vec![equal(field(protocol, "dport"), json!(first))],
        (first, last) => vec![equal(field(protocol, "dport"), json!({"range": [first, last]}))],
    }
}
