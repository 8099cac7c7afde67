//! The power fails, again and again.

use std::time::Duration;

use skerry_ci::{
    disk::boot_entries,
    fixture::Fixture,
    node::{BOOT_MAX, Node, UPDATE_MAX},
    product::Variant,
    random::Random,
    server::Rate,
};
use skerry_formats::{Sequence, layout::UkiName};

/// Cuts in all, over as many nodes as it takes.
const CUTS: u32 = 21;
/// A machine is cut at a random moment of this time after power-on: from the
/// firmware over the first boot and the download to the new release's trial.
const SPREAD_MS: u64 = 60_000;
/// Slow enough that cuts fall into the download.
const RATE: Rate = Rate::Limited(1_500_000);

/// The entry of release 2, if it is on the ESP.
fn second(node: &Node) -> Option<UkiName> {
    let entries = boot_entries(&node.disk()).unwrap();
    assert!(entries.iter().any(|e| e.counter.is_none()), "no proven release on the ESP: {entries:?}");
    entries.into_iter().find(|e| e.sequence == Sequence(2))
}

/// May the power be cut again? A node cannot tell a cut from a crash, so three
/// cuts in a trial are three failed tries; one try must be left.
fn expendable(entry: Option<UkiName>) -> bool {
    match entry {
        None => true,
        Some(UkiName { counter: Some(counter), .. }) => counter.left > 1,
        Some(UkiName { counter: None, .. }) => false,
    }
}

#[test]
fn cuts_at_random_moments_of_first_boot_and_update() {
    let mut random = Random::announced("power cuts");
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario("power-cuts").unwrap();
    let repo = fixture.repo(&dir).unwrap();
    fixture.publish(&Variant::V2, &repo).unwrap();
    let (mut cuts, mut life) = (0, 0);
    while cuts < CUTS {
        life += 1;
        let dir = dir.join(format!("life-{life}"));
        let server = fixture.serve(&repo, &dir, RATE).unwrap();
        let mut node = fixture.node(&dir).unwrap();
        let before = cuts;
        while cuts < CUTS && expendable(second(&node)) {
            let moment = Duration::from_millis(random.below(SPREAD_MS));
            println!("life {life}: power cut after {:.3} s", moment.as_secs_f64());
            node.power_on().unwrap();
            std::thread::sleep(moment);
            node.power_cut().unwrap();
            cuts += 1;
        }
        node.power_on().unwrap();
        let status = node.wait_blessed(2, BOOT_MAX + UPDATE_MAX).unwrap();
        assert_eq!(node.wait_app(BOOT_MAX).unwrap().version, "2.0.0");
        assert!(status.updater.unwrap().failed.is_empty(), "a power cut is no failure of the release");
        // An object that arrives in the very moment of a cut may not have
        // reached the disk; it is sent again. No other is.
        let twice = server.sent_twice().unwrap();
        let again: u32 = twice.values().map(|n| n - 1).sum();
        assert!(again <= cuts - before, "{again} objects sent again after {} cuts: {twice:?}", cuts - before);
    }
}
