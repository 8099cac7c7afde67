//! Claims ↔ volumes.

use serde_json::{Value, json};

use crate::cluster::Cluster;

fn claim(class: Value, mode: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "accessModes": [mode], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}})
}

#[test]
fn a_claim_is_bound_at_once() {
    let mut c = Cluster::new();
    let key = c.create(claim(json!("local-path"), "ReadWriteOnce"));
    c.settle();
    let bound = c.get(&key).unwrap();
    assert_eq!(bound["status"]["phase"], "Bound");
    assert_eq!(bound["status"]["capacity"]["storage"], "1Gi");
    let volume = c.all("", "PersistentVolume")[0].clone();
    assert_eq!(bound["spec"]["volumeName"], volume["metadata"]["name"]);
    assert_eq!(volume["spec"]["claimRef"]["uid"], bound["metadata"]["uid"]);
    assert_eq!(
        (&volume["status"]["phase"], &volume["spec"]["persistentVolumeReclaimPolicy"]),
        (&json!("Bound"), &json!("Delete"))
    );
    let class = c.all("storage.k8s.io", "StorageClass")[0].clone();
    assert_eq!(class["provisioner"], "skerry.dev/local-path");
    assert_eq!(class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"], "true");
}

#[test]
fn a_claim_without_class_gets_the_default_one() {
    let mut c = Cluster::new();
    let key = c.create(claim(Value::Null, "ReadWriteOnce"));
    c.settle();
    assert_eq!(c.get(&key).unwrap()["spec"]["storageClassName"], "local-path");
    assert_eq!(c.get(&key).unwrap()["status"]["phase"], "Bound");
}

#[test]
fn a_claim_in_use_goes_after_its_pod() {
    let mut c = Cluster::new();
    let key = c.create(claim(json!("local-path"), "ReadWriteOnce"));
    let pod = c.create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {
        "containers": [{"name": "main", "image": "ok"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}}));
    c.settle();
    assert_eq!(c.get(&pod).unwrap()["spec"]["nodeName"], "box");
    c.delete(&key);
    c.settle();
    assert!(c.get(&key).is_some());
    c.delete(&pod);
    c.settle();
    assert!(c.get(&key).is_none());
    assert!(c.all("", "PersistentVolume").is_empty());
}

#[test]
fn retain_leaves_a_released_volume() {
    let mut c = Cluster::new();
    c.create(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "keep"},
        "provisioner": "skerry.dev/local-path", "reclaimPolicy": "Retain"}));
    let key = c.create(claim(json!("keep"), "ReadWriteOnce"));
    c.settle();
    c.delete(&key);
    c.settle();
    assert_eq!(c.all("", "PersistentVolume")[0]["status"]["phase"], "Released");
}

#[test]
fn what_can_not_be_had_stays_pending_and_is_said_once() {
    for (class, mode, reason) in [
        ("nfs", "ReadWriteOnce", "ProvisioningFailed: storageclass.storage.k8s.io \"nfs\" not found"),
        ("local-path", "ReadWriteMany", "ProvisioningFailed: access mode ReadWriteMany"),
        ("", "ReadWriteOnce", "FailedBinding: no persistent volumes available"),
    ] {
        let mut c = Cluster::new();
        let key = c.create(claim(json!(class), mode));
        c.settle();
        assert_eq!(c.get(&key).unwrap()["status"]["phase"], "Pending");
        assert!(c.has_event(reason), "{:?}", c.events);
        assert_eq!(c.events.len(), 1);
    }
}

#[test]
fn a_volume_made_by_hand_is_taken() {
    let mut c = Cluster::new();
    c.create(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": {
        "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": "/var/lib/data"}}}));
    let key = c.create(claim(json!(""), "ReadWriteOnce"));
    c.settle();
    assert_eq!(c.get(&key).unwrap()["spec"]["volumeName"], "disk");
    assert_eq!(c.get(&key).unwrap()["status"]["capacity"]["storage"], "5Gi");
    assert_eq!(c.all("", "PersistentVolume")[0]["status"]["phase"], "Bound");
}
