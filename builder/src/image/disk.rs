//! The whole disk: protective MBR, GPT, ESP and SYSTEM on 1 MiB boundaries,
//! backup GPT in the last MiB. Nothing in it is random.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use gpt::{GptConfig, disk::LogicalBlockSize, mbr::ProtectiveMBR, partition_types};
use skerry_formats::layout::{PART_ESP, PART_SYSTEM};

use super::{
    ImageError, Window,
    esp::{self, EspFile},
    stable_uuid,
};

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;

/// What the disk is made of.
#[derive(Debug)]
pub struct DiskSpec<'a> {
    /// What all GUIDs are derived from: product and board, not the version, so
    /// that two releases differ only where they must.
    pub identity: &'a str,
    /// Size of the ESP.
    pub esp_mib: u64,
    /// Files of the ESP in the order they are laid down.
    pub esp_files: &'a [EspFile<'a>],
    /// Image of SYSTEM, a whole number of MiB.
    pub system: &'a Path,
}

/// Where the partitions are in the image, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLayout {
    /// Start of the ESP.
    pub esp_start: u64,
    /// Start of SYSTEM.
    pub system_start: u64,
    /// Size of the whole image.
    pub size_bytes: u64,
}

/// Write the disk image to `out`, a sparse file.
///
/// # Errors
/// Files that do not fit, or errors of the host's file system.
pub fn assemble(out: &Path, spec: &DiskSpec<'_>) -> Result<DiskLayout, ImageError> {
    let io = |e| ImageError::io("writing the disk image", out)(e);
    let mut system = File::open(spec.system).map_err(ImageError::io("opening", spec.system))?;
    let system_bytes = system.metadata().map_err(ImageError::io("reading", spec.system))?.len();
    let system_start = MIB + spec.esp_mib * MIB;
    let layout = DiskLayout {
        esp_start: MIB,
        system_start,
        size_bytes: system_start + system_bytes.next_multiple_of(MIB) + MIB,
    };
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(out).map_err(io)?;
    file.set_len(layout.size_bytes).map_err(io)?;
    let volume = skerry_formats::Sha256Digest::of(format!("{} esp", spec.identity).as_bytes()).0;
    let volume_id = u32::from_le_bytes([volume[0], volume[1], volume[2], volume[3]]);
    esp::build(Window::new(&mut file, MIB, spec.esp_mib * MIB), spec.esp_mib, volume_id, spec.esp_files)?;
    copy_sparse(&mut system, &mut file, system_start).map_err(io)?;
    write_table(file, spec.identity, &layout, spec.esp_mib * MIB, system_bytes)
        .map_err(|e| ImageError::unreadable("partition table", e))?;
    Ok(layout)
}

fn write_table(
    mut file: File,
    identity: &str,
    layout: &DiskLayout,
    esp_bytes: u64,
    system_bytes: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let sectors = u32::try_from(layout.size_bytes / SECTOR - 1)?;
    ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(&mut file)?;
    let guid = |part: &str| stable_uuid(&format!("{identity} {part}"));
    let mut disk = GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(file, Some(guid("disk").parse()?))?;
    let partitions = [
        (1, PART_ESP, layout.esp_start, esp_bytes, partition_types::EFI),
        (2, PART_SYSTEM, layout.system_start, system_bytes, partition_types::LINUX_FS),
    ];
    for (id, name, start, len, kind) in partitions {
        disk.add_partition_at(name, id, start / SECTOR, len / SECTOR, kind, 0)?;
    }
    let mut table = disk.take_partitions();
    for partition in table.values_mut() {
        partition.part_guid = guid(&partition.name).parse()?;
    }
    disk.update_partitions(table)?;
    disk.write()?;
    Ok(())
}

/// Copy all of `from` to `to` at `start`, leaving zeros as holes.
fn copy_sparse(from: &mut File, to: &mut File, start: u64) -> std::io::Result<()> {
    let mut buf = vec![0; 256 << 10];
    let mut at = start;
    loop {
        let n = read_full(from, &mut buf)?;
        if n == 0 {
            return Ok(());
        }
        if !is_zero(&buf[..n]) {
            to.seek(SeekFrom::Start(at))?;
            to.write_all(&buf[..n])?;
        }
        at += n as u64;
    }
}

/// Fill `buf` as far as the reader goes.
pub(super) fn read_full(from: &mut impl Read, buf: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < buf.len() {
        match from.read(&mut buf[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

/// Whether all bytes are 0.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<16>();
    words.iter().all(|w| u128::from_ne_bytes(*w) == 0) && tail.iter().all(|b| *b == 0)
}
