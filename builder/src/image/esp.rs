//! The EFI system partition: FAT32 with systemd-boot and the UKIs.
//!
//! Written in one pass, every file in one piece, because the bytes must depend
//! on nothing but the files. (The crate `fatfs`, which reads it back, writes
//! folders that `fsck.vfat` complains about.) All times are 1980-01-01, the
//! first that FAT knows: a file's time on the ESP means nothing to anyone.
//!
//! Source: Microsoft "FAT32 File System Specification" 1.03.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Seek, SeekFrom, Write},
};

use super::ImageError;

/// systemd-boot's configuration: start the newest entry at once.
pub const LOADER_CONF: &str = "timeout 0\nconsole-mode keep\neditor no\nauto-firmware no\n";
const LABEL: &[u8; 11] = b"SKERRY-ESP ";
/// FAT32 needs more clusters than smaller volumes have.
const MIB_MIN: u64 = 36;
const SECTOR: u64 = 512;
const RESERVED_SECTORS: u64 = 32;
const FATS: u64 = 2;
const ROOT_CLUSTER: u32 = 2;
const END_OF_CHAIN: u32 = 0x0FFF_FFFF;
const ENTRY: usize = 32;
const ATTR_LABEL: u8 = 0x08;
const ATTR_DIR: u8 = 0x10;
const ATTR_FILE: u8 = 0x20;
const ATTR_LONG_NAME: u8 = 0x0F;
/// 1980-01-01.
const DATE: [u8; 2] = 0x0021u16.to_le_bytes();

/// One file of the ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EspFile<'a> {
    /// Path with `/`, such as `EFI/BOOT/BOOTX64.EFI`; ASCII.
    pub path: String,
    /// Content.
    pub bytes: &'a [u8],
}

/// Make the file system on `partition`, which must be `size_mib` of zeros.
/// Files are laid down in the order given. `volume_id` must be stable.
///
/// # Errors
/// Files that do not fit, or errors of the device.
pub fn build<P: Write + Seek>(
    mut partition: P,
    size_mib: u64,
    volume_id: u32,
    files: &[EspFile<'_>],
) -> Result<(), ImageError> {
    let geometry = Geometry::new(size_mib);
    let tree = Folders::new(files).map_err(|detail| ImageError::unreadable("EFI system partition", detail))?;
    let plan = Plan::new(&geometry, &tree, files);
    let used = u64::from(plan.next) * geometry.cluster_bytes() + geometry.data_start();
    let need_mib = used.div_ceil(1 << 20).max(MIB_MIN);
    if size_mib < need_mib || plan.next > geometry.clusters + ROOT_CLUSTER {
        return Err(ImageError::TooSmall {
            what: "the EFI system partition",
            key: "esp_mib",
            need_mib,
            have_mib: size_mib,
        });
    }
    write(&mut partition, &geometry, volume_id, &tree, &plan, files)
        .map_err(ImageError::io("writing the EFI system partition of", "disk.img".as_ref()))
}

fn write<P: Write + Seek>(
    out: &mut P,
    geometry: &Geometry,
    volume_id: u32,
    tree: &Folders<'_>,
    plan: &Plan<'_>,
    files: &[EspFile<'_>],
) -> io::Result<()> {
    let mut put = |at: u64, bytes: &[u8]| out.seek(SeekFrom::Start(at)).and_then(|_| out.write_all(bytes));
    let (boot, info) = (geometry.boot_sector(volume_id), geometry.info_sector(plan.next));
    for base in [0, 6] {
        put(base * SECTOR, &boot)?;
        put((base + 1) * SECTOR, &info)?;
    }
    for i in 0..FATS {
        put((RESERVED_SECTORS + i * geometry.fat_sectors) * SECTOR, &plan.fat)?;
    }
    for (path, start) in &plan.folders {
        put(geometry.cluster_start(*start), &tree.folder_bytes(path, plan, files))?;
    }
    for (file, start) in files.iter().zip(&plan.files) {
        put(geometry.cluster_start(*start), file.bytes)?;
    }
    out.flush()
}

/// Sizes that follow from the size of the volume.
struct Geometry {
    sectors: u64,
    cluster_sectors: u64,
    fat_sectors: u64,
    clusters: u32,
}

impl Geometry {
    fn new(size_mib: u64) -> Self {
        let sectors = size_mib * 2048;
        let cluster_sectors = if size_mib <= 256 { 1 } else { 8 };
        let fat_sectors = (sectors - RESERVED_SECTORS).div_ceil((256 * cluster_sectors + FATS) / 2);
        let data = sectors.saturating_sub(RESERVED_SECTORS + FATS * fat_sectors);
        Self { sectors, cluster_sectors, fat_sectors, clusters: (data / cluster_sectors) as u32 }
    }

    fn cluster_bytes(&self) -> u64 {
        self.cluster_sectors * SECTOR
    }

    fn data_start(&self) -> u64 {
        (RESERVED_SECTORS + FATS * self.fat_sectors) * SECTOR
    }

    fn cluster_start(&self, cluster: u32) -> u64 {
        self.data_start() + u64::from(cluster.saturating_sub(ROOT_CLUSTER)) * self.cluster_bytes()
    }

    fn boot_sector(&self, volume_id: u32) -> [u8; 512] {
        let mut b = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0xEB, 0x58, 0x90]);
        put(3, b"SKERRY  ");
        put(11, &(SECTOR as u16).to_le_bytes());
        put(13, &[self.cluster_sectors as u8]);
        put(14, &(RESERVED_SECTORS as u16).to_le_bytes());
        put(16, &[FATS as u8]);
        put(21, &[0xF8]); // fixed disk
        put(24, &32u16.to_le_bytes()); // sectors per track
        put(26, &64u16.to_le_bytes()); // heads
        put(32, &(self.sectors as u32).to_le_bytes());
        put(36, &(self.fat_sectors as u32).to_le_bytes());
        put(44, &ROOT_CLUSTER.to_le_bytes());
        put(48, &1u16.to_le_bytes()); // FSInfo sector
        put(50, &6u16.to_le_bytes()); // backup boot sector
        put(64, &[0x80, 0, 0x29]);
        put(67, &volume_id.to_le_bytes());
        put(71, LABEL);
        put(82, b"FAT32   ");
        put(510, &[0x55, 0xAA]);
        b
    }

    fn info_sector(&self, next: u32) -> [u8; 512] {
        let mut b = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"RRaA");
        put(484, b"rrAa");
        put(488, &(self.clusters + ROOT_CLUSTER - next).to_le_bytes());
        put(492, &next.to_le_bytes());
        put(510, &[0x55, 0xAA]);
        b
    }
}

