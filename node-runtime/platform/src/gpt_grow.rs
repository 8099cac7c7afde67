//! First boot's disk work: SYSTEM to its full size, DATA in the rest.
//!
//! [`plan_layout`] is pure and decides; [`execute`] writes. The order makes a
//! power cut harmless at any instruction: at every moment one of the two copies
//! of the table is whole, and it describes either the old layout or the new.
//!
//! 1. If the primary copy is torn, it is restored from the backup first.
//! 2. The heads of a new DATA partition are wiped: what an earlier life of the
//!    disk left there must not be taken for its file system.
//! 3. The backup copy goes to the end of the disk; fsync.
//! 4. The primary copy follows; fsync.
//!
//! While the primary is being written, firmware and kernel (`gpt` on its
//! command line) find the backup at the end of the disk.

use std::{fs::File, io, os::unix::fs::FileExt};

use skerry_formats::layout::{PART_DATA, PART_ESP, PART_SYSTEM};

use crate::{
    block::{DiskSize, EXT4_FIRST_BACKUP_BYTES},
    gpt_table::{Copy, ENTRIES_BYTES, Entry, Guid, Header, Table, TableError, Which, entries_sectors},
};

const MIB: u64 = 1 << 20;
/// Smallest DATA that a box can work with.
pub const DATA_MIB_MIN: u64 = 64;
/// Linux file system data, 0FC63DAF-8483-4772-8E79-3D69D8477DE4, as on disk.
pub const LINUX_DATA: Guid =
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];

/// Why the disk cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Neither copy of the table is usable.
    #[error("both copies of the partition table are unusable (start: {primary}; end: {backup})")]
    NoTable {
        /// What is wrong with the primary copy.
        primary: TableError,
        /// What is wrong with the backup copy.
        backup: TableError,
    },
    /// The table has no SYSTEM.
    #[error("the partition table has no {PART_SYSTEM}")]
    NoSystem,
    /// The disk is too small.
    #[error(
        "the disk has {disk_mib} MiB, {needed_mib} MiB are needed ({PART_SYSTEM} and at least {DATA_MIB_MIN} MiB of {PART_DATA}); use a larger disk or a board with a smaller system_mib"
    )]
    TooSmall {
        /// Size of the disk.
        disk_mib: u64,
        /// Smallest size that would do.
        needed_mib: u64,
    },
    /// The table is full or too odd to be changed.
    #[error("the partition table cannot be changed: {0}")]
    Odd(&'static str),
    /// The disk could not be read or written.
    #[error("cannot {operation} the partition table")]
    Io {
        /// `read` or `write`.
        operation: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Sizes that the board asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoardSizes {
    /// Size of SYSTEM; `None`: leave it as it is.
    pub system_mib: Option<u64>,
}

/// Both copies as found on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    /// At the start.
    pub primary: Result<Copy, TableError>,
    /// In the last sector.
    pub backup: Result<Copy, TableError>,
}

/// A change, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The primary copy is torn and comes back from the backup.
    RepairPrimary,
    /// The backup copy is missing, torn, old, or not at the end of the disk.
    WriteBackup,
    /// SYSTEM grows.
    GrowSystem {
        /// Sectors before.
        from_sectors: u64,
        /// Sectors after.
        to_sectors: u64,
    },
    /// The GUIDs of the image, which all its copies have, give way to GUIDs that
    /// only this disk has.
    OwnGuids,
    /// DATA is made.
    AddData {
        /// First sector.
        first_lba: u64,
        /// Sectors.
        sectors: u64,
    },
    /// DATA grows.
    GrowData {
        /// Sectors before.
        from_sectors: u64,
        /// Sectors after.
        to_sectors: u64,
    },
}

/// One write of the executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write zeros, then fsync.
    Wipe {
        /// Offset on the disk.
        offset_bytes: u64,
        /// How many.
        len_bytes: u64,
    },
    /// Write one copy of `table`, then fsync.
    Write {
        /// Which copy.
        which: Which,
        /// The table.
        table: Table,
    },
}

/// What is to be done, and the table that results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutPlan {
    /// For the log; empty: nothing to do.
    pub changes: Vec<Change>,
    /// In this order.
    pub steps: Vec<Step>,
    /// The table after all steps.
    pub table: Table,
}

