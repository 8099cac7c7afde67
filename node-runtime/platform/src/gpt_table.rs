//! GPT codec: one copy of a partition table, from bytes and to bytes.
//!
//! Both checksums are checked, also the one over the entries: a table torn by a
//! power cut must not be taken for a good one. That, and full control over the
//! order of writes, is why this is not left to the `gpt` crate, which checks
//! the header alone and writes both copies interleaved.
//!
//! Source: UEFI specification 2.10, section 5.3.

/// Entries in a table as it is written, and the most that are read.
pub const ENTRIES: usize = 128;
/// Bytes of one entry.
const ENTRY_BYTES: usize = 128;
/// Bytes of the header that its checksum covers.
const HEADER_BYTES: usize = 92;
/// Bytes of all entries.
pub const ENTRIES_BYTES: usize = ENTRIES * ENTRY_BYTES;

/// Why bytes are no valid copy of a partition table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// No GPT header.
    #[error("no GPT signature")]
    Signature,
    /// The header's checksum does not fit: torn or damaged.
    #[error("GPT header checksum is wrong")]
    HeaderChecksum,
    /// The entries' checksum does not fit: torn or damaged.
    #[error("GPT entries checksum is wrong")]
    EntriesChecksum,
    /// Something that this codec does not handle.
    #[error("GPT is not usable: {0}")]
    Unsupported(&'static str),
}

/// A GUID as on the disk: the first three fields little-endian.
pub type Guid = [u8; 16];

/// Place in the text form of each byte as on the disk.
const TEXT_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/// Parse `XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX`; `None` if it is none.
pub fn guid_from_text(text: &str) -> Option<Guid> {
    let groups: Vec<&str> = text.split('-').collect();
    if groups.iter().map(|g| g.len()).ne([8, 4, 4, 4, 12]) {
        return None;
    }
    let digits = groups.concat();
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut guid = [0; 16];
    for (byte, at) in guid.iter_mut().zip(TEXT_ORDER) {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(guid)
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Partition type GUID.
    pub type_guid: Guid,
    /// Unique GUID.
    pub guid: Guid,
    /// First sector.
    pub first_lba: u64,
    /// Last sector, inclusive.
    pub last_lba: u64,
    /// Attribute bits.
    pub flags: u64,
    /// Name, at most 36 UTF-16 units.
    pub name: String,
}

/// A partition table without the fields that differ between its two copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Disk GUID.
    pub disk_guid: Guid,
    /// First sector that partitions may use.
    pub first_usable: u64,
    /// Last sector that partitions may use.
    pub last_usable: u64,
    /// Partitions by number − 1.
    pub entries: Vec<Option<Entry>>,
}

/// A copy as found: the table and where its header says things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The table.
    pub table: Table,
    /// Where the other copy's header should be.
    pub alternate_lba: u64,
}

/// What a header says about its entries, checked by checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    disk_guid: Guid,
    first_usable: u64,
    last_usable: u64,
    alternate_lba: u64,
    entries_crc: u32,
    /// First sector of the entries.
    pub entries_lba: u64,
    /// Bytes of the entries.
    pub entries_bytes: usize,
}

/// Sectors and bytes of one copy, ready to be written: entries, then header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// First sector of the entries.
    pub entries_lba: u64,
    /// All entries.
    pub entries: Vec<u8>,
    /// Sector of the header.
    pub header_lba: u64,
    /// The header, one sector.
    pub header: Vec<u8>,
}

/// Which of the two copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// At the start of the disk.
    Primary,
    /// At its end.
    Backup,
}

/// Sectors that the entries take.
pub fn entries_sectors(sector_bytes: u64) -> u64 {
    (ENTRIES_BYTES as u64).div_ceil(sector_bytes)
}

