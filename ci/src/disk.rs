//! Surgery on the disk of a node whose power is off: find the blocks of a file
//! on SYSTEM, flip a byte, fill the file system. Nothing is mounted.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use skerry_formats::{
    ObjectDigest,
    layout::{self, UkiName},
};

use crate::tools::run;

/// Block size of SYSTEM.
const BLOCK_BYTES: u64 = 4096;
const SECTOR_BYTES: u64 = 512;

/// SYSTEM on a raw disk.
#[derive(Debug, Clone)]
pub struct System {
    disk: PathBuf,
    offset: u64,
}

impl System {
    /// Find it by its GPT name. A journal that a power cut left is replayed.
    ///
    /// # Errors
    /// If there is none, or it cannot be repaired.
    pub fn open(disk: &Path) -> Result<Self> {
        let table = gpt::GptConfig::new()
            .writable(false)
            .only_valid_headers(false)
            .open(disk)
            .context("reading the partition table")?;
        let part =
            table.partitions().values().find(|p| p.name == layout::PART_SYSTEM).context("no SYSTEM partition")?;
        let system = System { disk: disk.to_owned(), offset: part.first_lba * SECTOR_BYTES };
        system.check(part.last_lba * SECTOR_BYTES + SECTOR_BYTES - system.offset)?;
        Ok(system)
    }

    /// Replay the journal, on a copy: e2fsck forgets the offset when it opens
    /// the file system again after that.
    fn check(&self, size_bytes: u64) -> Result<()> {
        let copy = self.disk.with_extension("system");
        let mut disk = OpenOptions::new().read(true).write(true).open(&self.disk).context("opening the disk")?;
        disk.seek(SeekFrom::Start(self.offset))?;
        let mut file = File::create(&copy).with_context(|| format!("making {}", copy.display()))?;
        io::copy(&mut Read::by_ref(&mut disk).take(size_bytes), &mut file).context("copying SYSTEM out")?;
        // 1: errors were corrected, which is what a power cut leaves.
        let code = Command::new("e2fsck").arg("-fy").arg(&copy).output().context("starting e2fsck")?.status.code();
        ensure!(matches!(code, Some(0 | 1)), "e2fsck of SYSTEM ended with {code:?}");
        disk.seek(SeekFrom::Start(self.offset))?;
        io::copy(&mut File::open(&copy)?, &mut disk).context("copying SYSTEM back")?;
        std::fs::remove_file(&copy).context("removing the copy")
    }

    /// Name of the file system for e2fsprogs.
    fn device(&self) -> String {
        format!("{}?offset={}", self.disk.display(), self.offset)
    }

    fn debugfs(&self, request: &str, write: bool) -> Result<String> {
        let mut command = Command::new("debugfs");
        if write {
            command.arg("-w");
        }
        run(command.arg("-R").arg(request).arg(self.device()))
    }

    /// Path of an object.
    pub fn object(digest: &ObjectDigest) -> String {
        let hex = digest.to_string();
        format!("/{}/{}/{}", layout::OBJECTS_DIR, &hex[..2], &hex[2..])
    }

    /// Flip one bit in the middle of the data of `file`, under the file system.
    ///
    /// # Errors
    /// If the file is not there or has no blocks.
    pub fn flip(&self, file: &str) -> Result<()> {
        let blocks = self.debugfs(&format!("blocks {file}"), false)?;
        let blocks: Vec<u64> = blocks.split_whitespace().filter_map(|b| b.parse().ok()).collect();
        let size = self.size(file)?;
        let data_blocks = size.div_ceil(BLOCK_BYTES) as usize;
        ensure!(blocks.len() >= data_blocks && data_blocks > 0, "{file} has {} blocks for {size} bytes", blocks.len());
        let middle = size / 2;
        let block = blocks[(middle / BLOCK_BYTES) as usize];
        let at = self.offset + block * BLOCK_BYTES + middle % BLOCK_BYTES;
        let disk = OpenOptions::new().read(true).write(true).open(&self.disk).context("opening the disk")?;
        let mut byte = [0u8];
        disk.read_exact_at(&mut byte, at)?;
        disk.write_all_at(&[byte[0] ^ 0x10], at)?;
        Ok(())
    }

    fn size(&self, file: &str) -> Result<u64> {
        let text = self.debugfs(&format!("stat {file}"), false)?;
        let size = text.split("Size:").nth(1).and_then(|t| t.split_whitespace().next()).and_then(|t| t.parse().ok());
        size.with_context(|| format!("no size of {file}: {text}"))
    }

