//! Compressed objects, `objects/ab/cdef….zst`: their names and their check.
//! They are made by [`image::compress`](crate::image::compress).

use std::io::{self, Read as _};

use skerry_formats::{ObjectDigest, digest::FsVerityHasher};

/// Path of a compressed object below a folder of objects.
pub fn compressed_path(digest: &ObjectDigest) -> String {
    format!("{}.zst", digest.object_path())
}

/// One zstd frame with its content size, so that readers can check it early.
///
/// # Errors
/// Only what zstd reports for lack of memory.
pub fn zstd_frame(bytes: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, 19)
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
    fn a_frame_that_grows_beyond_its_size_is_stopped() {
        let bomb = zstd_frame(&vec![0; 1 << 20]).unwrap();
        let err = check_compressed(&bomb[..], &ObjectDigest([0; 32]), 10).unwrap_err();
        assert!(err.contains("larger than the 10 bytes"), "{err}");
    }
}
