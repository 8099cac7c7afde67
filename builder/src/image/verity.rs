//! fs-verity metadata as ext4 stores it: Merkle tree and descriptor behind the
//! file's data, from the next 64 KiB boundary.
//!
//! Source: Linux `fs/ext4/verity.c` and `Documentation/filesystems/fsverity.rst`.

use sha2::{Digest as _, Sha256};
use skerry_formats::{
    ObjectDigest,
    digest::{VERITY_BLOCK_BYTES, descriptor},
};

/// ext4 starts the metadata at the next multiple of this.
pub const METADATA_ALIGN_BYTES: u64 = 65536;

/// What stands behind an object's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Digest of the file.
    pub digest: ObjectDigest,
    /// Where the metadata starts in the file.
    pub offset: u64,
    /// Merkle tree, descriptor and the descriptor's size.
    pub bytes: Vec<u8>,
}

/// Metadata of a file with this content.
pub fn metadata(data: &[u8]) -> Metadata {
    let mut levels = Vec::new();
    let mut hashes = hash_blocks(data);
    while hashes.len() > 32 {
        let above = hash_blocks(&hashes);
        hashes.resize(hashes.len().next_multiple_of(VERITY_BLOCK_BYTES), 0);
        levels.push(std::mem::replace(&mut hashes, above));
    }
    let mut root = [0; 32];
    root[..hashes.len()].copy_from_slice(&hashes);
    let descriptor = descriptor(data.len() as u64, &root);
    let mut bytes: Vec<u8> = levels.into_iter().rev().flatten().collect();
    bytes.extend_from_slice(&descriptor);
    // The last four bytes of the last block say how long the descriptor is.
    bytes.resize((bytes.len() + 4).next_multiple_of(VERITY_BLOCK_BYTES) - 4, 0);
    bytes.extend_from_slice(&(descriptor.len() as u32).to_le_bytes());
    Metadata {
        digest: ObjectDigest(Sha256::digest(descriptor).into()),
        offset: super::round_up(data.len() as u64, METADATA_ALIGN_BYTES),
        bytes,
    }
}

fn hash_blocks(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len().div_ceil(VERITY_BLOCK_BYTES) * 32);
    for block in data.chunks(VERITY_BLOCK_BYTES) {
        let mut hash = Sha256::new();
        hash.update(block);
        hash.update(&[0; VERITY_BLOCK_BYTES][block.len()..]);
        out.extend_from_slice(&hash.finalize());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_that_of_the_streaming_hasher_at_every_tree_height() {
        for n in [0, 1, 65, 4095, 4096, 4097, 128 * 4096, 128 * 4096 + 1, 128 * 128 * 4096 + 5] {
            let data: Vec<u8> = (0..n).map(|i| (i / 4096 + i) as u8).collect();
            let m = metadata(&data);
            assert_eq!(m.digest, skerry_formats::fsverity_digest(&data), "{n} bytes");
            assert_eq!(m.bytes.len() % 4096, 0);
            assert_eq!(m.offset % METADATA_ALIGN_BYTES, 0);
            assert!(m.offset >= n as u64);
        }
    }
}
