//! `files.json`: every path of every tree of a release with the reason why it
//! is there. Read by `inspect` and `diff`; nodes never see it.

use serde::{Deserialize, Serialize};
use skerry_formats::{
    ObjectDigest,
    versioned::{Document, Header},
};

use super::write::TreeInput;
use crate::tree::model::{Kind, Origin};

/// File name in the output folder.
pub const FILES_JSON: &str = "files.json";
/// Name of the OS tree in [`TreeFiles::tree`]; an app's is `app/NAME`.
pub const OS_TREE: &str = "os";

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Name `skerry-files`.
    pub format: Header,
    /// The OS tree first, then the apps by name.
    pub trees: Vec<TreeFiles>,
}

impl Document for Files {
    const NAME: &'static str = "skerry-files";
    const VERSION: u32 = 1;
}

/// One tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeFiles {
    /// `os` or `app/NAME`.
    pub tree: String,
    /// Entries in path order; the root has the path "".
    pub entries: Vec<FileEntry>,
}

/// Kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Regular file.
    File,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path without a leading slash.
    pub path: String,
    /// Kind.
    pub kind: FileKind,
    /// Permission bits, octal, four digits.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size of a regular file in bytes, 0 for others.
    pub size_bytes: u64,
    /// fs-verity digest of a regular file. Files of up to 64 bytes live in the
    /// EROFS image and are no objects of their own; they have one all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<ObjectDigest>,
    /// Target of a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Why it is there.
    pub origin: Origin,
}

impl Files {
    /// Describe the trees of a release.
    pub fn of<'a>(trees: impl IntoIterator<Item = (String, TreeInput<'a>)>) -> Self {
        let trees = trees.into_iter().map(|(tree, input)| TreeFiles { tree, entries: entries(input) }).collect();
        Self { format: Self::header(), trees }
    }

    /// All entries with the name of their tree.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FileEntry)> {
        self.trees.iter().flat_map(|t| t.entries.iter().map(move |e| (t.tree.as_str(), e)))
    }
}

fn entries(input: TreeInput<'_>) -> Vec<FileEntry> {
    let describe = |(path, e): (&String, &crate::tree::model::Entry)| {
        let (kind, size_bytes, target) = match &e.kind {
            Kind::Dir => (FileKind::Dir, 0, None),
            Kind::Symlink(target) => (FileKind::Symlink, 0, Some(target.clone())),
            Kind::File(content) => (FileKind::File, content.size_bytes(), None),
        };
        FileEntry {
            path: path.clone(),
            kind,
            mode: format!("{:04o}", e.mode),
            uid: e.uid,
            gid: e.gid,
            size_bytes,
            digest: input.sealed.files.get(path).copied(),
            target,
            origin: e.origin.clone(),
        }
    };
    input.tree.entries.iter().map(describe).collect()
}

/// One line for people: `package libc6 2.41-12`, `spec manifests`, ….
pub fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Package { name, version } => format!("package {name} {version}"),
        Origin::Runtime { name } => format!("program {name}"),
        Origin::App { name } => format!("app {name}"),
        Origin::Spec { key } => format!("spec {key}"),
        Origin::Builder { step } => format!("builder {step}"),
    }
}
