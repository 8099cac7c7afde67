//! The nftables table as a value, and its JSON (`libnftables-json(5)`).
//!
//! One table `skerry` of family `ip`, replaced as a whole in one transaction:
//! either all of it is in force or the one before.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::{desired::Desired, observed::Observed};

/// Everything that the rules depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Ports of services, in order.
    pub forwards: Vec<Forward>,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// UDP instead of TCP?
    pub udp: bool,
    /// Virtual address.
    pub cluster_ip: Ipv4Addr,
    /// Port of the virtual address.
    pub port: u16,
    /// Port of the node.
    pub node_port: Option<u16>,
    /// Ready pods.
    pub endpoints: Vec<Endpoint>,
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Pod address.
    pub ip: Ipv4Addr,
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
                Some(Endpoint { ip: observed.sandboxes.get(&pod.uid)?.ip, port: p.target.resolve(pod)? })
            };
            let mut endpoints: Vec<Endpoint> = pods.filter_map(endpoint).collect();
            endpoints.sort();
            forwards.push(Forward {
                udp: p.udp,
                cluster_ip: service.cluster_ip,
                port: p.port,
                node_port: p.node_port,
                endpoints,
            });
        }
    }
    Ruleset { forwards }
}

const TABLE: &str = "skerry";

/// The transaction that puts the ruleset in force, for `nft -j -f -`.
pub fn render(rules: &Ruleset, bridge: &str, pod_cidr: &str) -> Value {
    let table = json!({"family": "ip", "name": TABLE});
    let mut out = vec![
        // Adding first makes the deletion work on the first run too.
        json!({"add": {"table": table}}),
        json!({"delete": {"table": table}}),
        json!({"add": {"table": table}}),
    ];
    for (name, kind, hook, prio) in [
        ("guard", "filter", "prerouting", -310),
        ("prerouting", "nat", "prerouting", -100),
        ("output", "nat", "output", -100),
        ("postrouting", "nat", "postrouting", 100),
    ] {
        out.push(json!({"add": {"chain": {"family": "ip", "table": TABLE, "name": name,
            "type": kind, "hook": hook, "prio": prio, "policy": "accept"}}}));
    }
    out.push(json!({"add": {"chain": {"family": "ip", "table": TABLE, "name": "services"}}}));
    let mut rule = |chain: &str, expr: Vec<Value>| {
        out.push(json!({"add": {"rule": {"family": "ip", "table": TABLE, "chain": chain, "expr": expr}}}));
    };
    // route_localnet is on for the bridge; without this a pod could reach what
    // listens on the node's loopback only.
    rule(
        "guard",
        vec![
            matches(meta("iifname"), "==", json!(bridge)),
            matches(field("ip", "daddr"), "==", prefix("127.0.0.0/8")),
            json!({"drop": null}),
        ],
    );
    for chain in ["prerouting", "output"] {
        rule(chain, vec![json!({"jump": {"target": "services"}})]);
    }
    for f in &rules.forwards {
        let proto = if f.udp { "udp" } else { "tcp" };
        for (i, e) in f.endpoints.iter().enumerate() {
            // Of the n endpoints that are left, take this one with 1/n.
            let left = f.endpoints.len() - i;
            let pick = (left > 1)
                .then(|| matches(json!({"numgen": {"mode": "random", "mod": left, "offset": 0}}), "==", json!(0)));
            let dnat = json!({"dnat": {"addr": e.ip.to_string(), "port": e.port}});
            let cluster = vec![
                matches(field("ip", "daddr"), "==", json!(f.cluster_ip.to_string())),
                matches(field(proto, "dport"), "==", json!(f.port)),
            ];
            let node = f.node_port.map(|port| {
                vec![
                    matches(json!({"fib": {"result": "type", "flags": ["daddr"]}}), "==", json!("local")),
                    matches(field(proto, "dport"), "==", json!(port)),
                ]
            });
            for head in [Some(cluster), node].into_iter().flatten() {
                rule("services", head.into_iter().chain(pick.clone()).chain([dnat.clone()]).collect());
            }
        }
    }
    // A pod that reaches a pod through a service must get the answer from the
    // service, so it has to come back through the node.
    rule(
        "postrouting",
        vec![
            matches(field("ip", "saddr"), "==", prefix(pod_cidr)),
            matches(field("ip", "daddr"), "==", prefix(pod_cidr)),
            matches(json!({"ct": {"key": "status"}}), "in", json!("dnat")),
            json!({"masquerade": null}),
        ],
    );
    // Pods' way out, and the node's own loopback clients of node ports.
    rule(
        "postrouting",
        vec![
            matches(field("ip", "saddr"), "==", prefix(pod_cidr)),
            matches(field("ip", "daddr"), "!=", prefix(pod_cidr)),
            matches(meta("oifname"), "!=", json!(bridge)),
            json!({"masquerade": null}),
        ],
    );
    rule(
        "postrouting",
        vec![
            matches(field("ip", "saddr"), "==", prefix("127.0.0.0/8")),
            matches(meta("oifname"), "==", json!(bridge)),
            json!({"masquerade": null}),
        ],
    );
    json!({"nftables": out})
}

fn matches(left: Value, op: &str, right: Value) -> Value {
    json!({"match": {"op": op, "left": left, "right": right}})
}

fn field(protocol: &str, field: &str) -> Value {
    json!({"payload": {"protocol": protocol, "field": field}})
}

fn meta(key: &str) -> Value {
    json!({"meta": {"key": key}})
}

fn prefix(cidr: &str) -> Value {
    let (addr, len) = cidr.split_once('/').unwrap_or((cidr, "32"));
    json!({"prefix": {"addr": addr, "len": len.parse::<u8>().unwrap_or(32)}})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn table_of_one_node_port_with_two_endpoints() {
        let endpoint = |n| Endpoint { ip: Ipv4Addr::new(10, 244, 0, n), port: 8080 };
        let rules = Ruleset {
            forwards: vec![
                Forward {
                    udp: false,
                    cluster_ip: Ipv4Addr::new(10, 96, 1, 2),
                    port: 80,
                    node_port: Some(30080),
                    endpoints: vec![endpoint(2), endpoint(3)],
                },
                Forward {
                    udp: true,
                    cluster_ip: Ipv4Addr::new(10, 96, 1, 3),
                    port: 53,
                    node_port: None,
                    endpoints: vec![],
                },
            ],
        };
        let lines =
            |v: &Value| -> String { v["nftables"].as_array().unwrap().iter().map(|l| format!("{l}\n")).collect() };
        insta::assert_snapshot!(lines(&render(&rules, "skerry0", "10.244.0.0/24")));
    }
}
