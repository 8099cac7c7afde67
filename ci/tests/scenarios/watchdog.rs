//! Machines that hang. Nothing in them can reboot them; the hardware watchdog
//! resets them.

use std::time::{Duration, Instant};

use skerry_ci::{
    fixture::Fixture,
    node::{BOOT_MAX, Node, UPDATE_MAX},
    product::Variant,
    server::Rate,
};

/// Time limit for a line on the console after its cause.
const LINE_MAX: Duration = Duration::from_secs(120);
/// What the firmware says at each start.
const START: &str = "BdsDxe: starting";

fn count(node: &Node, words: &str) -> usize {
    node.serial_text().matches(words).count()
}

#[test]
fn a_release_whose_system_freezes_is_given_up() {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario("frozen").unwrap();
    let repo = fixture.repo(&dir).unwrap();
    let _server = fixture.serve(&repo, &dir, Rate::Unlimited).unwrap();
    let mut node = fixture.node(&dir).unwrap();
    node.power_on().unwrap();
    node.wait_blessed(1, BOOT_MAX + UPDATE_MAX).unwrap();
    let starts = count(&node, START);

    fixture.publish(&Variant::V2_FROZEN, &repo).unwrap();
    let back = node.wait_updater(
        "the node to go back to release 1",
        UPDATE_MAX,
        |_| (),
        |u| u.running.sequence.0 == 1 && u.last_rollback.as_ref().is_some_and(|r| r.release.sequence.0 == 2),
    );
    let updater = back.unwrap().updater.unwrap();
    let reason = updater.last_rollback.unwrap().reason;
    assert!(reason.contains("did not boot") && reason.contains("tries used up"), "{reason}");
    assert!(updater.blessed);
    // Three times it froze, and nobody inside rebooted it.
    assert_eq!(count(&node, "Freezing execution"), 3, "{}", node.tail());
    assert_eq!(count(&node, START) - starts, 4, "{}", node.tail());
    assert_eq!(node.wait_app(BOOT_MAX).unwrap().version, "1.0.0");
}

#[test]
fn a_kernel_that_hangs_is_reset_and_its_release_stays() {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario("hanging").unwrap();
    let repo = fixture.repo(&dir).unwrap();
    let _server = fixture.serve(&repo, &dir, Rate::Unlimited).unwrap();
    let mut node = fixture.node(&dir).unwrap();
    node.power_on().unwrap();
    node.wait_blessed(1, BOOT_MAX + UPDATE_MAX).unwrap();
    fixture.publish(&Variant::V2_HANGING, &repo).unwrap();
    node.wait_blessed(2, UPDATE_MAX).unwrap();
    node.wait_app(BOOT_MAX).unwrap();
    let starts = count(&node, START);

    node.inject_nmi().unwrap();
    let end = Instant::now() + LINE_MAX;
    while count(&node, "Kernel panic") == 0 {
        assert!(Instant::now() < end, "the kernel does not panic\n{}", node.tail());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(node.app().is_err(), "the app answers on a kernel that panicked");
    node.wait_app(BOOT_MAX).unwrap();
    assert_eq!(count(&node, START) - starts, 1, "{}", node.tail());
    assert_eq!(count(&node, "Rebooting in"), 0, "the kernel rebooted by itself\n{}", node.tail());
    let updater = node.wait_blessed(2, BOOT_MAX).unwrap().updater.unwrap();
    assert!(updater.failed.is_empty() && updater.last_rollback.is_none(), "{updater:?}");
}
