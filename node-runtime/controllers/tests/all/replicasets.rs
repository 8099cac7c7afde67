//! ReplicaSet → pods.

use serde_json::{Value, json};

use crate::cluster::{Cluster, finished, going, template, text};

fn set(replicas: i32, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", image)}})
}

fn orphan(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": template("web", "ok")["spec"]})
}

#[test]
fn makes_pods_and_reports_them() {
    let mut c = Cluster::new();
    let key = c.create(set(3, "ok"));
    c.settle();
    let pods = c.pods();
    assert_eq!(pods.len(), 3);
    let owner = &pods[0]["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["controller"], &owner["blockOwnerDeletion"]),
        (&json!("ReplicaSet"), &json!(true), &json!(true))
    );
    assert_eq!(pods[0]["metadata"]["generateName"], "web-");
    assert!(c.pod_names().iter().all(|n| n.len() == "web-abcde".len()));
    assert_eq!(
        c.get(&key).unwrap()["status"],
        json!({"replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 3, "availableReplicas": 3, "observedGeneration": 1})
    );
    assert!(c.has_event("Normal SuccessfulCreate: Created pod: web-"));
}

#[test]
fn surplus_pods_that_are_not_ready_go_first() {
    let mut c = Cluster::new();
    let key = c.create(set(3, "ok"));
    c.settle();
    let unready = c.pod_keys()[1].clone();
    c.set_ready(&unready, false);
    c.edit(&key, |s| s["spec"]["replicas"] = 2.into());
    c.step();
    let gone: Vec<_> = c.pods().into_iter().filter(going).map(|p| p["metadata"]["name"].clone()).collect();
    assert_eq!(gone, [json!(unready.name)]);
    assert!(c.has_event("SuccessfulDelete"));
}

#[test]
fn a_pod_with_a_lower_deletion_cost_goes_first() {
    let mut c = Cluster::new();
    let key = c.create(set(2, "ok"));
    c.settle();
    let dear = c.pod_keys()[0].clone();
    c.edit(&dear, |p| p["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"] = "10".into());
    c.edit(&key, |s| s["spec"]["replicas"] = 1.into());
    c.settle();
    assert_eq!(c.pod_keys(), [dear]);
}

#[test]
fn a_finished_pod_is_replaced_and_left() {
    let mut c = Cluster::new();
    c.create(set(1, "ok"));
    c.settle();
    let pod = c.pod_keys()[0].clone();
    c.end(&pod, "Failed", 1);
    c.settle();
    assert_eq!(c.pods().len(), 2);
}

#[test]
fn of_many_failed_pods_the_newest_stay() {
    let mut c = Cluster::new();
    c.create(set(1, "ok"));
    c.settle();
    let mut failed = vec![];
    for _ in 0..8 {
        let running = |p: &&Value| !finished(p);
        let name = c.pods().iter().find(running).unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
        let key = c.key("", "Pod", &name);
        c.pass(1);
        c.end(&key, "Failed", 137);
        c.settle();
        failed.push(name);
    }
    let mut left: Vec<_> = c.pods().iter().filter(|p| finished(p)).map(|p| text(&p["metadata"]["name"])).collect();
    left.sort();
    let mut newest = failed[3..].to_vec();
    newest.sort();
    assert_eq!(left, newest);
    assert_eq!(c.pods().len(), 6, "and one that runs");
}

#[test]
fn adopts_matching_orphans_and_lets_others_go() {
    let mut c = Cluster::new();
    let lone = c.create(orphan("lone"));
    c.create(set(1, "ok"));
    c.settle();
    assert_eq!(c.pod_names(), ["lone"]);
    assert_eq!(c.get(&lone).unwrap()["metadata"]["ownerReferences"][0]["name"], "web");
    c.edit(&lone, |p| p["metadata"]["labels"]["app"] = "other".into());
    c.settle();
    assert_eq!(c.pods().len(), 2);
    assert!(c.get(&lone).unwrap()["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty));
}

#[test]
fn min_ready_seconds_delays_availability() {
    let mut c = Cluster::new();
    let mut s = set(1, "ok");
    s["spec"]["minReadySeconds"] = 30.into();
    let key = c.create(s);
    c.settle();
    assert_eq!(c.get(&key).unwrap()["status"]["availableReplicas"], Value::Null);
    c.pass(29);
    assert_eq!(c.get(&key).unwrap()["status"]["availableReplicas"], Value::Null);
    c.pass(1);
    assert_eq!(c.get(&key).unwrap()["status"]["availableReplicas"], 1);
}
