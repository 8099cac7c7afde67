//! A file tree as a value: what every later step (commit, image, SBOM, inspect)
//! reads. Times are not part of it: every file's mtime is 0, so that a rebuilt
//! package with the same content is the same tree.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Path inside a tree: relative, `/`-separated, no `.` or `..`; the root is "".
pub type TreePath = String;

/// A file tree. Parents of every entry are present as directories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Entries by path, root included as "".
    pub entries: BTreeMap<TreePath, Entry>,
}

/// One file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Kind and content.
    pub kind: Kind,
    /// Permission bits (0o7777).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// Why it is here.
    pub origin: Origin,
}

/// Kind and content of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Directory.
    Dir,
    /// Symbolic link with its target.
    Symlink(String),
    /// Regular file.
    File(Content),
}

/// Content of a regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Made by the builder.
    Bytes(Arc<[u8]>),
    /// A file in the cache or the user's folder, not to be changed meanwhile.
    File {
        /// Where it is.
        path: PathBuf,
        /// Its size in bytes.
        size_bytes: u64,
    },
}

/// Why an entry is in the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A Debian package.
    Package {
        /// Binary package name.
        name: String,
        /// Version.
        version: String,
    },
    /// A node program of Skerry's own (or the Rust shim).
    Runtime {
        /// Program name.
        name: String,
    },
    /// A layer of an app image.
    App {
        /// App name in the image spec.
        name: String,
    },
    /// Generated from the image spec or board.
    Spec {
        /// The key it comes from, such as `update.url` or `manifests`.
        key: String,
    },
    /// Made by the builder for every image (users, links, unit presets).
    Builder {
        /// The step that made it.
        step: String,
    },
}

impl Content {
    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Content::Bytes(b) => b.len() as u64,
            Content::File { size_bytes, .. } => *size_bytes,
        }
    }

    /// Read all of it.
    ///
    /// # Errors
    /// I/O errors of the file behind it.
    pub fn read(&self) -> std::io::Result<Arc<[u8]>> {
        match self {
            Content::Bytes(b) => Ok(b.clone()),
            Content::File { path, .. } => Ok(std::fs::read(path)?.into()),
        }
    }
}

impl Entry {
    /// A directory, root-owned, 0755.
    pub fn dir(origin: Origin) -> Self {
        Self { kind: Kind::Dir, mode: 0o755, uid: 0, gid: 0, xattrs: BTreeMap::new(), origin }
    }

    /// A symbolic link, root-owned.
    pub fn symlink(target: impl Into<String>, origin: Origin) -> Self {
        Self { kind: Kind::Symlink(target.into()), mode: 0o777, uid: 0, gid: 0, xattrs: BTreeMap::new(), origin }
    }

    /// A root-owned file made by the builder.
    pub fn bytes(mode: u32, content: impl Into<Vec<u8>>, origin: Origin) -> Self {
        let content: Vec<u8> = content.into();
        Self { kind: Kind::File(Content::Bytes(content.into())), mode, uid: 0, gid: 0, xattrs: BTreeMap::new(), origin }
    }
}

impl Tree {
    /// A tree with nothing but its root.
    pub fn new(origin: Origin) -> Self {
        Self { entries: BTreeMap::from([(String::new(), Entry::dir(origin))]) }
    }

    /// Insert or replace an entry; missing parents become 0755 directories of
    /// the same origin.
    pub fn insert(&mut self, path: impl Into<TreePath>, entry: Entry) {
        let path = path.into();
        let mut at = 0;
        while let Some(i) = path[at..].find('/') {
            let parent = &path[..at + i];
            if !self.entries.contains_key(parent) {
                self.entries.insert(parent.to_string(), Entry::dir(entry.origin.clone()));
            }
            at += i + 1;
        }
        self.entries.insert(path, entry);
    }

    /// Look an entry up.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Regular files with their content, in path order.
    pub fn files(&self) -> impl Iterator<Item = (&TreePath, &Entry, &Content)> {
        self.entries.iter().filter_map(|(p, e)| match &e.kind {
            Kind::File(c) => Some((p, e, c)),
            _ => None,
        })
    }
}