impl Header {
    /// Parse and check the header found at sector `lba`.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn parse(b: &[u8], lba: u64) -> Result<Self, TableError> {
        if b.len() < HEADER_BYTES || &b[..8] != b"EFI PART" {
            return Err(TableError::Signature);
        }
        if le32(b, 12) as usize != HEADER_BYTES {
            return Err(TableError::Unsupported("header size is not 92"));
        }
        let mut zeroed = b[..HEADER_BYTES].to_vec();
        zeroed[16..20].fill(0);
        if crc32(&zeroed) != le32(b, 16) {
            return Err(TableError::HeaderChecksum);
        }
        if le64(b, 24) != lba {
            return Err(TableError::Unsupported("header is not at the sector it names"));
        }
        let count = le32(b, 80) as usize;
        if le32(b, 84) as usize != ENTRY_BYTES || count == 0 || count > ENTRIES {
            return Err(TableError::Unsupported("entries are not 1 to 128 of 128 bytes"));
        }
        Ok(Self {
            disk_guid: array(&b[56..72]),
            first_usable: le64(b, 40),
            last_usable: le64(b, 48),
            alternate_lba: le64(b, 32),
            entries_crc: le32(b, 88),
            entries_lba: le64(b, 72),
            entries_bytes: count * ENTRY_BYTES,
        })
    }

    /// Parse and check the entries that this header describes.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn with_entries(&self, b: &[u8]) -> Result<Copy, TableError> {
        let b = b.get(..self.entries_bytes).ok_or(TableError::EntriesChecksum)?;
        if crc32(b) != self.entries_crc {
            return Err(TableError::EntriesChecksum);
        }
        let mut entries: Vec<_> = b.chunks_exact(ENTRY_BYTES).map(Entry::parse).collect::<Result<_, _>>()?;
        entries.resize(ENTRIES, None);
        let table = Table {
            disk_guid: self.disk_guid,
            first_usable: self.first_usable,
            last_usable: self.last_usable,
            entries,
        };
        Ok(Copy { table, alternate_lba: self.alternate_lba })
    }
}

impl Entry {
    fn parse(b: &[u8]) -> Result<Option<Self>, TableError> {
        if b[..16].iter().all(|x| *x == 0) {
            return Ok(None);
        }
        let units: Vec<u16> =
            b[56..128].chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).take_while(|u| *u != 0).collect();
        let e = Self {
            type_guid: array(&b[..16]),
            guid: array(&b[16..32]),
            first_lba: le64(b, 32),
            last_lba: le64(b, 40),
            flags: le64(b, 48),
            name: String::from_utf16_lossy(&units),
        };
        if e.last_lba < e.first_lba || e.last_lba > u64::MAX / 8192 {
            return Err(TableError::Unsupported("a partition ends before it starts"));
        }
        Ok(Some(e))
    }

    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut b = [0; ENTRY_BYTES];
        b[..16].copy_from_slice(&self.type_guid);
        b[16..32].copy_from_slice(&self.guid);
        b[32..40].copy_from_slice(&self.first_lba.to_le_bytes());
        b[40..48].copy_from_slice(&self.last_lba.to_le_bytes());
        b[48..56].copy_from_slice(&self.flags.to_le_bytes());
        for (i, u) in self.name.encode_utf16().take(36).enumerate() {
            b[56 + 2 * i..58 + 2 * i].copy_from_slice(&u.to_le_bytes());
        }
        b
    }

    /// Sectors.
    pub fn sectors(&self) -> u64 {
        self.last_lba + 1 - self.first_lba
    }
}

impl Table {
    /// Partition number (from 1) and entry of the first partition named `name`.
    pub fn find(&self, name: &str) -> Option<(u32, &Entry)> {
        let i = self.entries.iter().position(|e| e.as_ref().is_some_and(|e| e.name == name))?;
        Some((u32::try_from(i).ok()? + 1, self.entries[i].as_ref()?))
    }

    /// Bytes of one copy for a disk of `disk_sectors` sectors.
    pub fn encode(&self, which: Which, disk_sectors: u64, sector_bytes: u64) -> Encoded {
        let last = disk_sectors - 1;
        let (header_lba, alternate, entries_lba) = match which {
            Which::Primary => (1, last, 2),
            Which::Backup => (last, 1, last - entries_sectors(sector_bytes)),
        };
        let mut entries = Vec::with_capacity(ENTRIES_BYTES);
        for i in 0..ENTRIES {
            entries.extend(self.entries.get(i).and_then(Option::as_ref).map_or([0; ENTRY_BYTES], Entry::encode));
        }
        let mut h = vec![0u8; sector_bytes as usize];
        h[..8].copy_from_slice(b"EFI PART");
        h[8..12].copy_from_slice(&[0, 0, 1, 0]);
        h[12..16].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        for (at, v) in
            [(24, header_lba), (32, alternate), (40, self.first_usable), (48, self.last_usable), (72, entries_lba)]
        {
            h[at..at + 8].copy_from_slice(&v.to_le_bytes());
        }
        h[56..72].copy_from_slice(&self.disk_guid);
        for (at, v) in [(80, ENTRIES as u32), (84, ENTRY_BYTES as u32), (88, crc32(&entries))] {
            h[at..at + 4].copy_from_slice(&v.to_le_bytes());
        }
        let crc = crc32(&h[..HEADER_BYTES]);
        h[16..20].copy_from_slice(&crc.to_le_bytes());
        Encoded { entries_lba, entries, header_lba, header: h }
    }
}

