//! A file tree in memory: what the layers of an image add up to. Contents of
//! files are not here, only the names of the objects that hold them.

use std::collections::BTreeMap;

use skerry_formats::ObjectDigest;

/// Files of at most this many bytes lie inside the EROFS image (composefs image
/// format, version 1).
pub const INLINE_BYTES_MAX: usize = 64;
/// Longest symbolic link, as the composefs format has it.
pub const SYMLINK_BYTES_MAX: usize = 1024;

/// A file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, at most `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Dir,
    /// A small file.
    Inline(Vec<u8>),
    /// A file whose bytes are an object.
    Object {
        /// Name of the object.
        digest: ObjectDigest,
        /// Its length.
        size_bytes: u64,
    },
    /// A symbolic link.
    Symlink(Vec<u8>),
}

impl Entry {
    /// A folder of root's.
    pub fn dir() -> Self {
        Self { kind: Kind::Dir, mode: 0o755, uid: 0, gid: 0, xattrs: BTreeMap::new() }
    }

    /// Is it a folder?
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Dir
    }
}

/// Entries by path without leading slash; `""` is the root, which is always
/// there. Every parent of an entry is a folder in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, Entry>);

impl Default for Tree {
    fn default() -> Self {
        Self(BTreeMap::from([(String::new(), Entry::dir())]))
    }
}

impl Tree {
    /// All entries in the order of their paths, the root first.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.0.iter()
    }

    /// Number of entries with the root.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One entry.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// The nearest parent of `path` that is there but is no folder.
    pub fn blocked_by<'p>(&self, path: &'p str) -> Option<&'p str> {
        ancestors(path).find(|up| self.get(up).is_some_and(|e| !e.is_dir()))
    }

    /// Put an entry, and missing parents as folders of root's. The parents must
    /// be free ([`Tree::blocked_by`]); what lay below an entry that is no folder
    /// is gone.
    pub fn put(&mut self, path: &str, entry: Entry) {
        for up in ancestors(path) {
            if !self.0.contains_key(up) {
                self.0.insert(up.into(), Entry::dir());
            }
        }
        if !entry.is_dir() {
            self.retain_below(path, |_| false);
        }
        self.0.insert(path.into(), entry);
    }

    /// Remove one entry; not the root.
    pub fn remove(&mut self, path: &str) {
        if !path.is_empty() {
            self.0.remove(path);
        }
    }

    /// Keep of the entries below `folder` those that `keep` says.
    pub fn retain_below(&mut self, folder: &str, keep: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.below(folder).filter(|p| !keep(p)).cloned().collect();
        for path in gone {
            self.0.remove(&path);
        }
    }

    /// Paths below a folder.
    pub fn below(&self, folder: &str) -> impl Iterator<Item = &String> {
        let start = if folder.is_empty() { String::from("\0") } else { format!("{folder}/") };
        // '0' comes after '/'. No path begins with a NUL.
        let all = folder.is_empty();
        let prefix = start.clone();
        self.0.range(start..).map(|(p, _)| p).take_while(move |p| all || p.starts_with(&prefix))
    }
}

/// The folders above a path, nearest first, without the root.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/').map(|(up, _)| up), |p| p.rsplit_once('/').map(|(up, _)| up))
}

/// Folder and name.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
