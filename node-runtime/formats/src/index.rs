//! Object index (`index.skx`): every object of a release with its sizes.
//!
//! Binary, because 32-byte digests do not compress and nodes fetch it with
//! every release. Little-endian:
//!
//! ```text
//! 0   8  magic "SKRYIDX\0"
//! 8   2  version (1)
//! 10  2  reserved, 0
//! 12  4  incompatible feature bits (0)
//! 16  4  compatible feature bits
//! 20  4  number of records n
//! 24     n records of 52 bytes, strictly ascending by digest:
//!        32 digest, 8 size, 8 compressed size, 1 role, 3 reserved (0)
//! ```

use crate::{FormatError, ObjectDigest};

/// What an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Content of a file in some tree.
    Data = 0,
    /// EROFS metadata image of a tree.
    Erofs = 1,
    /// Unified kernel image; lives on the ESP, not in the objects folder.
    Uki = 2,
}

/// One record of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Name of the object.
    pub digest: ObjectDigest,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Size in bytes of `objects/ab/cdef….zst` as it was built. The repository
    /// may hold the object as another version of the compressor wrote it, so
    /// this is what a download costs, give or take, and not a check.
    pub compressed_bytes: u64,
    /// What the object is for.
    pub role: Role,
}

impl IndexEntry {
    /// Largest file that may stand for this object in an update repository,
    /// whoever compressed it: zstd adds less than this to what does not
    /// compress.
    pub fn file_bytes_max(&self) -> u64 {
        self.size_bytes.saturating_add(self.size_bytes / 64).saturating_add(1024)
    }
}

/// Parsed index, entries strictly ascending by digest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    entries: Vec<IndexEntry>,
}

const NAME: &str = "skerry-index";
const MAGIC: &[u8; 8] = b"SKRYIDX\0";
const HEADER: usize = 24;
const RECORD: usize = 52;
/// Most records that a reader accepts.
pub const ENTRIES_MAX: usize = 1 << 20;
/// Largest object that a reader accepts, in bytes.
pub const OBJECT_BYTES_MAX: u64 = 4 << 30;

impl Index {
    /// Sort, deduplicate by digest and wrap.
    pub fn new(mut entries: Vec<IndexEntry>) -> Self {
        entries.sort_by_key(|e| e.digest);
        entries.dedup_by_key(|e| e.digest);
        Self { entries }
    }

    /// Entries, strictly ascending by digest.
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Look an object up.
    pub fn get(&self, digest: &ObjectDigest) -> Option<&IndexEntry> {
        let i = self.entries.binary_search_by_key(digest, |e| e.digest).ok()?;
        self.entries.get(i)
    }

    /// Serialize; see the module text for the layout.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + RECORD * self.entries.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        for e in &self.entries {
            out.extend_from_slice(&e.digest.0);
            out.extend_from_slice(&e.size_bytes.to_le_bytes());
            out.extend_from_slice(&e.compressed_bytes.to_le_bytes());
            out.extend_from_slice(&[e.role as u8, 0, 0, 0]);
        }
        out
    }

    /// Parse.
    ///
    /// # Errors
    /// [`FormatError`] for anything but a complete, ordered, in-range index.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let bad = |detail: String| FormatError::Malformed { format: NAME, detail };
        if bytes.len() < HEADER {
            return Err(bad(format!("{} bytes is shorter than the header", bytes.len())));
        }
        if &bytes[..8] != MAGIC {
            return Err(bad("magic number is not SKRYIDX".into()));
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != 1 {
            return Err(FormatError::Version { format: NAME, version: version.into(), known: 1 });
        }
        let incompatible = le32(bytes, 12);
        if incompatible != 0 {
            return Err(FormatError::Incompatible { format: NAME, features: vec![format!("bits {incompatible:#x}")] });
        }
        let n = le32(bytes, 20) as usize;
        if n > ENTRIES_MAX {
            return Err(bad(format!("{n} records, at most {ENTRIES_MAX} are allowed")));
        }
        let body = &bytes[HEADER..];
        if body.len() != n * RECORD {
            return Err(bad(format!("{n} records need {} bytes, found {}", n * RECORD, body.len())));
        }
        let entries =
            body.chunks_exact(RECORD).enumerate().map(|(i, r)| parse_record(i, r)).collect::<Result<Vec<_>, _>>()?;
        if let Some(i) = entries.windows(2).position(|w| w[0].digest >= w[1].digest) {
            return Err(bad(format!("record {} is not above its predecessor", i + 1)));
        }
        Ok(Self { entries })
    }
}

fn parse_record(i: usize, r: &[u8]) -> Result<IndexEntry, FormatError> {
    let bad = |detail: String| FormatError::Malformed { format: NAME, detail };
    let mut digest = [0; 32];
    digest.copy_from_slice(&r[..32]);
    let role = match r[48] {
        0 => Role::Data,
        1 => Role::Erofs,
        2 => Role::Uki,
        x => return Err(bad(format!("record {i}: unknown role {x}"))),
    };
    let entry =
        IndexEntry { digest: ObjectDigest(digest), size_bytes: le64(r, 32), compressed_bytes: le64(r, 40), role };
    if entry.size_bytes > OBJECT_BYTES_MAX || entry.compressed_bytes > OBJECT_BYTES_MAX {
        return Err(bad(format!("record {i}: object larger than {OBJECT_BYTES_MAX} bytes")));
    }
    Ok(entry)
}

fn le32(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn le64(b: &[u8], at: usize) -> u64 {
    u64::from(le32(b, at)) | u64::from(le32(b, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = IndexEntry> {
        (any::<[u8; 32]>(), 0..=OBJECT_BYTES_MAX, 0..=OBJECT_BYTES_MAX, 0..3u8).prop_map(|(d, s, c, r)| IndexEntry {
            digest: ObjectDigest(d),
            size_bytes: s,
            compressed_bytes: c,
            role: [Role::Data, Role::Erofs, Role::Uki][r as usize],
        })
    }

    proptest! {
        #[test]
        fn round_trip(v in prop::collection::vec(entry(), 0..50)) {
            let ix = Index::new(v);
            prop_assert_eq!(Index::parse(&ix.to_bytes()).unwrap(), ix);
        }

        #[test]
        fn any_bytes_never_panic(b in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Index::parse(&b);
        }

        #[test]
        fn one_flipped_header_or_length_byte_is_refused(v in prop::collection::vec(entry(), 1..5), at in 0usize..12) {
            let mut b = Index::new(v).to_bytes();
            if at < 10 { b[at] ^= 0x41; prop_assert!(Index::parse(&b).is_err()); }
            else { b.pop(); prop_assert!(Index::parse(&b).is_err()); }
        }
    }

    #[test]
    fn records_out_of_order_are_refused() {
        let e = |b| IndexEntry { digest: ObjectDigest([b; 32]), size_bytes: 1, compressed_bytes: 1, role: Role::Data };
        let ix = Index { entries: vec![e(2), e(1)] };
        assert!(matches!(Index::parse(&ix.to_bytes()), Err(FormatError::Malformed { .. })));
    }
}
