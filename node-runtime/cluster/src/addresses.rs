//! Addresses and ports that the node gives to Services.
//!
//! An address follows from the Service's name, so that it is the same after a
//! reboot and on every node of a fleet; the next free one where two collide.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use skerry_machinery::{Cause, Kind, Stored, kind};
use skerry_store::Lookup;

/// Ports of the node that Services get (Kubernetes' default range).
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;
/// First two octets of the addresses of Services.
const SERVICE_NETWORK: [u8; 2] = [10, 96];

/// What other Services have.
#[derive(Debug, Default)]
struct Taken {
    addresses: BTreeSet<IpAddr>,
    ports: BTreeSet<(String, u16)>,
}

impl Taken {
    fn of(store: &dyn Lookup, but: (&str, &str)) -> Self {
        let mut taken = Self::default();
        let others = store.list(service(), None).into_iter().filter(|s| (&*s.key.namespace, &*s.key.name) != but);
        others.for_each(|s| taken.add(&s));
        taken
    }

    fn add(&mut self, service: &Stored) {
        let spec = &service.value()["spec"];
        self.addresses.extend(address(spec));
        for port in spec["ports"].as_array().into_iter().flatten() {
            self.ports.extend(node_port(port).map(|n| (protocol(port), n)));
        }
    }
}

fn service() -> &'static Kind {
    kind("", "Service")
}

fn address(spec: &Value) -> Option<IpAddr> {
    spec["clusterIP"].as_str()?.parse().ok()
}

fn node_port(port: &Value) -> Option<u16> {
    port["nodePort"].as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0)
}

fn protocol(port: &Value) -> String {
    port["protocol"].as_str().unwrap_or("TCP").to_owned()
}

/// Give a Service, whose defaults are set, what it needs and has not.
///
/// # Errors
/// What it asks for belongs to another one, or is not to be given.
pub fn allocate(object: &mut Value, store: &dyn Lookup) -> Result<(), Vec<Cause>> {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let taken = Taken::of(store, (&namespace, &name));
    let spec = &mut object["spec"];
    let mut causes = vec![];
    cluster_ip(spec, &taken, &format!("{namespace}/{name}"), &mut causes);
    node_ports(spec, &taken, &format!("{namespace}/{name}"), &mut causes);
    if causes.is_empty() { Ok(()) } else { Err(causes) }
}

fn invalid(field: &str, value: impl std::fmt::Display, why: &str) -> Cause {
    Cause { reason: "FieldValueInvalid", field: field.into(), message: format!("Invalid value: {value}: {why}") }
}

fn cluster_ip(spec: &mut Value, taken: &Taken, name: &str, causes: &mut Vec<Cause>) {
    if spec["type"] == "ExternalName" {
        return;
    }
    let ip = match spec["clusterIP"].as_str().unwrap_or_default() {
        "None" => {
            spec["clusterIPs"] = json!(["None"]);
            return;
        }
        "" => match free_address(name, &taken.addresses) {
            Some(ip) => ip,
            None => return causes.push(invalid("spec.clusterIP", "\"\"", "no address is left in 10.96.0.0/16")),
        },
        given => match given.parse::<Ipv4Addr>() {
            Ok(ip) if ip.octets()[..2] == SERVICE_NETWORK => ip,
            Ok(ip) => {
                let why = "the provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/16";
                return causes.push(invalid("spec.clusterIPs", format!("[\"{ip}\"]"), why));
            }
            // Admission has said so already.
            Err(_) => return,
        },
    };
    if taken.addresses.contains(&ip.into()) {
        return causes.push(invalid("spec.clusterIPs", format!("[\"{ip}\"]"), "provided IP is already allocated"));
    }
    spec["clusterIP"] = json!(ip.to_string());
    spec["clusterIPs"] = json!([ip.to_string()]);
}

fn free_address(name: &str, taken: &BTreeSet<IpAddr>) -> Option<Ipv4Addr> {
    let h = Sha256::digest(name);
    let start = u16::from_be_bytes([h[0], h[1]]);
    let [a, b] = SERVICE_NETWORK;
    (0..=u16::MAX)
        .map(|i| start.wrapping_add(i).to_be_bytes())
        // The first ones are what clusters give to themselves.
        .filter(|[c, d]| !(*c == 0 && *d < 16) && (*c, *d) != (255, 255))
        .map(|[c, d]| Ipv4Addr::new(a, b, c, d))
        .find(|ip| !taken.contains(&IpAddr::from(*ip)))
}

