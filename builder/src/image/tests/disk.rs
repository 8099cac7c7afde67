use std::{fs, path::Path};

use super::{HostTools, run, sealed, spec};
use crate::{
    image::{
        compress,
        disk::{self, DiskLayout, DiskSpec},
        esp::{EspFile, LOADER_CONF},
        inspect, system_fs,
    },
    progress::Progress,
};

const UKI: &str = "EFI/Linux/skerry-0000000001.efi";

fn build(dir: &Path) -> DiskLayout {
    let tree = sealed("a");
    fs::create_dir_all(dir.join("work")).unwrap();
    system_fs::build(
        &spec(&tree.objects, &[("release.json", b"{}")]),
        &HostTools,
        &dir.join("work"),
        &dir.join("system"),
    )
    .unwrap();
    let uki = super::noise(3_000_000, 4);
    let files = [
        EspFile { path: "EFI/BOOT/BOOTX64.EFI".into(), bytes: b"boot" },
        EspFile { path: "loader/loader.conf".into(), bytes: LOADER_CONF.as_bytes() },
        EspFile { path: UKI.into(), bytes: &uki },
    ];
    let spec = DiskSpec { identity: "demo x86_64-uefi", esp_mib: 64, esp_files: &files, system: &dir.join("system") };
    disk::assemble(&dir.join("disk.img"), &spec).unwrap()
}

#[test]
fn disk_is_read_back_and_accepted_by_the_usual_checkers() {
    let dir = tempfile::tempdir().unwrap();
    let layout = build(dir.path());
    let image = dir.path().join("disk.img");
    let packed = dir.path().join("disk.img.zst");
    compress::write_zst(&image, &[], &packed, &dir.path().join("cache"), &Progress::none()).unwrap();
    for path in [&image, &packed] {
        let disk = inspect::open(path).unwrap();
        assert_eq!(disk.esp.keys().collect::<Vec<_>>(), ["EFI/BOOT/BOOTX64.EFI", UKI, "loader/loader.conf"]);
        assert_eq!(disk.esp[UKI], super::noise(3_000_000, 4));
        assert!(disk.system.measure_objects(|_| ()).unwrap().iter().all(|c| c.named == c.measured));
        assert_eq!(disk.system.read("releases/0000000001/release.json").unwrap(), b"{}");
    }
    // The partitions as files of their own, for the checkers.
    let bytes = fs::read(&image).unwrap();
    let esp = dir.path().join("esp.img");
    fs::write(&esp, &bytes[layout.esp_start as usize..layout.system_start as usize]).unwrap();
    let (ok, text) = run("fsck.vfat", &["-n", "-v", esp.to_str().unwrap()]);
    assert!(ok && text.contains("32 bit entries"), "{text}");
    let (ok, text) = run("mdir", &["-i", esp.to_str().unwrap(), "::EFI/Linux"]);
    assert!(ok && text.contains("skerry-0000000001.efi") && text.contains("1980-01-01"), "{text}");
    let (_, text) = run("sfdisk", &["--verify", image.to_str().unwrap()]);
    assert!(text.contains("No errors detected"), "{text}");
    let (_, text) = run("sfdisk", &["--dump", image.to_str().unwrap()]);
    assert!(text.contains("name=\"skerry-esp\"") && text.contains("name=\"skerry-system\""), "{text}");
}

#[test]
fn two_disks_made_at_different_times_are_the_same_bytes() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    build(a.path());
    std::thread::sleep(std::time::Duration::from_millis(2100)); // FAT counts in two seconds
    build(b.path());
    let read = |d: &Path| fs::read(d.join("disk.img")).unwrap();
    assert!(read(a.path()) == read(b.path()));
}

#[test]
fn one_flipped_byte_in_an_object_is_found() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path());
    let image = dir.path().join("disk.img");
    let mut bytes = fs::read(&image).unwrap();
    let needle = &super::noise(500_000, 77)[200_000..200_032];
    let at = bytes.windows(32).position(|w| w == needle).unwrap();
    bytes[at] ^= 1;
    fs::write(&image, bytes).unwrap();
    let checks = inspect::open(&image).unwrap().system.measure_objects(|_| ()).unwrap();
    assert_eq!(checks.iter().filter(|c| c.named != c.measured).count(), 1);
}

#[test]
fn disks_that_are_none_are_refused_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path());
    let image = fs::read(dir.path().join("disk.img")).unwrap();
    let path = dir.path().join("bad");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        inspect::open(&path).is_err()
    };
    assert!(refused(b""));
    assert!(refused(&[0; 4096]));
    assert!(refused(&0xFD2F_B528_u32.to_le_bytes()));
    assert!(refused(&image[..image.len() / 2]));
    let mut no_table = image.clone();
    no_table[512..520].fill(0);
    assert!(refused(&no_table), "one of the two GPT headers is gone");
    let mut no_system = image.clone();
    no_system[(65 << 20) + 1024..(65 << 20) + 2048].fill(0);
    assert!(refused(&no_system), "the ext4 superblock is gone");
}

#[test]
fn esp_that_is_too_small_names_the_key() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("system"), vec![0; 1 << 20]).unwrap();
    let big = vec![1; 40 << 20];
    let files = [EspFile { path: UKI.into(), bytes: &big }];
    let spec = DiskSpec { identity: "d", esp_mib: 40, esp_files: &files, system: &dir.path().join("system") };
    let error = disk::assemble(&dir.path().join("disk.img"), &spec).unwrap_err();
    assert!(error.to_string().contains("esp_mib"), "{error}");
}
