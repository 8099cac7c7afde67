//! What policies come to.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn pod(namespace: &str, app: &str, ip: &str) -> PolicyPod {
    PolicyPod {
        namespace: namespace.into(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        addresses: vec![ip.parse().unwrap()],
        ports: [(("http".to_owned(), Protocol::Tcp), 8080)].into(),
        exempt: false,
    }
}

fn pods() -> Vec<PolicyPod> {
    vec![
        pod("shop", "web", "10.244.0.2"),
        pod("shop", "web", "10.244.0.3"),
        pod("shop", "db", "10.244.0.4"),
        pod("other", "web", "10.244.0.5"),
        PolicyPod::name_server(vec!["10.244.0.1".parse().unwrap()]),
    ]
}

fn run(spec: serde_json::Value) -> Vec<String> {
    let policy = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec}));
    let namespaces = [("other".to_owned(), [("team".to_owned(), "x".to_owned())].into())].into();
    let text = |i: Isolation| {
        let pods: Vec<String> = i.pods.iter().map(|p| p.to_string().replace("10.244.0", "")).collect();
        let allow = |a: &Allow| {
            let peers = match &a.peers {
                Peers::Any => "any".into(),
                Peers::Pods(p) => p.iter().map(|p| p.to_string().replace("10.244.0", "")).collect::<Vec<_>>().join("+"),
                Peers::Block { cidr, except } => format!("{cidr}-{}", except.join("-")),
            };
            let ports: Vec<String> =
                a.ports.iter().map(|p| format!("{:?}{}-{}", p.protocol, p.first, p.last)).collect();
            format!("{peers}:{}", ports.join(","))
        };
        let allows: Vec<String> = i.allows.iter().map(allow).collect();
        format!("{:?} {} [{}]", i.direction, pods.join("+"), allows.join(" "))
    };
    isolations(&[Arc::new(policy.unwrap())], &pods(), &namespaces).into_iter().map(text).collect()
}

#[test]
fn what_policies_come_to() {
    for (why, spec, want) in [
        ("default deny", json!({"podSelector": {}}), vec!["Ingress .2+.3+.4 []"]),
        (
            "deny both",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress", "Egress"]}),
            vec!["Ingress .4 []", "Egress .4 []"],
        ),
        ("allow all", json!({"podSelector": {}, "ingress": [{}]}), vec!["Ingress .2+.3+.4 [any:]"]),
        (
            "db from web of the same namespace",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                "ports": [{"port": 5432}]}]}),
            vec!["Ingress .4 [.2+.3:Tcp5432-5432]"],
        ),
        (
            "from another namespace",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{
                "from": [{"namespaceSelector": {"matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["shop"]}]}}]}]}),
            vec!["Ingress .4 [.1+.5:]"],
        ),
        (
            "from a namespace by its labels",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": [
                {"namespaceSelector": {"matchLabels": {"team": "x"}}, "podSelector": {"matchLabels": {"app": "web"}}}]}]}),
            vec!["Ingress .4 [.5:]"],
        ),
        (
            "egress to the name server, as it is written for clusters",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"], "egress": [{
                "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
                "ports": [{"port": "dns", "protocol": "UDP"}, {"port": 53}]}]}),
            vec!["Egress .4 [.1:Tcp53-53 .1:Udp53-53]"],
        ),
        (
            "egress to a named port, to anybody",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"], "egress": [{
                "ports": [{"port": "dns", "protocol": "UDP"}]}]}),
            vec!["Egress .4 [.1:Udp53-53]"],
        ),
        (
            "egress rules make an egress policy",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "egress": [{}]}),
            vec!["Ingress .4 []", "Egress .4 [any:]"],
        ),
        (
            "named port, range, and a port without number",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"ports": [
                {"port": "http"}, {"port": 9000, "endPort": 9010, "protocol": "UDP"}]}]}),
            vec!["Ingress .4 [any:Udp9000-9010,Tcp8080-8080]"],
        ),
        (
            "a named port that nobody has allows nothing",
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"ports": [{"port": "nope"}]}]}),
            vec!["Ingress .4 []"],
        ),
        (
            "egress to a block",
            json!({"podSelector": {"matchLabels": {"app": "web"}}, "egress": [{"to": [
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}], "policyTypes": ["Egress"]}),
            vec!["Egress .2+.3 [10.0.0.0/8-10.1.0.0/16:]"],
        ),
        (
            "egress to a named port",
            json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [{
                "to": [{"podSelector": {"matchLabels": {"app": "db"}}}], "ports": [{"port": "http"}]}]}),
            vec!["Egress .2+.3 [.4:Tcp8080-8080]"],
        ),
    ] {
        assert_eq!(run(spec), want, "{why}");
    }
}

