//! Objects of the API → [`Zone`]. Pure.

use std::net::IpAddr;

use k8s_openapi::api::{
    core::v1 as core,
    discovery::v1::{self as discovery, EndpointSlice},
};

use crate::zone::{Endpoint, Port, Protocol, Service, Zone};

/// Label of an EndpointSlice with the name of its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// All names that these objects give. Endpoints are taken from the slices, and
/// only of headless Services; those that are not ready are left out
/// (`publishNotReadyAddresses` makes the controller call them ready).
pub fn zone<'a>(
    services: impl IntoIterator<Item = &'a core::Service>,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    namespaces: impl IntoIterator<Item = &'a String>,
) -> Zone {
    let mut zone = Zone { namespaces: namespaces.into_iter().cloned().collect(), ..Zone::default() };
    let named = services.into_iter().filter(|s| kind(s) != Some("ExternalName"));
    zone.services = named.map(|s| (key(&s.metadata), service(s))).collect();
    for slice in slices {
        let meta = &slice.metadata;
        let Some(name) = meta.labels.as_ref().and_then(|l| l.get(SERVICE_NAME)) else { continue };
        let namespace = meta.namespace.clone().unwrap_or_default();
        let Some(service) = zone.services.get_mut(&(namespace, name.clone())) else { continue };
        if service.cluster_ips.is_empty() {
            add(slice, service);
        }
    }
    zone
}

type Meta = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

fn key(meta: &Meta) -> (String, String) {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn kind(s: &core::Service) -> Option<&str> {
    s.spec.as_ref()?.type_.as_deref()
}

fn service(s: &core::Service) -> Service {
    let Some(spec) = &s.spec else { return Service::default() };
    let mut cluster_ips: Vec<IpAddr> =
        spec.cluster_ip.iter().chain(spec.cluster_ips.iter().flatten()).filter_map(|ip| ip.parse().ok()).collect();
    cluster_ips.dedup();
    let port = |p: &core::ServicePort| port(p.name.as_ref(), p.protocol.as_ref(), Some(p.port));
    let ports = spec.ports.iter().flatten().filter_map(port);
    Service { ports: if cluster_ips.is_empty() { vec![] } else { ports.collect() }, cluster_ips, endpoints: vec![] }
}

fn port(name: Option<&String>, protocol: Option<&String>, number: Option<i32>) -> Option<Port> {
    let protocol = match protocol.map_or("TCP", String::as_str) {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        _ => return None,
    };
    Some(Port { name: name.filter(|n| !n.is_empty())?.clone(), protocol, number: u16::try_from(number?).ok()? })
}

fn add(slice: &EndpointSlice, service: &mut Service) {
    let ports = slice.ports.iter().flatten().filter_map(|p| port(p.name.as_ref(), p.protocol.as_ref(), p.port));
    let ports: Vec<Port> = ports.collect();
    let ready = |e: &&discovery::Endpoint| e.conditions.as_ref().and_then(|c| c.ready) != Some(false);
    for e in slice.endpoints.iter().filter(ready) {
        let addresses: Vec<IpAddr> = e.addresses.iter().filter_map(|a| a.parse().ok()).collect();
        let hostname = e.hostname.clone().filter(|h| !h.is_empty());
        // A pod of two address families is in two slices, and one name.
        let same = service.endpoints.iter_mut().find(|have| hostname.is_some() && have.hostname == hostname);
        match same {
            Some(have) => {
                have.addresses.extend(addresses);
                have.ports.extend(ports.iter().cloned());
                have.ports.sort();
                have.ports.dedup();
            }
            None if addresses.is_empty() => {}
            None => service.endpoints.push(Endpoint { addresses, hostname, ports: ports.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn object(name: &str, spec: Value) -> core::Service {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec})).unwrap()
    }

    fn slice(service: &str, endpoints: Value) -> EndpointSlice {
        let labels = json!({SERVICE_NAME: service});
        serde_json::from_value(json!({"metadata": {"namespace": "shop", "labels": labels}, "addressType": "IPv4",
            "endpoints": endpoints, "ports": [{"name": "redis", "port": 6379}, {"name": "", "port": 1}]}))
        .unwrap()
    }

    fn made() -> Zone {
        let services = [
            object(
                "web",
                json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"],
                    "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}),
            ),
            object("redis", json!({"clusterIP": "None", "ports": [{"name": "redis", "port": 6379}]})),
            object("away", json!({"type": "ExternalName", "externalName": "example.com"})),
        ];
        let slices = [
            slice("web", json!([{"addresses": ["10.244.0.9"]}])),
            slice(
                "redis",
                json!([
                    {"addresses": ["10.244.0.5"], "hostname": "redis-0", "conditions": {"ready": true}},
                    {"addresses": ["10.244.0.6"], "hostname": "redis-1", "conditions": {"ready": false}},
                    {"addresses": ["10.244.0.7"]},
                ]),
            ),
            slice("redis", json!([{"addresses": ["fd00:1::5"], "hostname": "redis-0", "conditions": {"ready": true}}])),
            slice("nobody", json!([{"addresses": ["10.244.0.8"]}])),
        ];
        zone(&services, &slices, &["shop".to_owned(), "empty".to_owned()])
    }

    #[test]
    fn names_of_objects() {
        let zone = made();
        let found = |name: &str| {
            let labels: Vec<&str> = name.split('.').collect();
            let found = zone.lookup(&labels)?;
            Some((found.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), found.services.len()))
        };
        for (name, want) in [
            ("web.shop.svc", Some((vec!["10.96.0.7", "fd00::7"], 2))),
            ("_http._tcp.web.shop.svc", Some((vec![], 1))),
            ("_dns._udp.web.shop.svc", Some((vec![], 1))),
            ("redis.shop.svc", Some((vec!["10.244.0.5", "fd00:1::5", "10.244.0.7"], 2))),
            ("redis-0.redis.shop.svc", Some((vec!["10.244.0.5", "fd00:1::5"], 0))),
            ("redis-1.redis.shop.svc", None),
            ("10-244-0-7.redis.shop.svc", Some((vec!["10.244.0.7"], 0))),
            ("_redis._tcp.redis.shop.svc", Some((vec![], 2))),
            ("away.shop.svc", None),
            ("nobody.shop.svc", None),
            ("empty.svc", Some((vec![], 0))),
        ] {
            let want = want.map(|(a, n)| (a.into_iter().map(String::from).collect::<Vec<_>>(), n));
            assert_eq!(found(name), want, "{name}");
        }
    }
}
