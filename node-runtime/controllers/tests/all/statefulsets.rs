//! StatefulSet → pods in order.

use proptest::prelude::*;
use serde_json::{Value, json};
use skerry_machinery::Key;

use crate::cluster::{Cluster, going, is_ready, template, text};

fn started(replicas: i32, change: impl FnOnce(&mut Value)) -> (Cluster, Key) {
    let mut c = Cluster::new();
    let mut s = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
        "replicas": replicas, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
        "template": template("db", "ok"), "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}});
    change(&mut s["spec"]);
    let key = c.create(s);
    (c, key)
}

fn set_image(c: &mut Cluster, key: &Key, image: &str) {
    c.edit(key, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = image.into());
}

fn images(c: &Cluster) -> Vec<String> {
    c.pods().iter().map(|p| text(&p["spec"]["containers"][0]["image"])).collect()
}

fn data(claim_spec: &mut Value) {
    claim_spec["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "local-path",
        "resources": {"requests": {"storage": "1Gi"}}}}]);
}

/// Pods come one by one, each after the one before is ready.
fn in_order(c: &Cluster) {
    let pods = c.pods();
    for (i, name) in c.pod_names().iter().enumerate() {
        assert_eq!(*name, format!("db-{i}"));
    }
    let unready = pods.iter().filter(|p| !is_ready(p)).count();
    assert!(unready <= 1, "{unready} not ready");
}

#[test]
fn starts_in_order_with_stable_names() {
    let (mut c, key) = started(3, |_| {});
    c.settle_watching(in_order);
    assert_eq!(c.pod_names(), ["db-0", "db-1", "db-2"]);
    let pod = c.pods()[1].clone();
    let status = c.get(&key).unwrap()["status"].clone();
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-1");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "1");
    assert_eq!(labels["controller-revision-hash"], status["updateRevision"]);
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("db-1"), &json!("db")));
    for field in ["replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"] {
        assert_eq!(status[field], 3, "{field}");
    }
    assert_eq!(status["currentRevision"], status["updateRevision"]);
}

#[test]
fn stops_from_the_highest_one_by_one() {
    let (mut c, key) = started(3, |_| {});
    c.settle();
    c.edit(&key, |s| s["spec"]["replicas"] = 0.into());
    c.settle_watching(|c| {
        assert!(c.pods().iter().filter(|p| going(p)).count() <= 1);
        for (i, name) in c.pod_names().iter().enumerate() {
            assert_eq!(*name, format!("db-{i}"));
        }
    });
    assert!(c.pods().is_empty());
}

#[test]
fn parallel_starts_all_at_once() {
    let (mut c, _) = started(3, |s| s["podManagementPolicy"] = "Parallel".into());
    c.step();
    assert_eq!(c.pods().len(), 3);
}

#[test]
fn an_unready_pod_holds_the_next() {
    let (mut c, _) = started(3, |s| s["template"] = template("db", "slow"));
    c.settle();
    assert_eq!(c.pod_names(), ["db-0"]);
}

#[test]
fn rolling_update_goes_from_the_highest() {
    let (mut c, key) = started(3, |_| {});
    c.settle();
    set_image(&mut c, &key, "ok2");
    let mut seen = vec![];
    c.settle_watching(|c| {
        assert!(c.pods().iter().filter(|p| is_ready(p)).count() >= 2);
        seen.push(images(c));
    });
    seen.dedup();
    assert!(seen.contains(&vec!["ok".into(), "ok".into(), "ok2".into()]), "{seen:?}");
    assert_eq!(images(&c), ["ok2", "ok2", "ok2"]);
    let status = c.get(&key).unwrap()["status"].clone();
    assert_eq!(status["currentRevision"], status["updateRevision"]);
    assert_eq!(c.all("apps", "ControllerRevision").len(), 2);
}

#[test]
fn partition_keeps_the_lower_ones_even_when_they_are_recreated() {
    let (mut c, key) = started(3, |s| s["updateStrategy"]["rollingUpdate"]["partition"] = 2.into());
    c.settle();
    set_image(&mut c, &key, "ok2");
    c.settle();
    assert_eq!(images(&c), ["ok", "ok", "ok2"]);
    let first = c.pod_keys()[0].clone();
    c.delete(&first);
    c.settle();
    assert_eq!(images(&c), ["ok", "ok", "ok2"]);
    let status = c.get(&key).unwrap()["status"].clone();
    assert_eq!((&status["currentReplicas"], &status["updatedReplicas"]), (&json!(2), &json!(1)));
}

