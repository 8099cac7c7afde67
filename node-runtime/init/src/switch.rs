//! The last step: hand everything over and become systemd.

use std::{convert::Infallible, fs, os::unix::process::CommandExt, path::Path, process::Command};

use anyhow::{Context, Result};
use skerry_platform::mount::{self, MountFlags};

use crate::{early, log, places};

/// PID 1 of the tree.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// Move the mounts, make `/newroot` the root, exec systemd. Returns only an
/// error.
pub fn switch_root() -> Result<Infallible> {
    let root = Path::new(places::NEW_ROOT);
    let system = Path::new(places::SYSROOT);
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    mount::bind_with(system, &root.join("sysroot"), flags)?;
    mount::unmount_detach(system)?;
    log::stage("switch-root");
    fs::write(places::BOOT_STAGES, log::stages_json()).context(places::BOOT_STAGES)?;
    for dir in ["dev", "proc", "sys", "run"] {
        mount::move_to(&Path::new("/").join(dir), &root.join(dir))?;
    }
    // The initrd's memory is not given back otherwise.
    let _ = fs::remove_dir_all("/modules");
    let _ = fs::remove_file("/init");
    rustix::process::chdir(root).context("enter the new root")?;
    mount::move_to(Path::new("."), Path::new("/"))?;
    rustix::process::chroot(".").context("chroot to the new root")?;
    rustix::process::chdir("/").context("enter the new root")?;
    early::feed_watchdog();
    let error = Command::new(SYSTEMD).args(std::env::args_os().skip(1)).exec();
    Err(error).context(format!("start {SYSTEMD}"))
}
