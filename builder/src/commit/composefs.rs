//! Tree → EROFS metadata image and the objects it refers to.
//!
//! The image carries names, modes, owners, links and files of at most 64 bytes;
//! every larger file is an object named by its fs-verity digest. Format: the
//! composefs image format, version 1. All times are 0.

use std::{collections::BTreeMap, ffi::OsStr, os::unix::ffi::OsStrExt, sync::Arc};

use composefs::{
    INLINE_CONTENT_MAX_V0,
    erofs::{
        format::FormatVersion,
        writer::{ValidatedFileSystem, mkfs_erofs_versioned},
    },
    fsverity::{FsVerityHashValue, Sha256HashValue},
    tree::{Directory, FileSystem, Inode, LeafContent, RegularFile, Stat},
};
use rayon::prelude::*;
use skerry_formats::{ObjectDigest, index::Role};

use super::{CommitError, DigestCache};
use crate::tree::model::{Content, Entry, Kind, Origin, Tree};

/// One object of a sealed tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedObject {
    /// Its bytes.
    pub content: Content,
    /// Data, or the EROFS image itself.
    pub role: Role,
    /// Why the first file with this content is in the tree.
    pub origin: Origin,
    /// Path of the first file with this content; "" for the EROFS image.
    pub path: String,
}

/// A tree as nodes mount it.
#[derive(Debug, Clone)]
pub struct SealedTree {
    /// The EROFS metadata image.
    pub erofs: Arc<[u8]>,
    /// fs-verity digest of the image: the identity of the tree.
    pub digest: ObjectDigest,
    /// Every object the tree needs, the image included.
    pub objects: BTreeMap<ObjectDigest, SealedObject>,
    /// Digest of every regular file by path, also of those inlined.
    pub files: BTreeMap<String, ObjectDigest>,
}

/// Make the composefs image of a tree.
///
/// # Errors
/// Content that cannot be read, or a tree that is not well-formed.
pub fn seal(tree: &Tree, digests: &DigestCache) -> Result<SealedTree, CommitError> {
    let files = digest_files(tree, digests)?;
    let mut objects = BTreeMap::new();
    for (path, entry, content) in tree.files().filter(|(_, _, c)| !is_inline(c)) {
        objects.entry(files[path]).or_insert_with(|| SealedObject {
            content: content.clone(),
            role: Role::Data,
            origin: entry.origin.clone(),
            path: path.clone(),
        });
    }
    let erofs: Arc<[u8]> = write_image(tree, &files)?.into();
    let digest = skerry_formats::fsverity_digest(&erofs);
    objects.insert(
        digest,
        SealedObject {
            content: Content::Bytes(erofs.clone()),
            role: Role::Erofs,
            origin: Origin::Builder { step: "composefs".into() },
            path: String::new(),
        },
    );
    Ok(SealedTree { erofs, digest, objects, files })
}

fn is_inline(content: &Content) -> bool {
    content.size_bytes() <= INLINE_CONTENT_MAX_V0 as u64
}

fn digest_files(tree: &Tree, digests: &DigestCache) -> Result<BTreeMap<String, ObjectDigest>, CommitError> {
    let files: Vec<_> = tree.files().collect();
    files
        .par_iter()
        .map(|(path, _, content)| match digests.digest(content) {
            Ok(digest) => Ok(((*path).clone(), digest)),
            Err(source) => Err(CommitError::Content { path: (*path).clone(), source }),
        })
        .collect()
}

fn write_image(tree: &Tree, files: &BTreeMap<String, ObjectDigest>) -> Result<Box<[u8]>, CommitError> {
    let bad = |path: &str, detail: &str| CommitError::Tree { path: path.into(), detail: detail.into() };
    let root = tree.get("").filter(|e| e.kind == Kind::Dir).ok_or_else(|| bad("", "the root is not a directory"))?;
    let mut fs = FileSystem::<Sha256HashValue>::new(stat(root));
    for (path, entry) in tree.entries.iter().filter(|(p, _)| !p.is_empty()) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() || name == "." || name == ".." || name.len() > 255 {
            return Err(bad(path, "not a file name that an image can hold"));
        }
        let inode = match &entry.kind {
            Kind::Dir => Inode::Directory(Box::new(Directory::new(stat(entry)))),
            _ => Inode::leaf(fs.push_leaf(stat(entry), leaf(path, entry, files)?)),
        };
        let dir = match parent {
            "" => &mut fs.root,
            p => fs.root.get_directory_mut(OsStr::new(p)).map_err(|_| bad(path, "its parent is no directory"))?,
        };
        dir.insert(OsStr::new(name), inode);
    }
    let fs = ValidatedFileSystem::new(fs).map_err(|e| CommitError::Composefs(format!("{e:#}")))?;
    Ok(mkfs_erofs_versioned(&fs, FormatVersion::V1))
}

fn leaf(
    path: &str,
    entry: &Entry,
    files: &BTreeMap<String, ObjectDigest>,
) -> Result<LeafContent<Sha256HashValue>, CommitError> {
    let content = match &entry.kind {
        Kind::File(content) => content,
        Kind::Symlink(target) if target.is_empty() || target.len() > composefs::SYMLINK_MAX => {
            return Err(CommitError::Tree { path: path.into(), detail: "link target is empty or too long".into() });
        }
        Kind::Symlink(target) => return Ok(LeafContent::Symlink(OsStr::new(target).into())),
        Kind::Dir => return Err(CommitError::Tree { path: path.into(), detail: "a directory is no leaf".into() }),
    };
    if is_inline(content) {
        let bytes = content.read().map_err(|source| CommitError::Content { path: path.into(), source })?;
        return Ok(LeafContent::Regular(RegularFile::Inline(bytes.to_vec().into())));
    }
    let digest = Sha256HashValue::from_hex(files[path].to_hex())
        .map_err(|e| CommitError::Composefs(format!("digest of /{path}: {e}")))?;
    Ok(LeafContent::Regular(RegularFile::External(digest, content.size_bytes())))
}

fn stat(entry: &Entry) -> Stat {
    let xattrs = entry.xattrs.iter().map(|(k, v)| (OsStr::from_bytes(k.as_bytes()).into(), v.clone().into()));
    Stat {
        st_mode: entry.mode & 0o7777,
        st_uid: entry.uid,
        st_gid: entry.gid,
        st_mtim_sec: 0,
        st_mtim_nsec: 0,
        xattrs: xattrs.collect(),
    }
}
