//! The good case, and with little memory.

use skerry_ci::{
    fixture::Fixture,
    kubectl::Kubectl,
    node::{BOOT_MAX, UPDATE_MAX},
    product::Variant,
    server::Rate,
};

/// Boots the first release, updates to the second; gives nothing back: it
/// panics if anything is wrong.
fn boot_and_update(name: &str, memory_mib: u64) {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario(name).unwrap();
    let repo = fixture.repo(&dir).unwrap();
    let server = fixture.serve(&repo, &dir, Rate::Unlimited).unwrap();
    let mut node = fixture.node(&dir).unwrap();
    node.config().memory_mib = memory_mib;
    node.power_on().unwrap();

    let answer = node.wait_app(BOOT_MAX).unwrap();
    assert_eq!(answer.version, "1.0.0");
    assert_eq!(answer.json["labels"], serde_json::json!({"app": "hello", "tier": "demo"}));
    assert_ne!(answer.json["node"], "", "spec.nodeName");
    let status = node.wait_blessed(1, UPDATE_MAX).unwrap();
    let workloads = status.orchestrator.unwrap().workloads;
    assert!(workloads.iter().any(|w| w.name == "hello" && w.ready == 1), "{workloads:?}");

    let kubectl = Kubectl::of(&fixture.product, &node, &dir).unwrap();
    kubernetes(&kubectl);

    let before = server.bytes_sent().unwrap();
    fixture.publish(&Variant::V2, &repo).unwrap();
    let status = node.wait_blessed(2, UPDATE_MAX).unwrap();
    let sent = server.bytes_sent().unwrap() - before;
    assert_eq!(node.wait_app(BOOT_MAX).unwrap().version, "2.0.0");

    kubernetes_after_update(&kubectl);

    // The reboot waited for no process: all containers had ended before.
    let console = node.serial_text();
    assert!(!console.contains("Waiting for process"), "{console}");

    let updater = status.updater.unwrap();
    let update = updater.last_update.unwrap();
    assert_eq!((update.from.sequence.0, update.to.sequence.0), (1, 2));
    assert_eq!(updater.previous.unwrap().sequence.0, 1);
    assert!(updater.last_rollback.is_none());
    assert!(update.planned_bytes <= sent, "planned {} bytes, the server sent {sent}", update.planned_bytes);
    assert!(sent < update.full_bytes / 2, "{sent} of {} bytes", update.full_bytes);
    assert!(server.sent_twice().unwrap().is_empty());
}

/// Debian's kubectl reads and changes what the image brought.
fn kubernetes(k: &Kubectl) {
    k.until(&["get", "nodes", "-o", "wide"], |t| t.contains(" Ready ") && t.contains("1.0.0"));
    let offline = r#"jsonpath={.items[0].status.conditions[?(@.type=="OfflineReady")].status}"#;
    k.until(&["get", "nodes", "-o", offline], |t| t == "True");
    k.until(&["get", "releases"], |t| t.contains("Running"));
    k.until(&["get", "deployment", "hello"], |t| t.contains("1/1"));
    assert!(k.run(&["explain", "deployment.spec.strategy"]).unwrap().contains("rollingUpdate"));
    assert!(k.run(&["top", "pods"]).unwrap().contains("hello-"));
    assert!(k.run(&["describe", "deployment", "hello"]).unwrap().contains("ScalingReplicaSet"));
    k.run(&["create", "configmap", "note", "--from-literal=by=hand"]).unwrap();
    k.run(&["scale", "deployment/hello", "--replicas=2"]).unwrap();
    k.run(&["rollout", "status", "deployment/hello", "--timeout=600s"]).unwrap();
    k.run(&["logs", "deployment/hello"]).unwrap();
    let refused = k.run(&["run", "x", "--image=localhost/hello:demo"]).unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity"), "{refused}");
}

/// Objects made by hand are kept; what the image brings is as the new one says.
fn kubernetes_after_update(k: &Kubectl) {
    k.until(&["get", "configmap", "note", "-o", "jsonpath={.data.by}"], |t| t == "hand");
    k.until(&["get", "deployment", "hello"], |t| t.contains("1/1"));
    k.until(&["get", "nodes", "-o", "wide"], |t| t.contains(" Ready ") && t.contains("2.0.0"));
    k.until(&["get", "releases"], |t| t.contains("Previous") && t.contains("Running"));
}

#[test]
fn boots_runs_the_app_updates_and_is_blessed() {
    boot_and_update("end-to-end", 1024);
}

#[test]
fn half_a_gigabyte_of_memory_is_enough() {
    boot_and_update("512-mib", 512);
}
