//! Pieces of `libnftables-json(5)` rules.

use std::net::IpAddr;

use serde_json::{Value, json};

pub(super) fn transport(udp: bool) -> &'static str {
    if udp { "udp" } else { "tcp" }
}

pub(super) fn family(ip: &IpAddr) -> &'static str {
    if ip.is_ipv4() { "ip" } else { "ip6" }
}

pub(super) fn jump(target: &str) -> Value {
    json!({"jump": {"target": target}})
}

pub(super) fn goto(target: &str) -> Value {
    json!({"goto": {"target": target}})
}

pub(super) fn drop() -> Value {
    json!({"drop": null})
}

pub(super) fn back() -> Value {
    json!({"return": null})
}

pub(super) fn matches(left: Value, op: &str, right: Value) -> Value {
    json!({"match": {"op": op, "left": left, "right": right}})
}

pub(super) fn equal(left: Value, right: Value) -> Value {
    matches(left, "==", right)
}

pub(super) fn field(protocol: &str, field: &str) -> Value {
    json!({"payload": {"protocol": protocol, "field": field}})
}

pub(super) fn meta(key: &str) -> Value {
    json!({"meta": {"key": key}})
}

/// Is this packet of the address family of `ip`?
pub(super) fn same_family(ip: &IpAddr) -> Value {
    equal(meta("nfproto"), json!(if ip.is_ipv4() { "ipv4" } else { "ipv6" }))
}

/// Is the packet for an address of the node?
pub(super) fn for_the_node() -> Value {
    equal(json!({"fib": {"result": "type", "flags": ["daddr"]}}), json!("local"))
}

pub(super) fn prefix(cidr: &str) -> Value {
    let (addr, len) = cidr.split_once('/').unwrap_or((cidr, ""));
    let all = if addr.contains(':') { 128 } else { 32 };
    json!({"prefix": {"addr": addr, "len": len.parse::<u8>().unwrap_or(all)}})
}

/// Addresses as one set per family.
pub(super) fn by_family<'a>(addresses: impl Iterator<Item = &'a IpAddr> + Clone) -> Vec<(&'static str, Value)> {
    sets(addresses, |a| json!(a.to_string()))
}

/// Does the sender send to itself? One expression per family.
pub(super) fn to_itself<'a>(addresses: impl Iterator<Item = &'a IpAddr> + Clone) -> Vec<Value> {
    let twice = |a: &IpAddr| json!({"concat": [a.to_string(), a.to_string()]});
    let ends = |f| json!({"concat": [field(f, "saddr"), field(f, "daddr")]});
    sets(addresses, twice).into_iter().map(|(f, set)| equal(ends(f), set)).collect()
}

fn sets<'a>(
    addresses: impl Iterator<Item = &'a IpAddr> + Clone,
    element: impl Fn(&IpAddr) -> Value,
) -> Vec<(&'static str, Value)> {
    let of = |v4: bool| -> Vec<Value> { addresses.clone().filter(|a| a.is_ipv4() == v4).map(&element).collect() };
    let sets = [("ip", of(true)), ("ip6", of(false))];
    sets.into_iter().filter(|(_, s)| !s.is_empty()).map(|(f, s)| (f, json!({"set": s}))).collect()
}
