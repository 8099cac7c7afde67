//! SYSTEM: ext4 with every object already sealed, made without root.
//!
//! Each object is staged with its Merkle tree and descriptor behind the data;
//! one debugfs script copies the files in, cuts their sizes back and sets the
//! verity flag. What changes between releases is laid down last, so that the
//! front of the image keeps its bytes.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use skerry_formats::{
    ObjectDigest, Sequence,
    index::Role,
    layout::{OBJECTS_DIR, RELEASES_DIR, STAGING_DIR},
};

use super::{ImageError, Tools, inspect, round_up, stable_uuid, verity};
use crate::{commit::SealedObject, tree::model::Origin};

const BLOCK: u64 = 4096;
const JOURNAL_MIB: u64 = 8;
/// mkfs refuses the journal on anything much smaller.
const SIZE_MIB_MIN: u64 = 32;
const INODE_BYTES: u64 = 256;
const BYTES_PER_INODE: u64 = 16384;
/// `EXT4_EXTENTS_FL | EXT4_VERITY_FL`.
const SEALED_FLAGS: u32 = 0x18_0000;
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                        sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum,verity";
/// In place of the host's `/etc/mke2fs.conf`, which must not matter.
const MKE2FS_CONF: &str = "[defaults]\n\tblocksize = 4096\n[fs_types]\n\text4 = {\n\t\tinode_size = 256\n\t}\n\tsmall = {\n\t\tinode_size = 256\n\t}\n\tbig = {\n\t\tinode_size = 256\n\t}\n";
const LABEL: &str = "skerry-system";

/// What SYSTEM holds.
#[derive(Debug)]
pub struct SystemSpec<'a> {
    /// What the UUID is derived from: product and board, not the version.
    pub identity: &'a str,
    /// Size of the image.
    pub size_mib: u64,
    /// Time of every inode, in Unix seconds.
    pub epoch: u64,
    /// Objects of the OS tree and of all app trees, EROFS images included.
    pub objects: &'a BTreeMap<ObjectDigest, SealedObject>,
    /// Sequence of the release.
    pub sequence: Sequence,
    /// Files of the release folder by name, such as `release.json`.
    pub release_files: &'a [(&'a str, &'a [u8])],
}

/// Where the image changes between releases of the same packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemLayout {
    /// Offsets in the image, in bytes, at which to cut compression chunks: end
    /// of the file system's own metadata, start of the generated objects.
    pub cuts: Vec<u64>,
}

/// Make the image at `out`; `work` is an empty scratch folder.
///
/// # Errors
/// Objects that do not fit or do not have their digest, and failures of
/// mkfs.ext4, debugfs or e2fsck.
pub fn build(spec: &SystemSpec<'_>, tools: &dyn Tools, work: &Path, out: &Path) -> Result<SystemLayout, ImageError> {
    let order = in_order(spec.objects);
    let staged = stage_objects(&order, work)?;
    check_size(spec, &staged)?;
    let maker = Maker {
        tools,
        work,
        out,
        epoch: spec.epoch.to_string(),
        uuid: stable_uuid(&format!("{} system", spec.identity)),
    };
    maker.mkfs(spec.size_mib)?;
    let script = script(spec, &order, &staged, work)?;
    let mut cuts = maker.debugfs(&script)?;
    cuts.extend(backup_cuts(spec.size_mib));
    maker.fsck()?;
    check_result(spec, out)?;
    Ok(SystemLayout { cuts })
}

/// Around the copies of the superblock and group descriptors, which change with
/// every release: groups 1 and the powers of 3, 5 and 7 (`sparse_super`).
fn backup_cuts(size_mib: u64) -> Vec<u64> {
    const GROUP: u64 = 128 << 20;
    let groups = [1, 3, 5, 7, 9, 25, 27, 49, 81];
    groups
        .into_iter()
        .map(|g| g * GROUP)
        .take_while(|at| *at < size_mib << 20)
        .flat_map(|at| [at, at + (1 << 20)])
        .collect()
}

/// Objects of unchanged packages first, generated ones and images last.
fn in_order(objects: &BTreeMap<ObjectDigest, SealedObject>) -> Vec<(&ObjectDigest, &SealedObject)> {
    let mut order: Vec<_> = objects.iter().filter(|(_, o)| o.role != Role::Uki).collect();
    order.sort_by_key(|(digest, o)| (class(o), package(o), &o.path, *digest));
    order
}

fn class(object: &SealedObject) -> u8 {
    match (&object.role, &object.origin) {
        (Role::Erofs | Role::Uki, _) => 4,
        (_, Origin::Package { .. }) => 0,
        (_, Origin::Runtime { .. }) => 1,
        (_, Origin::App { .. }) => 2,
        (_, Origin::Spec { .. } | Origin::Builder { .. }) => 3,
    }
}

