//! Pods → the node.

use serde_json::{Value, json};

use crate::cluster::{Cluster, condition, text};

fn pod(name: &str, cpu: &str, memory: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [
        {"name": "main", "image": "ok", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}})
}

fn message(c: &Cluster, name: &str) -> String {
    let pod = c.get(&c.key("", "Pod", name)).unwrap();
    text(&condition(&pod, "PodScheduled")["message"])
}

#[test]
fn a_pod_that_fits_is_bound() {
    let mut c = Cluster::new();
    let key = c.create(pod("a", "2", "1Gi"));
    c.settle();
    assert_eq!(c.get(&key).unwrap()["spec"]["nodeName"], "box");
    assert!(c.has_event("Normal Scheduled: Successfully assigned default/a to box"));
}

#[test]
fn a_pod_that_does_not_fit_says_why_and_waits() {
    let mut c = Cluster::new();
    c.create(pod("a", "1500m", "128Mi"));
    c.settle();
    c.create(pod("b", "600m", "2Gi"));
    c.settle();
    assert_eq!(message(&c, "b"), "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.");
    assert!(c.has_event("Warning FailedScheduling"));
    let n = c.events.len();
    c.create(pod("c", "100m", "1Mi"));
    c.settle();
    assert_eq!(c.events.len(), n + 1, "said once");
    let a = c.key("", "Pod", "a");
    c.delete(&a);
    let b = c.key("", "Pod", "b");
    c.edit(&b, |p| p["spec"]["containers"][0]["resources"] = json!({}));
    c.settle();
    assert_eq!(c.get(&b).unwrap()["spec"]["nodeName"], "box");
}

#[test]
fn reasons() {
    for (change, want) in [
        (json!({"nodeSelector": {"disk": "hdd"}}), "1 node(s) didn't match Pod's node affinity/selector."),
        (
            json!({"initContainers": [{"name": "i", "image": "x", "resources": {"requests": {"cpu": "3"}}}]}),
            "1 Insufficient cpu.",
        ),
        (
            json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}),
            "persistentvolumeclaim \"data\" not found.",
        ),
    ] {
        let mut c = Cluster::new();
        let mut p = pod("a", "1", "1Mi");
        for (k, v) in change.as_object().unwrap() {
            p["spec"][k] = v.clone();
        }
        c.create(p);
        c.settle();
        assert_eq!(message(&c, "a"), format!("0/1 nodes are available: {want}"));
    }
}

#[test]
fn init_containers_count_by_the_neediest() {
    let mut c = Cluster::new();
    let mut p = pod("a", "1", "1Mi");
    let init = |n: &str| json!({"name": n, "image": "x", "resources": {"requests": {"cpu": "2"}}});
    p["spec"]["initContainers"] = json!([init("i"), init("j")]);
    let key = c.create(p);
    c.settle();
    assert_eq!(c.get(&key).unwrap()["spec"]["nodeName"], "box");
}

#[test]
fn no_more_pods_than_the_node_takes() {
    let mut c = Cluster::new();
    let node = c.objects.keys().next().unwrap().clone();
    c.edit(&node, |n| n["status"]["allocatable"]["pods"] = "1".into());
    c.create(pod("a", "1m", "1Mi"));
    c.create(pod("b", "1m", "1Mi"));
    c.settle();
    assert_eq!(message(&c, "b"), "0/1 nodes are available: 1 Too many pods.");
}

#[test]
fn a_host_port_is_taken_once() {
    let mut c = Cluster::new();
    for name in ["a", "b"] {
        let mut p = pod(name, "1m", "1Mi");
        p["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
        c.create(p);
    }
    c.settle();
    assert!(message(&c, "b").contains("free ports"));
}
