//! An output folder of `skerry build`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::Path,
};

use ed25519_dalek::VerifyingKey;
use rayon::prelude::*;
use skerry_formats::{
    ObjectDigest, Release, Sha256Digest,
    index::{Index, IndexEntry},
    layout::{INDEX_FILE, RELEASE_FILE, RELEASE_SIG_FILE, UkiName},
    sign,
};

use super::{disk, ostree, parts, report::Report};
use crate::{
    progress::Progress,
    release::{
        objects::{check_compressed, compressed_path},
        sums::{self, SUMS, SUMS_SIG},
        write::OBJECTS,
    },
};

/// Name of the disk image in an output folder.
pub const DISK_IMAGE: &str = "disk.img.zst";

/// Check an output folder against the trusted release keys.
pub fn verify_dir(dir: &Path, trusted: &[VerifyingKey], progress: &Progress) -> Report {
    let mut report = Report::new(dir.display().to_string());
    check_sums(&mut report, dir, trusted, progress);
    let Some((release, index)) = check_statement(&mut report, dir, trusted) else { return report };
    check_objects(&mut report, dir, &index, progress);
    parts::trees(&mut report, &release, &index, |digest| read_object(dir, index.get(digest)?));
    let uki_name = UkiName::blessed(release.sequence).render();
    if let Some(uki) = read(&mut report, dir, &uki_name) {
        parts::kernel_image(&mut report, &uki_name, &uki, &release);
    }
    ostree::check(&mut report, dir, &release, trusted);
    check_disk(&mut report, dir, &release, trusted, progress);
    report
}

fn read(report: &mut Report, dir: &Path, name: &str) -> Option<Vec<u8>> {
    let result = fs::read(dir.join(name)).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "is missing".to_string(),
        _ => format!("cannot be read: {e}"),
    });
    report.take(name, result)
}

/// The signed list and every file on it, and nothing beside it.
fn check_sums(report: &mut Report, dir: &Path, trusted: &[VerifyingKey], progress: &Progress) {
    let (text, sig) = (read(report, dir, SUMS), read(report, dir, SUMS_SIG));
    if let (Some(text), Some(sig)) = (&text, &sig) {
        let checked = sign::verify_bytes("the sums", sign::DOMAIN_SUMS, text, sig, trusted);
        if report.take(SUMS, checked).is_some() {
            report.checked.signatures += 1;
        }
    }
    let Some(text) = text else { return };
    let Some(stated) = report.take(SUMS, sums::parse(&String::from_utf8_lossy(&text))) else { return };
    let Some(present) = report.take("output folder", sums::list(dir)) else { return };
    let present: BTreeSet<String> = present.into_iter().collect();
    let step = progress.start("verify files", Some(stated.len() as u64), "files");
    let results: BTreeMap<&String, Option<String>> = stated
        .par_iter()
        .map(|(path, sum)| {
            let problem = match present.contains(path) {
                false => Some("is missing".to_string()),
                true => match sums::sum_file(&dir.join(path)) {
                    Ok(found) if found == *sum => None,
                    Ok(_) => Some("was changed: its SHA-256 is not the one in SHA256SUMS".to_string()),
                    Err(e) => Some(e.to_string()),
                },
            };
            step.advance(1);
            (path, problem)
        })
        .collect();
    report.checked.files += results.values().filter(|p| p.is_none()).count() as u64;
    for (path, problem) in results {
        if let Some(problem) = problem {
            report.fail(path, problem);
        }
    }
    for extra in present.iter().filter(|p| !stated.contains_key(*p)) {
        report.fail(extra, "is not in SHA256SUMS: it was added after the build");
    }
    step.done(format!("{} files match SHA256SUMS", report.checked.files));
}

fn check_statement(report: &mut Report, dir: &Path, trusted: &[VerifyingKey]) -> Option<(Release, Index)> {
    let release_json = read(report, dir, RELEASE_FILE);
    let release_sig = read(report, dir, RELEASE_SIG_FILE);
    let index = read(report, dir, INDEX_FILE);
    let stored =
        parts::Stored { place: String::new(), release_json: release_json?, release_sig: release_sig?, index: index? };
    parts::statement(report, &stored, trusted)
}

fn check_objects(report: &mut Report, dir: &Path, index: &Index, progress: &Progress) {
    let total = index.entries().iter().map(|e| e.size_bytes).sum();
    let step = progress.start("verify objects", Some(total), "bytes");
    let problems: Vec<(ObjectDigest, Option<String>)> = index
        .entries()
        .par_iter()
        .map(|e| {
            let problem = check_object(dir, e).err();
            step.advance(e.size_bytes);
            (e.digest, problem)
        })
        .collect();
    for (digest, problem) in problems {
        match problem {
            None => report.checked.objects += 1,
            Some(problem) => report.fail(format!("object {digest}"), problem),
        }
    }
    step.done(format!("{} objects have the digest that names them", report.checked.objects));
}

fn check_object(dir: &Path, e: &IndexEntry) -> Result<(), String> {
    let path = dir.join(OBJECTS).join(compressed_path(&e.digest));
    let file = fs::File::open(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("is missing ({OBJECTS}/{})", compressed_path(&e.digest)),
        _ => format!("cannot be read: {error}"),
    })?;
    let size = file.metadata().map_err(|e| format!("cannot be read: {e}"))?.len();
    if size != e.compressed_bytes {
        return Err(format!("has {size} bytes compressed, the index states {}", e.compressed_bytes));
    }
    check_compressed(file, &e.digest, e.size_bytes)
}

/// An object's bytes if they are what its name says; failures were reported
/// before.
fn read_object(dir: &Path, e: &IndexEntry) -> Option<Vec<u8>> {
    let file = fs::File::open(dir.join(OBJECTS).join(compressed_path(&e.digest))).ok()?;
    let mut bytes = vec![];
    zstd::stream::read::Decoder::new(file).ok()?.take(e.size_bytes + 1).read_to_end(&mut bytes).ok()?;
    (skerry_formats::fsverity_digest(&bytes) == e.digest).then_some(bytes)
}

fn check_disk(report: &mut Report, dir: &Path, release: &Release, trusted: &[VerifyingKey], progress: &Progress) {
    let path = dir.join(DISK_IMAGE);
    if !path.exists() {
        // If it was there once, the signed sums name it and have failed above.
        report
            .notes
            .push(format!("there is no {DISK_IMAGE} in this folder; this release can be published but not flashed"));
        return;
    }
    let (inner, statement) = disk::check_image(&path, trusted, progress);
    report.checked.disk_objects = inner.checked.disk_objects;
    report.checked.trees += inner.checked.trees;
    report.checked.signatures += inner.checked.signatures;
    let own = fs::read(dir.join(RELEASE_FILE)).ok().map(|b| Sha256Digest::of(&b));
    if statement.is_some() && statement != own {
        report.fail(DISK_IMAGE, format!("carries another release than {RELEASE_FILE} (sequence {})", release.sequence));
    }
    for f in inner.failures {
        report.fail(format!("{DISK_IMAGE}: {}", f.part), f.detail);
    }
    report.notes.extend(inner.notes);
}
