//! The power goes at every single operation of an update. The node must boot a
//! complete release each time, finish the update afterwards, and not fetch
//! again what it had durably.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{fs, path::Path, process::Command};

use common::{
    bench::{Node, settled},
    publisher::{Made, Publisher},
    server::Nginx,
};
use skerry_formats::{Sequence, index::Role};
use skerry_updater::store;

/// Object bytes that are still to be fetched, going by the disk alone.
fn remaining(node: &Node, made: &Made) -> u64 {
    if node.entries().iter().any(|e| e.sequence == made.release.sequence) {
        return 0;
    }
    let cfg = node.config();
    let missing = made.index.entries().iter().filter(|e| match e.role {
        Role::Uki => store::hash_file(&store::staged_uki(&cfg, &e.digest)).ok() != Some(e.digest),
        _ => !node.sealed(&e.digest),
    });
    missing.map(|e| e.compressed_bytes - fs::metadata(store::part_path(&cfg, &e.digest)).map_or(0, |m| m.len())).sum()
}

/// Object bytes that a life asked for.
fn object_bytes(nginx: &Nginx, life: u64) -> u64 {
    let prefix = format!("/life{life}/objects/");
    nginx.requests().iter().filter(|r| r.1.starts_with(&prefix) && r.0 < 300).map(|r| r.2).sum()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test]
async fn power_cut_at_every_operation_of_an_update() {
    let dir = common::scratch();
    let mut p = Publisher::new(dir.path()).await;
    let (one, two) = (Made::new(1, &p.release_key), Made::new(2, &p.release_key));
    p.publish(&one).await;
    p.publish(&two).await;
    let nginx = Nginx::start(dir.path(), &p.repo);
    let fresh = dir.path().join("fresh");
    drop(Node::flash(&fresh, &p, &one, &nginx.url()));
    let root = dir.path().join("node");
    let (mut k, mut cuts, mut resumed) = (0, 0, 0);
    loop {
        k += 1;
        copy(&fresh, &root);
        let mut node = Node::flash(&root, &p, &one, &nginx.url());
        node.fake.cut_at(k);
        node.run(settled(2)).await;
        if !node.fake.dead() {
            break;
        }
        cuts += 1;
        node.fake.never_cut();
        node.check_objects();
        node.url = nginx.url_of_life(k);
        let booted = node.boot();
        assert!(booted == Sequence(1) || booted == Sequence(2), "cut {k}");
        let expected = remaining(&node, &two);
        resumed += u64::from(expected > 0 && expected < two.release.totals.compressed_bytes / 2);
        node.run(settled(2)).await;
        assert_eq!(object_bytes(&nginx, k), expected, "cut {k}: fetched again what was there");
        node.check_release(Sequence(1));
        node.check_release(Sequence(2));
        node.check_objects();
        assert!(node.status().failed.is_empty(), "cut {k}: {:?}", node.status().failed);
    }
    assert!(cuts > 100 && resumed > 10, "{cuts} cuts, {resumed} of them in the middle of the download");
    println!("{cuts} power cuts, {resumed} in the middle of the download");
}

#[tokio::test]
async fn power_cut_at_every_operation_of_a_roll_back() {
    use common::bench::Conduct;
    let dir = common::scratch();
    let mut p = Publisher::new(dir.path()).await;
    let one = Made::new(1, &p.release_key);
    p.publish(&Made::new(2, &p.release_key)).await;
    let nginx = Nginx::start(dir.path(), &p.repo);
    let conduct = |s: Sequence| if s.0 == 2 { Conduct::NeverReady } else { Conduct::Healthy };
    // A node in the trial of release 2, about to fail it.
    let fresh = dir.path().join("fresh");
    let mut node = Node::flash(&fresh, &p, &one, &nginx.url());
    node.conduct = Box::new(conduct);
    node.run(|s| s.state == "trial").await;
    let root = dir.path().join("node");
    let mut k = 0;
    loop {
        k += 1;
        copy(&fresh, &root);
        let mut node = Node::revive(&root, &nginx.url(), node.fake.now_parts());
        node.conduct = Box::new(conduct);
        node.fake.cut_at(k);
        let done = |s: &skerry_formats::status::UpdaterStatus| s.last_rollback.is_some() && s.state == "idle";
        node.resume(done).await;
        if !node.fake.dead() {
            break;
        }
        node.fake.never_cut();
        node.boot();
        node.run(done).await;
        let s = node.status();
        assert_eq!(s.running.sequence, Sequence(1), "cut {k}");
        assert!(!s.failed.is_empty(), "cut {k}: the failure is forgotten");
        node.check_release(Sequence(1));
    }
    assert!(k > 5, "{k} operations");
}
