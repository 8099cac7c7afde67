#![allow(clippy::unwrap_used)]
//! Fixtures named by attack. Where the sums would notice, they are made true
//! again first, so that every check has to stand on its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use skerry_formats::{
    Release,
    index::{Index, Role},
    sign,
    versioned::Document as _,
};

use super::*;
use crate::{
    progress::Progress,
    release::{
        objects::compressed_path,
        testing::{self, Sample, flip, foreign_key, full_copy, release_key, resign},
    },
};

fn check(dir: &Path) -> Report {
    verify_dir(dir, &[release_key().verifying_key()], &Progress::none())
}

/// Some failure names this part and says this.
fn assert_fails(name: &str, report: &Report, part: &str, detail: &str) {
    let found = report.failures.iter().any(|f| f.part.contains(part) && f.detail.contains(detail));
    assert!(found, "{name}: no failure about {part:?} with {detail:?} in {:#?}", report.failures);
}

fn index(dir: &Path) -> Index {
    Index::parse(&fs::read(dir.join("index.skx")).unwrap()).unwrap()
}

fn object(dir: &Path, role: Role, nth: usize) -> PathBuf {
    let index = index(dir);
    let e = index.entries().iter().filter(|e| e.role == role).nth(nth).unwrap();
    dir.join("objects").join(compressed_path(&e.digest))
}

#[test]
fn a_good_release_is_good_and_everything_was_looked_at() {
    let dir = full_copy();
    let report = check(dir.path());
    assert_eq!(report.failures, []);
    let objects = index(dir.path()).entries().len() as u64;
    // Sums, release, commit, and the release inside the disk image.
    assert_eq!(report.checked.signatures, 4);
    assert_eq!(report.checked.objects, objects);
    assert_eq!(report.checked.disk_objects, objects - 1, "all but the kernel image");
    assert_eq!(report.checked.trees, 4, "two trees, in the folder and in the disk image");
    assert!(report.checked.files > objects);
    let image = verify_image(&dir.path().join("disk.img.zst"), &[release_key().verifying_key()], &Progress::none());
    assert!(image.is_good() && image.checked.disk_objects == objects - 1, "{image:#?}");
}

#[test]
fn flipped_byte_in_any_file_is_noticed_by_the_sums() {
    let dir = full_copy();
    let names = crate::release::sums::list(dir.path()).unwrap();
    let full: Vec<_> = names.into_iter().filter(|n| dir.path().join(n).metadata().unwrap().len() > 0).collect();
    assert!(full.len() > 15);
    full.iter().for_each(|n| flip(&dir.path().join(n)));
    let report = check(dir.path());
    for name in full {
        assert!(report.failures.iter().any(|f| f.part == name && f.detail.contains("was changed")), "{name}");
    }
}

