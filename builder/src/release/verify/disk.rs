//! A disk image: partition table, ESP, SYSTEM, and the release that it carries.

use std::{collections::BTreeMap, path::Path};

use ed25519_dalek::VerifyingKey;
use skerry_formats::{
    ObjectDigest, Release, Sequence, Sha256Digest,
    index::{Index, Role},
    layout::{ESP_UKI_DIR, INDEX_FILE, RELEASE_FILE, RELEASE_SIG_FILE, RELEASES_DIR, UkiName},
};

use super::{parts, report::Report};
use crate::{
    image::inspect::{self, DiskContents, System},
    progress::Progress,
};

/// Check a disk image, raw or compressed, against the trusted release keys.
pub fn verify_image(path: &Path, trusted: &[VerifyingKey], progress: &Progress) -> Report {
    check_image(path, trusted, progress).0
}

/// The report, and the SHA-256 of the release statement inside.
pub(super) fn check_image(
    path: &Path,
    trusted: &[VerifyingKey],
    progress: &Progress,
) -> (Report, Option<Sha256Digest>) {
    let mut report = Report::new(path.display().to_string());
    let statement = check_contents(&mut report, path, trusted, progress);
    (report, statement)
}

fn check_contents(
    report: &mut Report,
    path: &Path,
    trusted: &[VerifyingKey],
    progress: &Progress,
) -> Option<Sha256Digest> {
    let disk = report.take("disk image", inspect::open(path))?;
    let stored = stored_release(report, &disk.system)?;
    let statement = Some(Sha256Digest::of(&stored.release_json));
    let Some((release, index)) = parts::statement(report, &stored, trusted) else { return statement };
    let folder = format!("{RELEASES_DIR}/{}/", release.sequence.padded());
    if stored.place != folder {
        report.fail(&stored.place, format!("is not the folder of sequence {}", release.sequence));
    }
    check_objects(report, &disk.system, &index, progress);
    parts::trees(report, &release, &index, |digest| read_object(&disk.system, digest));
    check_esp(report, &disk, &release);
    statement
}

/// The one release on SYSTEM.
fn stored_release(report: &mut Report, system: &System) -> Option<parts::Stored> {
    let files = report.take("SYSTEM", system.files())?;
    let suffix = format!("/{RELEASE_FILE}");
    let found: Vec<&str> = files
        .iter()
        .filter_map(|f| f.path.strip_suffix(&suffix))
        .filter(|dir| {
            dir.strip_prefix(RELEASES_DIR)
                .and_then(|d| d.strip_prefix('/'))
                .is_some_and(|d| d.parse::<Sequence>().is_ok())
        })
        .collect();
    let [dir] = found[..] else {
        report.fail("SYSTEM", format!("holds {} releases, an image carries exactly one", found.len()));
        return None;
    };
    let mut read = |name: &str| {
        let path = format!("{dir}/{name}");
        report.take(&path, system.read(&path))
    };
    let (release_json, release_sig, index) = (read(RELEASE_FILE), read(RELEASE_SIG_FILE), read(INDEX_FILE));
    Some(parts::Stored {
        place: format!("{dir}/"),
        release_json: release_json?,
        release_sig: release_sig?,
        index: index?,
    })
}

/// Every object of the release is there with its digest, and no other.
fn check_objects(report: &mut Report, system: &System, index: &Index, progress: &Progress) {
    let wanted = || index.entries().iter().filter(|e| e.role != Role::Uki);
    let step = progress.start("verify disk image", Some(wanted().map(|e| e.size_bytes).sum()), "bytes");
    let Some(measured) = report.take("SYSTEM", system.measure_objects(|n| step.advance(n))) else { return };
    let mut there: BTreeMap<ObjectDigest, u64> = BTreeMap::new();
    for object in measured {
        let part = format!("object {}", object.named);
        if object.named != object.measured {
            report.fail(part, format!("was changed: the digest of its content is {}", object.measured));
        } else if index.get(&object.named).is_none_or(|e| e.role == Role::Uki) {
            report.fail(part, "is not in the index of the release");
        } else {
            report.checked.disk_objects += 1;
        }
        there.insert(object.named, object.size_bytes);
    }
    for e in wanted() {
        match there.get(&e.digest) {
            Some(size) if *size == e.size_bytes => {}
            Some(size) => report
                .fail(format!("object {}", e.digest), format!("has {size} bytes, the index states {}", e.size_bytes)),
            None => report.fail(format!("object {}", e.digest), "is missing on SYSTEM"),
        }
    }
    step.done(format!("{} objects inside the image have the digest that names them", report.checked.disk_objects));
}

fn read_object(system: &System, digest: &ObjectDigest) -> Option<Vec<u8>> {
    let bytes = system.read(&format!("{}/{}", skerry_formats::layout::OBJECTS_DIR, digest.object_path())).ok()?;
    (skerry_formats::fsverity_digest(&bytes) == *digest).then_some(bytes)
}

/// The ESP starts this release and nothing else.
fn check_esp(report: &mut Report, disk: &DiskContents, release: &Release) {
    let prefix = format!("{ESP_UKI_DIR}/");
    let mut found = false;
    for (path, bytes) in &disk.esp {
        let in_folder = path.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(&prefix));
        let Some(name) = in_folder.then(|| &path[prefix.len()..]) else { continue };
        match UkiName::parse(name) {
            Some(uki) if uki.sequence == release.sequence => {
                found = true;
                parts::kernel_image(report, path, bytes, release);
            }
            _ => report.fail(path, format!("is not the kernel image of sequence {}", release.sequence)),
        }
    }
    if !found {
        report.fail("ESP", format!("has no kernel image of sequence {} in {ESP_UKI_DIR}", release.sequence));
    }
}
