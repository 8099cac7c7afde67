//! The calls that need a real block device, on loop devices: partitions of a
//! disk in use, ext4 growing while mounted, its label, the ESP.
//!
//! Needs root and loop devices; elsewhere each test says that it was skipped.
#![allow(clippy::unwrap_used)]

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Command,
};

use skerry_formats::{Sequence, fsverity_digest, layout::UkiName};
use skerry_platform::{
    block,
    esp::{BootEntries, EspMount},
    gpt_grow::{self, BoardSizes},
    mount::{self, MountAttrFlags},
    quota,
};

const MIB: u64 = 1 << 20;

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A loop device over a sparse file of `mib` MiB, detached on drop.
struct Loop {
    device: PathBuf,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Loop {
    fn new(mib: u64, prepare: impl FnOnce(&Path)) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
            eprintln!("skipped: needs root and loop devices");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("disk");
        File::create(&file).unwrap().set_len(mib * MIB).unwrap();
        prepare(&file);
        let device = run("losetup", &["--find", "--show", "--partscan", file.to_str().unwrap()]).trim().into();
        Some(Self { device, file, _dir: dir })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
    }
}

/// Root in a container may lack CAP_SYS_RESOURCE (24), which growing needs.
fn may_resize() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let set = status.lines().find_map(|l| l.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(set.trim(), 16).unwrap() & (1 << 24) != 0
}

