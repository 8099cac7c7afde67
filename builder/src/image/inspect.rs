//! Read a disk image back, compressed or not, without root and without
//! mounting: what `verify` and `inspect` work on. The bytes are not trusted.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt as _,
    path::Path,
};

use ext4_view::{Ext4, Ext4Read};
use gpt::{GptConfig, disk::LogicalBlockSize};
use skerry_formats::{
    ObjectDigest,
    digest::FsVerityHasher,
    layout::{OBJECTS_DIR, PART_ESP, PART_SYSTEM},
};

use super::{
    ImageError, Window,
    disk::{is_zero, read_full},
};

/// Largest disk image that is unpacked.
const DISK_BYTES_MAX: u64 = 64 << 30;
/// Largest file of the ESP that is read.
const ESP_FILE_BYTES_MAX: u64 = 1 << 30;
const DEPTH_MAX: usize = 16;

/// An open disk image.
pub struct DiskContents {
    /// Files of the ESP by path, without a leading `/`.
    pub esp: BTreeMap<String, Vec<u8>>,
    /// The SYSTEM file system.
    pub system: System,
}

/// Open `disk.img` or `disk.img.zst`.
///
/// # Errors
/// [`ImageError`] for anything but a disk image with an ESP and SYSTEM.
pub fn open(path: &Path) -> Result<DiskContents, ImageError> {
    let io = |e| ImageError::io("reading", path)(e);
    let mut file = File::open(path).map_err(io)?;
    let mut magic = [0; 4];
    let n = read_full(&mut file, &mut magic).map_err(io)?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    if magic[..n] == 0xFD2F_B528_u32.to_le_bytes() {
        file = unpack(file).map_err(|e| ImageError::unreadable("compressed disk image", e))?;
    }
    open_raw(file)
}

fn open_raw(file: File) -> Result<DiskContents, ImageError> {
    let bad = |e: &dyn std::fmt::Display| ImageError::unreadable("partition table", e);
    let gpt = GptConfig::new()
        .writable(false)
        .logical_block_size(LogicalBlockSize::Lb512)
        .only_valid_headers(true)
        .open_from_device(&file)
        .map_err(|e| bad(&e))?;
    let window = |name: &'static str| -> Result<Window<File>, ImageError> {
        let part =
            gpt.partitions().values().find(|p| p.name == name).ok_or_else(|| bad(&format!("no partition {name}")))?;
        let start = part.bytes_start(LogicalBlockSize::Lb512).map_err(|e| bad(&e))?;
        let len = part.bytes_len(LogicalBlockSize::Lb512).map_err(|e| bad(&e))?;
        Ok(Window::new(file.try_clone().map_err(|e| bad(&e))?, start, len))
    };
    let esp = read_esp(window(PART_ESP)?).map_err(|e| ImageError::unreadable("EFI system partition", e))?;
    let system = System::from_reader(Box::new(Ext4Window(window(PART_SYSTEM)?)))?;
    Ok(DiskContents { esp, system })
}

/// Unpack into an unnamed sparse file.
fn unpack(packed: File) -> std::io::Result<File> {
    let mut reader = zstd::Decoder::new(packed)?;
    let file = tempfile::tempfile()?;
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let n = read_full(&mut reader, &mut buf)?;
        if n == 0 {
            break;
        }
        for (i, part) in buf[..n].chunks(64 << 10).enumerate().filter(|(_, p)| !is_zero(p)) {
            file.write_all_at(part, at + (i as u64) * (64 << 10))?;
        }
        at += n as u64;
        if at > DISK_BYTES_MAX {
            return Err(std::io::Error::other(format!("it unpacks to more than {DISK_BYTES_MAX} bytes")));
        }
    }
    file.set_len(at)?;
    Ok(file)
}

fn read_esp(window: Window<File>) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let fs = fatfs::FileSystem::new(ReadOnly(window), fatfs::FsOptions::new())?;
    let mut files = BTreeMap::new();
    let mut folders = vec![(String::new(), fs.root_dir(), 0)];
    while let Some((prefix, dir, depth)) = folders.pop() {
        if depth > DEPTH_MAX {
            return Err(std::io::Error::other("folders are nested too deeply"));
        }
        for entry in dir.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name == "." || name == ".." {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.is_dir() {
                folders.push((format!("{path}/"), entry.to_dir(), depth + 1));
            } else {
                let mut bytes = Vec::new();
                entry.to_file().take(ESP_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
                files.insert(path, bytes);
            }
        }
    }
    Ok(files)
}