    /// Free bytes.
    ///
    /// # Errors
    /// If the file system cannot be read.
    pub fn free_bytes(&self) -> Result<u64> {
        let text = self.debugfs("stats -h", false)?;
        let free = text.lines().find_map(|l| l.strip_prefix("Free blocks:")).and_then(|v| v.trim().parse::<u64>().ok());
        Ok(free.with_context(|| format!("no count of free blocks: {text}"))? * BLOCK_BYTES)
    }

    /// Put a file of `bytes` at `/NAME`.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn fill(&self, name: &str, bytes: u64) -> Result<()> {
        // debugfs ends well even if it runs out of space in the middle.
        let free = self.free_bytes()?;
        ensure!(bytes <= free, "{bytes} bytes do not fit into {free}");
        let ballast = tempfile::NamedTempFile::new()?;
        // Not zeros: debugfs would leave holes.
        let block = [0xa5u8; 1 << 16];
        for at in (0..bytes).step_by(block.len()) {
            ballast.as_file().write_all_at(&block[..block.len().min((bytes - at) as usize)], at)?;
        }
        self.debugfs(&format!("write {} {name}", ballast.path().display()), true)?;
        let size = self.size(&format!("/{name}"))?;
        ensure!(size == bytes, "the ballast has {size} bytes, not {bytes}");
        Ok(())
    }

    /// Remove `/NAME`.
    ///
    /// # Errors
    /// If debugfs fails.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.debugfs(&format!("rm {name}"), true).map(drop)
    }
}

/// The boot entries on the ESP.
///
/// # Errors
/// If there is no ESP or it cannot be read.
pub fn boot_entries(disk: &Path) -> Result<Vec<UkiName>> {
    let table = gpt::GptConfig::new()
        .writable(false)
        .only_valid_headers(false)
        .open(disk)
        .context("reading the partition table")?;
    let part = table.partitions().values().find(|p| p.name == layout::PART_ESP).context("no ESP")?;
    let image = format!("{}@@{}", disk.display(), part.first_lba * SECTOR_BYTES);
    let listing = run(Command::new("mdir").args(["-b", "-i", &image]).arg(format!("::/{}", layout::ESP_UKI_DIR)))?;
    Ok(listing.lines().filter_map(|l| UkiName::parse(l.trim().rsplit('/').next()?)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    /// A disk with a SYSTEM of 16 MiB that holds `/objects/file`.
    fn disk(dir: &Path, content: &[u8]) -> PathBuf {
        let disk = dir.join("disk.img");
        let tree = dir.join("tree/objects");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("file"), content).unwrap();
        let file = std::fs::File::create(&disk).unwrap();
        file.set_len(24 << 20).unwrap();
        let mut table = gpt::GptConfig::new().writable(true).create(&disk).unwrap();
        table.update_partitions(BTreeMap::new()).unwrap();
        table.add_partition(layout::PART_SYSTEM, 16 << 20, gpt::partition_types::LINUX_FS, 0, None).unwrap();
        let first = table.partitions().values().next().unwrap().first_lba;
        table.write().unwrap();
        let offset = format!("offset={}", first * SECTOR_BYTES);
        run(Command::new("mkfs.ext4")
            .args(["-q", "-b", "4096", "-E", &offset, "-d"])
            .arg(dir.join("tree"))
            .arg(&disk)
            .arg("16384k"))
        .unwrap();
        disk
    }

    #[test]
    fn one_bit_in_the_middle_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..50_000u32).map(|i| (i % 251) as u8).collect();
        let disk = disk(dir.path(), &content);
        let system = System::open(&disk).unwrap();
        system.flip("/objects/file").unwrap();
        let out = dir.path().join("out");
        system.debugfs(&format!("dump /objects/file {}", out.display()), false).unwrap();
        let now = std::fs::read(out).unwrap();
        let changed: Vec<usize> = (0..content.len()).filter(|i| now[*i] != content[*i]).collect();
        assert_eq!(changed, [25_000]);
        assert!(system.flip("/objects/none").is_err());
    }

    #[test]
    fn filling_takes_the_space_and_removing_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let system = System::open(&disk(dir.path(), b"x")).unwrap();
        let free = system.free_bytes().unwrap();
        system.fill("ballast", 4 << 20).unwrap();
        assert!(system.free_bytes().unwrap() <= free - (4 << 20));
        system.remove("ballast").unwrap();
        assert!(system.free_bytes().unwrap() > free - (64 << 10));
        assert!(system.fill("ballast", 64 << 20).is_err());
    }
}
