//! DaemonSet → the pod of this node.

use serde_json::{Value, json};
use skerry_machinery::Key;

use crate::cluster::{Cluster, going, is_ready, template, text};

fn started(change: Value) -> (Cluster, Key) {
    let mut c = Cluster::new();
    let mut spec = json!({"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent", "ok"),
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}});
    for (k, v) in change.as_object().unwrap() {
        spec[k] = v.clone();
    }
    let key =
        c.create(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": spec}));
    c.settle();
    (c, key)
}

fn set_image(c: &mut Cluster, key: &Key, image: &str) {
    c.edit(key, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = image.into());
}

fn images(c: &Cluster) -> Vec<String> {
    c.pods().iter().map(|p| text(&p["spec"]["containers"][0]["image"])).collect()
}

#[test]
fn one_pod_runs_here() {
    let (c, key) = started(json!({}));
    assert_eq!(c.pods().len(), 1);
    let status = c.get(&key).unwrap()["status"].clone();
    for field in
        ["currentNumberScheduled", "desiredNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled"]
    {
        assert_eq!(status[field], 1, "{field}");
    }
    assert!(c.pods()[0]["metadata"]["labels"]["controller-revision-hash"].is_string());
}

#[test]
fn node_selector_decides() {
    let mut t = template("agent", "ok");
    t["spec"]["nodeSelector"] = json!({"disk": "hdd"});
    let (mut c, key) = started(json!({"template": t}));
    assert!(c.pods().is_empty());
    assert_eq!(c.get(&key).unwrap()["status"]["desiredNumberScheduled"], 0);
    c.edit(&key, |d| d["spec"]["template"]["spec"]["nodeSelector"]["disk"] = "ssd".into());
    c.settle();
    assert_eq!(c.pods().len(), 1);
}

#[test]
fn an_update_replaces_the_pod() {
    let (mut c, key) = started(json!({}));
    set_image(&mut c, &key, "ok2");
    c.settle_watching(|c| assert!(c.pods().len() <= 1));
    assert_eq!(images(&c), ["ok2"]);
    assert_eq!(c.all("apps", "ControllerRevision").len(), 2);
}

#[test]
fn a_surge_has_the_new_one_ready_first() {
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    let (mut c, key) = started(json!({"updateStrategy": rolling}));
    set_image(&mut c, &key, "ok2");
    c.settle_watching(|c| assert!(c.pods().iter().any(is_ready)));
    assert_eq!(images(&c), ["ok2"]);
}

#[test]
fn on_delete_waits() {
    let (mut c, key) = started(json!({"updateStrategy": {"type": "OnDelete"}}));
    set_image(&mut c, &key, "ok2");
    c.settle();
    assert_eq!(images(&c), ["ok"]);
    let pod = c.pod_keys()[0].clone();
    c.delete(&pod);
    c.settle();
    assert_eq!(images(&c), ["ok2"]);
}

#[test]
fn a_failed_pod_is_replaced_after_a_while() {
    let (mut c, _) = started(json!({}));
    let pod = c.pod_keys()[0].clone();
    c.end(&pod, "Failed", 1);
    c.pass(11);
    assert_ne!(c.pod_keys()[0], pod);
    assert!(c.has_event("FailedDaemonPod"));
    assert!(!c.pods().iter().any(going));
}
