//! Fixtures named by attack: each is refused with a clear line, leaves the node
//! on its release with nothing bootable added, and an intact server heals it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::{fs, path::Path};

use common::{
    bench::{Node, settled, stopped},
    publisher::{Made, Publisher, compress, flip, noise},
    server::{BadServer, Fault, Nginx},
};
use skerry_formats::{Sequence, channel::channel_target, index::Role, layout::UkiName};

struct Case {
    dir: tempfile::TempDir,
    p: Publisher,
    nginx: Nginx,
    node: Node,
    two: Made,
}

impl Case {
    /// A node on release 1; release 2 is published.
    async fn new() -> Self {
        let dir = common::scratch();
        let mut p = Publisher::new(dir.path()).await;
        let (one, two) = (Made::new(1, &p.release_key), Made::new(2, &p.release_key));
        p.publish(&one).await;
        p.publish(&two).await;
        let nginx = Nginx::start(dir.path(), &p.repo);
        let node = Node::flash(&dir.path().join("node"), &p, &one, &nginx.url());
        Self { dir, p, nginx, node, two }
    }

    fn object(&self, role: Role) -> std::path::PathBuf {
        let e = self.two.index.entries().iter().filter(|e| e.role == role).max_by_key(|e| e.size_bytes).unwrap();
        self.p.object(&e.digest)
    }

    /// The node refuses, says `why`, and nothing of the release can run.
    async fn refuses(&mut self, why: &str) {
        next_failure(&mut self.node).await;
        let s = self.node.status();
        let error = s.last_error.unwrap();
        assert!(error.contains(why), "{error:?} does not say {why:?}");
        assert_eq!(s.running.sequence, Sequence(1));
        assert_eq!(self.node.entries(), [UkiName::blessed(Sequence(1))]);
        self.node.check_objects();
        self.node.check_release(Sequence(1));
    }

    /// With the server in order again the update goes through.
    async fn heals(&mut self, sequence: u32) {
        self.node.run(settled(sequence)).await;
        self.node.check_objects();
    }
}

/// Run until one more attempt has failed.
async fn next_failure(node: &mut Node) {
    let fake = node.fake.clone();
    let seen = fake.lines().len();
    node.run(move |s| stopped(s) && fake.lines().len() > seen).await;
}

fn keep(path: &Path) -> impl FnOnce() + use<> {
    let (path, bytes) = (path.to_owned(), fs::read(path).unwrap());
    move || fs::write(path, bytes).unwrap()
}

#[tokio::test]
async fn flipped_byte_in_metadata_and_targets() {
    let mut c = Case::new().await;
    let metadata = c.p.repo.join("metadata");
    let channel = c.p.target(&channel_target("stable", "demo", "pc"));
    let cases = [
        (metadata.join("timestamp.json"), "update metadata refused"),
        (metadata.join("2.snapshot.json"), "update metadata refused"),
        (metadata.join("2.targets.json"), "update metadata refused"),
        (channel, "update metadata refused"),
        (c.p.release_file(2, "release.json"), "update metadata refused"),
        (c.p.release_file(2, "release.json.sig"), "update metadata refused"),
        (c.p.release_file(2, "index.skx.zst"), "update metadata refused"),
    ];
    for (path, why) in cases {
        let repair = keep(&path);
        flip(&path);
        c.node.fake.pass(10_000);
        c.refuses(why).await;
        assert!(c.node.status().failed.is_empty(), "{}: the server is to blame, not the release", path.display());
        repair();
    }
    c.heals(2).await;
}

#[tokio::test]
async fn object_of_other_content() {
    let mut c = Case::new().await;
    let e = c.two.index.entries().iter().find(|e| e.size_bytes == 300_000).unwrap();
    let path = c.p.object(&e.digest);
    let repair = keep(&path);
    // Valid zstd of the right sizes, only not this object.
    let other = (1..).map(|seed| compress(&noise(seed * 7777, 300_000))).find(|z| z.len() as u64 == e.compressed_bytes);
    fs::write(&path, other.unwrap()).unwrap();
    c.refuses("its content is object").await;
    repair();
    c.heals(2).await;
}

/// Damage the largest object of a role, see it refused, repair it.
async fn damaged_object(role: Role, damage: impl Fn(&Path), why: &str) {
    let mut c = Case::new().await;
    let path = c.object(role);
    let repair = keep(&path);
    damage(&path);
    c.refuses(why).await;
    assert!(c.node.status().failed.is_empty(), "the server is to blame, not the release");
    repair();
    c.heals(2).await;
}

