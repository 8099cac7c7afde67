//! Unpacks a verified `.deb` into the cache, once.
//!
//! `CACHE/unpacked/SHA256/` holds `root/` (the files) and `manifest.json` (what
//! the archive says about owners and modes, which an ordinary user cannot put
//! on disk). The folder appears by one rename, so it is complete or absent.
//! Nothing of the package is run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use skerry_plan::lock::LockedPackage;

use super::{cache::Cache, fetch::FetchedDeb};

/// Entries that one package may have.
const ENTRIES_MAX: usize = 200_000;
/// Bytes that one package may unpack to.
const UNPACKED_BYTES_MAX: u64 = 4 << 30;
/// Version of `manifest.json`; folders of other versions are unpacked anew.
const MANIFEST_VERSION: u32 = 1;

/// A package whose files lie in the cache.
#[derive(Debug, Clone)]
pub struct UnpackedDeb {
    /// What the lock says about it.
    pub package: LockedPackage,
    /// Folder with its files at their paths, symbolic links included.
    pub root: PathBuf,
    /// Every entry, sorted by path.
    pub entries: Vec<DebEntry>,
}

/// One entry of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebEntry {
    /// Path, relative, without `.` or `..`.
    pub path: String,
    /// Kind.
    pub kind: DebKind,
    /// Permission bits (0o7777) as the package has them.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Kind of a package entry. Hard links are resolved to files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum DebKind {
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink {
        /// Its target.
        target: String,
    },
    /// Regular file.
    File {
        /// Size in bytes.
        size_bytes: u64,
        /// Path below the folder's root whose content it has; differs from the
        /// entry's own path for hard links.
        stored: String,
    },
}

impl UnpackedDeb {
    /// Where the content of a file entry lies.
    pub fn stored_path(&self, stored: &str) -> PathBuf {
        self.root.join(stored)
    }
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    version: u32,
    entries: Vec<DebEntry>,
}

/// Why a package could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Reading the package or writing to the cache failed.
    #[error("{operation} {}", .path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file in the cache is not the one the lock names.
    #[error("{} does not have the SHA-256 of the lock; delete it and build again", .0.display())]
    Digest(PathBuf),
    /// The package holds something that no image may contain or that is no
    /// valid archive.
    #[error("package {package}: {detail}")]
    Refused {
        /// Name of the package.
        package: String,
        /// What is wrong with which entry.
        detail: String,
    },
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    let path = path.to_path_buf();
    move |source| UnpackError::Io { operation, path, source }
}

/// Unpack a package into the cache, or find it there.
///
/// # Errors
/// The file differs from the lock, is no Debian package, or holds device nodes,
/// absolute paths or paths that leave the root.
pub fn unpack(deb: &FetchedDeb, cache: &Cache) -> Result<UnpackedDeb, UnpackError> {
    let parent = cache.root().join("unpacked");
    let target = parent.join(deb.package.sha256.to_hex());
    if let Some(entries) = load(&target) {
        return Ok(UnpackedDeb { package: deb.package.clone(), root: target.join("root"), entries });
    }
    fs::create_dir_all(&parent).map_err(io_error("creating", &parent))?;
    let temp = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(&parent)
        .map_err(io_error("creating a folder in", &parent))?;
    check_digest(deb)?;
    let entries = unpack_into(&deb.package.name, &deb.path, &temp.path().join("root"))?;
    let manifest = Manifest { version: MANIFEST_VERSION, entries };
    let json = serde_json::to_vec(&manifest).expect("a manifest holds only strings and numbers");
    let file = temp.path().join("manifest.json");
    fs::write(&file, json).map_err(io_error("writing", &file))?;
    if target.exists() {
        // Of another version or damaged.
        fs::remove_dir_all(&target).map_err(io_error("removing", &target))?;
    }
    let temp = temp.keep();
    if let Err(source) = fs::rename(&temp, &target) {
        // Another build may have been faster; its folder is as good.
        let _ = fs::remove_dir_all(&temp);
        if load(&target).is_none() {
            return Err(UnpackError::Io { operation: "renaming to", path: target, source });
        }
    }
    Ok(UnpackedDeb { package: deb.package.clone(), root: target.join("root"), entries: manifest.entries })
}

/// Entries of a folder in the cache, if it is whole: sizes are compared, since
/// a power cut can leave empty files behind a finished rename.
fn load(target: &Path) -> Option<Vec<DebEntry>> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(target.join("manifest.json")).ok()?).ok()?;
    let root = target.join("root");
    let whole = manifest.entries.iter().all(|e| match &e.kind {
        DebKind::File { size_bytes, stored } => {
            fs::symlink_metadata(root.join(stored)).is_ok_and(|m| m.is_file() && m.len() == *size_bytes)
        }
        _ => true,
    });
    (whole && manifest.version == MANIFEST_VERSION).then_some(manifest.entries)
}

fn check_digest(deb: &FetchedDeb) -> Result<(), UnpackError> {
    let mut file = fs::File::open(&deb.path).map_err(io_error("opening", &deb.path))?;
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut hasher).map_err(io_error("reading", &deb.path))?;
    if hasher.finalize().as_slice() != deb.package.sha256.0 {
        return Err(UnpackError::Digest(deb.path.clone()));
    }
    Ok(())
}