fn sfdisk(file: &Path) {
    let script = "label: gpt\nstart=2048, size=8MiB, type=uefi, name=skerry-esp\nsize=32MiB, name=skerry-system\n";
    let mut child = Command::new("sfdisk").arg("-q").arg(file).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Partitions that the kernel read from the table, or that we tell it about
/// where it was built without GPT.
fn known_to_the_kernel(disk: &Path) {
    for (number, start_mib, size_mib) in [(1, 1, 8), (2, 9, 32)] {
        if partition(disk, number).is_none() {
            block::add_partition(disk, number, start_mib * MIB, size_mib * MIB).unwrap();
        }
    }
}

fn partition(disk: &Path, number: u32) -> Option<block::Partition> {
    block::partitions().unwrap().into_iter().find(|p| p.disk == disk && p.number == number)
}

#[test]
fn disk_in_use_is_laid_out_and_system_grows_while_mounted() {
    let Some(disk) = Loop::new(41, sfdisk) else { return };
    known_to_the_kernel(&disk.device);
    let system = partition(&disk.device, 2).unwrap();
    assert_eq!((system.start_bytes, system.size_bytes), (9 * MIB, 32 * MIB));
    run("mkfs.ext4", &["-q", "-b", "4096", system.device.to_str().unwrap()]);
    let at = tempfile::tempdir().unwrap();
    mount::mount_device("ext4", &system.device, at.path(), MountAttrFlags::MOUNT_ATTR_NOATIME, "").unwrap();
    fs::write(at.path().join("keep"), b"kept").unwrap();
    // The box got a larger disk than the image.
    File::options().write(true).open(&disk.file).unwrap().set_len(256 * MIB).unwrap();
    run("losetup", &["-c", disk.device.to_str().unwrap()]);

    let size = block::disk_size(&disk.device).unwrap();
    assert_eq!((size.bytes, size.sector_bytes), (256 * MIB, 512));
    let mut file = File::options().read(true).write(true).open(&disk.device).unwrap();
    let found = gpt_grow::read_copies(&file, size).unwrap();
    let plan = gpt_grow::plan_layout(&found, size, BoardSizes { system_mib: Some(100) }, [5; 16]).unwrap();
    gpt_grow::execute(&plan, &mut file, size).unwrap();
    drop(file);
    let (number, data) = plan.table.find("skerry-data").unwrap();
    block::resize_partition(&disk.device, 2, system.start_bytes, 100 * MIB).unwrap();
    block::add_partition(&disk.device, number, data.first_lba * 512, data.sectors() * 512).unwrap();
    assert_eq!(partition(&disk.device, 2).unwrap().size_bytes, 100 * MIB);
    assert_eq!(partition(&disk.device, number).unwrap().size_bytes, data.sectors() * 512);

    if may_resize() {
        block::grow_ext4_online(at.path(), 100 * MIB / 4096).unwrap();
        assert_eq!(block::ext4_super(&system.device).unwrap().unwrap().size_bytes(), 100 * MIB);
    } else {
        eprintln!("growing ext4 skipped: needs CAP_SYS_RESOURCE");
    }
    let folder = File::open(at.path()).unwrap();
    block::set_fs_label(folder.as_fd(), "skerry-data").unwrap();
    drop(folder);
    assert_eq!(fs::read(at.path().join("keep")).unwrap(), b"kept");
    mount::unmount(at.path()).unwrap();
    block::flush(&system.device).unwrap();
    assert_eq!(block::ext4_super(&system.device).unwrap().unwrap().label, "skerry-data");
    run("e2fsck", &["-fn", system.device.to_str().unwrap()]);
}

#[test]
fn a_partition_over_another_is_refused_with_the_disk_named() {
    let Some(disk) = Loop::new(64, sfdisk) else { return };
    known_to_the_kernel(&disk.device);
    let e = block::add_partition(&disk.device, 3, MIB, 4 * MIB).unwrap_err();
    assert!(e.to_string().contains(disk.device.to_str().unwrap()), "{e}");
}

#[test]
fn boot_entries_on_a_real_fat_survive_the_unmount() {
    let make = |f: &Path| {
        run("mkfs.vfat", &["-F", "32", f.to_str().unwrap()]);
        run("mmd", &["-i", f.to_str().unwrap(), "::EFI", "::EFI/Linux"]);
    };
    let Some(esp) = Loop::new(64, make) else { return };
    let at = tempfile::tempdir().unwrap();
    let at = at.path().join("esp");
    if let Err(e) = EspMount::new(&esp.device, &at) {
        assert!(e.to_string().contains("vfat"), "{e}");
        eprintln!("skipped: this kernel has no vfat");
        return;
    }
    let uki = vec![0xa5; 300_000];
    {
        let m = EspMount::new(&esp.device, &at).unwrap();
        let mut entries = m.entries();
        entries.install(Sequence(1), &mut &uki[..], &fsverity_digest(&uki)).unwrap();
        entries.bless(Sequence(1)).unwrap();
        entries.install(Sequence(2), &mut &uki[..], &fsverity_digest(&uki)).unwrap();
    }
    assert!(!mount::is_mount_point(&at).unwrap());
    let m = EspMount::new(&esp.device, &at).unwrap();
    assert_eq!(m.entries().list().unwrap(), [UkiName::blessed(Sequence(1)), UkiName::candidate(Sequence(2))]);
    assert_eq!(fs::read(at.join("EFI/Linux/skerry-0000000001.efi")).unwrap(), uki);
    drop(m);
    run("fsck.vfat", &["-n", esp.device.to_str().unwrap()]);
}

/// Sizes of folders hold, also for what was there before.
#[test]
fn a_folder_takes_no_more_than_its_quota() {
    let features = ["-O", "project,quota", "-E", "nodiscard,quotatype=prjquota"];
    let make = |file: &Path| {
        let mut args = vec!["-F", "-q"];
        args.extend(features);
        args.push(file.to_str().unwrap());
        run("mkfs.ext4", &args);
    };
    let Some(disk) = Loop::new(64, make) else { return };
    let found = block::ext4_super(&disk.device).unwrap().unwrap();
    assert!(found.project_quota);
    let at = tempfile::tempdir().unwrap();
    assert!(!quota::available(at.path()), "the host's own file system");
    if let Err(e) = mount::mount_device("ext4", &disk.device, at.path(), MountAttrFlags::empty(), "prjquota") {
        eprintln!("skipped: the kernel has no quotas in the format v2: {e}");
        return;
    }
    let claim = at.path().join("claim");
    fs::create_dir_all(claim.join("old")).unwrap();
    fs::write(claim.join("old/file"), vec![1; 1 << 20]).unwrap();
    assert!(quota::available(&claim));
    quota::limit(&claim, 4 << 20).unwrap();
    let share = quota::share(&claim).unwrap();
    assert_eq!(share.limit_bytes, Some(4 << 20));
    assert!(share.used_bytes >= 1 << 20, "{share:?}");
    let fails = |path: &Path| fs::write(path, vec![1; 6 << 20]).unwrap_err().kind();
    // Root with every right is above quotas.
    if !may_resize() {
        assert_eq!(fails(&claim.join("old/new")), std::io::ErrorKind::QuotaExceeded);
    }
    fs::write(at.path().join("elsewhere"), vec![1; 6 << 20]).unwrap();
    fs::rename(claim.join("old/file"), claim.join("file")).unwrap();
    quota::limit(&claim, 8 << 20).unwrap();
    assert_eq!(quota::share(&claim).unwrap().limit_bytes, Some(8 << 20));
    quota::release(&claim).unwrap();
    assert_eq!(quota::share(&claim).unwrap().limit_bytes, None);
    mount::unmount(at.path()).unwrap();
}