#[tokio::test]
async fn flipped_byte_in_an_object_of_each_role() {
    for role in [Role::Data, Role::Erofs, Role::Uki] {
        damaged_object(role, flip, "from the server refused").await;
    }
}

#[tokio::test]
async fn truncated_kernel_image_and_truncated_object() {
    let half = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    for role in [Role::Uki, Role::Data] {
        damaged_object(role, half, "from the server refused").await;
    }
}

/// The same object, as another version of the compressor would write it.
fn compress_otherwise(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(vec![], 1).unwrap();
    encoder.include_checksum(true).unwrap();
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn object_of_another_compressor_is_taken_and_resumed() {
    let mut c = Case::new().await;
    for e in c.two.index.entries() {
        let file = compress_otherwise(&c.two.objects[&e.digest]);
        assert_ne!(file.len() as u64, e.compressed_bytes);
        fs::write(c.p.object(&e.digest), file).unwrap();
    }
    let bad = BadServer::start(&c.p.repo, Fault::GoneAfter(150_000));
    c.node.url = bad.url();
    c.node.boot();
    c.refuses("cannot fetch").await;
    bad.set(Fault::None);
    c.heals(2).await;
    let planned = c.node.status().last_update.unwrap().planned_bytes;
    let sent = bad.object_bytes.load(std::sync::atomic::Ordering::SeqCst);
    assert!(sent <= planned + 3 * 70_000, "{sent} bytes sent for {planned} planned");
}

#[tokio::test]
async fn object_smaller_than_the_index_says_is_taken() {
    let mut c = Case::new().await;
    let mut made = Made::new(3, &c.p.release_key);
    let entries = made.index.entries().iter().cloned().map(|mut e| {
        e.compressed_bytes += 1000;
        e
    });
    made = republish(&made, skerry_formats::index::Index::new(entries.collect()), &c.p);
    c.p.publish(&made).await;
    c.heals(3).await;
}

#[tokio::test]
async fn object_padded_beyond_any_compression() {
    // A skippable frame of zstd: the content would be right.
    let pad = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes.extend([0x50, 0x2a, 0x4d, 0x18]);
        bytes.extend(100_000_u32.to_le_bytes());
        bytes.extend([0; 100_000]);
        fs::write(path, bytes).unwrap();
    };
    damaged_object(Role::Data, pad, "it can have").await;
}

#[tokio::test]
async fn oversize_object_zstd_bomb() {
    let mut c = Case::new().await;
    // 64 MiB of zeros in an object that the index calls 300000 bytes.
    let bomb = compress(&vec![0; 64 << 20]);
    let mut made = Made::new(2, &c.p.release_key);
    let victim = made.index.entries().iter().find(|e| e.size_bytes == 300_000).unwrap().digest;
    let entries = made.index.entries().iter().cloned().map(|mut e| {
        if e.digest == victim {
            e.compressed_bytes = bomb.len() as u64;
        }
        e
    });
    made = republish(&made, skerry_formats::index::Index::new(entries.collect()), &c.p);
    c.p.publish(&made).await;
    fs::write(c.p.object(&victim), &bomb).unwrap();
    c.refuses("unpacks to more than its 300000 bytes").await;
    assert!(!c.node.object(&victim).exists());
}

/// The same release with another index, correctly signed.
fn republish(made: &Made, index: skerry_formats::index::Index, p: &Publisher) -> Made {
    let bytes = index.to_bytes();
    let sequence = made.release.sequence.0;
    let mut out = Made::with(sequence, &p.release_key, |r| {
        r.index.sha256 = skerry_formats::Sha256Digest::of(&bytes);
        r.index.size_bytes = bytes.len() as u64;
    });
    (out.index, out.index_bytes) = (index, bytes);
    out
}

#[tokio::test]
async fn expired_metadata_freeze() {
    let mut c = Case::new().await;
    c.p.expires_hours = -1;
    c.p.sign().await;
    c.refuses("expired").await;
    assert!(c.node.status().failed.is_empty());
    c.p.expires_hours = 24;
    c.p.sign().await;
    c.heals(2).await;
}

#[tokio::test]
async fn older_timestamp_rollback_even_without_the_clients_notes() {
    let mut c = Case::new().await;
    let old = c.dir.path().join("old-metadata");
    let metadata = c.p.repo.join("metadata");
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        for f in fs::read_dir(from).unwrap().flatten() {
            fs::copy(f.path(), to.join(f.file_name())).unwrap();
        }
    };
    copy(&metadata, &old);
    c.p.publish(&Made::new(3, &c.p.release_key)).await;
    c.heals(3).await;
    copy(&old, &metadata);
    for lost_notes in [false, true] {
        if lost_notes {
            // A power cut can take the client's own notes; ours are durable.
            fs::remove_dir_all(c.node.root.join("var/lib/skerry/updater/tuf")).unwrap();
        }
        c.node.fake.pass(10_000);
        c.node.boot();
        next_failure(&mut c.node).await;
        let error = c.node.status().last_error.unwrap();
        assert!(error.contains("metadata refused"), "{error}");
    }
}

