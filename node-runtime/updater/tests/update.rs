//! Whole updates against a real web server.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{
    bench::{Conduct, Node, settled},
    publisher::{Made, Publisher},
    server::Nginx,
};
use skerry_formats::Sequence;

async fn bench(dir: &std::path::Path, offer: u32) -> (Publisher, Nginx, Node) {
    let mut p = Publisher::new(dir).await;
    let made = Made::new(1, &p.release_key);
    for sequence in 1..=offer {
        p.publish(&Made::new(sequence, &p.release_key)).await;
    }
    let nginx = Nginx::start(dir, &p.repo);
    let node = Node::flash(&dir.join("node"), &p, &made, &nginx.url());
    (p, nginx, node)
}

#[tokio::test]
async fn update_is_fetched_tried_and_blessed_at_the_planned_price() {
    let dir = common::scratch();
    let (_p, nginx, mut node) = bench(dir.path(), 2).await;
    node.run(settled(2)).await;
    let s = node.status();
    let last = s.last_update.unwrap();
    assert_eq!((last.from.sequence, last.to.sequence), (Sequence(1), Sequence(2)));
    let objects: u64 = nginx.requests().iter().filter(|r| r.1.starts_with("/objects/")).map(|r| r.2).sum();
    assert_eq!(objects, last.planned_bytes, "exactly the planned object bytes were sent");
    assert!(last.planned_bytes < last.full_bytes);
    let all: u64 = nginx.requests().iter().filter(|r| r.0 == 200).map(|r| r.2).sum();
    assert!(last.fetched_bytes > objects && last.fetched_bytes <= all + 4096, "{last:?}, nginx sent {all}");
    assert_eq!(s.previous.unwrap().sequence, Sequence(1));
    node.check_objects();
    node.check_release(Sequence(1));
    assert_eq!(std::fs::read_dir(node.root.join("sysroot/staging")).unwrap().count(), 0);
}

#[tokio::test]
async fn third_release_drops_the_first_and_keeps_two() {
    let dir = common::scratch();
    let (mut p, _nginx, mut node) = bench(dir.path(), 2).await;
    node.run(settled(2)).await;
    p.publish(&Made::new(3, &p.release_key)).await;
    node.run(settled(3)).await;
    let on_esp: Vec<_> = node.entries().iter().map(|e| e.sequence.0).collect();
    assert_eq!(on_esp, [2, 3]);
    let gone = Made::new(1, &p.release_key).release.os.composefs;
    assert!(!node.object(&gone).exists());
    node.check_release(Sequence(2));
    node.check_objects();
}

#[tokio::test]
async fn release_that_never_gets_ready_is_rolled_back_and_never_tried_again() {
    let dir = common::scratch();
    let (mut p, nginx, mut node) = bench(dir.path(), 2).await;
    node.run(settled(2)).await;
    node.conduct = Box::new(|s| if s.0 == 3 { Conduct::NeverReady } else { Conduct::Healthy });
    p.publish(&Made::new(3, &p.release_key)).await;
    node.run(|s| s.last_rollback.is_some() && s.state == "idle").await;
    let s = node.status();
    assert_eq!(s.running.sequence, Sequence(2));
    let why = "workload default/hello: 0/1 Ready after 300 s: readiness probe: status 500";
    assert_eq!(s.last_rollback.unwrap().reason, why);
    assert!(node.fake.lines().contains(&format!("rolled back 3 -> 2: {why}")), "{:?}", node.fake.lines());
    let before = nginx.requests().iter().filter(|r| r.1.starts_with("/objects/")).count();
    node.fake.pass(10_000);
    node.run(|s| s.last_error.as_ref().is_some_and(|e| e.contains("failed here"))).await;
    let after = nginx.requests().iter().filter(|r| r.1.starts_with("/objects/")).count();
    assert_eq!((before, *node.boots.last().unwrap()), (after, Sequence(2)));
    // Republished under a new sequence it is tried; what 3 brought is not used.
    p.publish(&Made::new(4, &p.release_key)).await;
    node.run(settled(4)).await;
    assert_eq!(node.status().previous.unwrap().sequence, Sequence(2));
}

#[tokio::test]
async fn kernel_that_panics_uses_its_tries_up_and_the_old_release_says_so() {
    let dir = common::scratch();
    let (_p, _nginx, mut node) = bench(dir.path(), 2).await;
    node.conduct = Box::new(|s| if s.0 == 2 { Conduct::Panics } else { Conduct::Healthy });
    node.run(|s| s.last_rollback.is_some() && s.state == "idle").await;
    assert_eq!(node.boots.iter().map(|s| s.0).collect::<Vec<_>>(), [1, 2, 2, 2, 1]);
    assert_eq!(node.status().last_rollback.unwrap().reason, "did not boot: 3 tries used up");
}

#[tokio::test]
async fn wiped_state_is_rebuilt_from_the_boot_entries() {
    let dir = common::scratch();
    let (_p, _nginx, mut node) = bench(dir.path(), 2).await;
    // Up to the trial of release 2, then DATA is lost.
    node.run(|s| s.state == "trial").await;
    std::fs::remove_file(node.root.join("var/lib/skerry/updater/state.json")).unwrap();
    node.boot();
    node.run(settled(2)).await;
    assert!(node.entries().iter().all(|e| e.counter.is_none()));
}
