//! Compressed bytes by the digest of what they hold, kept between builds.
//!
//! Every file ends with the SHA-256 of what stands before it: a damaged entry
//! is a missing one.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use sha2::{Digest as _, Sha256};

/// A folder of cached blobs, `ab/cdef…`.
#[derive(Debug, Clone)]
pub struct BlobCache {
    folder: PathBuf,
}

impl BlobCache {
    /// Cache in this folder; it is made when the first blob is stored.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The blob stored under `key`, or what `make` returns, which is stored.
    ///
    /// # Errors
    /// What `make` reports, or a cache folder that cannot be written.
    pub fn get_or_make(&self, key: &[u8; 32], make: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        let path = self.path(key);
        if let Some(hit) = fs::read(&path).ok().and_then(checked) {
            return Ok(hit);
        }
        let bytes = make()?;
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(folder)?;
        let mut temp = tempfile::NamedTempFile::new_in(folder)?;
        temp.write_all(&bytes)?;
        temp.write_all(&Sha256::digest(&bytes))?;
        temp.persist(&path).map_err(|e| e.error)?;
        Ok(bytes)
    }

    fn path(&self, key: &[u8; 32]) -> PathBuf {
        let name = hex::encode(key);
        self.folder.join(&name[..2]).join(&name[2..])
    }
}

fn checked(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let at = bytes.len().checked_sub(32)?;
    let fits = Sha256::digest(&bytes[..at])[..] == bytes[at..];
    bytes.truncate(at);
    fits.then_some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stored_blob_is_returned_and_a_damaged_one_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlobCache::new(dir.path());
        let key = [0xab; 32];
        assert_eq!(cache.get_or_make(&key, || Ok(b"one".to_vec())).unwrap(), b"one");
        assert_eq!(cache.get_or_make(&key, || panic!("it is stored")).unwrap(), b"one");
        let path = cache.path(&key);
        let mut bytes = fs::read(&path).unwrap();
        bytes[1] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(cache.get_or_make(&key, || Ok(b"two".to_vec())).unwrap(), b"two");
        fs::write(&path, b"short").unwrap();
        assert_eq!(cache.get_or_make(&key, || Ok(b"three".to_vec())).unwrap(), b"three");
    }
}
