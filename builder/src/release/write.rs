//! Writes the release statement and everything that describes the release:
//! the last step before the disk image, which carries a copy of the statement.
//!
//! Deterministic: the same inputs give the same bytes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ed25519_dalek::SigningKey;
use skerry_formats::{
    ObjectDigest, Release, Sequence, Sha256Digest,
    index::{Index, IndexEntry, Role},
    layout::{INDEX_FILE, RELEASE_FILE, RELEASE_SIG_FILE, UkiName},
    release::{AppTree, IndexRef, OsTree, Totals, UkiRef},
    sign,
    versioned::Document as _,
};
use skerry_plan::lock::Lock;

use super::{
    files::{FILES_JSON, Files, OS_TREE},
    sbom::{self, SBOM_JSON},
};
use crate::{
    commit::{SealedObject, SealedTree},
    image::{ImageError, compress},
    progress::Progress,
    tree::model::{Content, Origin, Tree},
};

/// Folder of compressed objects in the output.
pub const OBJECTS: &str = "objects";
/// Copy of the lock in the output.
pub const LOCK_FILE: &str = "lock.toml";

/// A tree and its sealed form.
#[derive(Debug, Clone, Copy)]
pub struct TreeInput<'a> {
    /// What is in it and why.
    pub tree: &'a Tree,
    /// Its EROFS image and objects.
    pub sealed: &'a SealedTree,
}

/// One app image.
#[derive(Debug, Clone, Copy)]
pub struct AppInput<'a> {
    /// Name in the image spec.
    pub name: &'a str,
    /// Reference that manifests use.
    pub image: &'a str,
    /// OCI manifest digest.
    pub manifest_digest: Sha256Digest,
    /// Its tree.
    pub tree: TreeInput<'a>,
}

/// Everything a release is made of.
#[derive(Clone)]
pub struct ReleaseInputs<'a> {
    /// Product name.
    pub product: &'a str,
    /// Board name.
    pub board: &'a str,
    /// Debian architecture name.
    pub arch: &'a str,
    /// Version for people.
    pub version: &'a str,
    /// Sequence number.
    pub sequence: Sequence,
    /// Build epoch in Unix seconds.
    pub epoch: u64,
    /// `uname -r`.
    pub kernel: &'a str,
    /// The OS tree.
    pub os: TreeInput<'a>,
    /// Its OSTree commit.
    pub ostree_commit: Sha256Digest,
    /// App images, in any order.
    pub apps: Vec<AppInput<'a>>,
    /// The unified kernel image.
    pub uki: &'a Arc<[u8]>,
    /// The lock.
    pub lock: &'a Lock,
    /// Its bytes as they are on disk.
    pub lock_bytes: &'a [u8],
    /// Packages with content outside the trees (kernel, boot loader): they
    /// belong into the SBOM although no file of the trees comes from them.
    pub boot_packages: Vec<String>,
    /// Root of the cache, for compressed objects.
    pub cache: &'a Path,
    /// Signs the release.
    pub key: &'a SigningKey,
}

/// What was written, for the disk image.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The release.
    pub release: Release,
    /// `release.json`.
    pub release_json: Vec<u8>,
    /// `release.json.sig`.
    pub release_sig: Vec<u8>,
    /// `index.skx`.
    pub index: Vec<u8>,
    /// Every object of the release with its content, UKI included.
    pub objects: BTreeMap<ObjectDigest, SealedObject>,
}

/// Why a release could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file could not be written.
    #[error("{operation} {}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// An object could not be compressed.
    #[error(transparent)]
    Object(#[from] ImageError),
    /// The output folder holds objects of another build.
    #[error("{} exists already; write the release to an empty folder", .0.display())]
    NotEmpty(PathBuf),
}

/// Write the release into the folder `dir`: statement, signature, index, UKI,
/// compressed objects, SBOM, file list and the copy of the lock.
///
/// The disk image and the OSTree repository come after it; then
/// [`write_sums`](super::sums::write_sums) closes the folder.
///
/// # Errors
/// [`WriteError`] names the file or object.
pub fn write_release(dir: &Path, inputs: &ReleaseInputs<'_>, progress: &Progress) -> Result<Statement, WriteError> {
    let objects = collect(inputs);
    let index = write_objects(dir, inputs.cache, &objects, progress)?;
    let index_bytes = index.to_bytes();
    let release = statement(inputs, &index, &index_bytes);
    let release_json = release.to_bytes();
    let release_sig = sign::sign_bytes(sign::DOMAIN_RELEASE, &release_json, inputs.key);
    let trees = std::iter::once((OS_TREE.to_string(), inputs.os))
        .chain(sorted_apps(inputs).into_iter().map(|a| (format!("app/{}", a.name), a.tree)));
    let files = Files::of(trees);
    let sbom = sbom::render(inputs, &release_json).map_err(|(path, source)| io_error("reading", &path, source))?;
    let uki_name = UkiName::blessed(inputs.sequence).render();
    for (name, bytes) in [
        (INDEX_FILE, &index_bytes[..]),
        (&uki_name, inputs.uki),
        (SBOM_JSON, &sbom),
        (FILES_JSON, &files.to_bytes()),
        (LOCK_FILE, inputs.lock_bytes),
        (RELEASE_FILE, &release_json),
        (RELEASE_SIG_FILE, &release_sig),
    ] {
        let path = dir.join(name);
        fs::write(&path, bytes).map_err(|e| io_error("writing", &path, e))?;
    }
    Ok(Statement { release, release_json, release_sig, index: index_bytes, objects })
}