#[test]
fn parts_left_out_by_the_build_are_noted_and_parts_taken_away_are_failures() {
    for (name, stated) in [("disk.img.zst", "disk.img.zst"), ("ostree", "ostree/config")] {
        let dir = full_copy();
        let path = dir.path().join(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        assert_fails(&format!("{name}-taken-away"), &check(dir.path()), stated, "is missing");
        resign(dir.path());
        let report = check(dir.path());
        assert!(report.is_good() && report.notes.len() == 1, "{name}: {report:#?}");
    }
}

#[test]
fn flipped_byte_is_noticed_without_the_sums() {
    type Find = fn(&Path) -> PathBuf;
    let cases: [(&str, Find, &str, &str); 7] = [
        ("flipped-byte-in-release", |d| d.join("release.json"), "release.json", "changed after signing"),
        ("flipped-byte-in-release-signature", |d| d.join("release.json.sig"), "release.json", ""),
        ("flipped-byte-in-index", |d| d.join("index.skx"), "index.skx", "other content"),
        ("flipped-byte-in-uki", |d| d.join("skerry-0000000001.efi"), "skerry-0000000001.efi", "other content"),
        ("flipped-byte-in-object", |d| object(d, Role::Data, 0), "object ", ""),
        ("flipped-byte-in-erofs-image", |d| object(d, Role::Erofs, 0), "object ", ""),
        ("flipped-byte-in-disk-image", |d| d.join("disk.img.zst"), "disk.img.zst", ""),
    ];
    for (name, find, part, detail) in cases {
        let dir = full_copy();
        flip(&find(dir.path()));
        resign(dir.path());
        assert_fails(name, &check(dir.path()), part, detail);
    }
}

#[test]
fn sums_flipped_or_signed_by_a_stranger() {
    for name in ["SHA256SUMS", "SHA256SUMS.sig"] {
        let dir = full_copy();
        flip(&dir.path().join(name));
        assert_fails(&format!("flipped-byte-in-{name}"), &check(dir.path()), "SHA256SUMS", "");
    }
    let dir = full_copy();
    crate::release::sums::write_sums(dir.path(), &foreign_key()).unwrap();
    assert_fails("foreign-sums-signature", &check(dir.path()), "SHA256SUMS", "not trusted here");
}

#[test]
fn foreign_release_signature() {
    let dir = full_copy();
    let json = fs::read(dir.path().join("release.json")).unwrap();
    let sig = sign::sign_bytes(sign::DOMAIN_RELEASE, &json, &foreign_key());
    fs::write(dir.path().join("release.json.sig"), sig).unwrap();
    resign(dir.path());
    assert_fails("foreign-release-signature", &check(dir.path()), "release.json", "not trusted here");
}

#[test]
fn sums_signature_used_for_the_release() {
    let dir = full_copy();
    let json = fs::read(dir.path().join("release.json")).unwrap();
    let sig = sign::sign_bytes(sign::DOMAIN_SUMS, &json, &release_key());
    fs::write(dir.path().join("release.json.sig"), sig).unwrap();
    resign(dir.path());
    assert_fails("signature-of-another-domain", &check(dir.path()), "release.json", "changed after signing");
}

#[test]
fn missing_swapped_and_extra_objects() {
    let dir = full_copy();
    let path = object(dir.path(), Role::Data, 1);
    fs::remove_file(&path).unwrap();
    resign(dir.path());
    assert_fails("missing-object", &check(dir.path()), "object ", "is missing");

    let dir = full_copy();
    let (a, b) = (object(dir.path(), Role::Data, 0), object(dir.path(), Role::Data, 1));
    let temp = dir.path().join("t");
    for (from, to) in [(&a, &temp), (&b, &a), (&temp, &b)] {
        fs::rename(from, to).unwrap();
    }
    resign(dir.path());
    let report = check(dir.path());
    assert_eq!(report.failures.iter().filter(|f| f.part.starts_with("object ")).count(), 2, "{:#?}", report.failures);

    let dir = full_copy();
    fs::write(dir.path().join("objects/extra.zst"), "x").unwrap();
    assert_fails("added-file", &check(dir.path()), "objects/extra.zst", "added after the build");
}

#[test]
fn object_left_out_of_the_index_is_noticed_through_the_tree() {
    let dir = full_copy();
    let mut release = Release::parse(&fs::read(dir.path().join("release.json")).unwrap()).unwrap();
    let mut entries = index(dir.path()).entries().to_vec();
    let at = entries.iter().position(|e| e.role == Role::Data).unwrap();
    let left_out = entries.remove(at).digest;
    let index = Index::new(entries);
    let bytes = index.to_bytes();
    release.totals = crate::release::write::totals(&index);
    release.index.sha256 = skerry_formats::Sha256Digest::of(&bytes);
    release.index.size_bytes = bytes.len() as u64;
    let json = release.to_bytes();
    fs::write(dir.path().join("index.skx"), bytes).unwrap();
    fs::write(dir.path().join("release.json.sig"), sign::sign_bytes(sign::DOMAIN_RELEASE, &json, &release_key()))
        .unwrap();
    fs::write(dir.path().join("release.json"), json).unwrap();
    resign(dir.path());
    let report = check(dir.path());
    assert_fails("index-too-short", &report, "tree", &format!("refers to object {left_out}"));
    assert_fails("index-too-short", &report, "disk.img.zst", "another release");
}

#[test]
fn truncated_disk_image() {
    for keep in [0, 10, 60, 99] {
        let dir = full_copy();
        let path = dir.path().join("disk.img.zst");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() * keep / 100]).unwrap();
        resign(dir.path());
        assert_fails(&format!("disk-image-cut-at-{keep}%"), &check(dir.path()), "disk.img.zst", "");
    }
}

