//! Owners, finalizers, namespaces.

use serde_json::json;

use crate::cluster::{Cluster, going, template};

fn with_deployment() -> (Cluster, skerry_machinery::Key) {
    let mut c = Cluster::new();
    let key = c.create(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", "ok")}}));
    c.settle();
    (c, key)
}

#[test]
fn what_belongs_to_a_deleted_owner_goes() {
    let (mut c, key) = with_deployment();
    c.delete(&key);
    c.settle();
    assert!(c.pods().is_empty());
    assert!(c.all("apps", "ReplicaSet").is_empty());
}

#[test]
fn foreground_deletion_waits_for_the_pods() {
    let (mut c, key) = with_deployment();
    c.edit(&key, |d| d["metadata"]["finalizers"] = json!(["foregroundDeletion"]));
    c.delete(&key);
    c.settle_watching(|c| {
        if c.get(&key).is_none() {
            assert!(c.pods().is_empty() && c.all("apps", "ReplicaSet").is_empty());
        }
    });
    assert!(c.get(&key).is_none());
}

#[test]
fn orphaned_objects_stay() {
    let (mut c, key) = with_deployment();
    c.edit(&key, |d| d["metadata"]["finalizers"] = json!(["orphan"]));
    c.delete(&key);
    c.settle();
    assert!(c.get(&key).is_none());
    assert_eq!(c.pods().len(), 2);
    assert_eq!(c.all("apps", "ReplicaSet").len(), 1);
}

#[test]
fn one_of_two_owners_gone_is_forgotten() {
    let (mut c, _) = with_deployment();
    let pod = c.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "ownerReferences": [
        {"apiVersion": "v1", "kind": "Node", "name": "box", "uid": "uid-1"},
        {"apiVersion": "v1", "kind": "Secret", "name": "gone", "uid": "nobody"}]}}));
    c.settle();
    let owners = c.get(&pod).unwrap()["metadata"]["ownerReferences"].clone();
    assert_eq!(owners.as_array().unwrap().len(), 1);
    assert_eq!(owners[0]["name"], "box");
}

#[test]
fn a_terminating_namespace_is_emptied_and_goes() {
    let mut c = Cluster::new();
    let ns = c.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"},
        "spec": {"finalizers": ["kubernetes"]}}));
    c.create(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", "ok")}}));
    c.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}}));
    c.settle();
    assert_eq!(c.get(&ns).unwrap()["status"]["phase"], "Active");
    c.delete(&ns);
    c.step();
    assert!(going(&c.get(&ns).unwrap()));
    c.settle();
    assert_eq!(c.get(&ns), None);
    assert!(c.objects.keys().all(|k| k.namespace != "shop"));
}

#[test]
fn the_usual_namespaces_exist() {
    let mut c = Cluster::new();
    c.settle();
    let names: Vec<_> = c.all("", "Namespace").iter().map(|n| n["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["default", "kube-public", "kube-system"]);
}
