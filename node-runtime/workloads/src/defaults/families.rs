//! Address families of Services: the defaults that follow from the object.
//!
//! Whether the node has IPv6 is not known here. Addresses, and the second
//! family of `PreferDualStack`, are given when a node takes the object in.
//!
//! Source: dual-stack Services of Kubernetes 1.34 (KEP 563).

use serde_json::Value;

use super::{put, text};
use crate::family::Family;

/// Families, policy and list of addresses of a Service. `old` is its spec as
/// it is, or null: what was given before stays, unless the client gives it
/// up.
pub(super) fn apply(spec: &mut Value, old: &Value) {
    keep(spec, old);
    let policy = text(spec, "ipFamilyPolicy").to_owned();
    let reduced = (1..list(old, "ipFamilies").len()).contains(&list(spec, "ipFamilies").len());
    if policy == "SingleStack" {
        give_up_the_second(spec, old);
    } else if reduced {
        // Refused with the reason by the check of updates.
        return;
    }
    complete(spec, &policy);
}

/// What the client does not mention stays.
fn keep(spec: &mut Value, old: &Value) {
    let before = text(old, "clusterIP").to_owned();
    if text(spec, "clusterIP").is_empty() && !before.is_empty() {
        put(spec, "clusterIP", before.as_str());
    }
    let ip = text(spec, "clusterIP").to_owned();
    // A client that knows one address only changed that.
    if ip != before && !before.is_empty() && spec.get("clusterIPs") == old.get("clusterIPs") {
        put(spec, "clusterIPs", vec![ip.as_str()]);
    }
    if ip == before {
        for field in ["clusterIPs", "ipFamilies"] {
            if let Some(given) = old.get(field).filter(|_| list(spec, field).is_empty()) {
                put(spec, field, given.clone());
            }
        }
    }
    if list(spec, "clusterIPs").is_empty() && !ip.is_empty() {
        put(spec, "clusterIPs", vec![ip]);
    }
    if text(spec, "ipFamilyPolicy").is_empty() {
        let policy = match text(old, "ipFamilyPolicy") {
            "" if leads_elsewhere(spec) => "RequireDualStack",
            "" => "SingleStack",
            before => before,
        };
        put(spec, "ipFamilyPolicy", policy.to_owned());
    }
}

/// `SingleStack` is clear intent if neither list was changed.
fn give_up_the_second(spec: &mut Value, old: &Value) {
    for field in ["clusterIPs", "ipFamilies"] {
        let unchanged = spec.get(field) == old.get(field);
        if let Some(items) = spec.get_mut(field).and_then(Value::as_array_mut).filter(|_| unchanged) {
            items.truncate(1);
        }
    }
}

fn complete(spec: &mut Value, policy: &str) {
    let mut families = list(spec, "ipFamilies");
    let ips = list(spec, "clusterIPs");
    for ip in ips.iter().skip(families.len()) {
        // Anything else is `None`, or refused by the checks.
        let family = ip.parse().ok().map(|ip| Family::of(&ip).as_str().to_owned());
        families.extend(family.filter(|f| !families.contains(f)));
    }
    if families.is_empty() {
        families.push(Family::V4.as_str().to_owned());
    }
    let both = policy == "RequireDualStack" || policy == "PreferDualStack" && leads_elsewhere(spec);
    if let ([one], true) = (families.as_slice(), both)
        && let Some(one) = Family::named(one)
    {
        families.push(one.other().as_str().to_owned());
    }
    put(spec, "ipFamilies", families);
}

/// Headless and without selector: names of addresses that somebody else
/// writes, of whatever family.
fn leads_elsewhere(spec: &Value) -> bool {
    let selects = spec.get("selector").and_then(Value::as_object).is_some_and(|s| !s.is_empty());
    text(spec, "clusterIP") == "None" && !selects
}

fn list(spec: &Value, field: &str) -> Vec<String> {
    let items = spec.get(field).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
