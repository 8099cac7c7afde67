//! What the daemon does to the machine, behind a trait: disk, fs-verity, boot
//! entries, clock, reboot, console. [`Machine`] is the real one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write},
    path::Path,
    process::Command,
};

use skerry_formats::ObjectDigest;
use skerry_platform::{
    clock, console, durable,
    esp::{BootEntries, EspError, EspMount},
    fsverity,
};
use skerry_update_core::Now;

/// A file that is being written.
pub trait OutFile: Write + Send {
    /// Make everything written so far durable.
    ///
    /// # Errors
    /// `fsync` errors.
    fn sync(&mut self) -> io::Result<()>;
}

/// Work on the boot entries while the ESP is there.
pub type WithEntries<'a> = &'a mut dyn FnMut(&mut dyn BootEntries) -> Result<(), EspError>;

/// The machine below the daemon. Reading files is not part of it: only what
/// changes something, or cannot be had in a test.
pub trait Facilities: Send + Sync {
    /// Both clocks.
    fn now(&self) -> Now;
    /// Identity of this boot.
    ///
    /// # Errors
    /// `/proc` is not readable.
    fn boot_id(&self) -> io::Result<String>;
    /// Fresh random bits.
    fn random(&self) -> u64;
    /// Set the wall clock forward to a floor.
    fn raise_clock(&self, floor_secs: u64);
    /// One line for the consoles and the journal.
    fn announce(&self, line: &str);
    /// Order a reboot.
    ///
    /// # Errors
    /// Nobody takes the order.
    fn reboot(&self) -> io::Result<()>;

    /// Create a folder and its parents durably.
    ///
    /// # Errors
    /// I/O errors, here and below.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Replace a file atomically and durably.
    fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Create or truncate a file.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>>;
    /// Open a file for appending; created if missing.
    fn append(&self, path: &Path) -> io::Result<Box<dyn OutFile>>;
    /// Rename within one file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Remove a file; a missing one is fine.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Remove a folder with everything in it; a missing one is fine.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Make the entries of a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Seal a file with fs-verity.
    fn seal(&self, path: &Path) -> io::Result<()>;
    /// Digest that the kernel enforces for a file; `None`: not sealed.
    fn measure(&self, path: &Path) -> io::Result<Option<ObjectDigest>>;
    /// Free bytes of the file system that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Run `work` on the boot entries; the ESP is mounted only meanwhile.
    ///
    /// # Errors
    /// The ESP cannot be mounted, or what `work` returns.
    fn boot_entries(&self, work: WithEntries<'_>) -> Result<(), EspError>;
}

/// The node itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl OutFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Facilities for Machine {
    fn now(&self) -> Now {
        Now { unix_secs: clock::now_secs(), boot_secs: clock::boottime_secs() as u64 }
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
    }

    fn random(&self) -> u64 {
        let mut b = [0; 8];
        // Without randomness the jitter is gone, nothing else.
        let _ = File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut b));
        u64::from_le_bytes(b)
    }

    fn raise_clock(&self, floor_secs: u64) {
        match clock::raise_to_floor(floor_secs) {
            Ok(true) => tracing::info!(floor_secs, "clock set forward to the floor"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "clock not set"),
        }
    }

    fn announce(&self, line: &str) {
        tracing::info!("{line}");
        console::console_line(&format!("skerry-updater: {line}"));
    }

    fn reboot(&self) -> io::Result<()> {
        let ordered = Command::new("/usr/bin/systemctl").args(["--no-block", "reboot"]).status();
        match ordered {
            Ok(status) if status.success() => Ok(()),
            _ => clock::sync_and_reboot().map_err(io::Error::other),
        }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        durable::create_dir_all(path).map_err(|e| e.source)
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        durable::write_file_atomic(path, bytes).map_err(|e| e.source)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Ok(Box::new(OpenOptions::new().append(true).create(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        missing_is_fine(fs::remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        missing_is_fine(fs::remove_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        durable::sync_dir(path).map_err(|e| e.source)
    }

    fn seal(&self, path: &Path) -> io::Result<()> {
        fsverity::enable(File::open(path)?).map_err(io::Error::other)
    }

    fn measure(&self, path: &Path) -> io::Result<Option<ObjectDigest>> {
        fsverity::measure(File::open(path)?).map_err(io::Error::other)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let s = rustix::fs::statvfs(path)?;
        Ok(s.f_bavail * s.f_frsize)
    }

    fn boot_entries(&self, work: WithEntries<'_>) -> Result<(), EspError> {
        let mount = EspMount::of_this_box()?;
        work(&mut mount.entries())
    }
}

/// `Ok` if a thing to be removed was not there.
pub fn missing_is_fine(r: io::Result<()>) -> io::Result<()> {
    match r {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
