//! Small synthetic releases for tests: real trees, objects, commits and disk
//! images, only the packages in them are made up.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, OnceLock},
};

use ed25519_dalek::SigningKey;
use skerry_formats::{Sequence, Sha256Digest, cmdline::BootArgs, layout::UkiName};
use skerry_plan::lock::{Archive, Lock, LockedPackage, LockedSuite};

use super::{
    sums,
    write::{AppInput, ReleaseInputs, Statement, TreeInput, write_release},
};
use crate::{
    commit::{self, DigestCache, SealedTree},
    image::{
        self, Tools,
        disk::{self, DiskSpec},
        esp::EspFile,
        system_fs::{self, SystemSpec},
        uki::{self, UkiSections},
    },
    progress::Progress,
    tree::model::{Entry, Origin, Tree},
};

pub(crate) const EPOCH: u64 = 1_790_000_000;
pub(crate) const PRODUCT: &str = "demo";
pub(crate) const BOARD: &str = "x86_64-test";

pub(crate) fn release_key() -> SigningKey {
    SigningKey::from_bytes(&[21; 32])
}

pub(crate) fn foreign_key() -> SigningKey {
    SigningKey::from_bytes(&[22; 32])
}

/// What makes one sample differ from another.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub sequence: u32,
    /// Seed of the changing library.
    pub seed: u8,
    /// Sequence on the UKI's command line, if it is not the right one.
    pub uki_sequence: Option<u32>,
}

impl Sample {
    pub(crate) fn new(sequence: u32) -> Self {
        Self { sequence, seed: sequence as u8, uki_sequence: None }
    }
}

/// Bytes that zstd cannot shrink much.
pub(crate) fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn package(name: &str, version: &str) -> Origin {
    Origin::Package { name: name.into(), version: version.into() }
}

pub(crate) fn os_tree(sample: &Sample) -> Tree {
    let builder = || Origin::Builder { step: "layout".into() };
    let mut tree = Tree::new(builder());
    let version = format!("1.{}", sample.seed);
    tree.insert(
        "usr/lib/libchanging.so",
        Entry::bytes(0o644, noise(sample.seed, 30_000), package("libchanging", &version)),
    );
    tree.insert(
        "usr/lib/libstable.so",
        Entry::bytes(0o644, noise(200, 90_000), package("libstable+x", "1:2.0+deb13u1")),
    );
    tree.insert(
        "usr/bin/skerry-node",
        Entry::bytes(0o755, noise(201, 5_000), Origin::Runtime { name: "skerry-node".into() }),
    );
    tree.insert("usr/lib/skerry/node.json", Entry::bytes(0o644, "{}\n", Origin::Spec { key: "update".into() }));
    tree.insert("etc/os-release", Entry::bytes(0o644, format!("VERSION_ID={}\n", sample.sequence), builder()));
    tree.insert("lib", Entry::symlink("usr/lib", builder()));
    let mut private = Entry::bytes(0o600, noise(202, 200), builder());
    (private.uid, private.gid) = (33, 44);
    private.xattrs.insert("user.note".into(), b"kept".to_vec());
    tree.insert("etc/private", private);
    tree
}

pub(crate) fn app_tree() -> Tree {
    let origin = || Origin::App { name: "hello".into() };
    let mut tree = Tree::new(origin());
    tree.insert("app/hello", Entry::bytes(0o755, noise(203, 40_000), origin()));
    tree.insert(
        "app/shared",
        Entry {
            kind: os_tree(&Sample::new(1)).get("usr/lib/libstable.so").unwrap().kind.clone(),
            ..Entry::dir(origin())
        },
    );
    tree
}

fn locked(name: &str, version: &str) -> LockedPackage {
    LockedPackage {
        name: name.into(),
        version: version.into(),
        arch: "amd64".into(),
        source: format!("src-{name}={version}"),
        size: 10,
        sha256: Sha256Digest::of(name.as_bytes()),
        path: format!("pool/main/x/{name}.deb"),
        suite: "trixie".into(),
        archive: Archive::Main,
        boards: vec![BOARD.into()],
    }
}

pub(crate) fn lock(sample: &Sample) -> Lock {
    let suite = LockedSuite {
        name: "trixie".into(),
        archive: Archive::Main,
        date: EPOCH,
        inrelease_sha256: Sha256Digest([1; 32]),
    };
    let packages = vec![
        locked("libchanging", &format!("1.{}", sample.seed)),
        locked("libstable+x", "1:2.0+deb13u1"),
        locked("linux-image-test", "6.12-1"),
        locked("not-in-the-image", "1"),
    ];
    Lock { version: 1, epoch: EPOCH, suites: vec![suite], packages, tools: vec![] }
}

/// Smallest PE32+ file that sections can be appended to.
fn stub() -> Vec<u8> {
    let mut b = vec![0u8; 0x600];
    b[..2].copy_from_slice(b"MZ");
    b[0x3c] = 0x40;
    b[0x40..0x44].copy_from_slice(b"PE\0\0");
    b[0x46] = 1; // one section
    b[0x54] = 240; // size of the optional header
    b[0x58..0x5a].copy_from_slice(&0x20bu16.to_le_bytes());
    let put = |b: &mut [u8], at: usize, n: u32| b[at..at + 4].copy_from_slice(&n.to_le_bytes());
    put(&mut b, 0x58 + 32, 0x1000);
    put(&mut b, 0x58 + 36, 0x200);
    put(&mut b, 0x58 + 108, 16);
    let section = 0x58 + 240;
    b[section..section + 5].copy_from_slice(b".text");
    for (at, n) in [(8, 0x200), (12, 0x1000), (16, 0x200), (20, 0x400)] {
        put(&mut b, section + at, n);
    }
    b
}

