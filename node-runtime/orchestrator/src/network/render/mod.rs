//! The nftables table, as `libnftables-json(5)`. Pure.
//!
//! One table `skerry` of family `inet`, replaced as a whole in one
//! transaction: either all of it is in force or the one before. Connections
//! that exist go on; conntrack knows them.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    policy::{Allow, Direction, Isolation, Peers, PortRange, Protocol},
    ruleset::{Endpoint, Forward, Ruleset},
};

const TABLE: &str = "skerry";
const FAMILY: &str = "inet";
/// A sticky client's address is hashed to one of so many buckets, and each
/// bucket belongs to one pod. So nothing needs to be remembered, and when a pod
/// comes or goes only the clients of its own buckets move.
const BUCKETS: u32 = 64;

/// Networks and interfaces that the rules name.
#[derive(Debug, Clone)]
pub struct Names<'a> {
    /// Pattern of the node's ends of the pods' links, `skp*`.
    pub pod_links: &'a str,
    /// Networks of all pods, one per address family.
    pub pod_networks: &'a [String],
}

/// The transaction that puts the ruleset in force, for `nft -j -f -`.
pub fn render(rules: &Ruleset, names: &Names<'_>) -> Value {
    let mut out = Table::default();
    out.begin();
    guard(names, &mut out);
    services(&rules.forwards, &mut out);
    way_out(names, &mut out);
    policies(&rules.isolations, names, &mut out);
    json!({"nftables": out.items})
}

/// The transaction, as it grows.
#[derive(Debug, Default)]
struct Table {
    items: Vec<Value>,
}

impl Table {
    fn begin(&mut self) {
        let table = json!({"family": FAMILY, "name": TABLE});
        // Adding first makes the deletion work on the first run too. The table
        // of earlier releases was of another family.
        let before = json!({"family": "ip", "name": TABLE});
        for table in [&before, &table] {
            self.items.push(json!({"add": {"table": table}}));
            self.items.push(json!({"delete": {"table": table}}));
        }
        self.items.push(json!({"add": {"table": table}}));
        for (name, kind, hook, prio) in [
            ("guard", "filter", "prerouting", -310),
            ("prerouting", "nat", "prerouting", -100),
            ("output", "nat", "output", -100),
            ("postrouting", "nat", "postrouting", 100),
            ("forward", "filter", "forward", 0),
            ("input", "filter", "input", 0),
            ("local", "filter", "output", 0),
        ] {
            self.items.push(json!({"add": {"chain": {"family": FAMILY, "table": TABLE, "name": name,
                "type": kind, "hook": hook, "prio": prio, "policy": "accept"}}}));
        }
        for name in ["services", "unserved", "from-pods", "to-pods"] {
            self.chain(name);
        }
    }

    fn chain(&mut self, name: &str) {
        self.items.push(json!({"add": {"chain": {"family": FAMILY, "table": TABLE, "name": name}}}));
    }

    fn rule(&mut self, chain: &str, expr: Vec<Value>) {
        self.items.push(json!({"add": {"rule": {"family": FAMILY, "table": TABLE, "chain": chain, "expr": expr}}}));
    }
}

/// route_localnet is on for the pods' links; without this a pod could reach
/// what listens on the node's loopback only.
fn guard(names: &Names<'_>, out: &mut Table) {
    let from_pod = matches(meta("iifname"), "==", json!(names.pod_links));
    for (protocol, loopback) in [("ip", prefix("127.0.0.0/8")), ("ip6", json!("::1"))] {
        out.rule(
            "guard",
            vec![from_pod.clone(), matches(field(protocol, "daddr"), "==", loopback), json!({"drop": null})],
        );
    }
}

fn services(forwards: &[Forward], out: &mut Table) {
    for chain in ["prerouting", "output"] {
        out.rule(chain, vec![jump("services")]);
    }
    for chain in ["forward", "local"] {
        out.rule(chain, vec![jump("unserved")]);
    }
    for (i, f) in forwards.iter().enumerate() {
        let family = family(&f.cluster_ip);
        let port = |n: u16| matches(field(transport(f.udp), "dport"), "==", json!(n));
        let cluster = vec![matches(field(family, "daddr"), "==", json!(f.cluster_ip.to_string())), port(f.port)];
        if f.endpoints.is_empty() {
            let no = if f.udp { json!({"reject": null}) } else { json!({"reject": {"type": "tcp reset"}}) };
            out.rule("unserved", [cluster, vec![no]].concat());
            continue;
        }
        for (j, e) in f.endpoints.iter().enumerate() {
            let chain = endpoint_chain(i, j);
            out.chain(&chain);
            let dnat = json!({"dnat": {"family": family, "addr": e.ip.to_string(), "port": e.port}});
            out.rule(&chain, vec![matches(meta("l4proto"), "==", json!(transport(f.udp))), dnat]);
        }
        let pick = pick(i, f);
        out.rule("services", [cluster, vec![pick.clone()]].concat());
        if let Some(node_port) = f.node_port {
            out.rule(
                "services",
                vec![
                    matches(meta("nfproto"), "==", json!(if f.cluster_ip.is_ipv4() { "ipv4" } else { "ipv6" })),
                    matches(json!({"fib": {"result": "type", "flags": ["daddr"]}}), "==", json!("local")),
                    port(node_port),
                    pick,
                ],
            );
        }
    }
}

