//! SYSTEM and the root file system on it.

use std::{fs, io, os::fd::AsFd, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use skerry_formats::{
    ObjectDigest,
    layout::{OBJECTS_DIR, PART_SYSTEM},
};
use skerry_platform::{
    block::{self, Partition},
    clock, efi, fsverity, gpt_grow,
    gpt_table::Guid,
    mount::{self, MountAttrFlags},
};

use crate::{
    choice::{self, Candidate, Choice, Patience},
    log, places,
};

/// How long the disk may take to appear, in seconds.
const DISK_WAIT_SECS: f64 = 30.0;
/// How long the disk that the boot loader came from may appear after another
/// one with SYSTEM.
const BOOT_DISK_WAIT_SECS: f64 = 10.0;
/// Pause between looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Wait for the partition named `skerry-system`, on the disk that the boot
/// loader came from if it says which.
pub fn wait_for_system() -> Result<Partition> {
    let booted = boot_partition();
    let start = clock::boottime_secs();
    let mut found_at = None;
    loop {
        let (found, now) = (candidates()?, clock::boottime_secs());
        if !found.is_empty() {
            found_at.get_or_insert(now);
        }
        let patience = match found_at {
            Some(at) if now - at > BOOT_DISK_WAIT_SECS => Patience::Over,
            _ => Patience::Left,
        };
        if let Choice::Take { partition, warning } = choice::choose(&found, booted.as_ref(), patience) {
            if let Some(warning) = warning {
                log::loud(&warning);
            }
            log::info(&format!("{PART_SYSTEM} is {}", partition.device.display()));
            return Ok(partition.clone());
        }
        if found.is_empty() && now - start > DISK_WAIT_SECS {
            bail!(
                "no partition named {PART_SYSTEM} appeared within {DISK_WAIT_SECS} s (disk missing, its driver not in the initrd, or not flashed)"
            );
        }
        crate::early::feed_watchdog();
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The partition that the boot loader was started from, if UEFI knows one.
fn boot_partition() -> Option<Guid> {
    let at = Path::new(efi::EFIVARS);
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_RDONLY;
    if let Err(e) = mount::mount_virtual("efivarfs", at, attributes, "") {
        log::info(&format!("no UEFI variables: {:#}", anyhow::Error::from(e)));
        return None;
    }
    let found = efi::loader_partition(at);
    if let Err(e) = mount::unmount(at) {
        log::warn(&format!("{:#}", anyhow::Error::from(e)));
    }
    found
}

/// All partitions named `skerry-system`, each with what is beside it.
fn candidates() -> Result<Vec<Candidate>> {
    let systems = block::partitions()?.into_iter().filter(|p| p.name.as_deref() == Some(PART_SYSTEM));
    Ok(systems.map(|partition| Candidate { guids: guids(&partition.disk), partition }).collect())
}

/// The GUIDs of all partitions of a disk; none of a disk that cannot be read.
fn guids(disk: &Path) -> Vec<Guid> {
    let read = || -> Result<Vec<Guid>> {
        let copies = gpt_grow::read_copies(&fs::File::open(disk)?, block::disk_size(disk)?)?;
        let copy = copies.primary.or(copies.backup)?;
        Ok(copy.table.entries.iter().flatten().map(|e| e.guid).collect())
    };
    read().unwrap_or_default()
}

/// Mount SYSTEM read-write at `/sysroot`.
pub fn mount_system(partition: &Partition) -> Result<()> {
    fs::create_dir_all(places::SYSROOT)?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOATIME | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(mount::mount_device("ext4", &partition.device, Path::new(places::SYSROOT), attributes, "")?)
}

/// Put the root together at `/newroot`: the composefs tree `digest`, read-only,
/// and a tmpfs overlay on its `/etc`.
pub fn mount_root(digest: &ObjectDigest) -> Result<()> {
    for dir in [places::LOWER, places::NEW_ROOT, places::ETC_UPPER] {
        fs::create_dir_all(dir).with_context(|| dir.to_owned())?;
    }
    let objects = Path::new(places::SYSROOT).join(OBJECTS_DIR);
    let image_path = objects.join(digest.object_path());
    let image = fs::File::open(&image_path).with_context(|| format!("open image {}", image_path.display()))?;
    // Measured on the very file that is mounted, whatever was checked before.
    match fsverity::measure(&image)? {
        Some(found) if found == *digest => {}
        Some(found) => bail!("image {digest} is sealed as {found}"),
        None => bail!("image {digest} is not sealed"),
    }
    // A few hundred KB. systemd would freeze on a tree that it cannot read; here
    // a damaged image is one clear line and a reboot.
    io::copy(&mut &image, &mut io::sink())
        .with_context(|| format!("image {digest} does not match its seal: the disk is damaged"))?;
    let (lower, root) = (Path::new(places::LOWER), Path::new(places::NEW_ROOT));
    mount::mount_composefs(image.as_fd(), &objects, lower, root).with_context(|| format!("image {digest}"))?;
    // The overlay keeps its own reference.
    mount::unmount_detach(lower)?;
    mount_etc(root)
}

fn mount_etc(root: &Path) -> Result<()> {
    let tmp = Path::new(places::ETC_UPPER);
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    mount::mount_virtual("tmpfs", tmp, attributes, "mode=0755,size=16m")?;
    let (upper, work, etc) = (tmp.join("upper"), tmp.join("work"), root.join("etc"));
    fs::create_dir(&upper).and_then(|()| fs::create_dir(&work)).context("overlay on /etc")?;
    mount::mount_overlay(&etc, &upper, &work, &etc, attributes)?;
    Ok(mount::unmount_detach(tmp)?)
}
