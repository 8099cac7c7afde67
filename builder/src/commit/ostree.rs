//! The OSTree repository of a product: every release as a signed commit.
//!
//! Archive mode, so that it needs no root and can be served as plain files.
//! Commits carry the tree's own modes and owners; the timestamp is the build
//! epoch. Nothing here depends on the wall clock.

use std::{collections::BTreeMap, path::Path};

use ostree_ext::{
    gio,
    glib::{self, Variant},
    ostree::{self, MutableTree, ObjectType, Repo, RepoMode},
    prelude::*,
};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use skerry_formats::Sha256Digest;

use super::CommitError;
pub use super::{
    ostree_copy::{copy_commit, set_ref},
    ostree_oci::export_oci,
    ostree_sign::{sign, verify},
};
use crate::tree::model::{Content, Entry, Kind, Tree};

/// Checksum of an OSTree commit.
pub type Checksum = Sha256Digest;

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// Open the repository at `path`, or make an empty one in archive mode.
///
/// # Errors
/// The folder cannot be made, or what is there is no OSTree repository.
pub fn open_or_init(path: &Path) -> Result<Repo, CommitError> {
    std::fs::create_dir_all(path).map_err(|source| CommitError::Io {
        operation: "making the OSTree repository",
        path: path.into(),
        source,
    })?;
    let repo = Repo::new_for_path(path);
    let result = match path.join("config").exists() {
        true => repo.open(gio::Cancellable::NONE),
        false => repo.create(RepoMode::Archive, gio::Cancellable::NONE),
    };
    result.map_err(failed(|| format!("opening {}", path.display())))?;
    // A commit is made again from the cache after a crash; syncing the whole
    // host disk at every build is not worth it.
    repo.set_disable_fsync(true);
    Ok(repo)
}

/// Commit a tree and point `branch` at it.
///
/// Only objects that the repository does not have are written. `epoch` is the
/// commit's time in Unix seconds; `metadata` are string values for the commit's
/// metadata, such as `version`.
///
/// # Errors
/// Content that cannot be read, or an error of libostree.
pub fn commit(
    repo: &Repo,
    tree: &Tree,
    branch: &str,
    parent: Option<&Checksum>,
    epoch: u64,
    metadata: &BTreeMap<String, String>,
) -> Result<Checksum, CommitError> {
    let checksums = content_checksums(tree)?;
    let transaction =
        repo.auto_transaction(gio::Cancellable::NONE).map_err(failed(|| "starting a transaction".into()))?;
    let root = MutableTree::new();
    for (path, entry) in &tree.entries {
        add_entry(repo, &root, path, entry, checksums.get(path.as_str()))?;
    }
    let root = repo.write_mtree(&root, gio::Cancellable::NONE).map_err(failed(|| "writing the folders".into()))?;
    let root = root.downcast::<ostree::RepoFile>().map_err(|_| CommitError::Tree {
        path: String::new(),
        detail: "libostree did not return the root folder".into(),
    })?;
    let meta = glib::VariantDict::new(None);
    for (key, value) in metadata {
        meta.insert(key, value.as_str());
    }
    let subject = metadata.get("version").map_or(branch.to_string(), |v| format!("{branch} {v}"));
    let parent = parent.map(Sha256Digest::to_hex);
    let checksum = repo
        .write_commit_with_time(
            parent.as_deref(),
            Some(&subject),
            None,
            Some(&meta.end()),
            &root,
            epoch,
            gio::Cancellable::NONE,
        )
        .map_err(failed(|| format!("writing the commit of {branch}")))?;
    repo.transaction_set_ref(None, branch, Some(&checksum));
    transaction.commit(gio::Cancellable::NONE).map_err(failed(|| format!("ending the transaction of {branch}")))?;
    parse_checksum(&checksum)
}

/// Commit that a branch points at, if there is one.
///
/// # Errors
/// An error of libostree.
pub fn resolve(repo: &Repo, branch: &str) -> Result<Option<Checksum>, CommitError> {
    let found = repo.resolve_rev(branch, true).map_err(failed(|| format!("resolving {branch}")))?;
    found.map(|c| parse_checksum(&c)).transpose()
}

pub(super) fn failed(what: impl FnOnce() -> String) -> impl FnOnce(glib::Error) -> CommitError {
    move |source| CommitError::Ostree { operation: what(), source }
}

fn parse_checksum(text: &str) -> Result<Checksum, CommitError> {
    text.parse().map_err(|_| CommitError::Tree {
        path: String::new(),
        detail: format!("libostree returned {text:?} as a checksum"),
    })
}

