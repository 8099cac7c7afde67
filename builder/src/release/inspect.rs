//! Inspect: what is in a release, how much of it, and why.
//!
//! Works on an output folder alone; nothing is verified here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;
use skerry_formats::{
    FormatError, ObjectDigest, Release,
    index::{Index, Role},
    layout::{INDEX_FILE, RELEASE_FILE},
    versioned::Document as _,
};

use super::files::{FILES_JSON, FileEntry, FileKind, Files, OS_TREE, origin_text};
use crate::tree::model::Origin;

/// Why a release could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A file could not be read.
    #[error("reading {} failed; is it the output folder of `skerry build`?", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file is malformed.
    #[error("{} is damaged; `skerry verify` tells more", .path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
}

/// The documents of a release that describe it.
#[derive(Debug, Clone)]
pub struct Described {
    /// Release statement.
    pub release: Release,
    /// Object index.
    pub index: Index,
    /// File list.
    pub files: Files,
}

impl Described {
    /// Read them from an output folder.
    ///
    /// # Errors
    /// [`InspectError`] names the file.
    pub fn load(dir: &Path) -> Result<Self, InspectError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read(&path).map_err(|source| InspectError::Read { path, source })
        };
        let format = |name: &str| {
            let path = dir.join(name);
            move |source| InspectError::Format { path, source }
        };
        Ok(Self {
            release: Release::parse(&read(RELEASE_FILE)?).map_err(format(RELEASE_FILE))?,
            index: Index::parse(&read(INDEX_FILE)?).map_err(format(INDEX_FILE))?,
            files: Files::parse(&read(FILES_JSON)?).map_err(format(FILES_JSON))?,
        })
    }
}

/// What to group sizes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Kind of origin: packages, programs, apps, spec, builder.
    Origin,
    /// One group per package, program, app or spec key.
    Package,
    /// No groups: files by size.
    Size,
}

/// Bytes of a group. A content that several files share counts once, for the
/// first of them, as it is stored once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Name of the group.
    pub name: String,
    /// Files in it.
    pub files: u64,
    /// Stored bytes.
    pub bytes: u64,
    /// Bytes as they are fetched; files inside the EROFS image count nothing.
    pub compressed_bytes: u64,
}

/// A file in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Tree: `os` or `app/NAME`.
    pub tree: String,
    /// Path with a leading slash.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Why it is there.
    pub origin: String,
}

/// Everything that `skerry inspect` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The release statement.
    pub release: Release,
    /// Files, links and folders of all trees.
    pub entries: u64,
    /// Groups, largest first.
    pub groups: Vec<Group>,
    /// Parts that belong to no file: the kernel image and the EROFS images.
    pub parts: Vec<Group>,
    /// Largest files, largest first.
    pub largest: Vec<Listed>,
}

/// Sum up a release.
pub fn inspect(d: &Described, by: By, top: usize) -> Inspection {
    Inspection {
        release: d.release.clone(),
        entries: d.files.iter().count() as u64,
        groups: if by == By::Size { vec![] } else { groups(d, by) },
        parts: parts(d),
        largest: largest(d, top),
    }
}

fn groups(d: &Described, by: By) -> Vec<Group> {
    let mut seen = BTreeSet::new();
    let mut out: BTreeMap<String, Group> = BTreeMap::new();
    for (_, e) in d.files.iter().filter(|(_, e)| e.kind == FileKind::File) {
        let name = match by {
            By::Origin => kind_of(&e.origin).to_string(),
            By::Package | By::Size => origin_text(&e.origin),
        };
        let group = out.entry(name.clone()).or_insert(Group { name, files: 0, bytes: 0, compressed_bytes: 0 });
        group.files += 1;
        if e.digest.is_some_and(|digest| seen.insert(digest)) {
            group.bytes += e.size_bytes;
            group.compressed_bytes += compressed(d, e.digest);
        }
    }
    sorted(out.into_values().collect())
}

fn kind_of(origin: &Origin) -> &'static str {
    match origin {
        Origin::Package { .. } => "packages",
        Origin::Runtime { .. } => "node programs",
        Origin::App { .. } => "apps",
        Origin::Spec { .. } => "image spec and board",
        Origin::Builder { .. } => "made by the builder",
    }
}

fn compressed(d: &Described, digest: Option<ObjectDigest>) -> u64 {
    digest.and_then(|x| d.index.get(&x)).map_or(0, |e| e.compressed_bytes)
}

