//! The nftables table, as `libnftables-json(5)`. Pure.
//!
//! One table `skerry` of family `inet`, changed in one transaction: either all
//! of the new rules are in force or the ones before. Connections that exist go
//! on; conntrack knows them. Sets of clients that still mean the same stay too,
//! so that nobody loses his pod over a change elsewhere.

mod expr;
mod policies;
mod services;

use std::{collections::BTreeSet, net::IpAddr};

use expr::{drop, equal, family, field, matches, meta, prefix};
use serde_json::{Value, json};

use super::ruleset::Ruleset;

/// Name of the table.
const TABLE: &str = "skerry";
/// Its family.
const FAMILY: &str = "inet";
/// Arguments of `nft` that list what [`Kept::parse`] reads.
pub(crate) const LIST: [&str; 6] = ["-j", "-t", "list", "table", FAMILY, TABLE];
/// Chains that the kernel calls: name, type, hook, priority.
const BASE: [(&str, &str, &str, i32); 7] = [
    ("guard", "filter", "prerouting", -310),
    ("prerouting", "nat", "prerouting", -100),
    ("output", "nat", "output", -100),
    ("postrouting", "nat", "postrouting", 100),
    ("forward", "filter", "forward", 0),
    ("input", "filter", "input", 0),
    ("local", "filter", "output", 0),
];

/// Networks and interfaces that the rules name.
#[derive(Debug, Clone)]
pub struct Names<'a> {
    /// Pattern of the node's ends of the pods' links, `skp*`.
    pub pod_links: &'a str,
    /// Networks of all pods, one per address family.
    pub pod_networks: &'a [String],
    /// The node's addresses in these networks; the name server listens there.
    pub gateways: &'a [IpAddr],
}

/// What the table in force holds beside rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    chains: BTreeSet<String>,
    sets: BTreeSet<String>,
}

impl Kept {
    /// From what `nft` lists; `None`: there is no table.
    pub fn parse(listed: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(listed).ok()?;
        let items = value["nftables"].as_array()?;
        items.iter().find(|i| i["table"]["name"] == TABLE)?;
        let names = |what: &str| items.iter().filter_map(|i| Some(i[what]["name"].as_str()?.to_owned())).collect();
        Some(Self { chains: names("chain"), sets: names("set") })
    }
}

/// The transaction that puts the ruleset in force, for `nft -j -f -`. Without
/// `kept` the table is made anew.
pub fn render(rules: &Ruleset, names: &Names<'_>, kept: Option<&Kept>) -> Value {
    let mut out = Table::default();
    for chain in ["services", "unserved", "from-pods", "to-pods"] {
        out.chain(chain);
    }
    guard(names, &mut out);
    services::services(&rules.forwards, &mut out);
    services::way_out(&rules.forwards, names, &mut out);
    policies::policies(&rules.isolations, names, &mut out);
    json!({"nftables": out.transaction(kept)})
}

/// The content of the table, as it grows.
#[derive(Debug, Default)]
struct Table {
    chains: Vec<String>,
    sets: Vec<(String, Value)>,
    rules: Vec<Value>,
}

impl Table {
    fn chain(&mut self, name: &str) {
        self.chains.push(name.into());
    }

    /// A set of addresses that are forgotten after a time.
    fn set(&mut self, name: &str, kind: &str, timeout_secs: u32, size: u32) {
        let set = json!({"family": FAMILY, "table": TABLE, "name": name, "type": kind,
            "flags": ["timeout"], "timeout": timeout_secs, "size": size});
        self.sets.push((name.into(), set));
    }

    fn rule(&mut self, chain: &str, expr: Vec<Value>) {
        self.rules.push(json!({"add": {"rule": {"family": FAMILY, "table": TABLE, "chain": chain, "expr": expr}}}));
    }

    fn transaction(self, kept: Option<&Kept>) -> Vec<Value> {
        let named = |name: &str| json!({"family": FAMILY, "table": TABLE, "name": name});
        let none = Kept::default();
        let have = kept.unwrap_or(&none);
        let mut out = begin(kept.is_some());
        for (what, old, new) in [
            ("chain", &have.chains, self.chains.iter().collect::<BTreeSet<_>>()),
            ("set", &have.sets, self.sets.iter().map(|(name, _)| name).collect()),
        ] {
            let base = |n: &String| BASE.iter().any(|b| b.0 == n);
            let gone = old.iter().filter(|n| !new.contains(n) && !base(n));
            out.extend(gone.map(|n| json!({"delete": {what: named(n)}})));
        }
        for (name, kind, hook, prio) in BASE {
            out.push(json!({"add": {"chain": {"family": FAMILY, "table": TABLE, "name": name,
                "type": kind, "hook": hook, "prio": prio, "policy": "accept"}}}));
        }
        out.extend(self.chains.iter().map(|n| json!({"add": {"chain": named(n)}})));
        let new = self.sets.into_iter().filter(|(name, _)| !have.sets.contains(name));
        out.extend(new.map(|(_, set)| json!({"add": {"set": set}})));
        out.extend(self.rules);
        out
    }
}

/// An empty table; or, to keep its sets, one without rules.
fn begin(keep: bool) -> Vec<Value> {
    let table = json!({"family": FAMILY, "name": TABLE});
    // The table of earlier releases was of another family.
    let before = json!({"family": "ip", "name": TABLE});
    // Adding first makes the deletion work on the first run too.
    let mut out = vec![json!({"add": {"table": before}}), json!({"delete": {"table": before}})];
    out.push(json!({"add": {"table": table}}));
    if keep {
        out.push(json!({"flush": {"table": table}}));
    } else {
        out.push(json!({"delete": {"table": table}}));
        out.push(json!({"add": {"table": table}}));
    }
    out
}

/// What nobody may send.
fn guard(names: &Names<'_>, out: &mut Table) {
    let from_pod = || equal(meta("iifname"), json!(names.pod_links));
    // route_localnet is on for the pods' links; without this a pod could reach
    // what listens on the node's loopback only.
    for (protocol, loopback) in [("ip", prefix("127.0.0.0/8")), ("ip6", json!("::1"))] {
        out.rule("guard", vec![from_pod(), equal(field(protocol, "daddr"), loopback), drop()]);
    }
    // A pod's packets carry its own address: others would get around policies.
    let elsewhere = || equal(json!({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}), json!(false));
    out.rule("guard", vec![from_pod(), equal(meta("nfproto"), json!("ipv4")), elsewhere(), drop()]);
    // Of IPv6, link-local ones too, and none while it looks for its address.
    let not = |cidr| matches(field("ip6", "saddr"), "!=", prefix(cidr));
    out.rule("guard", vec![from_pod(), not("fe80::/10"), not("::"), elsewhere(), drop()]);
    // The name server is the pods' and the node's, not the world's.
    for gateway in names.gateways {
        for transport in ["udp", "tcp"] {
            out.rule(
                "guard",
                vec![
                    matches(meta("iifname"), "!=", json!(names.pod_links)),
                    matches(meta("iifname"), "!=", json!("lo")),
                    equal(field(family(gateway), "daddr"), json!(gateway.to_string())),
                    equal(field(transport, "dport"), json!(53)),
                    drop(),
                ],
            );
        }
    }
}

#[cfg(test)]
mod tests;
