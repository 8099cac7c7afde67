//! First things: virtual file systems, kernel modules, hardware watchdog.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::Path,
    sync::Mutex,
};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use skerry_platform::{
    mount::{MountAttrFlags, mount_virtual},
    watchdog::Watchdog,
};

use crate::log;

static WATCHDOG: Mutex<Option<Watchdog>> = Mutex::new(None);

/// Mount `/dev`, `/proc`, `/sys` and `/run`.
pub fn mount_virtual_file_systems() -> Result<()> {
    let (nosuid, nodev, noexec) =
        (MountAttrFlags::MOUNT_ATTR_NOSUID, MountAttrFlags::MOUNT_ATTR_NODEV, MountAttrFlags::MOUNT_ATTR_NOEXEC);
    for (fs_type, at, attributes, data) in [
        ("devtmpfs", "/dev", nosuid, "mode=0755"),
        ("proc", "/proc", nosuid | nodev | noexec, ""),
        ("sysfs", "/sys", nosuid | nodev | noexec, ""),
        ("tmpfs", "/run", nosuid | nodev, "mode=0755,size=20%"),
    ] {
        fs::create_dir_all(at).with_context(|| at.to_owned())?;
        mount_virtual(fs_type, Path::new(at), attributes, data)?;
    }
    // The kernel drops lines of chatty user space; ours are few and wanted.
    let _ = fs::write("/proc/sys/kernel/printk_devkmsg", "on");
    fs::create_dir_all("/run/skerry").context("/run/skerry")?;
    Ok(())
}

/// Load `/modules/NAME` for every name in `/modules/order`. A module that does
/// not load is logged; whether it was needed shows in what follows.
///
/// The hardware watchdog is armed as soon as a module brings one, so that a
/// driver that hangs resets the board. 0 seconds: it is left alone.
pub fn load_modules(watchdog_secs: u32) {
    let order = match fs::read_to_string("/modules/order") {
        Ok(o) => o,
        Err(e) => return log::warn(&format!("no modules to load: /modules/order: {e}")),
    };
    let (mut loaded, mut failed) = (0, 0);
    for name in module_names(&order) {
        feed_watchdog();
        match load_module(name) {
            Ok(()) => {
                loaded += 1;
                arm_watchdog(watchdog_secs);
            }
            Err(e) => {
                failed += 1;
                log::warn(&format!("module {name}: {e:#}"));
            }
        }
    }
    log::info(&format!("{loaded} modules loaded, {failed} failed"));
    if watchdog_secs != 0 && !watchdog_is_armed() {
        log::info("no hardware watchdog");
    }
}

fn module_names(order: &str) -> impl Iterator<Item = &str> {
    order.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#') && !l.contains('/'))
}

fn load_module(name: &str) -> Result<()> {
    let file = File::open(Path::new("/modules").join(name)).context("not in the initrd")?;
    match rustix::system::finit_module(file.as_fd(), c"", 0) {
        // EEXIST: built in or loaded as somebody's dependency.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(Errno::NODEV) => {
            log::info(&format!("module {name}: the box has no such device"));
            Ok(())
        }
        Err(Errno::NOENT) => bail!("a symbol is unknown: a module it needs must stand before it in /modules/order"),
        Err(e) => Err(e).context("refused by the kernel"),
    }
}

/// Arm the hardware watchdog, if there is one and it is not armed yet.
fn arm_watchdog(timeout_secs: u32) {
    if timeout_secs == 0 || watchdog_is_armed() {
        return;
    }
    match Watchdog::arm(Path::new("/dev/watchdog"), timeout_secs) {
        Ok(Some(w)) => {
            log::info(&format!("hardware watchdog armed, {} s", w.timeout_secs));
            if let Ok(mut slot) = WATCHDOG.lock() {
                *slot = Some(w);
            }
        }
        Ok(None) => {}
        Err(e) => log::warn(&format!("{:#}", anyhow::Error::from(e))),
    }
}

fn watchdog_is_armed() -> bool {
    WATCHDOG.lock().is_ok_and(|slot| slot.is_some())
}

/// Feed the hardware watchdog, if it is armed.
pub fn feed_watchdog() {
    if let Ok(mut slot) = WATCHDOG.lock()
        && let Some(w) = slot.as_mut()
    {
        // A failure shows as a reset; there is nothing else to do about it.
        let _ = w.feed();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn order_file_lines() {
        let names: Vec<_> = super::module_names("a.ko\n\n# why\n b.ko \n../x.ko\n").collect();
        assert_eq!(names, ["a.ko", "b.ko"]);
    }
}
