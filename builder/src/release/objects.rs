//! Compressed objects: `objects/ab/cdef….zst`, one zstd frame each.
//!
//! Compression is by far the dearest part of a release, and an object with a
//! given name never changes, so compressed objects are kept in the cache under
//! a folder that is named after the compressor and its level.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use skerry_formats::{ObjectDigest, digest::FsVerityHasher};

use crate::tree::model::Content;

/// zstd level of objects: they are compressed once and fetched by every node.
pub const LEVEL: i32 = 19;

/// Why an object could not be compressed or read back.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The file system refused something.
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
    /// The content is not what the object's name says.
    #[error("object {wanted} has other content: its digest is {found}; a file in the cache was changed, remove the cache folder and build again")]
    Digest {
        /// Name of the object.
        wanted: ObjectDigest,
        /// Digest of what was there.
        found: ObjectDigest,
    },
    /// The compressed form is damaged.
    #[error("object {digest}: {detail}")]
    Damaged {
        /// Name of the object.
        digest: ObjectDigest,
        /// What is wrong.
        detail: String,
    },
}

/// Path of a compressed object below a folder of objects.
pub fn compressed_path(digest: &ObjectDigest) -> String {
    format!("{}.zst", digest.object_path())
}

/// The compressed form of an object, from the cache or made now. The file is
/// read-only and must not be changed.
///
/// # Errors
/// [`ObjectError`] if the content cannot be read, is not the object, or the
/// cache cannot be written.
pub fn compress_object(cache: &Path, digest: &ObjectDigest, content: &Content) -> Result<PathBuf, ObjectError> {
    let folder = cache.join(format!("objects-zstd{LEVEL}-{}", zstd::zstd_safe::version_number()));
    let path = folder.join(compressed_path(digest));
    if path.exists() {
        return Ok(path);
    }
    let bytes = content.read().map_err(|e| io_error("reading the content of an object for", &path, e))?;
    let found = skerry_formats::fsverity_digest(&bytes);
    if found != *digest {
        return Err(ObjectError::Digest { wanted: *digest, found });
    }
    let parent = path.parent().unwrap_or(&folder);
    let write = || -> io::Result<()> {
        fs::create_dir_all(parent)?;
        let mut temp = tempfile::NamedTempFile::new_in(parent)?;
        temp.write_all(&zstd_frame(&bytes)?)?;
        temp.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o444))?;
        temp.persist(&path).map(drop).map_err(|e| e.error)
    };
    write().map_err(|e| io_error("writing", &path, e))?;
    Ok(path)
}

/// One zstd frame with its content size, so that readers can check it early.
///
/// # Errors
/// Only what zstd reports for lack of memory.
pub fn zstd_frame(bytes: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, LEVEL)
}

/// Decompress and check that it is the object: its size and its digest.
///
/// Nothing is kept in memory, and reading stops one byte after `size_bytes`.
///
/// # Errors
/// A sentence about what is wrong, without the object's name.
pub fn check_compressed(reader: impl io::Read, digest: &ObjectDigest, size_bytes: u64) -> Result<(), String> {
    let mut decoder = zstd::stream::read::Decoder::new(reader).map_err(|e| format!("cannot be decompressed ({e})"))?;
    let mut hasher = FsVerityHasher::new();
    let mut buf = vec![0; 128 << 10];
    let mut seen = 0u64;
    loop {
        let n = decoder.read(&mut buf).map_err(|e| format!("cannot be decompressed ({e})"))?;
        if n == 0 {
            break;
        }
        seen += n as u64;
        if seen > size_bytes {
            return Err(format!("is larger than the {size_bytes} bytes that the index states"));
        }
        hasher.update(&buf[..n]);
    }
    if seen != size_bytes {
        return Err(format!("has {seen} bytes, the index states {size_bytes}"));
    }
    let found = hasher.finish();
    if found != *digest {
        return Err(format!("has other content: its digest is {found}"));
    }
    Ok(())
}

pub(crate) fn io_error(operation: &'static str, path: &Path, source: io::Error) -> ObjectError {
    ObjectError::Io { operation, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn compressed_objects_read_back(data in prop::collection::vec(any::<u8>(), 0..20_000)) {
            let digest = skerry_formats::fsverity_digest(&data);
            let frame = zstd_frame(&data).unwrap();
            prop_assert_eq!(check_compressed(&frame[..], &digest, data.len() as u64), Ok(()));
            prop_assert!(check_compressed(&frame[..], &digest, data.len() as u64 + 1).is_err());
            prop_assert!(check_compressed(&frame[..frame.len() - 1], &digest, data.len() as u64).is_err());
            prop_assert!(check_compressed(&frame[..], &ObjectDigest([1; 32]), data.len() as u64).is_err());
        }
    }

    #[test]
    fn a_second_call_uses_the_cache_and_wrong_content_is_refused() {
        let cache = tempfile::tempdir().unwrap();
        let content = Content::Bytes(b"some bytes".to_vec().into());
        let digest = skerry_formats::fsverity_digest(b"some bytes");
        let first = compress_object(cache.path(), &digest, &content).unwrap();
        let again = compress_object(cache.path(), &digest, &Content::Bytes(b"other".to_vec().into())).unwrap();
        assert_eq!(first, again, "the content is not read again");
        let wrong = ObjectDigest([3; 32]);
        assert!(matches!(compress_object(cache.path(), &wrong, &content), Err(ObjectError::Digest { .. })));
    }

    #[test]
    fn a_frame_that_grows_beyond_its_size_is_stopped() {
        let bomb = zstd_frame(&vec![0; 1 << 20]).unwrap();
        let err = check_compressed(&bomb[..], &ObjectDigest([0; 32]), 10).unwrap_err();
        assert!(err.contains("larger than the 10 bytes"), "{err}");
    }
}