fn package(object: &SealedObject) -> &str {
    match &object.origin {
        Origin::Package { name, .. } | Origin::Runtime { name } | Origin::App { name } => name,
        Origin::Spec { .. } | Origin::Builder { .. } => "",
    }
}

/// An object on the host with its metadata behind it.
struct Staged {
    path: PathBuf,
    size_bytes: u64,
    /// Bytes that it takes in the image.
    allocated: u64,
}

fn stage_objects(order: &[(&ObjectDigest, &SealedObject)], work: &Path) -> Result<Vec<Staged>, ImageError> {
    let folder = work.join("stage");
    fs::create_dir_all(&folder).map_err(ImageError::io("making", &folder))?;
    order
        .par_iter()
        .map(|(digest, object)| {
            let path = folder.join(digest.to_hex());
            let data = object.content.read().map_err(ImageError::io("reading the content of", object.path.as_ref()))?;
            let meta = verity::metadata(&data);
            if meta.digest != **digest {
                return Err(ImageError::Digest { named: digest.to_hex(), measured: meta.digest.to_hex() });
            }
            let write = || {
                let file = File::create(&path)?;
                file.set_permissions(fs::Permissions::from_mode(0o644))?;
                file.write_all_at(&data, 0)?;
                file.write_all_at(&meta.bytes, meta.offset)
            };
            write().map_err(ImageError::io("staging an object at", &path))?;
            let allocated = round_up(data.len() as u64, BLOCK) + round_up(meta.bytes.len() as u64, BLOCK);
            Ok(Staged { path, size_bytes: data.len() as u64, allocated })
        })
        .collect()
}

fn check_size(spec: &SystemSpec<'_>, staged: &[Staged]) -> Result<(), ImageError> {
    let objects: u64 = staged.iter().map(|s| s.allocated).sum();
    let release: u64 = spec.release_files.iter().map(|(_, b)| round_up(b.len() as u64, BLOCK)).sum();
    let folders = 300 * BLOCK;
    // 64 MiB of image need 1 MiB of inode tables and a little more.
    let own = JOURNAL_MIB + 2 + spec.size_mib * INODE_BYTES / BYTES_PER_INODE + spec.size_mib / 256;
    let need_mib = ((objects + release + folders).div_ceil(1 << 20) + own).max(SIZE_MIB_MIN);
    if need_mib > spec.size_mib {
        return Err(ImageError::TooSmall {
            what: "SYSTEM",
            key: "system_image_mib",
            need_mib,
            have_mib: spec.size_mib,
        });
    }
    Ok(())
}

fn script(
    spec: &SystemSpec<'_>,
    order: &[(&ObjectDigest, &SealedObject)],
    staged: &[Staged],
    work: &Path,
) -> Result<String, ImageError> {
    let mut s = Script { text: String::new(), epoch: spec.epoch };
    s.folder(OBJECTS_DIR);
    (0..=255).for_each(|i| s.folder(&format!("{OBJECTS_DIR}/{i:02x}")));
    s.folder(STAGING_DIR);
    s.folder(RELEASES_DIR);
    let release = format!("{RELEASES_DIR}/{}", spec.sequence.padded());
    s.folder(&release);
    let generated = order.iter().position(|(_, o)| class(o) > 2);
    for (i, ((digest, _), staged)) in order.iter().zip(staged).enumerate() {
        let path = format!("{OBJECTS_DIR}/{}", digest.object_path());
        s.file(&staged.path, &path);
        let _ = writeln!(s.text, "sif {path} size {}\nsif {path} flags {SEALED_FLAGS:#x}", staged.size_bytes);
        if i == 0 || Some(i) == generated {
            let _ = writeln!(s.text, "bmap {path} 0");
        }
    }
    for (i, (name, bytes)) in spec.release_files.iter().enumerate() {
        let host = work.join(format!("release-{i}"));
        let write =
            || fs::write(&host, bytes).and_then(|()| fs::set_permissions(&host, fs::Permissions::from_mode(0o644)));
        write().map_err(ImageError::io("staging a release file at", &host))?;
        s.file(&host, &format!("{release}/{name}"));
    }
    // The root and lost+found were made by mkfs.
    s.times("/");
    s.times("/lost+found");
    Ok(s.text)
}

/// debugfs commands.
struct Script {
    text: String,
    epoch: u64,
}

impl Script {
    fn folder(&mut self, path: &str) {
        let _ = writeln!(self.text, "mkdir {path}");
        self.owner_and_times(path);
    }

    fn file(&mut self, host: &Path, path: &str) {
        let _ = writeln!(self.text, "write {} {path}", quoted(host));
        self.owner_and_times(path);
    }