/// Decide how to get from `found` to the layout of the board on a disk of size
/// `disk`. `own_guid` is a random GUID; the first layout names the partitions
/// and the disk after it.
///
/// # Errors
/// [`LayoutError`]; nothing was written.
pub fn plan_layout(
    found: &Copies,
    disk: DiskSize,
    sizes: BoardSizes,
    own_guid: Guid,
) -> Result<LayoutPlan, LayoutError> {
    let current = match (&found.primary, &found.backup) {
        (Ok(p), _) => &p.table,
        (Err(_), Ok(b)) => &b.table,
        (Err(primary), Err(backup)) => {
            return Err(LayoutError::NoTable { primary: primary.clone(), backup: backup.clone() });
        }
    };
    let last_lba = (disk.bytes / disk.sector_bytes).checked_sub(1).ok_or(LayoutError::Odd("the disk has no size"))?;
    let mut changes = Vec::new();
    let mut steps = Vec::new();
    if found.primary.is_err() {
        changes.push(Change::RepairPrimary);
        steps.push(Step::Write { which: Which::Primary, table: current.clone() });
    }
    let table = target(current, disk, sizes, own_guid, &mut changes)?;
    if let Some(Change::AddData { first_lba, sectors }) = changes.iter().find(|c| matches!(c, Change::AddData { .. })) {
        steps.extend(wipes(first_lba * disk.sector_bytes, sectors * disk.sector_bytes));
    }
    if found.backup.as_ref().ok().is_none_or(|b| b.table != table || b.alternate_lba != 1) {
        changes.push(Change::WriteBackup);
        steps.push(Step::Write { which: Which::Backup, table: table.clone() });
    }
    let primary_is_final = match &found.primary {
        Ok(p) => p.table == table && p.alternate_lba == last_lba,
        Err(_) => *current == table,
    };
    if !primary_is_final {
        steps.push(Step::Write { which: Which::Primary, table: table.clone() });
    }
    Ok(LayoutPlan { changes, steps, table })
}

/// The table as it should be.
fn target(
    current: &Table,
    disk: DiskSize,
    sizes: BoardSizes,
    own_guid: Guid,
    changes: &mut Vec<Change>,
) -> Result<Table, LayoutError> {
    let sectors = disk.bytes / disk.sector_bytes;
    let align = (MIB / disk.sector_bytes).max(1);
    let mut table = current.clone();
    let overhead = entries_sectors(disk.sector_bytes) + 1;
    if current.entries.iter().flatten().any(|e| e.first_lba < overhead + 1) {
        return Err(LayoutError::Odd("a partition starts inside the table"));
    }
    let too_small = |needed_lba: u64| LayoutError::TooSmall {
        disk_mib: disk.bytes / MIB,
        needed_mib: ((needed_lba + overhead) * disk.sector_bytes).div_ceil(MIB),
    };
    let highest = current.entries.iter().flatten().map(|e| e.last_lba).max().unwrap_or(0);
    if highest + overhead >= sectors {
        return Err(too_small(highest + 1));
    }
    table.last_usable = sectors - 1 - overhead;
    let (number, system) = current.find(PART_SYSTEM).ok_or(LayoutError::NoSystem)?;
    let room_end = |of: &Entry| {
        let next = current.entries.iter().flatten().map(|e| e.first_lba).filter(|l| *l > of.last_lba).min();
        next.unwrap_or(table.last_usable + 1)
    };
    let wanted = sizes.system_mib.map_or(system.sectors(), |m| m * align).max(system.sectors());
    let data = current.find(PART_DATA);
    let system_sectors = match data {
        // Once DATA is there, SYSTEM keeps the size it got.
        Some(_) => wanted.min(room_end(system) - system.first_lba),
        None => wanted,
    };
    let system_end = system.first_lba + system_sectors;
    let mut grown = system.clone();
    grown.last_lba = system_end - 1;
    if system_sectors != system.sectors() {
        changes.push(Change::GrowSystem { from_sectors: system.sectors(), to_sectors: system_sectors });
    }
    let first_lba = system_end.next_multiple_of(align);
    match data {
        Some((n, d)) => {
            let end = room_end(d) / align * align;
            if end > d.last_lba + 1 {
                changes.push(Change::GrowData { from_sectors: d.sectors(), to_sectors: end - d.first_lba });
                table.entries[n as usize - 1] = Some(Entry { last_lba: end - 1, ..d.clone() });
            }
        }
        None => {
            let end = room_end(system) / align * align;
            if end < first_lba + DATA_MIB_MIN * align {
                return Err(too_small(first_lba + DATA_MIB_MIN * align));
            }
            let slot = current
                .entries
                .iter()
                .position(Option::is_none)
                .ok_or(LayoutError::Odd("all 128 entries are taken"))?;
            changes.push(Change::AddData { first_lba, sectors: end - first_lba });
            changes.push(Change::OwnGuids);
            table.entries[slot] = Some(Entry {
                type_guid: LINUX_DATA,
                guid: own_guid,
                first_lba,
                last_lba: end - 1,
                flags: 0,
                name: PART_DATA.into(),
            });
        }
    }
    table.entries[number as usize - 1] = Some(grown);
    if data.is_none() {
        take_own_guids(&mut table, own_guid);
    }
    Ok(table)
}

