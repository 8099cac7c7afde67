//! What an update costs, on a node with half the memory.

use std::time::Instant;

use anyhow::{Context, Result};

use super::{
    bed::{Bed, say},
    boot::memory_used,
    entry::Entry,
};
use crate::{
    node::{BOOT_MAX, Node, UPDATE_MAX},
    product::{Parts, Variant, release},
    server::{Access, Rate, UpdateServer},
};

/// Memory of the guest.
const MEMORY_MIB: u64 = 512;

/// Boot the first release in 512 MiB, update it to the second, count what the
/// web server sent.
///
/// # Errors
/// If the node does not come up or does not update.
pub fn measure(bed: &Bed) -> Result<Vec<Entry>> {
    let v1 = bed.release(&Variant::V1)?;
    // With its disk image: that is what the update is compared with.
    let v2 = bed.release(&Variant { parts: Parts::All, ..Variant::V2 })?;
    let dir = bed.folder("update")?;
    let repo = dir.join("updates");
    bed.product.publish(&v1, &repo)?;
    let server = UpdateServer::start(&repo, &dir.join("nginx"), bed.port, Rate::Unlimited)?;
    let mut node = Node::create(&v1.join("disk.img.zst"), &dir.join("node"))?;
    node.config().memory_mib = MEMORY_MIB;
    say("Update: release 1 in 512 MiB");
    node.power_on()?;
    let answer = node.wait_app(BOOT_MAX)?;
    node.wait_blessed(1, UPDATE_MAX)?;
    let memory = memory_used(&node)?;

    say("Update: release 2 is published");
    let before = server.accesses()?.len();
    let started = Instant::now();
    bed.product.publish(&v2, &repo)?;
    node.wait_blessed(2, UPDATE_MAX)?;
    let took = started.elapsed().as_secs_f64();
    node.wait_app_version(Variant::V2.version, UPDATE_MAX)?;
    let accesses = server.accesses()?;
    let sent = Sent::of(accesses.get(before..).unwrap_or_default());

    let image = std::fs::metadata(v2.join("disk.img.zst")).context("measuring the disk image")?.len();
    let statement = release(&v2)?;
    let full = statement.totals.compressed_bytes;
    Ok(vec![
        Entry::megabytes(
            "bytes fetched for v1 → v2",
            sent.all,
            format!(
                "a new version of the app; sum of nginx's access log until the release was blessed: {} objects with {:.1} MB, the largest with {:.1} MB, \
                 metadata and polling with {:.2} MB; each release has a kernel image of its own, as it carries the digest of the OS: {:.1} MB before \
                 compression",
                sent.objects,
                sent.object_bytes as f64 / 1e6,
                sent.largest as f64 / 1e6,
                (sent.all - sent.object_bytes) as f64 / 1e6,
                statement.uki.size_bytes as f64 / 1e6,
            ),
        )
        .beside("the whole disk.img.zst", image as f64 / 1e6),
        Entry::megabytes("the same against all objects", sent.all, "what a node that has nothing would fetch").beside("all objects of v2", full as f64 / 1e6),
        Entry::new("update, publication to blessed", took, "s", "512 MiB guest, server on the same host: check, fetch, stage, reboot, prove"),
        Entry::new("power-on to app, 512 MiB guest", answer.after.as_secs_f64(), "s", "first boot; it runs the app and updates"),
        Entry::megabytes("memory used, 512 MiB guest", memory, "MemTotal − MemAvailable with the app running, 30 s after it was blessed"),
    ])
}

/// What a web server sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    all: u64,
    objects: usize,
    object_bytes: u64,
    largest: u64,
}

impl Sent {
    fn of(accesses: &[Access]) -> Self {
        let objects: Vec<u64> = accesses.iter().filter(|a| a.is_object()).map(|a| a.body_bytes).collect();
        Sent {
            all: accesses.iter().map(|a| a.body_bytes).sum(),
            objects: objects.len(),
            object_bytes: objects.iter().sum(),
            largest: objects.iter().copied().max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_the_rest_are_told_apart() {
        let access =
            |path: &str, body_bytes| Access { path: path.into(), status: 200, body_bytes, complete: true, range: None };
        let sent = Sent::of(&[
            access("/metadata/timestamp.json", 500),
            access("/objects/ab/c.zst", 9000),
            access("/objects/ab/d.zst", 10),
        ]);
        assert_eq!(sent, Sent { all: 9510, objects: 2, object_bytes: 9010, largest: 9000 });
        assert_eq!(Sent::of(&[]), Sent::default());
    }
}
