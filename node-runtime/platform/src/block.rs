//! Block devices: partitions by name, sizes, telling the kernel about changes,
//! ext4 superblocks, online growth.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd},
        linux::fs::MetadataExt,
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
};

/// Unit of sysfs sizes, whatever the device's sector size is.
const SYSFS_SECTOR: u64 = 512;

/// What failed on a block device.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {device}")]
pub struct BlockError {
    /// What was tried.
    pub operation: &'static str,
    /// Device or file.
    pub device: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

fn err<'a>(operation: &'static str, device: &'a Path) -> impl Fn(io::Error) -> BlockError + 'a {
    move |source| BlockError { operation, device: device.to_owned(), source }
}

/// A partition as the kernel sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// `/dev/vda2`.
    pub device: PathBuf,
    /// `/dev/vda`.
    pub disk: PathBuf,
    /// Number in the table, from 1.
    pub number: u32,
    /// Offset on the disk in bytes.
    pub start_bytes: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// GPT name; `None` for one that was added after the table was read.
    pub name: Option<String>,
}

/// All partitions that the kernel knows.
///
/// # Errors
/// [`BlockError`] if sysfs cannot be read.
pub fn partitions() -> Result<Vec<Partition>, BlockError> {
    partitions_in(Path::new("/sys/class/block"), Path::new("/dev"))
}

/// The partition of the file system that holds `path`.
///
/// # Errors
/// [`BlockError`] if it is on none.
pub fn partition_of(path: &Path) -> Result<Partition, BlockError> {
    let device = fs::metadata(path).map_err(err("find the partition of", path))?.st_dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    read_partition(Path::new(&format!("/sys/dev/block/{major}:{minor}")), Path::new("/dev"))
        .ok_or(io::ErrorKind::NotFound.into())
        .map_err(err("find the partition of", path))
}

fn partitions_in(sysfs: &Path, dev: &Path) -> Result<Vec<Partition>, BlockError> {
    let mut out = Vec::new();
    for entry in fs::read_dir(sysfs).map_err(err("list", sysfs))?.flatten() {
        // Devices come and go while we look; one that vanished is not there.
        if let Some(p) = read_partition(&entry.path(), dev) {
            out.push(p);
        }
    }
    out.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(out)
}

fn read_partition(at: &Path, dev: &Path) -> Option<Partition> {
    let real = fs::canonicalize(at).ok()?;
    let number = |file: &str| fs::read_to_string(real.join(file)).ok()?.trim().parse::<u64>().ok();
    let uevent = fs::read_to_string(real.join("uevent")).ok()?;
    let field = |key: &str| uevent.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=').map(str::to_owned));
    Some(Partition {
        number: u32::try_from(number("partition")?).ok()?,
        device: dev.join(field("DEVNAME")?),
        disk: dev.join(real.parent()?.file_name()?),
        start_bytes: number("start")? * SYSFS_SECTOR,
        size_bytes: number("size")? * SYSFS_SECTOR,
        name: field("PARTNAME"),
    })
}

/// Size and sector size of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSize {
    /// Whole size.
    pub bytes: u64,
    /// Logical sector.
    pub sector_bytes: u64,
}

/// Size of the disk behind `disk` (`/dev/vda`), or of an image file, whose
/// sectors are taken to be 512 bytes.
///
/// # Errors
/// [`BlockError`].
pub fn disk_size(disk: &Path) -> Result<DiskSize, BlockError> {
    let file = File::open(disk).map_err(err("open", disk))?;
    let meta = file.metadata().map_err(err("read the size of", disk))?;
    if meta.is_file() {
        return Ok(DiskSize { bytes: meta.len(), sector_bytes: 512 });
    }
    let (mut bytes, mut sector) = (0u64, 0);
    // SAFETY: both ioctls write one integer of the size they are declared with.
    #[expect(unsafe_code, reason = "ioctl")]
    unsafe {
        ioctl::get_size64(file.as_raw_fd(), &mut bytes).map_err(|e| err("read the size of", disk)(e.into()))?;
        ioctl::get_sector_size(file.as_raw_fd(), &mut sector)
            .map_err(|e| err("read the sector size of", disk)(e.into()))?;
    }
    Ok(DiskSize { bytes, sector_bytes: u64::try_from(sector).unwrap_or(512) })
}

mod ioctl {
    #![allow(missing_docs)]
    use nix::libc::{c_int, c_void};

    /// `struct blkpg_ioctl_arg` of `linux/blkpg.h`.
    #[repr(C)]
    pub struct BlkpgArg {
        pub op: c_int,
        pub flags: c_int,
        pub datalen: c_int,
        pub data: *mut c_void,
    }

    /// `struct blkpg_partition` of `linux/blkpg.h`.
    #[repr(C)]
    pub struct BlkpgPartition {
        pub start: i64,
        pub length: i64,
        pub pno: c_int,
        pub devname: [u8; 64],
        pub volname: [u8; 64],
    }

