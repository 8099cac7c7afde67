//! Checks that an output folder and a disk image share.

use std::collections::BTreeSet;

use composefs::{
    erofs::reader::collect_objects,
    fsverity::{FsVerityHashValue as _, Sha256HashValue},
};
use ed25519_dalek::VerifyingKey;
use skerry_formats::{
    ObjectDigest, Release, Sha256Digest,
    cmdline::BootArgs,
    index::{Index, Role},
    layout::{INDEX_FILE, RELEASE_FILE},
    sign,
    versioned::Document as _,
};

use super::report::Report;
use crate::{image::uki, release::write::totals};

/// A release statement as stored.
pub(super) struct Stored {
    /// Where it was found, with a final `/`, or "".
    pub(super) place: String,
    pub(super) release_json: Vec<u8>,
    pub(super) release_sig: Vec<u8>,
    pub(super) index: Vec<u8>,
}

/// Signature, then content, then index. A release that cannot be read ends the
/// checks that need it.
pub(super) fn statement(report: &mut Report, stored: &Stored, trusted: &[VerifyingKey]) -> Option<(Release, Index)> {
    let release_name = format!("{}{RELEASE_FILE}", stored.place);
    let signature =
        sign::verify_bytes("the release", sign::DOMAIN_RELEASE, &stored.release_json, &stored.release_sig, trusted);
    if report.take(&release_name, signature).is_some() {
        report.checked.signatures += 1;
    }
    let release = report.take(&release_name, Release::parse(&stored.release_json))?;
    report.product = Some(release.product.clone());
    report.board = Some(release.board.clone());
    report.version = Some(release.version.clone());
    report.sequence = Some(release.sequence);

    let index_name = format!("{}{INDEX_FILE}", stored.place);
    if stored.index.len() as u64 != release.index.size_bytes {
        let (is, should) = (stored.index.len(), release.index.size_bytes);
        report.fail(&index_name, format!("has {is} bytes, the release states {should}"));
    } else if Sha256Digest::of(&stored.index) != release.index.sha256 {
        report.fail(&index_name, "has other content than the release states");
    }
    let index = report.take(&index_name, Index::parse(&stored.index))?;
    if totals(&index) != release.totals {
        report.fail(
            &release_name,
            format!("states totals {:?}, the index adds up to {:?}", release.totals, totals(&index)),
        );
    }
    roots(report, &release_name, &release, &index);
    Some((release, index))
}

/// The objects that the release names directly are in the index, in their role.
fn roots(report: &mut Report, name: &str, release: &Release, index: &Index) {
    let apps = release.apps.iter().map(|a| (format!("the tree of app {}", a.name), a.composefs, Role::Erofs));
    let named = [
        ("the OS tree".to_string(), release.os.composefs, Role::Erofs),
        ("the kernel image".to_string(), release.uki.object, Role::Uki),
    ];
    for (what, digest, role) in named.into_iter().chain(apps) {
        match index.get(&digest) {
            Some(e) if e.role == role => {}
            Some(e) => report.fail(name, format!("{what} ({digest}) is in the index as {:?}", e.role)),
            None => report.fail(name, format!("{what} ({digest}) is not in the index")),
        }
    }
}

/// Every object that a tree refers to is in the index, and every data object of
/// the index belongs to a tree. `erofs` gives the bytes of an image whose
/// digest was checked, or `None` if there was a failure already.
pub(super) fn trees(
    report: &mut Report,
    release: &Release,
    index: &Index,
    mut erofs: impl FnMut(&ObjectDigest) -> Option<Vec<u8>>,
) {
    let mut referenced = BTreeSet::new();
    let mut complete = true;
    let apps = release.apps.iter().map(|a| (format!("tree of app {}", a.name), a.composefs));
    for (what, digest) in std::iter::once(("OS tree".to_string(), release.os.composefs)).chain(apps) {
        let objects = erofs(&digest).map(|bytes| references(&bytes));
        let Some(objects) = objects.and_then(|r| report.take(&what, r)) else {
            complete = false;
            continue;
        };
        for missing in objects.iter().filter(|d| index.get(d).is_none_or(|e| e.role != Role::Data)) {
            report.fail(&what, format!("refers to object {missing}, which is not in the index"));
        }
        report.checked.trees += 1;
        referenced.extend(objects);
    }
    // Without every tree nothing can be said about what is left over.
    if complete {
        for e in index.entries().iter().filter(|e| e.role == Role::Data && !referenced.contains(&e.digest)) {
            report.fail(format!("object {}", e.digest), "is in the index but no tree refers to it");
        }
    }
}

/// Digests that an EROFS image refers to.
pub(crate) fn references(image: &[u8]) -> Result<BTreeSet<ObjectDigest>, String> {
    let found = collect_objects::<Sha256HashValue>(image).map_err(|e| format!("is no composefs image: {e}"))?;
    found.into_iter().map(|d| d.to_hex().parse().map_err(|e| format!("{e}"))).collect()
}

/// The UKI is the one of the release and starts its OS tree.
pub(super) fn kernel_image(report: &mut Report, name: &str, bytes: &[u8], release: &Release) {
    if bytes.len() as u64 != release.uki.size_bytes {
        report.fail(name, format!("has {} bytes, the release states {}", bytes.len(), release.uki.size_bytes));
    } else if Sha256Digest::of(bytes) != release.uki.sha256 {
        report.fail(name, "has other content than the release states");
    } else if skerry_formats::fsverity_digest(bytes) != release.uki.object {
        report.fail(name, "is not the object that the release names as its kernel image");
    }
    let Some(sections) = report.take(name, uki::parse(bytes)) else { return };
    let cmdline = String::from_utf8_lossy(sections.cmdline);
    let Some(args) = report.take(name, BootArgs::parse(cmdline.trim_end_matches('\0'))) else { return };
    let expected = [
        ("composefs=", args.composefs.to_string(), release.os.composefs.to_string()),
        ("skerry.sequence=", args.sequence.to_string(), release.sequence.to_string()),
        ("skerry.epoch=", args.epoch.to_string(), release.built_at.to_string()),
    ];
    for (key, is, should) in expected {
        if is != should {
            report.fail(name, format!("has {key}{is} on its command line, the release states {should}"));
        }
    }
}
