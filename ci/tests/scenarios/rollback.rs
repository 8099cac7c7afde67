//! Releases that do not prove healthy.

use skerry_ci::{
    fixture::Fixture,
    node::{BOOT_MAX, Node, UPDATE_MAX},
    product::Variant,
    server::Rate,
};

/// From release 1 to 2, then a third one that must not stay. Gives the reason.
fn goes_back(name: &str, third: &Variant) -> String {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario(name).unwrap();
    let repo = fixture.repo(&dir).unwrap();
    let _server = fixture.serve(&repo, &dir, Rate::Unlimited).unwrap();
    let mut node = fixture.node(&dir).unwrap();
    node.power_on().unwrap();
    fixture.publish(&Variant::V2, &repo).unwrap();
    node.wait_blessed(2, BOOT_MAX + UPDATE_MAX).unwrap();

    fixture.publish(third, &repo).unwrap();
    let reason = wait_back(&mut node);
    assert_eq!(node.wait_app(BOOT_MAX).unwrap().version, "2.0.0");

    // Not tried again: several checks later it still rests on release 2.
    let checked = node.status().unwrap().updater.unwrap().last_check;
    let status =
        node.wait_updater("a later check", UPDATE_MAX, |_| (), |u| u.last_check > checked.map(|c| c + 15)).unwrap();
    let updater = status.updater.unwrap();
    assert_eq!((updater.running.sequence.0, updater.blessed), (2, true));
    assert!(updater.candidate.is_none(), "{updater:?}");
    assert_eq!(updater.failed.iter().filter(|f| f.release.sequence.0 == 3).count(), 1);
    reason
}

fn wait_back(node: &mut Node) -> String {
    let status = node
        .wait_updater(
            "the node to go back to release 2",
            UPDATE_MAX,
            |_| (),
            |u| u.running.sequence.0 == 2 && u.last_rollback.as_ref().is_some_and(|r| r.release.sequence.0 == 3),
        )
        .unwrap();
    let reason = status.updater.unwrap().last_rollback.unwrap().reason;
    assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}");
    reason
}

#[test]
fn an_app_that_never_becomes_ready() {
    let reason = goes_back("never-ready", &Variant::V3_BROKEN);
    assert!(reason.contains("hello"), "names the workload: {reason}");
}

#[test]
fn a_kernel_that_panics() {
    let reason = goes_back("kernel-panic", &Variant::V3_PANIC);
    assert!(reason.contains("boot"), "{reason}");
}