#[test]
fn changed_object_inside_the_disk_image() {
    let dir = full_copy();
    let path = dir.path().join("disk.img.zst");
    let mut raw = zstd::decode_all(&fs::read(&path).unwrap()[..]).unwrap();
    let needle = &testing::noise(200, 90_000)[5000..5064];
    let at = raw.windows(needle.len()).position(|w| w == needle).unwrap();
    raw[at] ^= 1;
    fs::write(&path, zstd::encode_all(&raw[..], 1).unwrap()).unwrap();
    resign(dir.path());
    let report = check(dir.path());
    assert_fails("changed-object-in-disk-image", &report, "disk.img.zst: object ", "was changed");
    assert_eq!(report.failures.len(), 1, "and nothing else fails: {:#?}", report.failures);

    let raw_path = dir.path().join("raw.img");
    fs::write(&raw_path, raw).unwrap();
    let report = verify_image(&raw_path, &[release_key().verifying_key()], &Progress::none());
    assert_fails("changed-object-in-raw-disk-image", &report, "object ", "was changed");
}

#[test]
fn disk_image_and_kernel_of_another_release() {
    let (dir, other) = (full_copy(), tempfile::tempdir().unwrap());
    testing::write_full(other.path(), &Sample::new(2), &other.path().join("cache"));
    fs::copy(other.path().join("disk.img.zst"), dir.path().join("disk.img.zst")).unwrap();
    fs::copy(other.path().join("skerry-0000000002.efi"), dir.path().join("skerry-0000000001.efi")).unwrap();
    resign(dir.path());
    let report = check(dir.path());
    assert_fails("disk-image-of-another-release", &report, "disk.img.zst", "another release");
    assert_fails("kernel-of-another-release", &report, "skerry-0000000001.efi", "skerry.sequence=2");
}

#[test]
fn kernel_command_line_with_another_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Sample { uki_sequence: Some(7), ..Sample::new(1) };
    testing::write_full(dir.path(), &sample, &tempfile::tempdir().unwrap().path().join("cache"));
    assert_fails("command-line-sequence", &check(dir.path()), ".efi", "skerry.sequence=7");
}

#[test]
fn ostree_commit_unsigned_foreign_or_of_another_tree() {
    let open = |dir: &Path| crate::commit::ostree::open_or_init(&dir.join("ostree")).unwrap();
    let dir = full_copy();
    let release = Release::parse(&fs::read(dir.path().join("release.json")).unwrap()).unwrap();
    crate::commit::ostree_sign::sign(&open(dir.path()), &release.os.ostree_commit, &foreign_key()).unwrap();
    resign(dir.path());
    assert_fails("foreign-commit-signature", &check(dir.path()), "ostree", "no trusted key");

    let dir = full_copy();
    let objects = dir.path().join("ostree/objects");
    let mut files = vec![];
    for sub in fs::read_dir(objects).unwrap() {
        files.extend(fs::read_dir(sub.unwrap().path()).unwrap().map(|e| e.unwrap().path()));
    }
    let largest = files
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "filez"))
        .max_by_key(|p| p.metadata().unwrap().len())
        .unwrap();
    flip(largest);
    resign(dir.path());
    assert_fails("flipped-byte-in-ostree-object", &check(dir.path()), "ostree", "");
}
