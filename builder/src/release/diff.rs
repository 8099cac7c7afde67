//! Diff: what changed between two releases, and what a node would fetch.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use skerry_formats::{Sequence, index::Role};

use super::{
    files::{FileEntry, FileKind, origin_text},
    inspect::Described,
};
use crate::tree::model::Origin;

/// The whole difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Old release.
    pub from: Side,
    /// New release.
    pub to: Side,
    /// Packages, by name.
    pub packages: Vec<Change>,
    /// App images, by name; values are manifest digests.
    pub apps: Vec<Change>,
    /// Kernel version, if it changed.
    pub kernel: Option<Change>,
    /// Files and links, by tree and path.
    pub files: Vec<FileChange>,
    /// Objects in both.
    pub objects_shared: u64,
    /// Objects only in the new release.
    pub objects_new: u64,
    /// Objects only in the old release.
    pub objects_gone: u64,
    /// Size of the new objects in bytes.
    pub new_bytes: u64,
    /// What a node that has the old release fetches, in bytes.
    pub fetch_bytes: u64,
    /// Of it, the kernel image.
    pub fetch_uki_bytes: u64,
    /// What a node that has nothing would fetch.
    pub full_bytes: u64,
}

/// One of the two releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Product name.
    pub product: String,
    /// Board name.
    pub board: String,
    /// Version.
    pub version: String,
    /// Sequence.
    pub sequence: Sequence,
}

/// A named value that came, went or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Name.
    pub name: String,
    /// Before; `None`: added.
    pub old: Option<String>,
    /// After; `None`: removed.
    pub new: Option<String>,
}

/// A path that came, went or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Tree: `os` or `app/NAME`.
    pub tree: String,
    /// Path with a leading slash.
    pub path: String,
    /// What happened.
    pub what: What,
    /// Size before.
    pub old_bytes: u64,
    /// Size after.
    pub new_bytes: u64,
    /// Why it is there (or was, if it is gone).
    pub origin: String,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its content, kind or link target is another.
    Changed,
    /// Only mode or owner is another.
    Attributes,
}

/// Compare two releases.
pub fn diff(old: &Described, new: &Described) -> Diff {
    let fresh = || new.index.entries().iter().filter(|e| old.index.get(&e.digest).is_none());
    let shared = new.index.entries().len() as u64 - fresh().count() as u64;
    Diff {
        from: side(old),
        to: side(new),
        packages: changes(&packages(old), &packages(new)),
        apps: changes(&apps(old), &apps(new)),
        kernel: (old.release.kernel != new.release.kernel).then(|| Change {
            name: "kernel".into(),
            old: Some(old.release.kernel.clone()),
            new: Some(new.release.kernel.clone()),
        }),
        files: files(old, new),
        objects_shared: shared,
        objects_new: fresh().count() as u64,
        objects_gone: old.index.entries().len() as u64 - shared,
        new_bytes: fresh().map(|e| e.size_bytes).sum(),
        fetch_bytes: fresh().map(|e| e.compressed_bytes).sum(),
        fetch_uki_bytes: fresh().filter(|e| e.role == Role::Uki).map(|e| e.compressed_bytes).sum(),
        full_bytes: new.release.totals.compressed_bytes,
    }
}

fn side(d: &Described) -> Side {
    let r = &d.release;
    Side { product: r.product.clone(), board: r.board.clone(), version: r.version.clone(), sequence: r.sequence }
}

fn packages(d: &Described) -> BTreeMap<String, String> {
    let package = |(_, e): (&str, &FileEntry)| match &e.origin {
        Origin::Package { name, version } => Some((name.clone(), version.clone())),
        _ => None,
    };
    d.files.iter().filter_map(package).collect()
}

fn apps(d: &Described) -> BTreeMap<String, String> {
    d.release.apps.iter().map(|a| (a.name.clone(), format!("{} sha256:{}", a.image, a.manifest_digest))).collect()
}

fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|n| old.get(*n) != new.get(*n))
        .map(|n| Change { name: n.clone(), old: old.get(n).cloned(), new: new.get(n).cloned() })
        .collect()
}

fn files(old: &Described, new: &Described) -> Vec<FileChange> {
    let by_path = |d: &'_ Described| -> BTreeMap<(String, String), FileEntry> {
        d.files.iter().map(|(t, e)| ((t.to_string(), e.path.clone()), e.clone())).collect()
    };
    let (before, after) = (by_path(old), by_path(new));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let (a, b) = (before.get(key), after.get(key));
            let what = match (a, b) {
                (None, _) => What::Added,
                (_, None) => What::Removed,
                (Some(a), Some(b)) => compare(a, b)?,
            };
            let entry = b.or(a)?;
            let folder = entry.kind == FileKind::Dir && matches!(what, What::Added | What::Removed);
            // A folder that comes or goes is told by what is in it.
            (!folder).then(|| FileChange {
                tree: key.0.clone(),
                path: format!("/{}", key.1),
                what,
                old_bytes: a.map_or(0, |e| e.size_bytes),
                new_bytes: b.map_or(0, |e| e.size_bytes),
                origin: origin_text(&entry.origin),
            })
        })
        .collect()
}

fn compare(a: &FileEntry, b: &FileEntry) -> Option<What> {
    if (a.kind, a.digest, &a.target) != (b.kind, b.digest, &b.target) {
        return Some(What::Changed);
    }
    ((&a.mode, a.uid, a.gid) != (&b.mode, b.uid, b.gid)).then_some(What::Attributes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::release::testing::{Sample, write_statement};

    fn described(sequence: u32) -> Described {
        let dir = tempfile::tempdir().unwrap();
        write_statement(&dir.path().join("out"), &Sample::new(sequence), dir.path());
        Described::load(&dir.path().join("out")).unwrap()
    }

    #[test]
    fn a_release_does_not_differ_from_itself() {
        let d = described(1);
        let diff = diff(&d, &d);
        assert!(diff.packages.is_empty() && diff.files.is_empty() && diff.apps.is_empty() && diff.kernel.is_none());
        assert_eq!((diff.objects_new, diff.objects_gone, diff.fetch_bytes), (0, 0, 0));
        assert_eq!(diff.objects_shared, d.release.totals.objects);
    }

    #[test]
    fn one_package_and_the_generated_files_changed() {
        let (old, new) = (described(1), described(2));
        let d = diff(&old, &new);
        let packages: Vec<_> =
            d.packages.iter().map(|c| (c.name.as_str(), c.old.as_deref(), c.new.as_deref())).collect();
        assert_eq!(packages, [("libchanging", Some("1.1"), Some("1.2"))]);
        let files: Vec<_> = d.files.iter().map(|f| (f.path.as_str(), f.what)).collect();
        assert_eq!(files, [("/etc/os-release", What::Changed), ("/usr/lib/libchanging.so", What::Changed)]);
        // The library, the metadata image of the OS tree and the kernel image.
        assert_eq!((d.objects_new, d.objects_gone), (3, 3));
        assert!(d.fetch_bytes < d.full_bytes && d.fetch_uki_bytes > 0 && d.fetch_uki_bytes < d.fetch_bytes);
        assert_eq!(d.full_bytes, new.release.totals.compressed_bytes);
    }

    #[test]
    fn added_removed_and_changed_attributes() {
        let (old, mut new) = (described(1), described(1));
        let entries = &mut new.files.trees[0].entries;
        entries.retain(|e| e.path != "lib");
        let node = entries.iter_mut().find(|e| e.path == "usr/bin/skerry-node").unwrap();
        node.mode = "0700".into();
        let changes = diff(&old, &new).files;
        let what: Vec<_> = changes.iter().map(|f| (f.path.as_str(), f.what)).collect();
        assert_eq!(what, [("/lib", What::Removed), ("/usr/bin/skerry-node", What::Attributes)]);
        let back = diff(&new, &old).files;
        assert_eq!(back[0].what, What::Added);
    }
}
