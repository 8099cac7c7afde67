//! Addresses and address families of Services.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::ServiceSpec;
use serde_json::Value;

use crate::{
    cause::Causes,
    family::{Family, is_service_address, service_networks},
};

const RELEASES: [(&str, &str); 2] = [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")];

/// Check one Service that has its defaults.
pub(super) fn service(spec: &ServiceSpec, out: &mut Causes) {
    let ips = spec.cluster_ips.as_deref().unwrap_or_default();
    let families = spec.ip_families.as_deref().unwrap_or_default();
    if let [first, rest @ ..] = families
        && let Some(i) = rest.iter().position(|f| f == first)
    {
        return out.duplicate(format!("spec.ipFamilies[{}]", i + 1), first.as_str());
    }
    cluster_ips(spec, ips, families, out);
    if spec.ip_family_policy.as_deref() == Some("SingleStack") {
        for (found, what) in [(ips.len(), "cluster IPs"), (families.len(), "IP families")] {
            if found == 2 {
                let why = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
                return out.invalid("spec.ipFamilyPolicy", "SingleStack", why);
            }
        }
    }
}

fn cluster_ips(spec: &ServiceSpec, ips: &[String], families: &[String], out: &mut Causes) {
    let field = "spec.clusterIPs";
    let mut wrong = |why: &str| out.invalid(field, ips.to_vec(), why);
    match (spec.cluster_ip.as_deref().unwrap_or(""), ips) {
        (_, []) => return,
        ("", _) => return wrong("must be empty when `clusterIP` is not specified"),
        (ip, [first, ..]) if ip != first => return wrong("first value must match `clusterIP`"),
        (_, [_, _, _, ..]) => return wrong("may only hold up to 2 values"),
        (_, [_, _]) if ips.iter().any(|ip| ip == "None") => {
            return wrong("'None' must be the first and only value");
        }
        _ => {}
    }
    if ips[0] == "None" {
        if spec.type_.as_deref() == Some("NodePort") {
            out.invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for NodePort services");
        }
        return;
    }
    let mut found = vec![];
    for (i, ip) in ips.iter().enumerate() {
        let here = format!("{field}[{i}]");
        let Some(parsed) = ip.parse::<IpAddr>().ok().filter(is_service_address) else {
            let networks = service_networks();
            let why = format!("must be empty, 'None', or an address of the node's Services, {networks}");
            out.invalid(here, ip.as_str(), why);
            continue;
        };
        let family = Family::of(&parsed).as_str();
        if found.contains(&family) {
            out.invalid(field, ips.to_vec(), "may specify no more than one IP for each IP family");
        } else if let Some(want) = families.get(i).filter(|f| *f != family) {
            out.invalid(here, ip.as_str(), format!("expected an {want} value as indicated by `ipFamilies[{i}]`"));
        }
        found.push(family);
    }
}

/// What the Service was given stays, the first address and family for good.
pub(super) fn update(new: &Value, old: &Value, out: &mut Causes) {
    let list = |spec: &Value, field: &str| spec[field].as_array().cloned().unwrap_or_default();
    for (field, what) in RELEASES {
        let (now, before) = (list(new, field), list(old, field));
        let changed = now.iter().zip(&before).position(|(n, b)| n != b);
        if let Some(i) = changed {
            return out.invalid(format!("spec.{field}[{i}]"), now[i].clone(), "may not change once set");
        }
        if now.len() < before.len() && new["ipFamilyPolicy"] != "SingleStack" {
            let why = format!("must be 'SingleStack' to release the secondary {what}");
            return out.invalid("spec.ipFamilyPolicy", new["ipFamilyPolicy"].clone(), why);
        }
    }
}