/// fatfs wants to write; nothing here does.
struct ReadOnly(Window<File>);

impl Read for ReadOnly {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}

impl Seek for ReadOnly {
    fn seek(&mut self, pos: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(pos)
    }
}

impl Write for ReadOnly {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The SYSTEM file system, read-only.
pub struct System {
    fs: Ext4,
}

/// A regular file of SYSTEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFile {
    /// Path without a leading `/`.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// An object in the image and what its content says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectCheck {
    /// Digest it is named by.
    pub named: ObjectDigest,
    /// fs-verity digest of its content.
    pub measured: ObjectDigest,
    /// Size in bytes.
    pub size_bytes: u64,
}

impl System {
    /// Open an image of SYSTEM alone.
    ///
    /// # Errors
    /// It is no ext4 file system that can be read.
    pub fn open(file: File) -> Result<Self, ImageError> {
        Self::from_reader(Box::new(file))
    }

    fn from_reader(reader: Box<dyn Ext4Read>) -> Result<Self, ImageError> {
        Ok(Self { fs: Ext4::load(reader).map_err(unreadable)? })
    }

    /// Size of a file.
    ///
    /// # Errors
    /// There is no such file.
    pub fn size_of(&self, path: &str) -> Result<u64, ImageError> {
        let meta = self.fs.symlink_metadata(format!("/{path}").as_str());
        meta.map(|m| m.len()).map_err(|e| ImageError::unreadable("SYSTEM", format!("/{path}: {e}")))
    }

    /// Content of a file.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ImageError> {
        let bytes = self.fs.read(format!("/{path}").as_str());
        bytes.map_err(|e| ImageError::unreadable("SYSTEM", format!("/{path}: {e}")))
    }

    /// All regular files in path order.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn files(&self) -> Result<Vec<SystemFile>, ImageError> {
        let mut files = Vec::new();
        let mut folders = vec![(String::new(), 0)];
        while let Some((prefix, depth)) = folders.pop() {
            if depth > DEPTH_MAX {
                return Err(ImageError::unreadable("SYSTEM", "folders are nested too deeply"));
            }
            for entry in self.fs.read_dir(format!("/{prefix}").as_str()).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let name = entry.file_name();
                let name = name.as_str().map_err(|e| ImageError::unreadable("SYSTEM", e))?;
                if name == "." || name == ".." {
                    continue;
                }
                let meta = entry.metadata().map_err(unreadable)?;
                if meta.is_dir() {
                    folders.push((format!("{prefix}{name}/"), depth + 1));
                } else {
                    files.push(SystemFile { path: format!("{prefix}{name}"), size_bytes: meta.len() });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Measure every object of the image. It is the caller's to compare
    /// `named` with `measured` and the list with the release's index.
    ///
    /// # Errors
    /// An object cannot be read or has no digest as its name.
    pub fn measure_objects(&self, mut seen: impl FnMut(u64)) -> Result<Vec<ObjectCheck>, ImageError> {
        let mut checks = Vec::new();
        for file in self.files()? {
            let Some(name) = file.path.strip_prefix(OBJECTS_DIR).and_then(|p| p.strip_prefix('/')) else { continue };
            let named = name.split_once('/').and_then(|(d, f)| ObjectDigest::from_object_path(d, f).ok());
            let named = named
                .ok_or_else(|| ImageError::unreadable("SYSTEM", format!("/{} is not named by a digest", file.path)))?;
            let measured = self.measure(&file.path)?;
            seen(file.size_bytes);
            checks.push(ObjectCheck { named, measured, size_bytes: file.size_bytes });
        }
        Ok(checks)
    }

    fn measure(&self, path: &str) -> Result<ObjectDigest, ImageError> {
        let bad = |e| ImageError::unreadable("SYSTEM", format!("/{path}: {e}"));
        let mut file = self.fs.open(format!("/{path}").as_str()).map_err(bad)?;
        let mut hasher = FsVerityHasher::new();
        let mut buf = vec![0; 1 << 20];
        loop {
            match file.read_bytes(&mut buf).map_err(bad)? {
                0 => return Ok(hasher.finish()),
                n => hasher.update(&buf[..n]),
            }
        }
    }
}

fn unreadable(e: ext4_view::Ext4Error) -> ImageError {
    ImageError::unreadable("SYSTEM", e)
}

struct Ext4Window(Window<File>);

impl Ext4Read for Ext4Window {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        self.0.seek(SeekFrom::Start(start_byte))?;
        self.0.read_exact(dst)?;
        Ok(())
    }
}
