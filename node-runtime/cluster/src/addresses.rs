//! Addresses and ports that the node gives to Services.
//!
//! An address follows from the Service's name, so that it is the same after a
//! reboot and on every node of a fleet; the next free one where two collide.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use skerry_machinery::{Cause, Kind, Stored, kind};
use skerry_orchestrator::desired::services::free_ip;
use skerry_store::Lookup;
use skerry_workloads::Family;

/// Ports of the node that Services get (Kubernetes' default range).
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

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
        let ips = strings(&spec["clusterIPs"]);
        self.addresses.extend(ips.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()));
        for port in spec["ports"].as_array().into_iter().flatten() {
            self.ports.extend(node_port(port).map(|n| (protocol(port), n)));
        }
    }
}

fn service() -> &'static Kind {
    kind("", "Service")
}

fn node_port(port: &Value) -> Option<u16> {
    port["nodePort"].as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0)
}

fn protocol(port: &Value) -> String {
    port["protocol"].as_str().unwrap_or("TCP").to_owned()
}

/// Give a Service, whose defaults are set, what it needs and has not. `old` is
/// the object as it is; `ipv6`: has the node IPv6?
///
/// # Errors
/// What it asks for belongs to another one, or is not to be given.
pub fn allocate(object: &mut Value, old: Option<&Value>, ipv6: bool, store: &dyn Lookup) -> Result<(), Vec<Cause>> {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let taken = Taken::of(store, (&namespace, &name));
    let spec = &mut object["spec"];
    let mut causes = vec![];
    let old = old.map_or(&Value::Null, |o| &o["spec"]);
    if families(spec, old, ipv6, &mut causes) {
        cluster_ips(spec, &taken, &format!("{namespace}/{name}"), &mut causes);
    }
    node_ports(spec, &taken, &format!("{namespace}/{name}"), &mut causes);
    if causes.is_empty() { Ok(()) } else { Err(causes) }
}

fn invalid(field: &str, value: impl std::fmt::Display, why: &str) -> Cause {
    Cause { reason: "FieldValueInvalid", field: field.into(), message: format!("Invalid value: {value}: {why}") }
}

/// The families that the Service shall have on this node; Kubernetes'
/// dual-stack rules, as far as they depend on the node. False: it asks for one
/// that the node has not.
fn families(spec: &mut Value, old: &Value, ipv6: bool, causes: &mut Vec<Cause>) -> bool {
    let selects = spec["selector"].as_object().is_some_and(|s| !s.is_empty());
    if spec["clusterIP"] == "None" && !selects {
        return true;
    }
    // What changes nothing stays as it is, even if the node got or lost its
    // IPv6 since.
    if ["ipFamilyPolicy", "ipFamilies", "clusterIPs"].iter().all(|f| old[*f] == spec[*f]) {
        return true;
    }
    let mut names = strings(&spec["ipFamilies"]);
    let policy = spec["ipFamilyPolicy"].as_str().unwrap_or_default();
    if !ipv6 && policy == "RequireDualStack" {
        causes.push(invalid("spec.ipFamilyPolicy", "\"RequireDualStack\"", "this node has no IPv6"));
        return false;
    }
    if let Some(i) = names.iter().position(|n| !ipv6 && n == Family::V6.as_str()) {
        causes.push(invalid(&format!("spec.ipFamilies[{i}]"), "\"IPv6\"", "this node has no IPv6"));
        return false;
    }
    if let ([one], "PreferDualStack", true) = (names.as_slice(), policy, ipv6)
        && let Some(one) = Family::named(one)
    {
        names.push(one.other().as_str().to_owned());
        spec["ipFamilies"] = json!(names);
    }
    true
}

