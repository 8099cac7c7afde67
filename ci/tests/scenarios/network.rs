//! Servers that fail, and no network at all.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use skerry::deliver::vm::Network;
use skerry_ci::{
    faults::{FaultServer, Faults},
    fixture::Fixture,
    http,
    node::{BOOT_MAX, Node, UPDATE_MAX},
    product::{Variant, release},
    server::Rate,
};
use skerry_formats::{ObjectDigest, status::UpdaterStatus};

/// Time for which a node with a bad server is watched: several checks.
const WATCH: Duration = Duration::from_secs(40);

/// Path of an object in a repository, as `skerry publish` writes it.
fn served(object: &ObjectDigest) -> String {
    let hex = object.to_string();
    format!("objects/{}/{}.zst", &hex[..2], &hex[2..])
}

fn failed_download(u: &UpdaterStatus) -> bool {
    u.last_error.is_some() || !u.failed.is_empty()
}

/// The node says that something is wrong and stays on release 1 with its app.
fn stays_on_release_1(node: &mut Node) {
    let status = node.wait_updater("the updater to report a failure", UPDATE_MAX, |_| (), failed_download).unwrap();
    let updater = status.updater.unwrap();
    println!("updater: {:?} {:?}", updater.last_error, updater.failed);
    std::thread::sleep(WATCH);
    let updater = node.status().unwrap().updater.unwrap();
    assert_eq!((updater.running.sequence.0, updater.blessed), (1, true));
    assert_eq!(node.wait_app(BOOT_MAX).unwrap().version, "1.0.0");
    assert!(!node.serial_text().contains("skerry.sequence=2"), "release 2 was booted");
}

/// A served release 2 whose UKI is changed by `damage`, then made whole: the
/// node must refuse it first and take it then.
fn damaged_uki(name: &str, damage: impl Fn(&Path)) {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario(name).unwrap();
    let repo = fixture.repo(&dir).unwrap();
    fixture.publish(&Variant::V2, &repo).unwrap();
    let uki = repo.join(served(&release(&fixture.product.built(&Variant::V2)).unwrap().uki.object));
    let whole = std::fs::read(&uki).unwrap();
    damage(&uki);
    let _server = fixture.serve(&repo, &dir, Rate::Unlimited).unwrap();
    let mut node = fixture.node(&dir).unwrap();
    node.power_on().unwrap();
    node.wait_app(BOOT_MAX).unwrap();
    stays_on_release_1(&mut node);
    std::fs::write(&uki, whole).unwrap();
    node.wait_blessed(2, UPDATE_MAX).unwrap();
}

#[test]
fn a_truncated_uki_on_the_server() {
    damaged_uki("truncated-uki", |uki| {
        let file = std::fs::OpenOptions::new().write(true).open(uki).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    });
}

#[test]
fn a_flipped_byte_in_an_object_on_the_server() {
    damaged_uki("flipped-download", |uki| {
        let mut bytes = std::fs::read(uki).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(uki, bytes).unwrap();
    });
}

#[test]
fn a_flipped_byte_in_tuf_metadata_and_in_the_release_statement() {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario("flipped-metadata").unwrap();
    let repo = fixture.repo(&dir).unwrap();
    let server = fixture.serve(&repo, &dir, Rate::Unlimited).unwrap();
    let mut node = fixture.node(&dir).unwrap();
    node.power_on().unwrap();
    node.wait_blessed(1, BOOT_MAX + UPDATE_MAX).unwrap();
    fixture.publish(&Variant::V2, &repo).unwrap();
    for (folder, part) in [("metadata", "timestamp"), ("targets", "release.json")] {
        let mut files = Vec::new();
        find(&repo.join(folder), part, &mut files);
        assert!(!files.is_empty(), "no {part} in {folder}");
        let whole: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
        for (file, bytes) in files.iter().zip(&whole) {
            let mut bytes = bytes.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(file, bytes).unwrap();
        }
        stays_on_release_1(&mut node);
        for (file, bytes) in files.iter().zip(whole) {
            std::fs::write(file, bytes).unwrap();
        }
        if folder == "metadata" {
            // Take release 2 away again, so that the second round starts equal.
            node.power_cut().unwrap();
            node = fixture.node(&dir).unwrap();
            node.power_on().unwrap();
        }
    }
    node.wait_blessed(2, BOOT_MAX + UPDATE_MAX).unwrap();
    drop(server);
}

fn find(dir: &Path, part: &str, out: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, part, out);
        } else if path.file_name().unwrap().to_string_lossy().contains(part)
            && !path.to_string_lossy().ends_with(".sig")
        {
            out.push(path);
        }
    }
}

#[test]
fn a_server_that_is_gone_in_the_middle_of_a_download() {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario("server-gone").unwrap();
    let repo = fixture.repo(&dir).unwrap();
    fixture.publish(&Variant::V2, &repo).unwrap();
    let half = release(&fixture.product.built(&Variant::V2)).unwrap().uki.size_bytes / 2;
    let server =
        FaultServer::start(&repo, fixture.port(), Faults { gone_after_bytes: Some(half), ..Faults::default() })
            .unwrap();
    let mut node = fixture.node(&dir).unwrap();
    node.power_on().unwrap();
    node.wait_app(BOOT_MAX).unwrap();
    stays_on_release_1(&mut node);
    let before = server.object_bytes();
    server.set(Faults::default());
    let status = node.wait_blessed(2, UPDATE_MAX).unwrap();
    // What was there is not fetched again: what both attempts took together is
    // what the plan named, but for pieces that were cut off on their way.
    let total = server.object_bytes();
    let planned = status.updater.unwrap().last_update.unwrap().planned_bytes;
    assert!(
        before >= half && total <= planned + planned / 4,
        "{before} bytes before, {total} in all, {planned} planned"
    );
    let whole = server.sent_whole();
    let objects: Vec<&String> = whole.iter().filter(|p| p.starts_with("/objects/")).collect();
    let once: std::collections::BTreeSet<_> = objects.iter().collect();
    assert_eq!(objects.len(), once.len(), "an object was sent twice");
}

#[test]
fn no_network_at_boot() {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario("no-network").unwrap();
    let mut node = fixture.node(&dir).unwrap();
    node.set_network(Network::Unplugged);
    // Nothing can be asked without a cable; so the app tells afterwards for how
    // long it has been up. An app that came up with the cable in proves nothing:
    // again, with more time before.
    let mut wait = WATCH * 2;
    loop {
        node.power_on().unwrap();
        std::thread::sleep(wait);
        node.plug(true).unwrap();
        let plugged = Instant::now();
        node.wait_app(BOOT_MAX).unwrap();
        let up: f64 = metric(&node, "hello_up_seconds");
        let since_plug = plugged.elapsed().as_secs_f64();
        println!("unplugged for {wait:?}; the app is up for {up} s, the cable is in for {since_plug} s");
        if up > since_plug + 1.0 {
            return;
        }
        wait *= 2;
        assert!(wait < BOOT_MAX, "the app comes up only with the cable in");
    }
}

fn metric(node: &Node, name: &str) -> f64 {
    let (_, text) = http::get(node.app_port(), "/metrics", Duration::from_secs(20)).unwrap();
    text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok()).unwrap()
}