#[tokio::test]
async fn channel_that_points_to_an_older_release() {
    let mut c = Case::new().await;
    c.heals(2).await;
    let one = Made::new(1, &c.p.release_key);
    c.p.publish(&one).await;
    c.node.fake.pass(10_000);
    c.node.run(stopped).await;
    let s = c.node.status();
    assert_eq!(s.last_error.unwrap(), "release 1 on offer is older than running 2; refused");
    assert_eq!(s.running.sequence, Sequence(2));
}

#[tokio::test]
async fn wrong_board_in_channel_and_release() {
    let mut c = Case::new().await;
    let two = c.two.clone();
    c.p.publish_as(&two, Sequence(2), "demo", "rpi").await;
    c.refuses("it is for stable/demo/rpi").await;
    let made = Made::with(3, &c.p.release_key, |r| r.board = "rpi".into());
    c.p.publish(&made).await;
    c.node.fake.pass(10_000);
    c.refuses("it is for demo/rpi, this node is demo/pc").await;
    // A release that is signed but not for us is wrong for ever.
    assert_eq!(c.node.status().failed[0].release.sequence, Sequence(3));
    c.p.publish(&Made::new(4, &c.p.release_key)).await;
    c.node.fake.pass(10_000);
    c.heals(4).await;
}

#[tokio::test]
async fn release_signed_by_a_foreign_key() {
    let mut c = Case::new().await;
    let foreign = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    c.p.publish(&Made::new(3, &foreign)).await;
    c.refuses("which is not trusted here").await;
}

#[tokio::test]
async fn index_that_is_not_the_signed_one() {
    let mut c = Case::new().await;
    let mut made = Made::new(3, &c.p.release_key);
    made.index_bytes = Made::new(4, &c.p.release_key).index_bytes;
    c.p.publish(&made).await;
    c.refuses("its index is not the one that the signed statement names").await;
    assert_eq!(c.node.status().failed.len(), 1);
}

#[tokio::test]
async fn disk_full_before_and_during_the_fetch() {
    let mut c = Case::new().await;
    c.node.fake.set_free(Some(1 << 20));
    c.refuses("not enough room on SYSTEM").await;
    assert!(c.nginx.requests().iter().all(|r| !r.1.starts_with("/objects/")), "checked before the first byte");
    c.node.fake.set_free(None);
    c.node.fake.pass(10_000);
    c.node.fake.set_room(Some(200_000));
    c.refuses("cannot write").await;
    c.node.fake.set_room(None);
    c.heals(2).await;
}

#[tokio::test]
async fn server_gone_in_the_middle_is_resumed() {
    let mut c = Case::new().await;
    let bad = BadServer::start(&c.p.repo, Fault::GoneAfter(150_000));
    c.node.url = bad.url();
    c.node.boot();
    c.refuses("cannot fetch").await;
    bad.set(Fault::None);
    c.heals(2).await;
    let planned = c.node.status().last_update.unwrap().planned_bytes;
    let sent = bad.object_bytes.load(std::sync::atomic::Ordering::SeqCst);
    // What was in flight on three connections when they broke may come again.
    assert!(sent <= planned + 3 * 70_000, "{sent} bytes sent for {planned} planned");
}

#[tokio::test]
async fn server_without_ranges_still_works() {
    let mut c = Case::new().await;
    let bad = BadServer::start(&c.p.repo, Fault::GoneAfter(150_000));
    c.node.url = bad.url();
    c.node.boot();
    c.refuses("cannot fetch").await;
    bad.set(Fault::NoRange);
    c.heals(2).await;
}

#[tokio::test]
async fn captive_portal_and_web_pages_instead_of_objects() {
    let mut c = Case::new().await;
    let bad = BadServer::start(&c.p.repo, Fault::Html);
    c.node.url = bad.url();
    c.node.boot();
    c.refuses("captive portal").await;
    bad.set(Fault::HtmlAsBinary);
    c.node.fake.pass(10_000);
    c.refuses("not a zstd file").await;
    bad.set(Fault::Busy);
    c.node.fake.pass(10_000);
    c.refuses("503").await;
    bad.set(Fault::None);
    c.heals(2).await;
}
