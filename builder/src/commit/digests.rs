//! fs-verity digests of tree content, remembered for files in the cache.
//!
//! Files below the cache folder are never changed in place, so a digest is
//! worth keeping between builds. The file's size, inode and change time are
//! part of the key: whoever does change one gets a fresh digest, not a stale
//! one. Files outside the cache are always read.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use skerry_formats::{ObjectDigest, digest::FsVerityHasher};

use super::CommitError;
use crate::tree::model::Content;

const FILE: &str = "fsverity-digests";
const HEADER: &str = "skerry-fsverity-digests 1";

/// What makes a file in the cache the same file as last time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    path: String,
    size_bytes: u64,
    inode: u64,
    ctime_nanos: i128,
}

/// Digests by file; share by reference between threads.
pub struct DigestCache {
    folder: Option<PathBuf>,
    known: Mutex<HashMap<Key, ObjectDigest>>,
}

impl DigestCache {
    /// Remembers nothing between runs.
    pub fn in_memory() -> Self {
        Self { folder: None, known: Mutex::default() }
    }

    /// Load what an earlier run stored in the cache folder. A missing or
    /// damaged file is an empty cache.
    pub fn open(cache: &Path) -> Self {
        let known = std::fs::read_to_string(cache.join(FILE)).ok().and_then(|t| parse(&t)).unwrap_or_default();
        Self { folder: Some(cache.to_path_buf()), known: Mutex::new(known) }
    }

    /// The fs-verity digest of `content`.
    ///
    /// # Errors
    /// The file cannot be read or does not have the size it should have.
    pub fn digest(&self, content: &Content) -> io::Result<ObjectDigest> {
        let (path, size_bytes) = match content {
            Content::Bytes(b) => return Ok(skerry_formats::fsverity_digest(b)),
            Content::File { path, size_bytes } => (path, *size_bytes),
        };
        let mut file = File::open(path)?;
        let key = self.key(path, &file)?;
        if let Some(hit) = key.as_ref().and_then(|k| self.lock().get(k).copied()) {
            return Ok(hit);
        }
        let digest = hash(&mut file, size_bytes)?;
        if let Some(key) = key {
            self.lock().insert(key, digest);
        }
        Ok(digest)
    }

    /// Store the digests for the next run.
    ///
    /// # Errors
    /// The cache folder cannot be written.
    pub fn save(&self) -> Result<(), CommitError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(FILE);
        let text = render(&self.lock());
        let write = || {
            let mut temp = tempfile::NamedTempFile::new_in(folder)?;
            io::Write::write_all(&mut temp, text.as_bytes())?;
            temp.persist(&path).map_err(|e| e.error)
        };
        write().map(drop).map_err(|source| CommitError::Cache { path: path.clone(), source })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, ObjectDigest>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn key(&self, path: &Path, file: &File) -> io::Result<Option<Key>> {
        let Some(rel) = self.folder.as_deref().and_then(|f| path.strip_prefix(f).ok()) else { return Ok(None) };
        let Some(rel) = rel.to_str().filter(|p| !p.contains('\n')) else { return Ok(None) };
        let meta = file.metadata()?;
        Ok(Some(Key {
            path: rel.to_string(),
            size_bytes: meta.len(),
            inode: meta.ino(),
            ctime_nanos: i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec()),
        }))
    }
}

fn hash(file: &mut File, size_bytes: u64) -> io::Result<ObjectDigest> {
    let mut hasher = FsVerityHasher::new();
    let mut buf = vec![0; (1 << 20).min(size_bytes as usize + 1)];
    let mut seen = 0;
    loop {
        let n = file.read(&mut buf)?;
        if n == 0 {
            break;
        }
        seen += n as u64;
        hasher.update(&buf[..n]);
    }
    if seen != size_bytes {
        let detail = format!("the file has {seen} bytes, {size_bytes} were expected");
        return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
    }
    Ok(hasher.finish())
}

fn render(known: &HashMap<Key, ObjectDigest>) -> String {
    let mut rows: Vec<_> = known.iter().collect();
    rows.sort();
    let mut out = format!("{HEADER}\n");
    for (k, d) in rows {
        out.push_str(&format!("{d} {} {} {} {}\n", k.size_bytes, k.inode, k.ctime_nanos, k.path));
    }
    out
}

fn parse(text: &str) -> Option<HashMap<Key, ObjectDigest>> {
    let rest = text.strip_prefix(HEADER)?.strip_prefix('\n')?;
    rest.lines()
        .map(|line| {
            let mut w = line.splitn(5, ' ');
            let digest = w.next()?.parse().ok()?;
            let (size_bytes, inode) = (w.next()?.parse().ok()?, w.next()?.parse().ok()?);
            let ctime_nanos = w.next()?.parse().ok()?;
            Some((Key { path: w.next()?.to_string(), size_bytes, inode, ctime_nanos }, digest))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn content(path: &Path) -> Content {
        Content::File { path: path.into(), size_bytes: std::fs::metadata(path).unwrap().len() }
    }

    #[test]
    fn stored_digests_are_used_and_changed_files_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a b");
        std::fs::write(&file, b"one").unwrap();
        let cache = DigestCache::open(dir.path());
        let one = cache.digest(&content(&file)).unwrap();
        assert_eq!(one, skerry_formats::fsverity_digest(b"one"));
        cache.save().unwrap();

        // A wrong stored digest shows that the store is used at all.
        let stored = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        std::fs::write(dir.path().join(FILE), stored.replace(&one.to_hex(), &"0".repeat(64))).unwrap();
        let cache = DigestCache::open(dir.path());
        assert_eq!(cache.digest(&content(&file)).unwrap(), ObjectDigest([0; 32]));

        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, b"two").unwrap();
        assert_eq!(cache.digest(&content(&file)).unwrap(), skerry_formats::fsverity_digest(b"two"));
    }

    #[test]
    fn files_outside_the_cache_are_not_remembered() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = other.path().join("f");
        std::fs::write(&file, b"x").unwrap();
        let cache = DigestCache::open(dir.path());
        cache.digest(&content(&file)).unwrap();
        assert!(cache.lock().is_empty());
    }

    #[test]
    fn a_file_of_another_size_is_refused_and_a_damaged_store_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, b"xyz").unwrap();
        std::fs::write(dir.path().join(FILE), format!("{HEADER}\nnonsense\n")).unwrap();
        let cache = DigestCache::open(dir.path());
        assert!(cache.lock().is_empty());
        assert!(cache.digest(&Content::File { path: file, size_bytes: 2 }).is_err());
    }
}