/// Names in a folder, in the order they are written.
enum Child<'a> {
    Folder(&'a str),
    File(usize),
}

/// Every folder by path with its children; the root is "".
struct Folders<'a>(BTreeMap<&'a str, Vec<(&'a str, Child<'a>)>>);

impl<'a> Folders<'a> {
    fn new(files: &'a [EspFile<'_>]) -> Result<Self, String> {
        let mut folders = BTreeMap::from([("", Vec::new())]);
        let mut seen = BTreeSet::new();
        for (i, file) in files.iter().enumerate() {
            let path = file.path.as_str();
            let sane = |n: &str| {
                (1..=255).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_graphic()) && n != "." && n != ".."
            };
            if !path.split('/').all(sane)
                || !seen.insert(path.to_ascii_uppercase())
                || file.bytes.len() as u64 > u64::from(u32::MAX)
            {
                return Err(format!("{path} is a name that FAT cannot hold, or stands twice"));
            }
            for (at, _) in path.match_indices('/') {
                let folder = &path[..at];
                if !folders.contains_key(folder) {
                    let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
                    folders.entry(parent).or_default().push((name, Child::Folder(folder)));
                    folders.insert(folder, Vec::new());
                }
            }
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            folders.entry(parent).or_default().push((name, Child::File(i)));
        }
        Ok(Self(folders))
    }

    fn entries(&self, path: &str) -> usize {
        let names = self.0.get(path).map_or(0, |c| c.iter().map(|(name, _)| 2 + name.len().div_ceil(13)).sum());
        names + 2 // the label, or `.` and `..`
    }

    fn folder_bytes(&self, path: &str, plan: &Plan<'_>, files: &[EspFile<'_>]) -> Vec<u8> {
        let start = |folder: &str| if folder.is_empty() { 0 } else { plan.folders.get(folder).copied().unwrap_or(0) };
        let mut out = Vec::new();
        if path.is_empty() {
            out.extend_from_slice(&entry(LABEL, ATTR_LABEL, 0, 0));
        } else {
            let parent = path.rsplit_once('/').map_or("", |(p, _)| p);
            out.extend_from_slice(&entry(b".          ", ATTR_DIR, start(path), 0));
            out.extend_from_slice(&entry(b"..         ", ATTR_DIR, start(parent), 0));
        }
        let mut aliases = BTreeSet::new();
        for (name, child) in self.0.get(path).into_iter().flatten() {
            let (alias, long) = alias(name, &mut aliases);
            if long {
                out.extend_from_slice(&long_name(name, &alias));
            }
            out.extend_from_slice(&match child {
                Child::Folder(folder) => entry(&alias, ATTR_DIR, start(folder), 0),
                Child::File(i) => {
                    let size = files[*i].bytes.len() as u32;
                    entry(&alias, ATTR_FILE, if size == 0 { 0 } else { plan.files[*i] }, size)
                }
            });
        }
        out
    }
}

/// First cluster of everything, and the allocation table that says so.
struct Plan<'a> {
    folders: BTreeMap<&'a str, u32>,
    files: Vec<u32>,
    /// The used part of the allocation table.
    fat: Vec<u8>,
    /// First free cluster.
    next: u32,
}