    nix::ioctl_read!(get_size64, 0x12, 114, u64);
    nix::ioctl_read_bad!(get_sector_size, nix::request_code_none!(0x12, 104), c_int);
    nix::ioctl_write_ptr_bad!(blkpg, nix::request_code_none!(0x12, 105), BlkpgArg);
    nix::ioctl_none_bad!(flush_buffers, nix::request_code_none!(0x12, 97));
    // EXT4_IOC_RESIZE_FS of fs/ext4/ext4.h.
    nix::ioctl_write_ptr!(ext4_resize, b'f', 16, u64);
    // FS_IOC_SETFSLABEL of linux/fs.h.
    nix::ioctl_write_ptr!(set_fs_label, 0x94, 50, [u8; 256]);
}

/// `BLKPG_ADD_PARTITION`.
const ADD: i32 = 1;
/// `BLKPG_RESIZE_PARTITION`.
const RESIZE: i32 = 3;

fn blkpg(disk: &Path, op: i32, number: u32, start_bytes: u64, size_bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(disk)?;
    let int = |v: u64| i64::try_from(v).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let mut part = ioctl::BlkpgPartition {
        start: int(start_bytes)?,
        length: int(size_bytes)?,
        pno: i32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        devname: [0; 64],
        volname: [0; 64],
    };
    let arg = ioctl::BlkpgArg {
        op,
        flags: 0,
        datalen: size_of::<ioctl::BlkpgPartition>() as i32,
        data: (&raw mut part).cast(),
    };
    // SAFETY: `arg` and the `part` it points to live until after the call, and
    // `datalen` is the size of `part`.
    #[expect(unsafe_code, reason = "ioctl")]
    unsafe { ioctl::blkpg(file.as_raw_fd(), &arg) }?;
    Ok(())
}

/// Tell the kernel about a new partition of a disk in use. Its GPT name is
/// unknown to the kernel until the table is read again.
///
/// # Errors
/// [`BlockError`].
pub fn add_partition(disk: &Path, number: u32, start_bytes: u64, size_bytes: u64) -> Result<(), BlockError> {
    blkpg(disk, ADD, number, start_bytes, size_bytes).map_err(err("add a partition to", disk))
}

/// Tell the kernel about the new size of a partition in use.
///
/// # Errors
/// [`BlockError`].
pub fn resize_partition(disk: &Path, number: u32, start_bytes: u64, size_bytes: u64) -> Result<(), BlockError> {
    blkpg(disk, RESIZE, number, start_bytes, size_bytes).map_err(err("resize a partition of", disk))
}

/// Drop what the page cache holds of a block device, after writing it back.
///
/// # Errors
/// [`BlockError`].
pub fn flush(device: &Path) -> Result<(), BlockError> {
    let file = OpenOptions::new().read(true).write(true).open(device).map_err(err("open", device))?;
    file.sync_all().map_err(err("fsync", device))?;
    if file.metadata().map_err(err("fsync", device))?.is_file() {
        return Ok(());
    }
    // SAFETY: BLKFLSBUF takes no argument.
    #[expect(unsafe_code, reason = "ioctl")]
    unsafe { ioctl::flush_buffers(file.as_raw_fd()) }.map_err(|e| err("flush", device)(e.into()))?;
    Ok(())
}

/// Grow the mounted ext4 that holds `mount_point` to `blocks` file system
/// blocks (`EXT4_IOC_RESIZE_FS`).
///
/// # Errors
/// [`BlockError`].
pub fn grow_ext4_online(mount_point: &Path, blocks: u64) -> Result<(), BlockError> {
    let dir = File::open(mount_point).map_err(err("open", mount_point))?;
    // SAFETY: the ioctl reads one u64.
    #[expect(unsafe_code, reason = "ioctl")]
    unsafe { ioctl::ext4_resize(dir.as_raw_fd(), &blocks) }
        .map_err(|e| err("grow the file system at", mount_point)(e.into()))?;
    Ok(())
}

/// Set the label of the mounted file system behind `fd` (`FS_IOC_SETFSLABEL`).
///
/// # Errors
/// The error of the ioctl; labels longer than 16 bytes are refused by ext4.
pub fn set_fs_label(fd: BorrowedFd<'_>, label: &str) -> io::Result<()> {
    let mut buf = [0u8; 256];
    let n = label.len().min(255);
    buf[..n].copy_from_slice(&label.as_bytes()[..n]);
    // SAFETY: the ioctl reads 256 bytes, NUL-terminated.
    #[expect(unsafe_code, reason = "ioctl")]
    unsafe { ioctl::set_fs_label(fd.as_raw_fd(), &buf) }?;
    Ok(())
}

/// The few fields of an ext4 superblock that decisions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext4Super {
    /// Label.
    pub label: String,
    /// Size of the file system in blocks.
    pub blocks: u64,
    /// Size of a block in bytes.
    pub block_bytes: u64,
    /// `s_state` has `VALID_FS` and not `ERROR_FS`.
    pub clean: bool,
    /// It counts what projects take: features `quota` and `project`.
    pub project_quota: bool,
}