fn sorted_apps<'a>(inputs: &ReleaseInputs<'a>) -> Vec<AppInput<'a>> {
    let mut apps = inputs.apps.clone();
    apps.sort_by_key(|a| a.name);
    apps
}

/// Every object once. An EROFS image stays one even if some tree holds a file
/// with the same bytes.
fn collect(inputs: &ReleaseInputs<'_>) -> BTreeMap<ObjectDigest, SealedObject> {
    let mut out: BTreeMap<ObjectDigest, SealedObject> = BTreeMap::new();
    let trees = std::iter::once(&inputs.os).chain(inputs.apps.iter().map(|a| &a.tree));
    for (digest, object) in trees.flat_map(|t| &t.sealed.objects) {
        let entry = out.entry(*digest).or_insert_with(|| object.clone());
        entry.role = entry.role.max(object.role);
    }
    let uki = SealedObject {
        content: Content::Bytes(inputs.uki.clone()),
        role: Role::Uki,
        origin: Origin::Builder { step: "uki".into() },
        path: String::new(),
    };
    out.insert(skerry_formats::fsverity_digest(inputs.uki), uki);
    out
}

fn write_objects(
    dir: &Path,
    cache: &Path,
    objects: &BTreeMap<ObjectDigest, SealedObject>,
    progress: &Progress,
) -> Result<Index, WriteError> {
    let folder = dir.join(OBJECTS);
    if folder.exists() {
        return Err(WriteError::NotEmpty(folder));
    }
    let compressed = compress::write_objects(objects, &folder, cache, progress)?;
    let entry = |(digest, object): (&ObjectDigest, &SealedObject)| IndexEntry {
        digest: *digest,
        size_bytes: object.content.size_bytes(),
        compressed_bytes: compressed.get(digest).copied().unwrap_or_default(),
        role: object.role,
    };
    Ok(Index::new(objects.iter().map(entry).collect()))
}

/// Sums over an index.
pub fn totals(index: &Index) -> Totals {
    index.entries().iter().fold(Totals { objects: 0, bytes: 0, compressed_bytes: 0 }, |t, e| Totals {
        objects: t.objects + 1,
        bytes: t.bytes + e.size_bytes,
        compressed_bytes: t.compressed_bytes + e.compressed_bytes,
    })
}

fn statement(inputs: &ReleaseInputs<'_>, index: &Index, index_bytes: &[u8]) -> Release {
    let app = |a: AppInput<'_>| AppTree {
        name: a.name.into(),
        image: a.image.into(),
        manifest_digest: a.manifest_digest,
        composefs: a.tree.sealed.digest,
    };
    Release {
        format: Release::header(),
        product: inputs.product.into(),
        board: inputs.board.into(),
        arch: inputs.arch.into(),
        version: inputs.version.into(),
        sequence: inputs.sequence,
        built_at: inputs.epoch,
        kernel: inputs.kernel.into(),
        os: OsTree { composefs: inputs.os.sealed.digest, ostree_commit: inputs.ostree_commit },
        apps: sorted_apps(inputs).into_iter().map(app).collect(),
        uki: UkiRef {
            object: skerry_formats::fsverity_digest(inputs.uki),
            size_bytes: inputs.uki.len() as u64,
            sha256: Sha256Digest::of(inputs.uki),
        },
        index: IndexRef { sha256: Sha256Digest::of(index_bytes), size_bytes: index_bytes.len() as u64 },
        totals: totals(index),
    }
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> WriteError {
    WriteError::Io { operation, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::release::testing::{Sample, release_key, write_full, write_statement};

    #[test]
    fn two_folders_two_caches_one_set_of_bytes() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            write_full(&dir.path().join(name), &Sample::new(1), &dir.path().join(format!("cache-{name}")));
        }
        let sums = |name: &str| {
            let text = fs::read_to_string(dir.path().join(name).join("SHA256SUMS")).unwrap();
            // OSTree's repository keeps a time in its detached metadata.
            text.lines().filter(|l| !l.contains("  ostree/")).map(String::from).collect::<Vec<_>>()
        };
        assert!(sums("a").len() > 10);
        assert_eq!(sums("a"), sums("b"));
    }

    #[test]
    fn the_statement_is_signed_and_says_what_the_index_says() {
        let dir = tempfile::tempdir().unwrap();
        let s = write_statement(&dir.path().join("out"), &Sample::new(3), dir.path());
        let trusted = [release_key().verifying_key()];
        sign::verify_bytes("release", sign::DOMAIN_RELEASE, &s.release_json, &s.release_sig, &trusted).unwrap();
        let index = Index::parse(&s.index).unwrap();
        assert_eq!(totals(&index), s.release.totals);
        assert_eq!(index.get(&s.release.uki.object).unwrap().role, Role::Uki);
        assert_eq!(index.get(&s.release.os.composefs).unwrap().role, Role::Erofs);
        assert_eq!(s.release.sequence, Sequence(3));
        let data = index.entries().iter().filter(|e| e.role == Role::Data).count();
        assert_eq!(data, 5, "two libraries, one of them shared with the app, two programs, one private file");
        assert!(fs::read(dir.path().join("out").join(LOCK_FILE)).unwrap() == b"# lock\n");
    }

    #[test]
    fn objects_of_another_build_are_not_mixed_in() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        fs::create_dir_all(out.join(OBJECTS)).unwrap();
        let result = std::panic::catch_unwind(|| write_statement(&out, &Sample::new(1), dir.path()));
        assert!(result.is_err());
        assert!(!out.join(RELEASE_FILE).exists());
    }
}