fn xattrs(entry: &Entry) -> Vec<(Vec<u8>, Vec<u8>)> {
    entry.xattrs.iter().map(|(k, v)| ([k.as_bytes(), &[0]].concat(), v.clone())).collect()
}

/// Header of a content object, `(uuuusa(ayay))`: numbers are big-endian.
fn file_header(entry: &Entry) -> Variant {
    let (kind, target) = match &entry.kind {
        Kind::Symlink(target) => (S_IFLNK, target.as_str()),
        _ => (S_IFREG, ""),
    };
    let mode = kind | (entry.mode & 0o7777);
    (entry.uid.to_be(), entry.gid.to_be(), mode.to_be(), 0u32, target, xattrs(entry)).to_variant()
}

/// Checksums of all content objects, worked out in parallel: what the
/// repository already has is then never given to libostree at all.
fn content_checksums(tree: &Tree) -> Result<BTreeMap<&str, Checksum>, CommitError> {
    let leaves: Vec<_> = tree.entries.iter().filter(|(_, e)| e.kind != Kind::Dir).collect();
    leaves
        .par_iter()
        .map(|(path, entry)| {
            let sum =
                content_checksum(entry).map_err(|source| CommitError::Content { path: path.to_string(), source })?;
            Ok((path.as_str(), sum))
        })
        .collect()
}

fn content_checksum(entry: &Entry) -> std::io::Result<Checksum> {
    let header = file_header(entry);
    let header = header.data();
    let mut hash = Sha256::new();
    hash.update((header.len() as u32).to_be_bytes());
    hash.update([0; 4]); // the header is aligned to 8 bytes
    hash.update(header);
    match &entry.kind {
        Kind::File(Content::Bytes(b)) => hash.update(b),
        Kind::File(Content::File { path, .. }) => {
            std::io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
        }
        Kind::Symlink(_) | Kind::Dir => {}
    }
    Ok(Sha256Digest(hash.finalize().into()))
}

fn add_entry(
    repo: &Repo,
    root: &MutableTree,
    path: &str,
    entry: &Entry,
    checksum: Option<&Checksum>,
) -> Result<(), CommitError> {
    let what = || format!("adding /{path}");
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut dir = root.clone();
    for part in parent.split('/').filter(|p| !p.is_empty()) {
        dir = dir.ensure_dir(part).map_err(failed(what))?;
    }
    match (&entry.kind, checksum) {
        (Kind::Dir, _) => {
            if !name.is_empty() {
                dir = dir.ensure_dir(name).map_err(failed(what))?;
            }
            let mode = S_IFDIR | (entry.mode & 0o7777);
            let meta = (entry.uid.to_be(), entry.gid.to_be(), mode.to_be(), xattrs(entry)).to_variant();
            let sum =
                repo.write_metadata(ObjectType::DirMeta, None, &meta, gio::Cancellable::NONE).map_err(failed(what))?;
            dir.set_metadata_checksum(&sum.to_string());
        }
        (_, Some(sum)) => {
            let sum = sum.to_hex();
            let have = repo.has_object(ObjectType::File, &sum, gio::Cancellable::NONE).map_err(failed(what))?;
            if !have {
                write_content(repo, path, entry, &sum)?;
            }
            dir.replace_file(name, &sum).map_err(failed(what))?;
        }
        (_, None) => return Err(CommitError::Tree { path: path.into(), detail: "it has no checksum".into() }),
    }
    Ok(())
}

fn write_content(repo: &Repo, path: &str, entry: &Entry, expected: &str) -> Result<(), CommitError> {
    let xattrs = xattrs(entry).to_variant();
    let what = || format!("writing /{path}");
    match &entry.kind {
        Kind::Symlink(target) => repo
            .write_symlink(Some(expected), entry.uid, entry.gid, Some(&xattrs), target, gio::Cancellable::NONE)
            .map(drop)
            .map_err(failed(what)),
        Kind::File(content) => {
            let bytes = content.read().map_err(|source| CommitError::Content { path: path.into(), source })?;
            let mode = S_IFREG | (entry.mode & 0o7777);
            repo.write_regfile_inline(
                Some(expected),
                entry.uid,
                entry.gid,
                mode,
                Some(&xattrs),
                &bytes,
                gio::Cancellable::NONE,
            )
            .map(drop)
            .map_err(failed(what))
        }
        Kind::Dir => Ok(()),
    }
}
