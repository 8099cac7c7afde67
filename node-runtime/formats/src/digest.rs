//! Digest newtypes and the fs-verity file digest in user space.
//!
//! Source: Linux `Documentation/filesystems/fsverity.rst`, "File digest
//! computation": SHA-256, 4096-byte blocks, no salt.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::FormatError;

/// Block size of the Merkle tree in bytes; the only one Skerry uses.
pub const VERITY_BLOCK_BYTES: usize = 4096;

macro_rules! digest_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// 64 lower-case hex characters.
            pub fn to_hex(&self) -> String {
                hex::encode(self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.to_hex())
            }
        }
        impl FromStr for $name {
            type Err = FormatError;
            fn from_str(s: &str) -> Result<Self, FormatError> {
                let bad = || FormatError::Digest(s.chars().take(80).collect());
                if s.len() != 64 || s.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(bad());
                }
                let mut out = [0u8; 32];
                hex::decode_to_slice(s, &mut out).map_err(|_| bad())?;
                Ok(Self(out))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.to_hex())
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let s = String::deserialize(d)?;
                s.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest_newtype!(
    /// fs-verity SHA-256 digest of a file: the name of an object.
    ObjectDigest
);
digest_newtype!(
    /// Plain SHA-256 of a byte string (downloads, TUF targets, OCI blobs).
    Sha256Digest
);

impl Sha256Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl ObjectDigest {
    /// Path of the object below an objects folder: `ab/cdef…` (2 + 62 hex).
    pub fn object_path(&self) -> String {
        let h = self.to_hex();
        format!("{}/{}", &h[..2], &h[2..])
    }

    /// The inverse of [`ObjectDigest::object_path`].
    ///
    /// # Errors
    /// [`FormatError::Digest`] if `dir` and `file` do not form a digest.
    pub fn from_object_path(dir: &str, file: &str) -> Result<Self, FormatError> {
        if dir.len() != 2 {
            return Err(FormatError::Digest(format!("{dir}/{file}")));
        }
        format!("{dir}{file}").parse()
    }
}

/// Incremental fs-verity hasher: feed data in any portions, then [`finish`].
///
/// Keeps one open block per tree level, so memory does not grow with the file.
///
/// [`finish`]: FsVerityHasher::finish
#[derive(Default)]
pub struct FsVerityHasher {
    size: u64,
    block: Vec<u8>,
    levels: Vec<Vec<u8>>,
}

impl FsVerityHasher {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Append `data` to the file.
    pub fn update(&mut self, mut data: &[u8]) {
        self.size += data.len() as u64;
        while !data.is_empty() {
            let take = (VERITY_BLOCK_BYTES - self.block.len()).min(data.len());
            self.block.extend_from_slice(&data[..take]);
            data = &data[take..];
            if self.block.len() == VERITY_BLOCK_BYTES {
                let hash = Sha256::digest(&self.block).into();
                self.block.clear();
                self.push_hash(0, hash);
            }
        }
    }

    fn push_hash(&mut self, level: usize, hash: [u8; 32]) {
        if self.levels.len() == level {
            self.levels.push(Vec::with_capacity(VERITY_BLOCK_BYTES));
        }
        if self.levels[level].len() == VERITY_BLOCK_BYTES {
            let up = Sha256::digest(&self.levels[level]).into();
            self.levels[level].clear();
            self.push_hash(level + 1, up);
        }
        self.levels[level].extend_from_slice(&hash);
    }

    fn root_hash(&mut self) -> [u8; 32] {
        if self.size == 0 {
            return [0; 32];
        }
        if !self.block.is_empty() {
            self.block.resize(VERITY_BLOCK_BYTES, 0);
            let hash = Sha256::digest(&self.block).into();
            self.block.clear();
            self.push_hash(0, hash);
        }
        let mut level = 0;
        loop {
            let top = level + 1 == self.levels.len();
            if top && self.levels[level].len() == 32 {
                let mut root = [0; 32];
                root.copy_from_slice(&self.levels[level]);
                return root;
            }
            let mut block = std::mem::take(&mut self.levels[level]);
            block.resize(VERITY_BLOCK_BYTES, 0);
            let up = Sha256::digest(&block).into();
            self.push_hash(level + 1, up);
            level += 1;
        }
    }

    /// The fs-verity digest of everything fed so far.
    pub fn finish(mut self) -> ObjectDigest {
        let size = self.size;
        let root = self.root_hash();
        ObjectDigest(Sha256::digest(descriptor(size, &root)).into())
    }
}

/// `struct fsverity_descriptor` (256 bytes) for SHA-256, 4 KiB blocks, no salt.
pub fn descriptor(size_bytes: u64, root_hash: &[u8; 32]) -> [u8; 256] {
    let mut d = [0u8; 256];
    d[0] = 1; // version
    d[1] = 1; // FS_VERITY_HASH_ALG_SHA256
    d[2] = 12; // log2 block size
    d[8..16].copy_from_slice(&size_bytes.to_le_bytes());
    d[16..48].copy_from_slice(root_hash);
    d
}

/// fs-verity digest of `data`.
pub fn fsverity_digest(data: &[u8]) -> ObjectDigest {
    let mut h = FsVerityHasher::new();
    h.update(data);
    h.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Straightforward tree construction, to compare the incremental one with.
    fn reference(data: &[u8]) -> ObjectDigest {
        let hash_level = |bytes: &[u8]| -> Vec<u8> {
            bytes
                .chunks(VERITY_BLOCK_BYTES)
                .flat_map(|c| {
                    let mut b = c.to_vec();
                    b.resize(VERITY_BLOCK_BYTES, 0);
                    <[u8; 32]>::from(Sha256::digest(&b))
                })
                .collect()
        };
        let mut root = [0u8; 32];
        if !data.is_empty() {
            let mut level = hash_level(data);
            while level.len() > 32 {
                level = hash_level(&level);
            }
            root.copy_from_slice(&level);
        }
        ObjectDigest(Sha256::digest(descriptor(data.len() as u64, &root)).into())
    }

    #[test]
    fn known_digests() {
        // `fsverity digest` of an empty file and of "hello world\n".
        assert_eq!(fsverity_digest(b"").to_hex(), "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95");
    }

    #[test]
    fn sizes_around_block_and_level_limits() {
        for n in [1, 4095, 4096, 4097, 128 * 4096, 128 * 4096 + 1, 129 * 4096, 128 * 128 * 4096 + 5] {
            let data: Vec<u8> = (0..n).map(|i| (i / 4096) as u8 ^ i as u8).collect();
            assert_eq!(fsverity_digest(&data), reference(&data), "{n} bytes");
        }
    }

    proptest! {
        #[test]
        fn incremental_equals_reference(len in 0usize..40_000, cut in 1usize..5000) {
            let data: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let mut h = FsVerityHasher::new();
            for c in data.chunks(cut) { h.update(c); }
            prop_assert_eq!(h.finish(), reference(&data));
        }

        #[test]
        fn hex_round_trip(b in any::<[u8; 32]>()) {
            let d = ObjectDigest(b);
            prop_assert_eq!(d.to_hex().parse::<ObjectDigest>().unwrap(), d);
            let p = d.object_path();
            let (dir, file) = p.split_once('/').unwrap();
            prop_assert_eq!(ObjectDigest::from_object_path(dir, file).unwrap(), d);
        }
    }

    #[test]
    fn digest_text_is_strict() {
        for bad in ["", "ab", &"g".repeat(64), &"A".repeat(64), &"a".repeat(65)] {
            assert!(bad.parse::<ObjectDigest>().is_err(), "{bad}");
        }
    }
}