#[test]
fn on_delete_waits_for_the_user() {
    let (mut c, key) = started(2, |s| s["updateStrategy"] = json!({"type": "OnDelete"}));
    c.settle();
    set_image(&mut c, &key, "ok2");
    c.settle();
    assert_eq!(images(&c), ["ok", "ok"]);
    let first = c.pod_keys()[0].clone();
    c.delete(&first);
    c.settle();
    assert_eq!(images(&c), ["ok2", "ok"]);
}

#[test]
fn a_failed_pod_is_made_again() {
    let (mut c, _) = started(1, |_| {});
    c.settle();
    let pod = c.pod_keys()[0].clone();
    let uid = c.objects[&pod].meta.uid.clone();
    c.end(&pod, "Failed", 1);
    c.settle();
    assert_ne!(c.objects[&pod].meta.uid, uid);
    assert!(c.has_event("RecreatingFailedPod"));
}

#[test]
fn claims_are_made_kept_and_used_again() {
    let (mut c, key) = started(2, data);
    c.settle();
    let names: Vec<String> = c.all("", "PersistentVolumeClaim").iter().map(|p| text(&p["metadata"]["name"])).collect();
    assert_eq!(names, ["data-db-0", "data-db-1"]);
    assert_eq!(c.pods()[0]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-db-0");
    assert!(c.pods().iter().all(is_ready));
    let uids: Vec<Value> = c.all("", "PersistentVolumeClaim").iter().map(|p| p["metadata"]["uid"].clone()).collect();
    c.edit(&key, |s| s["spec"]["replicas"] = 0.into());
    c.settle();
    c.edit(&key, |s| s["spec"]["replicas"] = 2.into());
    c.settle();
    let again: Vec<Value> = c.all("", "PersistentVolumeClaim").iter().map(|p| p["metadata"]["uid"].clone()).collect();
    assert_eq!(again, uids);
    c.delete(&key);
    c.settle();
    assert_eq!(c.all("", "PersistentVolumeClaim").len(), 2);
    assert!(c.pods().is_empty());
}

#[test]
fn retention_policy_delete_takes_the_claims_along() {
    let (mut c, key) = started(2, |s| {
        data(s);
        s["persistentVolumeClaimRetentionPolicy"] = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    });
    c.settle();
    c.edit(&key, |s| s["spec"]["replicas"] = 1.into());
    c.settle();
    assert_eq!(c.all("", "PersistentVolumeClaim").len(), 1);
    c.delete(&key);
    c.settle();
    assert!(c.all("", "PersistentVolumeClaim").is_empty());
    assert!(c.all("", "PersistentVolume").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn order_is_kept_whatever_happens(
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0u8..14), 0..80),
    ) {
        let (mut c, key) = started(3, |_| {});
        let mut next = 2;
        for (which, what) in steps {
            let before = c.pods();
            match what {
                0 => { set_image(&mut c, &key, &format!("ok{next}")); next += 1; }
                1 => c.edit(&key, |s| s["spec"]["replicas"] = (which.index(5)).into()),
                2 => {
                    let keys = c.pod_keys();
                    if !keys.is_empty() { c.end(which.get(&keys), "Failed", 1); }
                }
                3..=8 => {
                    c.step();
                    let names: Vec<Value> = before.iter().map(|p| p["metadata"]["name"].clone()).collect();
                    for pod in c.pods() {
                        let name = text(&pod["metadata"]["name"]);
                        if names.contains(&pod["metadata"]["name"]) { continue; }
                        let n: usize = name.strip_prefix("db-").unwrap().parse().unwrap();
                        for lower in 0..n {
                            let lower = format!("db-{lower}");
                            prop_assert!(before.iter().any(|p| p["metadata"]["name"] == lower.as_str() && is_ready(p)));
                        }
                    }
                }
                _ => {
                    let keys = c.pod_keys();
                    if !keys.is_empty() { c.kubelet(which.get(&keys)); }
                }
            }
        }
        c.settle();
        let wanted = c.get(&key).unwrap()["spec"]["replicas"].as_u64().unwrap();
        prop_assert_eq!(c.pods().len() as u64, wanted);
        prop_assert!(c.pods().iter().all(is_ready));
        prop_assert_eq!(c.controllers().changes, vec![]);
    }
}
