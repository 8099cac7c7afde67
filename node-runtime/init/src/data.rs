//! DATA on `/var`: made on the first boot, checked, grown, mounted.
//!
//! A box with an empty `/var` is better than a dead one, so a file system that
//! cannot be saved is made anew; that is said on every console and kept in
//! `/var/lib/skerry/data-recreated`. A repair can lose files too; what e2fsck
//! said about it is kept in `/var/lib/skerry/data-repaired`.

use std::{fs::File, os::fd::AsFd, path::Path};

use anyhow::{Context, Result, bail};
use skerry_platform::{
    block::{self, Partition},
    clock, durable,
    mount::{self, MountAttrFlags, MountError},
};

use crate::{
    child::{self, Visible},
    data_plan::{self, Checked, LABEL_MAKING, LABEL_READY, Next},
    disk, log, places,
};

/// Folder of Skerry's own state, below `/var`.
const STATE_DIR: &str = "lib/skerry";
/// Why DATA was made anew, below [`STATE_DIR`].
const RECREATED: &str = "data-recreated";
/// What e2fsck said when DATA was last repaired, below [`STATE_DIR`].
const REPAIRED: &str = "data-repaired";

/// Bring DATA to `/newroot/var`.
pub fn mount_var(data: &Partition) -> Result<()> {
    let var = Path::new(places::NEW_ROOT).join("var");
    let programs = Visible::new()?;
    let device = data.device.as_path();
    let mut next = data_plan::first(block::ext4_super(device)?.as_ref(), block::ext4_backup_super(device)?.as_ref());
    let mut checked = Checked::Preened;
    let mut trouble = String::new();
    loop {
        next = match next {
            Next::Make => {
                make(device, &var, None)?;
                break;
            }
            Next::Recreate => {
                log::loud(&format!("DATA cannot be repaired ({trouble}); making it anew, /var starts empty"));
                make(device, &var, Some(&trouble))?;
                break;
            }
            Next::Preen => data_plan::after_fsck(checked, fsck(device, "-p")),
            Next::Repair => {
                log::loud("DATA is damaged; repairing it, this can take minutes");
                checked = Checked::Repaired;
                data_plan::after_fsck(checked, fsck(device, "-y"))
            }
            Next::Reboot => bail!("e2fsck asks for a reboot after repairing {}", device.display()),
            Next::Mount => match mount_data(device, &var) {
                Ok(()) => break,
                Err(e) if lacks_quota_format(&e) => {
                    bail!("the modules of this release lack quota_v2, which DATA was made for: {e:#}")
                }
                Err(e) => {
                    trouble = format!("{e:#}");
                    log::warn(&trouble);
                    data_plan::after_failed_mount(checked)
                }
            },
        };
    }
    drop(programs);
    if let Err(e) = disk::grow(device, &var) {
        log::warn(&format!("DATA keeps its size: {e:#}"));
    }
    durable::create_dir_all(&var.join(STATE_DIR))?;
    if checked == Checked::Repaired {
        let said = std::fs::read(child::OUTPUT).unwrap_or_default();
        if let Err(e) = durable::write_file_atomic(var.join(STATE_DIR).join(REPAIRED), &said) {
            log::warn(&format!("{:#}", anyhow::Error::from(e)));
        }
    }
    Ok(())
}

fn fsck(device: &Path, mode: &str) -> Option<i32> {
    match child::run("/usr/sbin/e2fsck", &[mode, &device.display().to_string()]) {
        Ok(code) => code,
        Err(e) => {
            log::warn(&format!("{e:#}"));
            None
        }
    }
}

fn mount_data(device: &Path, var: &Path) -> Result<()> {
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOATIME;
    let options = data_plan::mount_options(block::ext4_super(device)?.as_ref());
    Ok(mount::mount_device("ext4", device, var, attributes, options)?)
}

fn lacks_quota_format(e: &anyhow::Error) -> bool {
    let failed = e.downcast_ref::<MountError>();
    failed.is_some_and(|e| e.source.raw_os_error() == Some(data_plan::NO_QUOTA_FORMAT))
}

/// Make the file system, mount it, and only then call it ready.
fn make(device: &Path, var: &Path, lost: Option<&str>) -> Result<()> {
    log::info(&format!("making a file system on {}", device.display()));
    let dev = device.display().to_string();
    let args = [&data_plan::MAKE[..], &[LABEL_MAKING, &dev]].concat();
    match child::run("/usr/sbin/mkfs.ext4", &args)? {
        Some(0) => {}
        code => bail!("mkfs.ext4 on {dev} failed with {code:?}; its output is in the kernel log"),
    }
    block::flush(device)?;
    mount_data(device, var)?;
    if let Some(why) = lost {
        let text = format!("at Unix time {}: {why}\n", clock::now_secs());
        durable::write_file_atomic(var.join(STATE_DIR).join(RECREATED), text.as_bytes())?;
    }
    durable::sync_fs(var)?;
    let folder = File::open(var).with_context(|| var.display().to_string())?;
    block::set_fs_label(folder.as_fd(), LABEL_READY).context("label of DATA")?;
    Ok(durable::sync_fs(var)?)
}