fn node_ports(spec: &mut Value, taken: &Taken, name: &str, causes: &mut Vec<Cause>) {
    if !matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
        return;
    }
    let mut used = taken.ports.clone();
    let Some(ports) = spec["ports"].as_array_mut() else { return };
    for (i, port) in ports.iter().enumerate() {
        let Some(number) = node_port(port) else { continue };
        if !used.insert((protocol(port), number)) {
            causes.push(invalid(&format!("spec.ports[{i}].nodePort"), number, "provided port is already allocated"));
        }
    }
    for port in ports {
        if node_port(port).is_some() {
            continue;
        }
        let protocol = protocol(port);
        let Some(number) = free_port(&format!("{name}/{protocol}/{}", port["port"]), &protocol, &used) else {
            return causes.push(invalid("spec.ports", "", "no port is left in 30000-32767"));
        };
        used.insert((protocol, number));
        port["nodePort"] = json!(number);
    }
}

fn free_port(name: &str, protocol: &str, used: &BTreeSet<(String, u16)>) -> Option<u16> {
    let count = NODE_PORTS.end() - NODE_PORTS.start() + 1;
    let h = Sha256::digest(name);
    let start = u16::from_be_bytes([h[0], h[1]]) % count;
    (0..count)
        .map(|i| NODE_PORTS.start() + (start + i) % count)
        .find(|port| !used.contains(&(protocol.to_owned(), *port)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;

    struct Services(Vec<Arc<Stored>>);

    impl Lookup for Services {
        fn get(&self, _: &'static Kind, _: &str, _: &str) -> Option<Arc<Stored>> {
            None
        }
        fn list(&self, _: &'static Kind, _: Option<&str>) -> Vec<Arc<Stored>> {
            self.0.clone()
        }
    }

    fn object(name: &str, spec: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "spec": spec,
            "metadata": {"name": name, "namespace": "a", "resourceVersion": "1"}})
    }

    fn stored(object: &Value) -> Arc<Stored> {
        Arc::new(Stored::from_json(object.to_string()).unwrap())
    }

    #[test]
    fn the_same_name_gets_the_same_address_and_another_one_if_it_is_taken() {
        let mut first = object("web", json!({"type": "ClusterIP"}));
        allocate(&mut first, &Services(vec![])).unwrap();
        let ip = first["spec"]["clusterIP"].clone();
        assert_eq!(first["spec"]["clusterIPs"], json!([ip]));
        // Its own address is not in its way.
        let mut again = object("web", json!({"type": "ClusterIP"}));
        allocate(&mut again, &Services(vec![stored(&first)])).unwrap();
        assert_eq!(again["spec"]["clusterIP"], ip);
        let thief = object("thief", json!({"type": "ClusterIP", "clusterIP": ip}));
        let mut other = object("web", json!({"type": "ClusterIP"}));
        allocate(&mut other, &Services(vec![stored(&thief)])).unwrap();
        assert_ne!(other["spec"]["clusterIP"], ip);
    }

    #[test]
    fn node_ports_are_given_and_kept_apart_by_protocol() {
        let ports = json!([{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP"},
            {"port": 2, "protocol": "TCP", "nodePort": 30001}]);
        let mut s = object("web", json!({"type": "NodePort", "ports": ports}));
        allocate(&mut s, &Services(vec![])).unwrap();
        let given: Vec<u16> = s["spec"]["ports"].as_array().unwrap().iter().filter_map(node_port).collect();
        assert_eq!((given.len(), given[2]), (3, 30001));
        assert!(given.iter().all(|p| NODE_PORTS.contains(p)));
        let mut other = object("other", json!({"type": "NodePort", "ports": [{"port": 9, "nodePort": 30001}]}));
        let causes = allocate(&mut other, &Services(vec![stored(&s)])).unwrap_err();
        assert_eq!(causes[0].field, "spec.ports[0].nodePort");
        // Another protocol is another port.
        let udp = json!([{"port": 9, "nodePort": 30001, "protocol": "UDP"}]);
        let mut other = object("other", json!({"type": "NodePort", "ports": udp}));
        allocate(&mut other, &Services(vec![stored(&s)])).unwrap();
    }

    #[test]
    fn what_is_not_to_be_given_is_refused() {
        for (spec, field) in [
            (json!({"clusterIP": "192.168.0.1"}), "spec.clusterIPs"),
            (json!({"clusterIP": "10.96.3.3"}), "spec.clusterIPs"),
        ] {
            let taken = stored(&object("x", json!({"clusterIP": "10.96.3.3"})));
            let causes = allocate(&mut object("web", spec), &Services(vec![taken])).unwrap_err();
            assert_eq!(causes[0].field, field);
        }
        let mut headless = object("web", json!({"clusterIP": "None"}));
        allocate(&mut headless, &Services(vec![])).unwrap();
        assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    }

    #[test]
    fn all_node_ports_can_be_given_and_not_one_more() {
        let mut used = BTreeSet::new();
        while let Some(port) = free_port("x", "TCP", &used) {
            used.insert(("TCP".to_owned(), port));
        }
        assert_eq!(used.len(), NODE_PORTS.count());
    }
}
