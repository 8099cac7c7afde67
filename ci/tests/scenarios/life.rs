//! The good case, and with little memory.

use skerry_ci::{
    fixture::Fixture,
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

    let before = server.bytes_sent().unwrap();
    fixture.publish(&Variant::V2, &repo).unwrap();
    let status = node.wait_blessed(2, UPDATE_MAX).unwrap();
    let sent = server.bytes_sent().unwrap() - before;
    assert_eq!(node.wait_app(BOOT_MAX).unwrap().version, "2.0.0");

    let updater = status.updater.unwrap();
    let update = updater.last_update.unwrap();
    assert_eq!((update.from.sequence.0, update.to.sequence.0), (1, 2));
    assert_eq!(updater.previous.unwrap().sequence.0, 1);
    assert!(updater.last_rollback.is_none());
    assert!(update.planned_bytes <= sent, "planned {} bytes, the server sent {sent}", update.planned_bytes);
    assert!(sent < update.full_bytes / 2, "{sent} of {} bytes", update.full_bytes);
    assert!(server.sent_twice().unwrap().is_empty());
}

#[test]
fn boots_runs_the_app_updates_and_is_blessed() {
    boot_and_update("end-to-end", 1024);
}

#[test]
fn half_a_gigabyte_of_memory_is_enough() {
    boot_and_update("512-mib", 512);
}