impl<'a> Plan<'a> {
    fn new(geometry: &Geometry, tree: &Folders<'a>, files: &[EspFile<'_>]) -> Self {
        let mut plan = Plan { folders: BTreeMap::new(), files: Vec::new(), fat: Vec::new(), next: ROOT_CLUSTER };
        for reserved in [0x0FFF_FFF8, END_OF_CHAIN] {
            plan.fat.extend_from_slice(&u32::to_le_bytes(reserved));
        }
        // "" sorts first: the root gets its fixed cluster.
        for path in tree.0.keys() {
            let start = plan.chain(geometry, (tree.entries(path) * ENTRY) as u64);
            plan.folders.insert(path, start);
        }
        for file in files {
            let start = if file.bytes.is_empty() { 0 } else { plan.chain(geometry, file.bytes.len() as u64) };
            plan.files.push(start);
        }
        plan
    }

    fn chain(&mut self, geometry: &Geometry, bytes: u64) -> u32 {
        let start = self.next;
        let end = start + bytes.div_ceil(geometry.cluster_bytes()) as u32;
        for cluster in start + 1..end {
            self.fat.extend_from_slice(&cluster.to_le_bytes());
        }
        self.fat.extend_from_slice(&END_OF_CHAIN.to_le_bytes());
        self.next = end;
        start
    }
}

fn entry(name: &[u8; 11], attributes: u8, cluster: u32, size: u32) -> [u8; ENTRY] {
    let mut e = [0; ENTRY];
    e[..11].copy_from_slice(name);
    e[11] = attributes;
    for at in [16, 18, 24] {
        e[at..at + 2].copy_from_slice(&DATE);
    }
    e[20..22].copy_from_slice(&cluster.to_le_bytes()[2..]);
    e[26..28].copy_from_slice(&cluster.to_le_bytes()[..2]);
    e[28..].copy_from_slice(&size.to_le_bytes());
    e
}

/// The 8.3 name, and whether a long name must stand before it.
fn alias(name: &str, taken: &mut BTreeSet<[u8; 11]>) -> ([u8; 11], bool) {
    let upper = name.to_ascii_uppercase();
    let (base, ext) = upper.rsplit_once('.').unwrap_or((&upper, ""));
    let plain = |s: &str| {
        s.bytes().filter(|b| b.is_ascii_alphanumeric() || b"_-~".contains(b)).map(char::from).collect::<String>()
    };
    let (short_base, short_ext) = (plain(base), plain(ext));
    let fits = short_base == base && short_ext == ext && (1..=8).contains(&base.len()) && ext.len() <= 3;
    let mut n = 0;
    loop {
        let mut out = [b' '; 11];
        let base = match n {
            0 => short_base.clone(),
            n => {
                let tail = format!("~{n}");
                format!("{}{tail}", &short_base[..short_base.len().min(8 - tail.len())])
            }
        };
        if n > 0 || fits {
            out[..base.len()].copy_from_slice(base.as_bytes());
            let ext = &short_ext.as_bytes()[..short_ext.len().min(3)];
            out[8..8 + ext.len()].copy_from_slice(ext);
            if taken.insert(out) {
                return (out, n > 0 || upper != name);
            }
        }
        n += 1;
    }
}

/// The entries of a long name, last part first.
fn long_name(name: &str, alias: &[u8; 11]) -> Vec<u8> {
    let sum = alias.iter().fold(0u8, |sum, b| sum.rotate_right(1).wrapping_add(*b));
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(13) {
        units.push(0);
        units.resize(units.len().next_multiple_of(13), 0xFFFF);
    }
    let count = units.len() / 13;
    let mut out = Vec::new();
    for (i, part) in units.chunks(13).enumerate().rev() {
        let mut e = [0; ENTRY];
        e[0] = (i + 1) as u8 | if i + 1 == count { 0x40 } else { 0 };
        e[11] = ATTR_LONG_NAME;
        e[13] = sum;
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
        for (at, unit) in places.zip(part) {
            e[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        out.extend_from_slice(&e);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn short_names_are_unique_and_only_upper_case_goes_without_a_long_one() {
        let mut taken = BTreeSet::new();
        let mut short = |name| {
            let (alias, long) = alias(name, &mut taken);
            (String::from_utf8(alias.to_vec()).unwrap(), long)
        };
        assert_eq!(short("BOOTX64.EFI"), ("BOOTX64 EFI".into(), false));
        assert_eq!(short("loader"), ("LOADER     ".into(), true));
        assert_eq!(short("skerry-0000000001.efi"), ("SKERRY~1EFI".into(), true));
        assert_eq!(short("skerry-0000000002+3.efi"), ("SKERRY~2EFI".into(), true));
        assert_eq!(short(".x"), ("~1      X  ".into(), true));
    }

    #[test]
    fn names_that_fat_cannot_hold_are_refused() {
        let build = |paths: &[&str]| {
            let files: Vec<_> = paths.iter().map(|p| EspFile { path: (*p).into(), bytes: b"x" }).collect();
            build(io::Cursor::new(vec![0; 40 << 20]), 40, 1, &files)
        };
        assert!(build(&["EFI/Linux/a.efi", "EFI/BOOT/b"]).is_ok());
        for bad in [&["a b"][..], &["a", "A"], &["a//b"], &["../b"], &["é"], &[""]] {
            assert!(build(bad).is_err(), "{bad:?}");
        }
    }
}