pub(crate) fn kernel(sample: &Sample, os: &SealedTree) -> Arc<[u8]> {
    let sequence = Sequence(sample.uki_sequence.unwrap_or(sample.sequence));
    let cmdline = format!("quiet {}", BootArgs { composefs: os.digest, sequence, epoch: EPOCH }.render());
    let sections = UkiSections {
        osrel: b"ID=skerry\n",
        cmdline: cmdline.as_bytes(),
        uname: b"6.12.0",
        initrd: &noise(204, 3000),
        linux: &noise(205, 9000),
    };
    uki::build(&stub(), &sections).unwrap().into()
}

/// Programs of the machine that runs the tests.
struct HostTools;

impl Tools for HostTools {
    fn run(&self, program: &str, args: &[&str], env: &[(&str, &str)]) -> std::io::Result<Output> {
        let path =
            ["/sbin", "/usr/sbin", "/usr/bin"].map(|d| PathBuf::from(d).join(program)).into_iter().find(|p| p.exists());
        Command::new(path.unwrap_or(program.into())).args(args).envs(env.iter().copied()).output()
    }
}

/// Statement and objects only: enough to publish.
pub(crate) fn write_statement(dir: &Path, sample: &Sample, cache: &Path) -> Statement {
    write_parts(dir, sample, cache, Sha256Digest([0; 32]), &os_tree(sample)).0
}

fn write_parts(dir: &Path, sample: &Sample, cache: &Path, commit: Sha256Digest, tree: &Tree) -> (Statement, Arc<[u8]>) {
    fs::create_dir_all(dir).unwrap();
    let digests = DigestCache::in_memory();
    let os = commit::composefs::seal(tree, &digests).unwrap();
    let app = app_tree();
    let app_sealed = commit::composefs::seal(&app, &digests).unwrap();
    let uki = kernel(sample, &os);
    let inputs = ReleaseInputs {
        product: PRODUCT,
        board: BOARD,
        arch: "amd64",
        version: &format!("1.{}", sample.seed),
        sequence: Sequence(sample.sequence),
        epoch: EPOCH,
        kernel: "6.12.0",
        os: TreeInput { tree, sealed: &os },
        ostree_commit: commit,
        apps: vec![AppInput {
            name: "hello",
            image: "registry.example/team/Hello:1.0",
            manifest_digest: Sha256Digest([9; 32]),
            tree: TreeInput { tree: &app, sealed: &app_sealed },
        }],
        uki: &uki,
        lock: &lock(sample),
        lock_bytes: b"# lock\n",
        boot_packages: vec!["linux-image-test".into()],
        cache,
        key: &release_key(),
    };
    (write_release(dir, &inputs, &Progress::none()).unwrap(), uki)
}

/// Everything that `skerry build` leaves, disk image and commit included.
pub(crate) fn write_full(dir: &Path, sample: &Sample, cache: &Path) -> Statement {
    let tree = os_tree(sample);
    let repo = commit::ostree::open_or_init(&dir.join("ostree")).unwrap();
    let branch = format!("{PRODUCT}/{BOARD}");
    let checksum = commit::ostree::commit(&repo, &tree, &branch, None, EPOCH, &BTreeMap::new()).unwrap();
    commit::ostree_sign::sign(&repo, &checksum, &release_key()).unwrap();
    let (statement, uki) = write_parts(dir, sample, cache, checksum, &tree);
    write_disk(dir, sample, &statement, &uki, cache);
    resign(dir);
    statement
}

fn write_disk(dir: &Path, sample: &Sample, statement: &Statement, uki: &[u8], cache: &Path) {
    let work = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 3] = [
        ("release.json", &statement.release_json),
        ("release.json.sig", &statement.release_sig),
        ("index.skx", &statement.index),
    ];
    let spec = SystemSpec {
        identity: "test",
        size_mib: 64,
        epoch: EPOCH,
        objects: &statement.objects,
        sequence: Sequence(sample.sequence),
        release_files: &files,
    };
    let system = work.path().join("system");
    let scratch = work.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let layout = system_fs::build(&spec, &HostTools, &scratch, &system).unwrap();
    let path = format!("EFI/Linux/{}", UkiName::blessed(Sequence(sample.sequence)).render());
    let esp = [EspFile { path, bytes: uki }];
    let disk_path = work.path().join("disk.img");
    disk::assemble(&disk_path, &DiskSpec { identity: "test", esp_mib: 40, esp_files: &esp, system: &system }).unwrap();
    image::compress::write_zst(&disk_path, &layout.cuts, &dir.join("disk.img.zst"), cache, &Progress::none()).unwrap();
}

/// Make the sums true again, so that a test sees what the other checks say.
pub(crate) fn resign(dir: &Path) {
    sums::write_sums(dir, &release_key()).unwrap();
}

/// A fresh copy of the full sample with sequence 1.
pub(crate) fn full_copy() -> tempfile::TempDir {
    static ONE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let original = ONE.get_or_init(|| {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("out")).unwrap();
        write_full(&temp.path().join("out"), &Sample::new(1), &temp.path().join("cache"));
        temp
    });
    let copy = tempfile::tempdir().unwrap();
    let status = Command::new("cp").arg("-rT").arg(original.path().join("out")).arg(copy.path()).status().unwrap();
    assert!(status.success());
    copy
}

/// Change one byte in the middle of a file.
pub(crate) fn flip(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x20;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}