fn endpoint_chain(forward: usize, endpoint: usize) -> String {
    format!("endpoint-{forward}-{endpoint}")
}

/// Choose one of the endpoints.
fn pick(i: usize, f: &Forward) -> Value {
    let n = f.endpoints.len();
    if n == 1 {
        return json!({"goto": {"target": endpoint_chain(i, 0)}});
    }
    let to = |j: usize| json!({"goto": {"target": endpoint_chain(i, j)}});
    let (key, choices): (Value, Vec<Value>) = if f.sticky {
        let source = field(family(&f.cluster_ip), "saddr");
        let key = json!({"jhash": {"mod": BUCKETS, "seed": 1, "offset": 0, "expr": source}});
        (key, (0..BUCKETS).map(|b| json!([b, to(owner(b, &f.endpoints))])).collect())
    } else {
        let key = json!({"numgen": {"mode": "random", "mod": n, "offset": 0}});
        (key, (0..n).map(|j| json!([j, to(j)])).collect())
    };
    json!({"vmap": {"key": key, "data": {"set": choices}}})
}

/// The endpoint that a bucket belongs to: the one with the highest weight for
/// it (rendezvous hashing).
fn owner(bucket: u32, endpoints: &[Endpoint]) -> usize {
    let weight = |e: &Endpoint| {
        let text = format!("{bucket}/{}/{}", e.ip, e.port);
        // FNV-1a, 64 bits, stirred once more so that close texts part.
        let hash =
            text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        (hash ^ hash >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    (0..endpoints.len()).max_by_key(|i| weight(&endpoints[*i])).unwrap_or(0)
}

fn way_out(names: &Names<'_>, out: &mut Table) {
    for network in names.pod_networks {
        let family = if network.contains(':') { "ip6" } else { "ip" };
        // A pod that reaches a pod through a service must get the answer from
        // the service, so it has to come back through the node.
        out.rule(
            "postrouting",
            vec![
                matches(field(family, "saddr"), "==", prefix(network)),
                matches(field(family, "daddr"), "==", prefix(network)),
                matches(json!({"ct": {"key": "status"}}), "in", json!("dnat")),
                json!({"masquerade": null}),
            ],
        );
        // Pods' way out.
        out.rule(
            "postrouting",
            vec![
                matches(field(family, "saddr"), "==", prefix(network)),
                matches(field(family, "daddr"), "!=", prefix(network)),
                matches(meta("oifname"), "!=", json!(names.pod_links)),
                json!({"masquerade": null}),
            ],
        );
    }
    // The node's own loopback clients of node ports.
    for (family, loopback) in [("ip", prefix("127.0.0.0/8")), ("ip6", json!("::1"))] {
        out.rule(
            "postrouting",
            vec![
                matches(field(family, "saddr"), "==", loopback),
                matches(meta("oifname"), "==", json!(names.pod_links)),
                json!({"masquerade": null}),
            ],
        );
    }
}

fn policies(isolations: &[Isolation], names: &Names<'_>, out: &mut Table) {
    let known = matches(json!({"ct": {"key": "state"}}), "in", json!(["established", "related"]));
    for chain in ["from-pods", "to-pods"] {
        out.rule(chain, vec![known.clone(), json!({"return": null})]);
    }
    let from_pod = matches(meta("iifname"), "==", json!(names.pod_links));
    let to_pod = matches(meta("oifname"), "==", json!(names.pod_links));
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
        out.rule(
            &chain,
            vec![
                matches(field("icmpv6", "type"), "==", json!({"set": ["nd-neighbor-solicit", "nd-neighbor-advert"]})),
                json!({"return": null}),
            ],
        );
        out.rule(&chain, vec![json!({"drop": null})]);
        let (entry, own) = match isolation.direction {
            Direction::Ingress => ("to-pods", "daddr"),
            Direction::Egress => ("from-pods", "saddr"),
        };
        for (family, set) in by_family(isolation.pods.iter()) {
            out.rule(entry, vec![matches(field(family, own), "==", set), jump(&chain)]);
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
            by_family(pods.iter()).into_iter().map(|(f, set)| vec![matches(field(f, other), "==", set)]).collect()
        }
        Peers::Block { cidr, except } => {
            let family = if cidr.contains(':') { "ip6" } else { "ip" };
            let mut expr = vec![matches(field(family, other), "==", prefix(cidr))];
            expr.extend(except.iter().map(|e| matches(field(family, other), "!=", prefix(e))));
            vec![expr]
        }
    };
    let ports: Vec<Vec<Value>> =
        if allow.ports.is_empty() { vec![vec![]] } else { allow.ports.iter().map(port_match).collect() };
    let through = json!({"return": null});
    peers.iter().flat_map(|p| ports.iter().map(|q| [p.clone(), q.clone(), vec![through.clone()]].concat())).collect()
}

fn port_match(range: &PortRange) -> Vec<Value> {
    let protocol = transport(range.protocol == Protocol::Udp);
    match (range.first, range.last) {
        (0, u16::MAX) => vec![matches(meta("l4proto"), "==", json!(protocol))],
        (first, last) if first == last => vec![matches(field(protocol, "dport"), "==", json!(first))],
        (first, last) => vec![matches(field(protocol, "dport"), "==", json!({"range": [first, last]}))],
    }
}

/// Addresses as one set per family.
fn by_family<'a>(addresses: impl Iterator<Item = &'a IpAddr> + Clone) -> Vec<(&'static str, Value)> {
    let of = |v4: bool| -> Vec<String> {
        addresses.clone().filter(|a| a.is_ipv4() == v4).map(ToString::to_string).collect()
    };
    let sets = [("ip", of(true)), ("ip6", of(false))];
    sets.into_iter().filter(|(_, s)| !s.is_empty()).map(|(f, s)| (f, json!({"set": s}))).collect()
}