/// CRC-32 (IEEE 802.3, reflected), bit by bit: 16 KiB twice per boot.
fn crc32(b: &[u8]) -> u32 {
    !b.iter().fold(!0u32, |mut c, x| {
        c ^= u32::from(*x);
        for _ in 0..8 {
            c = if c & 1 != 0 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 };
        }
        c
    })
}

fn le32(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn le64(b: &[u8], at: usize) -> u64 {
    u64::from(le32(b, at)) | u64::from(le32(b, at + 4)) << 32
}

fn array(b: &[u8]) -> [u8; 16] {
    let mut a = [0; 16];
    a.copy_from_slice(b);
    a
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn table() -> Table {
        let mut entries = vec![None; ENTRIES];
        entries[0] = Some(Entry {
            type_guid: [1; 16],
            guid: [2; 16],
            first_lba: 2048,
            last_lba: 4095,
            flags: 4,
            name: "skerry-esp".into(),
        });
        entries[4] = Some(Entry {
            type_guid: [3; 16],
            guid: [4; 16],
            first_lba: 4096,
            last_lba: 8191,
            flags: 0,
            name: "größer".into(),
        });
        Table { disk_guid: [9; 16], first_usable: 34, last_usable: 9966, entries }
    }

    #[test]
    fn guids_from_text() {
        let esp = [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
        for text in ["C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"] {
            assert_eq!(guid_from_text(text), Some(esp));
        }
        let wrong = [
            "",
            "C12A7328F81F11D2BA4B00A0C93EC93B",
            "C12A7328-F81F-11D2-BA4B-00A0C93EC93",
            "é12A732-F81F-11D2-BA4B-00A0C93EC93B",
        ];
        for text in wrong {
            assert_eq!(guid_from_text(text), None, "{text}");
        }
    }

    #[test]
    fn known_checksum() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn both_copies_round_trip_for_both_sector_sizes() {
        for sector in [512, 4096] {
            for which in [Which::Primary, Which::Backup] {
                let e = table().encode(which, 10_000, sector);
                let h = Header::parse(&e.header, e.header_lba).unwrap();
                assert_eq!(h.entries_lba, e.entries_lba);
                let c = h.with_entries(&e.entries).unwrap();
                assert_eq!(c.table, table());
                assert_eq!(c.alternate_lba, if which == Which::Primary { 9_999 } else { 1 });
            }
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let e = table().encode(Which::Primary, 10_000, 512);
        for i in 0..HEADER_BYTES {
            let mut h = e.header.clone();
            h[i] ^= 1;
            assert!(Header::parse(&h, 1).is_err(), "header byte {i}");
        }
        let h = Header::parse(&e.header, 1).unwrap();
        for i in (0..ENTRIES_BYTES).step_by(37) {
            let mut b = e.entries.clone();
            b[i] ^= 1;
            assert_eq!(h.with_entries(&b), Err(TableError::EntriesChecksum), "entries byte {i}");
        }
        assert!(Header::parse(&e.header, 2).is_err(), "header at another sector");
    }

    /// The other direction of trust: an independent reader takes what we write.
    #[test]
    fn the_gpt_crate_reads_both_copies() {
        let (sectors, sector) = (10_000u64, 512u64);
        let mut disk = vec![0u8; (sectors * sector) as usize];
        for which in [Which::Primary, Which::Backup] {
            let e = table().encode(which, sectors, sector);
            for (lba, b) in [(e.entries_lba, &e.entries), (e.header_lba, &e.header)] {
                disk[(lba * sector) as usize..][..b.len()].copy_from_slice(b);
            }
        }
        let g = gpt::GptConfig::new().only_valid_headers(true).open_from_device(std::io::Cursor::new(disk)).unwrap();
        let names: Vec<_> = g.partitions().iter().map(|(n, p)| (*n, p.name.clone(), p.first_lba, p.last_lba)).collect();
        assert_eq!(names[0], (1, "skerry-esp".to_owned(), 2048, 4095));
        assert!(names.contains(&(5, "größer".to_owned(), 4096, 8191)));
    }
}
