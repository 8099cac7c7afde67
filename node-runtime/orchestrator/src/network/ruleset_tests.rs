//! Rules of a state.
#![allow(clippy::unwrap_used)]

use std::{net::Ipv4Addr, sync::Arc};

use serde_json::json;

use super::*;
use crate::{
    desired::{Container, Target},
    observed::{Container as Seen, Labels, Sandbox, State},
};

fn pod(n: u8) -> Pod {
    Pod {
        uid: n.to_string(),
        namespace: "shop".into(),
        labels: [("app".to_owned(), "web".to_owned())].into(),
        containers: vec![Container { name: "main".into(), ..Container::default() }],
        ..Pod::default()
    }
}

fn service() -> Service {
    Service {
        namespace: "shop".into(),
        name: "web".into(),
        cluster_ips: vec!["10.96.0.7".parse().unwrap(), "fd00:2::7".parse().unwrap()],
        selector: [("app".to_owned(), "web".to_owned())].into(),
        ports: vec![ServicePort { udp: false, port: 80, node_port: None, target: Target::Number(8080) }],
        not_ready_too: false,
        affinity_secs: None,
    }
}

fn state() -> (Desired, Observed) {
    let (mut desired, mut observed) = (Desired::default(), Observed::default());
    desired.services.push(service());
    for n in [2, 3] {
        let ip6 = Some(format!("fd00:1::{n}").parse().unwrap());
        let sandbox = Sandbox { ip: Ipv4Addr::new(10, 244, 0, n), ip6, intact: true };
        observed.sandboxes.insert(n.to_string(), sandbox);
        let labels = Labels { pod_uid: n.to_string(), container: "main".into(), ..Labels::default() };
        let seen = Seen {
            labels,
            state: State::Running,
            started: true,
            ready: true,
            unhealthy: None,
            stopping: None,
            started_at: None,
            exit: None,
        };
        observed.containers.insert(n.to_string(), seen);
        desired.pods.insert(n.to_string(), pod(n));
    }
    (desired, observed)
}

fn ips(rules: &Ruleset) -> Vec<Vec<String>> {
    rules.forwards.iter().map(|f| f.endpoints.iter().map(|e| e.ip.to_string()).collect()).collect()
}

#[test]
fn both_families_and_only_what_is_ready() {
    let (mut d, mut o) = state();
    assert_eq!(ips(&ruleset_input(&d, &o)), [["10.244.0.2", "10.244.0.3"], ["fd00:1::2", "fd00:1::3"]]);
    o.containers.get_mut("2").unwrap().ready = false;
    assert_eq!(ips(&ruleset_input(&d, &o)), [["10.244.0.3"], ["fd00:1::3"]]);
    d.services[0].not_ready_too = true;
    assert_eq!(ips(&ruleset_input(&d, &o))[0].len(), 2);
    d.pods.get_mut("2").unwrap().deletion_grace_secs = Some(30);
    assert_eq!(ips(&ruleset_input(&d, &o))[0].len(), 1, "what is to go gets nothing new, whoever asks");
    o.sandboxes.get_mut("3").unwrap().ip6 = None;
    assert_eq!(ips(&ruleset_input(&d, &o)), [vec!["10.244.0.3"], vec![]]);
}

#[test]
fn unready_pods_are_isolated_and_peers_too_but_not_pods_on_the_nodes_network() {
    let (mut d, mut o) = state();
    let policy = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": {"podSelector": {}}});
    d.policies.push(Arc::new(serde_json::from_value(policy).unwrap()));
    o.gateways = vec!["10.244.0.1".parse().unwrap()];
    o.containers.get_mut("2").unwrap().ready = false;
    d.pods.get_mut("3").unwrap().host_network = true;
    let isolations = ruleset_input(&d, &o).isolations;
    assert_eq!(isolations.len(), 1);
    let pods: Vec<String> = isolations[0].pods.iter().map(ToString::to_string).collect();
    assert_eq!(pods, ["10.244.0.2", "fd00:1::2"]);
}