fn transport(udp: bool) -> &'static str {
    if udp { "udp" } else { "tcp" }
}

fn family(ip: &IpAddr) -> &'static str {
    if ip.is_ipv4() { "ip" } else { "ip6" }
}

fn jump(target: &str) -> Value {
    json!({"jump": {"target": target}})
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
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use super::*;

    fn endpoint(n: u8) -> Endpoint {
        Endpoint { ip: std::net::Ipv4Addr::new(10, 244, 0, n).into(), port: 8080 }
    }

    fn rules() -> Ruleset {
        let forward = |ip: &str, udp, node_port, sticky, endpoints| Forward {
            udp,
            cluster_ip: ip.parse().unwrap(),
            port: 80,
            node_port,
            sticky,
            endpoints,
        };
        let v6 = Endpoint { ip: "fd00:1::2".parse().unwrap(), port: 8080 };
        let allows = vec![
            Allow { peers: Peers::Any, ports: vec![PortRange { protocol: Protocol::Tcp, first: 80, last: 90 }] },
            Allow {
                peers: Peers::Pods(["10.244.0.3".parse().unwrap(), "fd00:1::3".parse().unwrap()].into()),
                ports: vec![],
            },
            Allow {
                peers: Peers::Block { cidr: "10.0.0.0/8".into(), except: vec!["10.1.0.0/16".into()] },
                ports: vec![PortRange { protocol: Protocol::Udp, first: 0, last: u16::MAX }],
            },
        ];
        let isolation = |direction| Isolation {
            direction,
            pods: ["10.244.0.2".parse().unwrap(), "fd00:1::2".parse().unwrap()].into(),
            allows: allows.clone(),
        };
        Ruleset {
            forwards: vec![
                forward("10.96.1.2", false, Some(30080), false, vec![endpoint(2), endpoint(3)]),
                forward("10.96.1.3", true, None, false, vec![]),
                forward("10.96.1.4", false, None, true, vec![endpoint(2), endpoint(3), endpoint(4)]),
                forward("fd00:2::2", false, Some(30080), false, vec![v6]),
            ],
            isolations: vec![isolation(Direction::Ingress), isolation(Direction::Egress)],
        }
    }

    fn rendered() -> Value {
        let networks = ["10.244.0.0/24".to_owned(), "fd00:1::/64".to_owned()];
        render(&rules(), &Names { pod_links: "skp*", pod_networks: &networks })
    }

    #[test]
    fn table_with_everything() {
        let lines: String = rendered()["nftables"].as_array().unwrap().iter().map(|l| format!("{l}\n")).collect();
        insta::assert_snapshot!(lines);
    }

    /// The real `nft` in a network namespace of its own. Twice: the second
    /// replaces the first.
    #[test]
    fn nft_takes_it() {
        let root = nix::unistd::geteuid().is_root();
        let unshare = if root { vec!["-n"] } else { vec!["-rn"] };
        let script = "cat > /dev/shm/$$ && nft -j -f /dev/shm/$$ && nft -j -f /dev/shm/$$; r=$?; \
                      rm /dev/shm/$$; [ $r = 0 ] && nft list table inet skerry; exit $r";
        let mut child = Command::new("unshare")
            .args(unshare)
            .args(["sh", "-c", script])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(rendered().to_string().as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let (text, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{why}");
        for line in ["jhash ip saddr mod 64", "numgen random mod 2", "reject", "masquerade", "tcp dport 80-90"] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
    }

    #[test]
    fn sticky_clients_stay_when_a_pod_comes_or_goes() {
        let four: Vec<Endpoint> = (2..6).map(endpoint).collect();
        let three = &four[..3];
        let of = |list: &[Endpoint], b| list[owner(b, list)];
        let moved = (0..BUCKETS).filter(|b| of(&four, *b) != of(three, *b)).count();
        let owned = (0..BUCKETS).filter(|b| of(&four, *b) == four[3]).count();
        assert_eq!(moved, owned, "only the buckets of the pod that went have moved");
        for e in &four {
            let n = (0..BUCKETS).filter(|b| of(&four, *b) == *e).count();
            assert!((6..30).contains(&n), "{e:?} has {n} of {BUCKETS} buckets");
        }
    }
}
