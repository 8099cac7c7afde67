//! The OSTree commit of the release: its signature, and that it holds the very
//! tree that nodes mount.
//!
//! The second is shown by making the composefs image of the commit's content
//! again: the same digest means the same tree, down to modes and attributes.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use ed25519_dalek::VerifyingKey;
use ostree_ext::{
    gio::{self, prelude::*},
    glib::Variant,
    ostree::{ObjectType, Repo},
};
use skerry_formats::{ObjectDigest, Release, Sha256Digest};

use super::report::Report;
use crate::{
    commit::{self, DigestCache},
    tree::model::{Content, Entry, Kind, Origin, Tree},
};

/// Folder of the OSTree repository in an output folder.
pub(super) const REPOSITORY: &str = "ostree";
const DEPTH_MAX: usize = 64;
const S_IFMT: u32 = 0o170_000;
const S_IFLNK: u32 = 0o120_000;
const S_IFREG: u32 = 0o100_000;

pub(super) fn check(report: &mut Report, dir: &Path, release: &Release, trusted: &[VerifyingKey]) {
    let path = dir.join(REPOSITORY);
    if !path.exists() {
        // If it was there once, the signed sums name its files and have failed.
        report.notes.push("there is no OSTree repository in this folder; the release history was not checked".into());
        return;
    }
    let repo = Repo::new_for_path(&path);
    if report.take(REPOSITORY, repo.open(gio::Cancellable::NONE)).is_none() {
        return;
    }
    let checksum = release.os.ostree_commit;
    let part = format!("{REPOSITORY}: commit {checksum}");
    if report.take(&part, commit::ostree_sign::verify(&repo, &checksum, trusted)).is_some() {
        report.checked.signatures += 1;
    }
    let Some(digest) = report.take(&part, composefs_digest(&repo, &checksum)) else { return };
    if digest != release.os.composefs {
        report.fail(part, format!("holds another tree than the release: its composefs digest is {digest}"));
    }
}

/// composefs digest of a commit's content.
fn composefs_digest(repo: &Repo, checksum: &Sha256Digest) -> Result<ObjectDigest, String> {
    let load = |kind: ObjectType, sum: &str| repo.load_variant(kind, sum).map_err(|e| e.to_string());
    // a{sv} aya(say) sst ay ay: tree and folder metadata of the root are last.
    let commit = load(ObjectType::Commit, &checksum.to_hex())?;
    let mut tree = Tree { entries: BTreeMap::new() };
    let mut folders = vec![(String::new(), csum(&commit, 6)?, csum(&commit, 7)?, 0)];
    while let Some((path, contents, meta, depth)) = folders.pop() {
        if depth > DEPTH_MAX {
            return Err("its folders are nested too deeply".into());
        }
        tree.entries.insert(path.clone(), folder(&load(ObjectType::DirMeta, &meta)?)?);
        let listing = load(ObjectType::DirTree, &contents)?;
        let below = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}/{name}") };
        for row in listing.child_value(0).iter() {
            tree.entries.insert(below(&text(&row)?), file(repo, &csum(&row, 1)?)?);
        }
        for row in listing.child_value(1).iter() {
            folders.push((below(&text(&row)?), csum(&row, 1)?, csum(&row, 2)?, depth + 1));
        }
    }
    let sealed = commit::composefs::seal(&tree, &DigestCache::in_memory()).map_err(|e| e.to_string())?;
    Ok(sealed.digest)
}

fn text(row: &Variant) -> Result<String, String> {
    row.try_child_value(0).and_then(|v| v.get()).ok_or_else(|| "it has a folder entry without a name".into())
}

fn csum(row: &Variant, at: usize) -> Result<String, String> {
    let bytes: Vec<u8> = row.try_child_value(at).and_then(|v| v.get()).ok_or("it has an entry without a checksum")?;
    match bytes.len() {
        32 => Ok(hex::encode(bytes)),
        n => Err(format!("it has a checksum of {n} bytes")),
    }
}

/// Why an entry is there does not matter for the image.
fn origin() -> Origin {
    Origin::Builder { step: "ostree".into() }
}

/// Folder metadata, `(uuua(ayay))` with big-endian numbers.
fn folder(meta: &Variant) -> Result<Entry, String> {
    type Meta = (u32, u32, u32, Vec<(Vec<u8>, Vec<u8>)>);
    let (uid, gid, mode, xattrs) = meta.get::<Meta>().ok_or("it has folder metadata of an unknown form")?;
    let (uid, gid, mode) = (u32::from_be(uid), u32::from_be(gid), u32::from_be(mode));
    Ok(Entry { kind: Kind::Dir, mode: mode & 0o7777, uid, gid, xattrs: names(xattrs), origin: origin() })
}

/// A file or symbolic link. libostree does not check content while it reads;
/// the digest of the whole tree does.
fn file(repo: &Repo, sum: &str) -> Result<Entry, String> {
    let (stream, info, xattrs) = repo.load_file(sum, gio::Cancellable::NONE).map_err(|e| e.to_string())?;
    let number = |key: &str| info.attribute_uint32(key);
    let mode = number("unix::mode");
    let kind = match mode & S_IFMT {
        S_IFLNK => Kind::Symlink(info.symlink_target().map(|t| t.to_string_lossy().into_owned()).unwrap_or_default()),
        S_IFREG => {
            let mut bytes = vec![];
            let stream = stream.ok_or_else(|| format!("file {sum} has no content"))?;
            stream.into_read().read_to_end(&mut bytes).map_err(|e| format!("file {sum}: {e}"))?;
            Kind::File(Content::Bytes(bytes.into()))
        }
        other => return Err(format!("file {sum} has the unknown type {other:o}")),
    };
    let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { mode & 0o7777 };
    let xattrs = xattrs.get().ok_or_else(|| format!("file {sum} has attributes of an unknown form"))?;
    Ok(Entry {
        kind,
        mode,
        uid: number("unix::uid"),
        gid: number("unix::gid"),
        xattrs: names(xattrs),
        origin: origin(),
    })
}

/// Names end with a zero byte in OSTree.
fn names(xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> BTreeMap<String, Vec<u8>> {
    let name = |k: Vec<u8>| String::from_utf8_lossy(k.strip_suffix(&[0]).unwrap_or(&k)).into_owned();
    xattrs.into_iter().map(|(k, v)| (name(k), v)).collect()
}