    fn owner_and_times(&mut self, path: &str) {
        let _ = writeln!(self.text, "sif {path} uid 0\nsif {path} gid 0");
        self.times(path);
    }

    fn times(&mut self, path: &str) {
        for field in ["atime", "ctime", "mtime", "crtime"] {
            let _ = writeln!(self.text, "sif {path} {field} @{}", self.epoch);
        }
    }
}

/// debugfs splits at white space; quotes inside quotes are doubled.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('"', "\"\""))
}

struct Maker<'a> {
    tools: &'a dyn Tools,
    work: &'a Path,
    out: &'a Path,
    epoch: String,
    uuid: String,
}

impl Maker<'_> {
    fn mkfs(&self, size_mib: u64) -> Result<(), ImageError> {
        let io = |e| ImageError::io("making the SYSTEM image", self.out)(e);
        File::create(self.out).and_then(|f| f.set_len(size_mib << 20)).map_err(io)?;
        let extended = format!("root_owner=0:0,lazy_itable_init=1,nodiscard,hash_seed={}", self.uuid);
        let (journal, inode, ratio) =
            (format!("size={JOURNAL_MIB}"), INODE_BYTES.to_string(), BYTES_PER_INODE.to_string());
        let out = self.out.display().to_string();
        let args = [
            "-q", "-F", "-t", "ext4", "-b", "4096", "-I", &inode, "-i", &ratio, "-m", "0", "-J", &journal, "-O",
            FEATURES, "-U", &self.uuid, "-L", LABEL, "-E", &extended, &out,
        ];
        self.run("mkfs.ext4", &args).map(drop)
    }

    /// Run the script; the answers of `bmap` become byte offsets.
    fn debugfs(&self, script: &str) -> Result<Vec<u64>, ImageError> {
        let file = self.work.join("debugfs-script");
        fs::write(&file, script).map_err(ImageError::io("writing", &file))?;
        let out = self.out.display().to_string();
        let output = self.run("debugfs", &["-w", "-f", &file.display().to_string(), &out])?;
        // debugfs goes on after errors and ends with 0.
        let errors = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<_> = errors.lines().filter(|l| !l.starts_with("debugfs 1.") && !l.trim().is_empty()).collect();
        if let Some(first) = errors.first() {
            return Err(self.failed("debugfs", format!("{first} ({} messages)", errors.len())));
        }
        let stdout = String::from_utf8_lossy(&output.stdout);
        let mut lines = stdout.lines();
        let mut cuts = Vec::new();
        while let Some(line) = lines.next() {
            if line.contains("bmap ") {
                let answer = lines.next().unwrap_or_default().trim();
                let block: u64 = answer.parse().map_err(|_| self.failed("debugfs", format!("bmap said {answer:?}")))?;
                cuts.push(block * BLOCK);
            }
        }
        Ok(cuts)
    }

    fn fsck(&self) -> Result<(), ImageError> {
        self.run("e2fsck", &["-f", "-n", &self.out.display().to_string()]).map(drop)
    }

    fn run(&self, program: &'static str, args: &[&str]) -> Result<std::process::Output, ImageError> {
        let conf = self.work.join("mke2fs.conf");
        fs::write(&conf, MKE2FS_CONF).map_err(ImageError::io("writing", &conf))?;
        let conf = conf.display().to_string();
        let env = [
            ("SOURCE_DATE_EPOCH", self.epoch.as_str()),
            ("E2FSPROGS_FAKE_TIME", self.epoch.as_str()),
            ("MKE2FS_DETERMINISTIC", "1"),
            ("MKE2FS_CONFIG", conf.as_str()),
            ("LC_ALL", "C"),
        ];
        let output = self.tools.run(program, args, &env).map_err(|e| self.failed(program, e.to_string()))?;
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            let tail: Vec<_> = text.lines().rev().take(5).collect();
            return Err(self.failed(
                program,
                format!("{}: {}", output.status, tail.into_iter().rev().collect::<Vec<_>>().join("; ")),
            ));
        }
        Ok(output)
    }

    fn failed(&self, program: &'static str, detail: String) -> ImageError {
        ImageError::Tool { program, path: self.out.into(), detail }
    }
}

/// Every object is there with its size. Digests were checked while staging.
fn check_result(spec: &SystemSpec<'_>, out: &Path) -> Result<(), ImageError> {
    let system = inspect::System::open(File::open(out).map_err(ImageError::io("opening", out))?)?;
    for (digest, object) in spec.objects.iter().filter(|(_, o)| o.role != Role::Uki) {
        let path = format!("{OBJECTS_DIR}/{}", digest.object_path());
        let size = system.size_of(&path)?;
        if size != object.content.size_bytes() {
            return Err(ImageError::unreadable("SYSTEM image", format!("/{path} has {size} bytes")));
        }
    }
    Ok(())
}
