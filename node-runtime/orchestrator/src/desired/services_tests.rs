//! Addresses and fields of Services.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn object(name: &str, spec: Value) -> Arc<core::Service> {
    let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    Arc::new(serde_json::from_value(object).unwrap())
}

#[test]
fn families_by_policy() {
    let both = [Family::V4, Family::V6];
    let turned = [Family::V6, Family::V4];
    for (spec, ipv6, want) in [
        (json!({}), true, Some(&both[..1])),
        (json!({"ipFamilyPolicy": "PreferDualStack"}), true, Some(&both[..])),
        (json!({"ipFamilyPolicy": "PreferDualStack"}), false, Some(&both[..1])),
        (json!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]}), false, Some(&both[..1])),
        (json!({"ipFamilyPolicy": "RequireDualStack"}), true, Some(&both[..])),
        (json!({"ipFamilyPolicy": "RequireDualStack"}), false, None),
        (json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}), true, Some(&turned[..])),
        (json!({"ipFamilies": ["IPv6"]}), true, Some(&turned[..1])),
        (json!({"ipFamilies": ["IPv6"]}), false, None),
        (json!({"clusterIP": "fd73:6b79:7200:96::5"}), true, Some(&turned[..1])),
        (json!({"clusterIP": "10.96.0.5"}), true, Some(&both[..1])),
        (json!({"clusterIP": "None", "ipFamilyPolicy": "PreferDualStack"}), true, Some(&both[..])),
    ] {
        let spec: core::ServiceSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(families(&spec, ipv6).ok().as_deref(), want, "{spec:?} {ipv6}");
    }
}

#[test]
fn addresses_of_one_service() {
    let ips = |spec: Value, ipv6| {
        let taken = ["10.96.0.1".parse().unwrap()].into();
        cluster_ips(&object("web", spec), &taken, ipv6).map(|l| l.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(ips(json!({"clusterIP": "None"}), true), Ok(vec![]));
    assert_eq!(ips(json!({"type": "ExternalName"}), true), Ok(vec![]));
    assert_eq!(ips(json!({"clusterIP": "10.96.0.9"}), true), Ok(vec!["10.96.0.9".into()]));
    assert!(ips(json!({"clusterIP": "10.96.0.1"}), true).unwrap_err().contains("10.96.0.1 is taken"));
    let dual = ips(json!({"clusterIP": "10.96.0.9", "ipFamilyPolicy": "PreferDualStack"}), true).unwrap();
    assert!(dual[0] == "10.96.0.9" && dual[1].starts_with("fd73:6b79:7200:96::"), "{dual:?}");
    let given = ["10.96.0.9", "fd73:6b79:7200:96::9"];
    let spec = json!({"clusterIPs": given, "clusterIP": given[0], "ipFamilyPolicy": "PreferDualStack"});
    assert_eq!(ips(spec.clone(), true).unwrap(), given);
    assert_eq!(ips(spec, false).unwrap(), given[..1], "a node that lost its IPv6");
    let one = json!({"clusterIPs": [given[0]], "clusterIP": given[0], "ipFamilyPolicy": "PreferDualStack"});
    assert_eq!(ips(one, true).unwrap(), given[..1], "a node that got its IPv6 later");
    let free = ips(json!({}), false).unwrap();
    assert_eq!((free.len(), &ips(json!({}), true).unwrap()), (1, &free), "it follows from the name alone");
}

#[test]
fn fields() {
    let (all, problems) = all(
        &[
            object(
                "b",
                json!({"sessionAffinity": "ClientIP", "selector": {"a": "b"}, "ports": [
                    {"port": 80, "targetPort": "http", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}),
            ),
            object(
                "a",
                json!({"sessionAffinity": "ClientIP", "publishNotReadyAddresses": true,
                    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}, "clusterIP": "10.96.0.1"}),
            ),
            object("headless", json!({"clusterIP": "None", "ports": [{"port": 80}]})),
            object("late", json!({"clusterIP": "10.96.0.1"})),
        ],
        false,
    );
    assert_eq!(all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(problems, ["Service shop/late: spec.clusterIP 10.96.0.1 is taken by another Service"]);
    assert_eq!((all[0].affinity_secs, all[1].affinity_secs), (Some(5), Some(10_800)));
    assert_eq!((all[0].not_ready_too, all[1].not_ready_too), (true, false));
    let ports = [
        ServicePort { udp: false, port: 80, node_port: Some(30080), target: Target::Name("http".into()) },
        ServicePort { udp: true, port: 53, node_port: None, target: Target::Number(53) },
    ];
    assert_eq!(all[1].ports, ports);
}

#[test]
fn a_named_port_is_one_of_its_protocol() {
    let port = |udp| ServicePort { udp, port: 53, node_port: None, target: Target::Name("dns".into()) };
    let pod = Pod { named_ports: [(("dns".to_owned(), Protocol::Udp), 5353)].into(), ..Pod::default() };
    assert_eq!((port(true).resolve(&pod), port(false).resolve(&pod)), (Some(5353), None));
}

proptest! {
    #[test]
    fn no_address_twice(names in prop::collection::btree_set("[a-z]{1,2}", 0..60), policies in any::<u64>()) {
        let one = |(i, name): (usize, &String)| {
            let policy = if policies >> (i % 64) & 1 == 1 { "PreferDualStack" } else { "SingleStack" };
            object(name, json!({"ipFamilyPolicy": policy}))
        };
        let objects: Vec<_> = names.iter().enumerate().map(one).collect();
        let (services, problems) = all(&objects, true);
        prop_assert!(problems.is_empty() && services.len() == names.len());
        let ips: Vec<IpAddr> = services.iter().flat_map(|s| s.cluster_ips.clone()).collect();
        prop_assert_eq!(ips.iter().collect::<BTreeSet<_>>().len(), ips.len());
    }
}
