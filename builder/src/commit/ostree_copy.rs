//! Refs, and copies of single commits into repositories of their own.

use std::path::Path;

use ostree_ext::{
    gio,
    ostree::{Repo, RepoPullFlags},
    prelude::*,
};

use super::{
    CommitError,
    ostree::{Checksum, failed, open_or_init},
};

/// Point `branch` at a commit of the repository.
///
/// # Errors
/// An error of libostree.
pub fn set_ref(repo: &Repo, branch: &str, checksum: &Checksum) -> Result<(), CommitError> {
    repo.set_ref_immediate(None, branch, Some(&checksum.to_hex()), gio::Cancellable::NONE)
        .map_err(failed(|| format!("pointing {branch} at {checksum}")))
}

/// Copy one commit with its signature into a repository of its own at `to` and
/// point `branch` at it. On one file system the objects are hard links.
///
/// # Errors
/// The folder cannot be written, or an error of libostree.
pub fn copy_commit(from: &Repo, checksum: &Checksum, branch: &str, to: &Path) -> Result<(), CommitError> {
    let source = from.path().path().ok_or_else(|| CommitError::Export {
        checksum: checksum.to_hex(),
        detail: "the repository has no path".into(),
    })?;
    let source =
        std::path::absolute(&source).map_err(|e| CommitError::Io { operation: "finding", path: source, source: e })?;
    let copy = open_or_init(to)?;
    let rev = checksum.to_hex();
    copy.pull(&format!("file://{}", source.display()), &[&rev], RepoPullFlags::NONE, None, gio::Cancellable::NONE)
        .map_err(failed(|| format!("copying the commit to {}", to.display())))?;
    set_ref(&copy, branch, checksum)
}
