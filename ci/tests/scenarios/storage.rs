//! A disk without room for the update, and a second disk.

use skerry::deliver::vm::work_copy;
use skerry_ci::{
    disk::{System, boot_entries},
    fixture::Fixture,
    node::{BOOT_MAX, UPDATE_MAX},
    product::Variant,
    server::Rate,
};

/// Too little for a UKI.
const ROOM: u64 = 4 << 20;

#[test]
fn a_full_disk_during_staging() {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario("disk-full").unwrap();
    let repo = fixture.repo(&dir).unwrap();
    let _server = fixture.serve(&repo, &dir, Rate::Unlimited).unwrap();
    let mut node = fixture.node(&dir).unwrap();
    node.power_on().unwrap();
    node.wait_blessed(1, BOOT_MAX + UPDATE_MAX).unwrap();
    node.power_cut().unwrap();
    let system = System::open(&node.disk()).unwrap();
    system.fill("ballast", system.free_bytes().unwrap() - ROOM).unwrap();

    fixture.publish(&Variant::V2, &repo).unwrap();
    node.power_on().unwrap();
    let said = |text: &str| ["space", "full", "room"].iter().any(|w| text.contains(w));
    let status = node
        .wait_updater(
            "the updater to say that the disk is full",
            BOOT_MAX + UPDATE_MAX,
            |_| (),
            |u| u.last_error.as_deref().is_some_and(said) || u.failed.iter().any(|f| said(&f.reason)),
        )
        .unwrap();
    assert_eq!(status.updater.unwrap().running.sequence.0, 1);
    assert_eq!(node.wait_app(BOOT_MAX).unwrap().version, "1.0.0");

    node.power_cut().unwrap();
    System::open(&node.disk()).unwrap().remove("ballast").unwrap();
    node.power_on().unwrap();
    node.wait_blessed(2, BOOT_MAX + UPDATE_MAX).unwrap();
}

#[test]
fn a_second_disk_of_the_same_product_is_left_alone() {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario("two-disks").unwrap();
    let repo = fixture.repo(&dir).unwrap();
    let _server = fixture.serve(&repo, &dir, Rate::Unlimited).unwrap();
    let mut node = fixture.node(&dir).unwrap();
    node.power_on().unwrap();
    node.wait_blessed(1, BOOT_MAX + UPDATE_MAX).unwrap();
    node.power_cut().unwrap();

    let image = fixture.product.built(&Variant::V1).join("disk.img.zst");
    let (other, as_it_was) = (dir.join("other.img"), dir.join("as-it-was.img"));
    work_copy(&image, &other, 0).unwrap();
    work_copy(&image, &as_it_was, 0).unwrap();
    node.config().other_disk = Some(other.clone());
    node.power_on().unwrap();
    node.wait_app(BOOT_MAX).unwrap();
    fixture.publish(&Variant::V2, &repo).unwrap();
    node.wait_blessed(2, UPDATE_MAX).unwrap();
    assert!(!node.serial_text().contains("disks have a"), "init is not sure\n{}", node.tail());
    node.power_cut().unwrap();

    let entries = boot_entries(&node.disk()).unwrap();
    assert!(entries.iter().any(|e| e.sequence.0 == 2 && e.counter.is_none()), "{entries:?}");
    let same = std::process::Command::new("cmp").arg(&other).arg(&as_it_was).output().unwrap();
    assert!(same.status.success(), "the other disk was written to: {same:?}");
}