/// Every disk made from one image has the image's GUIDs; firmware and init could
/// not tell two of them in one box apart. DATA has `own` already.
fn take_own_guids(table: &mut Table, own: Guid) {
    let relative = |n: u8| {
        let mut guid = own;
        guid[15] ^= n;
        guid
    };
    table.disk_guid = relative(3);
    for entry in table.entries.iter_mut().flatten() {
        match entry.name.as_str() {
            PART_ESP => entry.guid = relative(1),
            PART_SYSTEM => entry.guid = relative(2),
            _ => {}
        }
    }
}

/// Where an ext4 of an earlier life could be recognised: its start and its
/// first backup superblock.
fn wipes(start: u64, len: u64) -> impl Iterator<Item = Step> {
    let spots = [(0, MIB), (EXT4_FIRST_BACKUP_BYTES, 64 << 10)];
    spots
        .into_iter()
        .filter(move |(at, n)| at + n <= len)
        .map(move |(at, n)| Step::Wipe { offset_bytes: start + at, len_bytes: n })
}

/// The disk as the executor needs it; a file, a block device, or a test.
pub trait Disk {
    /// Fill `buf` from `offset`.
    ///
    /// # Errors
    /// I/O errors.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Write `buf` at `offset`.
    ///
    /// # Errors
    /// I/O errors.
    fn write_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Return when everything written is on the medium.
    ///
    /// # Errors
    /// I/O errors.
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buf, offset)
    }
    fn write_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(buf, offset)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Read both copies of the table.
///
/// # Errors
/// [`LayoutError::Io`]; damaged copies are values, not errors.
pub fn read_copies(disk: &impl Disk, size: DiskSize) -> Result<Copies, LayoutError> {
    let io = |source| LayoutError::Io { operation: "read", source };
    let last = (size.bytes / size.sector_bytes).checked_sub(1).ok_or(LayoutError::Odd("the disk has no size"))?;
    let copy = |lba: u64| -> io::Result<Result<Copy, TableError>> {
        let mut sector = vec![0; size.sector_bytes as usize];
        disk.read_at(&mut sector, lba * size.sector_bytes)?;
        let header = match Header::parse(&sector, lba) {
            Ok(h) => h,
            Err(e) => return Ok(Err(e)),
        };
        if header.entries_lba > last.saturating_sub(ENTRIES_BYTES as u64 / size.sector_bytes) {
            return Ok(Err(TableError::Unsupported("entries lie outside the disk")));
        }
        let mut entries = vec![0; header.entries_bytes];
        disk.read_at(&mut entries, header.entries_lba * size.sector_bytes)?;
        Ok(header.with_entries(&entries))
    };
    Ok(Copies { primary: copy(1).map_err(io)?, backup: copy(last).map_err(io)? })
}

/// Carry out the steps of a plan, each durable before the next one starts.
///
/// # Errors
/// [`LayoutError::Io`]; the disk is then usable and planning again goes on.
pub fn execute(plan: &LayoutPlan, disk: &mut impl Disk, size: DiskSize) -> Result<(), LayoutError> {
    let io = |source| LayoutError::Io { operation: "write", source };
    for step in &plan.steps {
        match step {
            Step::Wipe { offset_bytes, len_bytes } => {
                disk.write_at(&vec![0; *len_bytes as usize], *offset_bytes).map_err(io)?;
            }
            Step::Write { which, table } => {
                let e = table.encode(*which, size.bytes / size.sector_bytes, size.sector_bytes);
                disk.write_at(&e.entries, e.entries_lba * size.sector_bytes).map_err(io)?;
                disk.write_at(&e.header, e.header_lba * size.sector_bytes).map_err(io)?;
            }
        }
        disk.sync().map_err(io)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "gpt_grow_tests.rs"]
mod tests;