impl Ext4Super {
    /// Size of the file system in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_bytes)
    }

    /// Parse the 1024 bytes of a superblock; `None` if it is none.
    /// Source: Linux `Documentation/filesystems/ext4/super.rst`.
    pub fn parse(b: &[u8]) -> Option<Self> {
        let le16 = |at: usize| Some(u16::from_le_bytes([*b.get(at)?, *b.get(at + 1)?]));
        let le32 = |at: usize| Some(u32::from(le16(at)?) | u32::from(le16(at + 2)?) << 16);
        if le16(0x38)? != 0xef53 {
            return None;
        }
        let log = le32(0x18)?;
        if log > 6 {
            return None;
        }
        /// `INCOMPAT_64BIT`.
        const INCOMPAT_64BIT: u32 = 0x80;
        let high = if le32(0x60)? & INCOMPAT_64BIT != 0 { le32(0x150)? } else { 0 };
        /// `RO_COMPAT_QUOTA` and `RO_COMPAT_PROJECT`.
        const PROJECT_QUOTA: u32 = 0x100 | 0x2000;
        let label = b.get(0x78..0x88)?;
        let label = label.split(|c| *c == 0).next().unwrap_or_default();
        let state = le16(0x3a)?;
        Some(Self {
            label: String::from_utf8_lossy(label).into_owned(),
            blocks: u64::from(high) << 32 | u64::from(le32(0x04)?),
            block_bytes: 1024 << log,
            clean: state & 1 != 0 && state & 2 == 0,
            project_quota: le32(0x64)? & PROJECT_QUOTA == PROJECT_QUOTA,
        })
    }
}

/// Read the primary ext4 superblock of `device`; `None` if there is none.
///
/// # Errors
/// [`BlockError`] if the device cannot be read.
pub fn ext4_super(device: &Path) -> Result<Option<Ext4Super>, BlockError> {
    super_at(device, 1024)
}

/// Read the first backup superblock of an ext4 with 4 KiB blocks (group 1);
/// `None` if there is none, also for a device too small for one.
///
/// # Errors
/// [`BlockError`] if the device cannot be read.
pub fn ext4_backup_super(device: &Path) -> Result<Option<Ext4Super>, BlockError> {
    super_at(device, EXT4_FIRST_BACKUP_BYTES)
}

/// Where the first backup superblock of an ext4 with 4 KiB blocks lies.
pub const EXT4_FIRST_BACKUP_BYTES: u64 = 32768 * 4096;

fn super_at(device: &Path, offset: u64) -> Result<Option<Ext4Super>, BlockError> {
    let file = File::open(device).map_err(err("open", device))?;
    let mut b = [0u8; 1024];
    match file.read_exact_at(&mut b, offset) {
        Ok(()) => Ok(Ext4Super::parse(&b)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(err("read the superblock of", device)(e)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::Command;

    use super::*;

    #[test]
    fn sysfs_partitions() {
        let d = tempfile::tempdir().unwrap();
        let disk = d.path().join("devices/vda");
        let part = disk.join("vda2");
        fs::create_dir_all(&part).unwrap();
        fs::write(disk.join("uevent"), "DEVNAME=vda\nDEVTYPE=disk\n").unwrap();
        fs::write(part.join("uevent"), "DEVNAME=vda2\nPARTN=2\nPARTNAME=skerry-system\n").unwrap();
        for (f, v) in [("partition", "2\n"), ("start", "2048\n"), ("size", "8\n")] {
            fs::write(part.join(f), v).unwrap();
        }
        let class = d.path().join("class");
        fs::create_dir(&class).unwrap();
        std::os::unix::fs::symlink(&disk, class.join("vda")).unwrap();
        std::os::unix::fs::symlink(&part, class.join("vda2")).unwrap();
        let found = partitions_in(&class, Path::new("/dev")).unwrap();
        let expected = Partition {
            device: "/dev/vda2".into(),
            disk: "/dev/vda".into(),
            number: 2,
            start_bytes: 1 << 20,
            size_bytes: 4096,
            name: Some("skerry-system".into()),
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn superblock_of_a_real_ext4() {
        let d = tempfile::tempdir().unwrap();
        let img = d.path().join("ext4.img");
        File::create(&img).unwrap().set_len(200 << 20).unwrap();
        assert_eq!(ext4_super(&img).unwrap(), None);
        let made =
            Command::new("mkfs.ext4").args(["-q", "-b", "4096", "-L", "skerry-data"]).arg(&img).status().unwrap();
        assert!(made.success());
        let sb = ext4_super(&img).unwrap().unwrap();
        assert_eq!(
            (sb.label.as_str(), sb.size_bytes(), sb.block_bytes, sb.clean),
            ("skerry-data", 200 << 20, 4096, true)
        );
        assert_eq!(ext4_backup_super(&img).unwrap().unwrap().label, "skerry-data");
    }

    #[test]
    fn superblock_garbage_is_none() {
        assert_eq!(Ext4Super::parse(&[]), None);
        let mut b = vec![0xff; 1024];
        b[0x38] = 0x53;
        b[0x39] = 0xef;
        assert_eq!(Ext4Super::parse(&b), None, "block size 1024 << 0xffffffff");
    }
}