/// An address for each family that has none; those that are given must be
/// free.
fn cluster_ips(spec: &mut Value, taken: &Taken, name: &str, causes: &mut Vec<Cause>) {
    let mut ips = strings(&spec["clusterIPs"]);
    if spec["type"] == "ExternalName" || ips.first().is_some_and(|ip| ip == "None") {
        return;
    }
    for given in &ips {
        // Admission has looked at them already.
        let why = match given.parse() {
            Ok(ip) if !skerry_workloads::is_service_address(&ip) => {
                let networks = skerry_workloads::service_networks();
                format!("the provided IP is not in the valid range. The range of valid IPs is {networks}")
            }
            Ok(ip) if taken.addresses.contains(&ip) => "provided IP is already allocated".into(),
            _ => continue,
        };
        return causes.push(invalid("spec.clusterIPs", format!("[\"{given}\"]"), &why));
    }
    let families = strings(&spec["ipFamilies"]);
    for family in families.iter().skip(ips.len()).filter_map(|f| Family::named(f)) {
        let Some(ip) = free_ip(name, family, &taken.addresses) else {
            let why = format!("no {} address is left", family.as_str());
            return causes.push(invalid("spec.clusterIPs", "\"\"", &why));
        };
        ips.push(ip.to_string());
    }
    spec["clusterIP"] = json!(ips.first());
    spec["clusterIPs"] = json!(ips);
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
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

    /// Admit it as a node with or without IPv6 does.
    fn take(object: &mut Value, old: Option<&Value>, ipv6: bool, others: &[&Value]) -> Result<(), Vec<Cause>> {
        skerry_workloads::admit(service(), object, old, skerry_workloads::FieldValidation::Strict).unwrap();
        allocate(object, old, ipv6, &Services(others.iter().map(|o| stored(o)).collect()))
    }

    fn web(fields: Value) -> Value {
        let mut o = object("web", json!({"selector": {"a": "b"}, "ports": [{"port": 80}]}));
        fields.as_object().unwrap().iter().for_each(|(k, v)| o["spec"][k] = v.clone());
        o
    }

    #[test]
    fn the_same_name_gets_the_same_address_and_another_one_if_it_is_taken() {
        let both = json!({"ipFamilyPolicy": "RequireDualStack"});
        let mut first = web(both.clone());
        take(&mut first, None, true, &[]).unwrap();
        let ips = strings(&first["spec"]["clusterIPs"]);
        assert_eq!((first["spec"]["clusterIP"].as_str(), ips.len()), (Some(ips[0].as_str()), 2));
        assert!(ips[0].starts_with("10.96.") && ips[1].starts_with("fd73:6b79:7200:96::"), "{ips:?}");
        // Its own addresses are not in its way.
        let mut again = web(both.clone());
        take(&mut again, None, true, &[&first]).unwrap();
        assert_eq!(strings(&again["spec"]["clusterIPs"]), ips);
        // One taken address of two: the other one stays.
        for taken in 0..2 {
            let mut thief = web(json!({"clusterIP": ips[taken]}));
            thief["metadata"]["name"] = "thief".into();
            take(&mut thief, None, true, &[]).unwrap();
            let mut other = web(both.clone());
            take(&mut other, None, true, &[&thief]).unwrap();
            let given = strings(&other["spec"]["clusterIPs"]);
            assert_eq!([0, 1].map(|i| given[i] == ips[i]), [taken == 1, taken == 0]);
        }
    }

    #[test]
    fn families_by_policy_and_node() {
        for (fields, with, without) in [
            (json!({}), "IPv4", "IPv4"),
            (json!({"ipFamilies": ["IPv6"]}), "IPv6", "spec.ipFamilies[0]"),
            (json!({"ipFamilyPolicy": "PreferDualStack"}), "IPv4 IPv6", "IPv4"),
            (json!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6"]}), "IPv6 IPv4", "spec.ipFamilies[0]"),
            (
                json!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]}),
                "IPv4 IPv6",
                "spec.ipFamilies[1]",
            ),
            (json!({"ipFamilyPolicy": "RequireDualStack"}), "IPv4 IPv6", "spec.ipFamilyPolicy"),
            (json!({"clusterIP": "fd73:6b79:7200:96::9"}), "IPv6", "spec.ipFamilies[0]"),
            (json!({"clusterIP": "None", "ipFamilyPolicy": "PreferDualStack"}), "IPv4 IPv6", "IPv4"),
            (json!({"clusterIP": "None", "ipFamilies": ["IPv6"]}), "IPv6", "spec.ipFamilies[0]"),
            // Names of what is elsewhere.
            (json!({"clusterIP": "None", "selector": {}}), "IPv4 IPv6", "IPv4 IPv6"),
        ] {
            for (ipv6, want) in [(true, with), (false, without)] {
                let mut o = web(fields.clone());
                let found = take(&mut o, None, ipv6, &[]);
                let spec = &o["spec"];
                let found =
                    found.map_or_else(|causes| causes[0].field.clone(), |()| strings(&spec["ipFamilies"]).join(" "));
                assert_eq!(found, want, "{fields} {ipv6}");
                if !want.contains("spec") && spec["clusterIP"] != "None" {
                    let ips: Vec<IpAddr> = strings(&spec["clusterIPs"]).iter().map(|ip| ip.parse().unwrap()).collect();
                    let of: Vec<&str> = ips.iter().map(|ip| Family::of(ip).as_str()).collect();
                    assert_eq!(of.join(" "), want);
                }
            }
        }
    }

    #[test]
    fn a_changed_policy_gives_or_takes_the_second_address() {
        let mut one = web(json!({}));
        take(&mut one, None, true, &[]).unwrap();
        let with = |policy: &str| web(json!({"ipFamilyPolicy": policy}));
        let mut two = with("PreferDualStack");
        take(&mut two, Some(&one), true, &[&one]).unwrap();
        let ips = strings(&two["spec"]["clusterIPs"]);
        assert_eq!((ips.len(), &ips[0]), (2, &strings(&one["spec"]["clusterIPs"])[0]));
        let mut back = with("SingleStack");
        take(&mut back, Some(&two), true, &[&two]).unwrap();
        assert_eq!(strings(&back["spec"]["clusterIPs"]), ips[..1]);
        // What the node has or has not since changes nothing by itself.
        let mut was = with("PreferDualStack");
        take(&mut was, None, false, &[]).unwrap();
        for (old, ipv6) in [(&was, true), (&two, false)] {
            let mut same = web(json!({"ports": [{"port": 81}]}));
            take(&mut same, Some(old), ipv6, &[old]).unwrap();
            assert_eq!(same["spec"]["clusterIPs"], old["spec"]["clusterIPs"]);
        }
    }

    #[test]
    fn node_ports_are_given_and_kept_apart_by_protocol() {
        let ports = json!([{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP"},
            {"port": 2, "protocol": "TCP", "nodePort": 30001}]);
        let mut s = object("web", json!({"type": "NodePort", "ports": ports}));
        allocate(&mut s, None, true, &Services(vec![])).unwrap();
        let given: Vec<u16> = s["spec"]["ports"].as_array().unwrap().iter().filter_map(node_port).collect();
        assert_eq!((given.len(), given[2]), (3, 30001));
        assert!(given.iter().all(|p| NODE_PORTS.contains(p)));
        let mut other = object("other", json!({"type": "NodePort", "ports": [{"port": 9, "nodePort": 30001}]}));
        let causes = allocate(&mut other, None, true, &Services(vec![stored(&s)])).unwrap_err();
        assert_eq!(causes[0].field, "spec.ports[0].nodePort");
        // Another protocol is another port.
        let udp = json!([{"port": 9, "nodePort": 30001, "protocol": "UDP"}]);
        let mut other = object("other", json!({"type": "NodePort", "ports": udp}));
        allocate(&mut other, None, true, &Services(vec![stored(&s)])).unwrap();
    }

    #[test]
    fn what_is_not_to_be_given_is_refused() {
        let taken = object("x", json!({"clusterIP": "10.96.3.3", "clusterIPs": ["10.96.3.3"]}));
        for ip in ["192.168.0.1", "fd00::1", "10.96.3.3"] {
            let mut web = object("web", json!({"clusterIP": ip, "clusterIPs": [ip]}));
            let causes = allocate(&mut web, None, true, &Services(vec![stored(&taken)])).unwrap_err();
            assert_eq!(causes[0].field, "spec.clusterIPs");
        }
        let mut headless = web(json!({"clusterIP": "None"}));
        take(&mut headless, None, true, &[]).unwrap();
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