fn unpack_into(package: &str, deb: &Path, root: &Path) -> Result<Vec<DebEntry>, UnpackError> {
    let file = fs::File::open(deb).map_err(io_error("opening", deb))?;
    let mut archive = ar::Archive::new(io::BufReader::new(file));
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(io_error("reading", deb))?;
        let name = String::from_utf8_lossy(member.header().identifier()).trim_end_matches('/').to_string();
        let reader: Box<dyn Read + '_> = match name.as_str() {
            "data.tar" => Box::new(member),
            "data.tar.gz" => Box::new(flate2::read::MultiGzDecoder::new(member)),
            "data.tar.xz" => Box::new(xz2::read::XzDecoder::new_multi_decoder(member)),
            "data.tar.zst" => Box::new(zstd::stream::read::Decoder::new(member).map_err(io_error("reading", deb))?),
            _ => continue,
        };
        return Unpacker { package, deb, root, entries: BTreeMap::new(), links: BTreeSet::new(), bytes: 0 }.run(reader);
    }
    Err(UnpackError::Refused { package: package.into(), detail: "no data.tar in it that this program can read".into() })
}

struct Unpacker<'a> {
    package: &'a str,
    deb: &'a Path,
    root: &'a Path,
    entries: BTreeMap<String, DebEntry>,
    links: BTreeSet<String>,
    bytes: u64,
}

impl Unpacker<'_> {
    fn refuse<T>(&self, detail: String) -> Result<T, UnpackError> {
        Err(UnpackError::Refused { package: self.package.into(), detail })
    }

    fn run(mut self, reader: Box<dyn Read + '_>) -> Result<Vec<DebEntry>, UnpackError> {
        fs::create_dir_all(self.root).map_err(io_error("creating", self.root))?;
        let mut tar = tar::Archive::new(reader);
        for entry in tar.entries().map_err(io_error("reading", self.deb))? {
            let mut entry = entry.map_err(io_error("reading", self.deb))?;
            self.entry(&mut entry)?;
            if self.entries.len() > ENTRIES_MAX {
                return self.refuse(format!("more than {ENTRIES_MAX} entries"));
            }
        }
        Ok(self.entries.into_values().collect())
    }

    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), UnpackError> {
        let Some(path) = clean_path(&entry.path_bytes()) else {
            return self.refuse(format!("path {:?} leaves the root", String::from_utf8_lossy(&entry.path_bytes())));
        };
        if let Some(link) = self.links.iter().find(|l| path.starts_with(&format!("{l}/"))) {
            return self.refuse(format!("{path} lies behind the symbolic link {link}"));
        }
        let on_disk = self.root.join(&path);
        let header = entry.header();
        let bad_header = io_error("reading", self.deb);
        let (mode, uid, gid) =
            (|| Ok((header.mode()? & 0o7777, header.uid()? as u32, header.gid()? as u32)))().map_err(bad_header)?;
        if let (false, Some(parent)) = (path.is_empty(), on_disk.parent()) {
            fs::create_dir_all(parent).map_err(io_error("creating", parent))?;
        }
        let kind = match header.entry_type() {
            tar::EntryType::Directory => {
                fs::create_dir_all(&on_disk).map_err(io_error("creating", &on_disk))?;
                DebKind::Dir
            }
            tar::EntryType::Symlink => self.symlink(entry, &path, &on_disk)?,
            tar::EntryType::Link => self.hard_link(entry, &path)?,
            tar::EntryType::Regular | tar::EntryType::Continuous => self.file(entry, &path, &on_disk, mode)?,
            other => return self.refuse(format!("{path} is a {other:?}; only files, folders and links are accepted")),
        };
        if !path.is_empty()
            && self.entries.insert(path.clone(), DebEntry { path: path.clone(), kind, mode, uid, gid }).is_some()
        {
            return self.refuse(format!("{path} occurs twice"));
        }
        Ok(())
    }

    fn symlink<R: Read>(
        &mut self,
        entry: &tar::Entry<'_, R>,
        path: &str,
        on_disk: &Path,
    ) -> Result<DebKind, UnpackError> {
        let Some(target) = entry.link_name_bytes().and_then(|b| String::from_utf8(b.into_owned()).ok()) else {
            return self.refuse(format!("{path} is a symbolic link without a readable target"));
        };
        symlink(&target, on_disk).map_err(io_error("creating", on_disk))?;
        self.links.insert(path.into());
        Ok(DebKind::Symlink { target })
    }

    fn hard_link<R: Read>(&mut self, entry: &tar::Entry<'_, R>, path: &str) -> Result<DebKind, UnpackError> {
        let target = entry.link_name_bytes().and_then(|b| clean_path(&b));
        match target.as_ref().and_then(|t| self.entries.get(t)).map(|e| &e.kind) {
            Some(kind @ DebKind::File { .. }) => Ok(kind.clone()),
            _ => self.refuse(format!("{path} is a hard link to {target:?}, which is no file before it")),
        }
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        path: &str,
        on_disk: &Path,
        mode: u32,
    ) -> Result<DebKind, UnpackError> {
        let size_bytes = entry.size();
        self.bytes += size_bytes;
        if self.bytes > UNPACKED_BYTES_MAX {
            return self.refuse(format!("unpacks to more than {UNPACKED_BYTES_MAX} bytes"));
        }
        let on_disk_mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(on_disk_mode)
            .open(on_disk)
            .map_err(io_error("creating", on_disk))?;
        let written = io::copy(entry, &mut out).map_err(io_error("writing", on_disk))?;
        if written != size_bytes {
            return self.refuse(format!("{path} is cut short"));
        }
        Ok(DebKind::File { size_bytes, stored: path.into() })
    }
}

/// A relative path without `.`, or nothing if it is absolute, leaves the root
/// or is no UTF-8.
pub(crate) fn clean_path(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    if text.starts_with('/') || text.contains('\0') {
        return None;
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            p => parts.push(p),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests;
