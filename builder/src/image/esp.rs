//! The EFI system partition: FAT32 with systemd-boot and the UKIs.
//!
//! All times are 1980-01-01, the first that FAT knows: a file's time on the ESP
//! means nothing to anyone.

use std::io::{self, Read, Seek, Write};

use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time};

use super::ImageError;

/// systemd-boot's configuration: start the newest entry at once.
pub const LOADER_CONF: &str = "timeout 0\nconsole-mode keep\neditor no\nauto-firmware no\n";
const LABEL: [u8; 11] = *b"SKERRY-ESP ";
/// FAT32 needs more clusters than smaller volumes have.
const MIB_MIN: u64 = 36;

/// One file of the ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EspFile<'a> {
    /// Path with `/`, such as `EFI/BOOT/BOOTX64.EFI`.
    pub path: String,
    /// Content.
    pub bytes: &'a [u8],
}

#[derive(Debug)]
struct FixedTime;

const DATE: Date = Date { year: 1980, month: 1, day: 1 };

impl fatfs::TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        DATE
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: DATE, time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// Make the file system on `partition`, which must be `size_mib` of zeros.
/// Files are laid down in the order given. `volume_id` must be stable.
///
/// # Errors
/// Files that do not fit, or errors of the device.
pub fn build<P: Read + Write + Seek>(
    mut partition: P,
    size_mib: u64,
    volume_id: u32,
    files: &[EspFile<'_>],
) -> Result<(), ImageError> {
    let content: u64 = files.iter().map(|f| f.bytes.len() as u64).sum();
    let need_mib = (content.div_ceil(1 << 20) + 4).max(MIB_MIN);
    if size_mib < need_mib {
        return Err(ImageError::TooSmall { what: "the EFI system partition", key: "esp_mib", need_mib, have_mib: size_mib });
    }
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(if size_mib <= 256 { 512 } else { 4096 })
        .total_sectors((size_mib * 2048) as u32)
        .volume_id(volume_id)
        .volume_label(LABEL);
    fill(&mut partition, options, files).map_err(ImageError::io("writing the EFI system partition", "esp".as_ref()))
}

fn fill<P: Read + Write + Seek>(partition: &mut P, options: FormatVolumeOptions, files: &[EspFile<'_>]) -> io::Result<()> {
    static TIME: FixedTime = FixedTime;
    partition.seek(io::SeekFrom::Start(0))?;
    fatfs::format_volume(&mut *partition, options)?;
    partition.seek(io::SeekFrom::Start(0))?;
    let fs = FileSystem::new(partition, FsOptions::new().time_provider(&TIME))?;
    let root = fs.root_dir();
    let mut made = std::collections::BTreeSet::new();
    for file in files {
        for (i, _) in file.path.match_indices('/') {
            if made.insert(&file.path[..i]) {
                root.create_dir(&file.path[..i])?;
            }
        }
        let mut f = root.create_file(&file.path)?;
        f.write_all(file.bytes)?;
        f.flush()?;
    }
    drop(root);
    fs.unmount()
}