#[test]
fn two_policies_add_up() {
    let policy = |app: &str| -> Arc<NetworkPolicy> {
        serde_json::from_value::<NetworkPolicy>(json!({"metadata": {"name": app, "namespace": "shop"}, "spec": {
            "podSelector": {"matchLabels": {"app": "db"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": app}}}]}]}}))
        .map(Arc::new)
        .unwrap()
    };
    let both = isolations(&[policy("web"), policy("db")], &pods(), &Namespaces::new());
    assert_eq!((both.len(), both[0].allows.len()), (1, 2));
}

/// One peer as the specification words it, for one packet.
fn lets(p: &NetworkPolicy, from: &PolicyPod, to: &PolicyPod, port: u16) -> bool {
    let spec = p.spec.as_ref().unwrap();
    spec.ingress.iter().flatten().any(|rule| {
        let peers = rule.from.as_deref().unwrap_or_default();
        let peer = peers.is_empty()
            || peers.iter().any(|peer| {
                let ns = match &peer.namespace_selector {
                    None => from.namespace == "shop",
                    Some(s) => s.match_labels.iter().flatten().all(|(_, v)| *v == from.namespace),
                };
                let labels = peer.pod_selector.iter().flat_map(|s| s.match_labels.iter().flatten());
                ns && labels.into_iter().all(|(k, v)| from.labels.get(k) == Some(v))
            });
        let ports = rule.ports.as_deref().unwrap_or_default();
        let fits = |p: &NetworkPolicyPort| match &p.port {
            None => true,
            Some(IntOrString::Int(n)) => (*n..=p.end_port.unwrap_or(*n)).contains(&i32::from(port)),
            Some(IntOrString::String(name)) => to.ports.get(&(name.clone(), Protocol::Tcp)) == Some(&port),
        };
        peer && (ports.is_empty() || ports.iter().any(fits))
    })
}

/// The same from what [`isolations`] says.
fn passes(all: &[Isolation], from: &PolicyPod, to: &PolicyPod, port: u16) -> bool {
    let mine = all.iter().find(|i| i.direction == Direction::Ingress && i.pods.contains(&to.addresses[0]));
    mine.is_none_or(|i| {
        i.allows.iter().any(|a| {
            let peer = match &a.peers {
                Peers::Any => true,
                Peers::Pods(p) => p.contains(&from.addresses[0]),
                Peers::Block { .. } => panic!("not made here"),
            };
            let fits = |r: &PortRange| r.protocol == Protocol::Tcp && (r.first..=r.last).contains(&port);
            peer && (a.ports.is_empty() || a.ports.iter().any(fits))
        })
    })
}

fn some_peer() -> impl Strategy<Value = serde_json::Value> {
    let app = prop::sample::select(vec!["web", "db"]);
    let ns = prop::sample::select(vec!["shop", "other"]);
    (prop::option::of(app), prop::option::of(prop::option::of(ns))).prop_map(|(app, ns)| {
        let mut peer = json!({});
        if app.is_some() || ns.is_none() {
            peer["podSelector"] = app.map_or(json!({}), |a| json!({"matchLabels": {"app": a}}));
        }
        if let Some(ns) = ns {
            let labels = |n| json!({"matchLabels": {"kubernetes.io/metadata.name": n}});
            peer["namespaceSelector"] = ns.map_or(json!({}), labels);
        }
        peer
    })
}

fn some_policy() -> impl Strategy<Value = Arc<NetworkPolicy>> {
    let port = prop_oneof![
        Just(json!({})),
        Just(json!({"port": "http"})),
        Just(json!({"port": "nope"})),
        (1u16..9).prop_map(|p| json!({"port": p})),
        (1u16..9, 0u16..4).prop_map(|(p, n)| json!({"port": p, "endPort": p + n})),
        Just(json!({"port": 8080})),
    ];
    let rule = (prop::collection::vec(some_peer(), 0..3), prop::collection::vec(port, 0..3))
        .prop_map(|(from, ports)| json!({"from": from, "ports": ports}));
    let target = prop::option::of(prop::sample::select(vec!["web", "db"]));
    (target, prop::collection::vec(rule, 0..3)).prop_map(|(app, rules)| {
        let selector = app.map_or(json!({}), |a| json!({"matchLabels": {"app": a}}));
        let p = json!({"metadata": {"name": "p", "namespace": "shop"},
            "spec": {"podSelector": selector, "ingress": rules, "policyTypes": ["Ingress"]}});
        Arc::new(serde_json::from_value(p).unwrap())
    })
}

proptest! {
    #[test]
    fn every_packet_fares_as_the_specification_says(
        policies in prop::collection::vec(some_policy(), 0..4),
        port in prop_oneof![1u16..14, Just(8080)],
    ) {
        let pods = pods();
        let all = isolations(&policies, &pods, &Namespaces::new());
        for to in &pods[..4] {
            let selects = |p: &&Arc<NetworkPolicy>| {
                let s = p.spec.as_ref().unwrap().pod_selector.as_ref().unwrap();
                to.namespace == "shop" && s.match_labels.iter().flatten().all(|(k, v)| to.labels.get(k) == Some(v))
            };
            let mine: Vec<_> = policies.iter().filter(selects).collect();
            for from in pods[..4].iter().filter(|f| f.addresses != to.addresses) {
                let want = mine.is_empty() || mine.iter().any(|p| lets(p, from, to, port));
                prop_assert_eq!(passes(&all, from, to, port), want, "{:?} {:?} {}", from, to, port);
            }
        }
    }
}