fn parts(d: &Described) -> Vec<Group> {
    let name = |digest: &ObjectDigest, role: Role| match role {
        Role::Uki => "kernel image (UKI)".to_string(),
        _ if *digest == d.release.os.composefs => "metadata image of the OS tree".to_string(),
        _ => d
            .release
            .apps
            .iter()
            .find(|a| a.composefs == *digest)
            .map_or("metadata image".to_string(), |a| format!("metadata image of app {}", a.name)),
    };
    let parts = d.index.entries().iter().filter(|e| e.role != Role::Data).map(|e| Group {
        name: name(&e.digest, e.role),
        files: 1,
        bytes: e.size_bytes,
        compressed_bytes: e.compressed_bytes,
    });
    sorted(parts.collect())
}

fn sorted(mut groups: Vec<Group>) -> Vec<Group> {
    groups.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    groups
}

fn largest(d: &Described, top: usize) -> Vec<Listed> {
    let mut files: Vec<_> = d.files.iter().filter(|(_, e)| e.kind == FileKind::File).collect();
    files.sort_by(|a, b| b.1.size_bytes.cmp(&a.1.size_bytes).then_with(|| (a.0, &a.1.path).cmp(&(b.0, &b.1.path))));
    files.into_iter().take(top).map(|(tree, e)| listed(tree, e)).collect()
}

fn listed(tree: &str, e: &FileEntry) -> Listed {
    Listed { tree: tree.into(), path: format!("/{}", e.path), size_bytes: e.size_bytes, origin: origin_text(&e.origin) }
}

/// Every entry with this path, in whatever tree: `/usr/lib/x`, or `app/NAME/x`
/// for one tree only.
pub fn why<'a>(d: &'a Described, path: &str) -> Vec<(&'a str, &'a FileEntry)> {
    let plain = path.trim_start_matches('/').trim_end_matches('/');
    d.files
        .iter()
        .filter(|(tree, e)| {
            e.path == plain
                || (*tree != OS_TREE && plain.strip_prefix(tree).and_then(|p| p.strip_prefix('/')) == Some(&e.path))
        })
        .collect()
}

/// A sentence for [`why`].
pub fn reason(origin: &Origin) -> String {
    match origin {
        Origin::Package { name, version } => format!("comes from Debian package {name} {version}"),
        Origin::Runtime { name } => format!("is the node program {name}"),
        Origin::App { name } => format!("is part of the image of app {name} (`[[app]]` in the image spec)"),
        Origin::Spec { key } => format!("is made from `{key}` in the image spec or board"),
        Origin::Builder { step } => format!("is made by the builder for every image (step {step})"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::release::testing::{Sample, write_statement};

    fn sample() -> Described {
        let dir = tempfile::tempdir().unwrap();
        write_statement(&dir.path().join("out"), &Sample::new(1), dir.path());
        Described::load(&dir.path().join("out")).unwrap()
    }

    #[test]
    fn sizes_add_up_to_the_objects_of_the_release() {
        let d = sample();
        for by in [By::Origin, By::Package] {
            let i = inspect(&d, by, 10);
            let inline: u64 = d
                .files
                .iter()
                .filter(|(_, e)| e.digest.is_some_and(|x| d.index.get(&x).is_none()))
                .map(|(_, e)| (e.digest, e.size_bytes))
                .collect::<BTreeMap<_, _>>()
                .values()
                .sum();
            let sum: u64 = i.groups.iter().chain(&i.parts).map(|g| g.bytes).sum();
            assert_eq!(sum - inline, d.release.totals.bytes, "{by:?}");
            let sum: u64 = i.groups.iter().chain(&i.parts).map(|g| g.compressed_bytes).sum();
            assert_eq!(sum, d.release.totals.compressed_bytes, "{by:?}");
            assert!(i.groups.windows(2).all(|w| w[0].bytes >= w[1].bytes), "largest first");
        }
    }

    #[test]
    fn the_largest_files_come_first_and_top_limits_them() {
        let i = inspect(&sample(), By::Size, 2);
        let paths: Vec<_> = i.largest.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["/app/shared", "/usr/lib/libstable.so"]);
        assert!(i.groups.is_empty());
    }

    #[test]
    fn why_finds_a_path_in_every_tree() {
        let d = sample();
        let text = |path: &str| {
            why(&d, path).iter().map(|(t, e)| format!("{t} {}", origin_text(&e.origin))).collect::<Vec<_>>()
        };
        assert_eq!(text("/usr/lib/libstable.so"), ["os package libstable+x 1:2.0+deb13u1"]);
        assert_eq!(text("usr/lib/skerry/node.json"), ["os spec update"]);
        assert_eq!(text("/app/hello"), ["app/hello app hello"], "the tree's own path");
        assert_eq!(text("/app/hello/app/shared"), ["app/hello app hello"]);
        assert_eq!(text("/nowhere"), Vec::<String>::new());
    }
}
