//! Boot entries on the EFI system partition.
//!
//! [`BootEntries`] is what the updater does to them; [`EntryFolder`] does it to
//! any folder, and [`EspMount`] is the time during which the ESP is mounted.
//! FAT has no journal, so the order matters: a UKI is written whole under a
//! name that the boot loader does not look at, synced, and only then renamed.
//!
//! A rename on FAT writes the new directory entry and then clears the old one.
//! A power cut between the two leaves both names on the same clusters. Both
//! boot the same bytes, so this is no harm as long as neither is removed alone;
//! that is why [`BootEntries::bless`] leaves a second name of a blessed release
//! where it is.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use skerry_formats::{
    ObjectDigest, Sequence,
    digest::FsVerityHasher,
    layout::{BOOT_TRIES, BootCounter, ESP_UKI_DIR, SYSROOT, UkiName},
};

use crate::{
    block::{self, BlockError},
    durable::{self, DurableError},
    mount::{self, MountAttrFlags, MountError},
};

/// Where the ESP is mounted while somebody works on it.
pub const ESP_MOUNT: &str = "/run/skerry/esp";
/// Largest UKI that is accepted; an ESP holds three.
pub const UKI_BYTES_MAX: u64 = 256 << 20;

/// What failed on the boot entries.
#[derive(Debug, thiserror::Error)]
pub enum EspError {
    /// A file operation failed.
    #[error("cannot {operation} boot entry {path}")]
    Io {
        /// `list`, `create`, `write`, `fsync`, `rename`, `remove`, `read the source of`.
        operation: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Making it durable failed.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// There is no boot entry for this release.
    #[error("there is no boot entry for release {0}")]
    Missing(Sequence),
    /// What was to be installed is empty or too large for a UKI.
    #[error("a UKI of {0} bytes is not plausible")]
    Size(u64),
    /// Mounting or unmounting the ESP failed.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The disk cannot be looked at.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// There is no partition of that name.
    #[error("no partition of {disk} is named {name}")]
    NoPartition {
        /// The name.
        name: &'static str,
        /// The disk with SYSTEM.
        disk: PathBuf,
    },
}

/// What was written by [`BootEntries::install`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// Bytes written.
    pub size_bytes: u64,
    /// fs-verity digest of the bytes that were written, to compare with the
    /// object's name.
    pub digest: ObjectDigest,
}

/// The boot entries of the releases on this box.
pub trait BootEntries {
    /// All entries, by sequence; several names of one release are possible.
    ///
    /// # Errors
    /// [`EspError::Io`].
    fn list(&self) -> Result<Vec<UkiName>, EspError>;

    /// Write `uki` as candidate `sequence` with fresh boot tries, durably. The
    /// entry appears last and whole. If its digest is not `expected`, nothing
    /// appears and the digest found is in the result.
    ///
    /// # Errors
    /// [`EspError`]; no entry has appeared.
    fn install(
        &mut self,
        sequence: Sequence,
        uki: &mut dyn Read,
        expected: &ObjectDigest,
    ) -> Result<Installed, EspError>;

    /// Take the boot counter off: this release is good. Repeating it is fine.
    ///
    /// # Errors
    /// [`EspError::Missing`], [`EspError::Io`].
    fn bless(&mut self, sequence: Sequence) -> Result<(), EspError>;

    /// Make the boot loader prefer every other entry (no tries left). Repeating
    /// it is fine.
    ///
    /// # Errors
    /// [`EspError::Missing`], [`EspError::Io`].
    fn mark_bad(&mut self, sequence: Sequence) -> Result<(), EspError>;

    /// Remove all entries of a release; none there is fine.
    ///
    /// # Errors
    /// [`EspError::Io`].
    fn remove(&mut self, sequence: Sequence) -> Result<(), EspError>;
}

/// Boot entries in a plain folder: `EFI/Linux` below the root of an ESP.
#[derive(Debug, Clone)]
pub struct EntryFolder {
    dir: PathBuf,
}

impl EntryFolder {
    /// Entries below `esp_root`, the root folder of an ESP (or of a test).
    pub fn new(esp_root: &Path) -> Self {
        Self { dir: esp_root.join(ESP_UKI_DIR) }
    }

    fn io<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> EspError + 'a {
        move |source| EspError::Io { operation, path: path.to_owned(), source }
    }

    /// Name on the file system and meaning of every entry.
    fn entries(&self) -> Result<Vec<(PathBuf, UkiName)>, EspError> {
        let mut out = Vec::new();
        for e in fs::read_dir(&self.dir).map_err(Self::io("list", &self.dir))? {
            let e = e.map_err(Self::io("list", &self.dir))?;
            if let Some(name) = e.file_name().to_str().and_then(UkiName::parse) {
                out.push((e.path(), name));
            }
        }
        out.sort_by_key(|(path, n)| (n.sequence, path.clone()));
        Ok(out)
    }

    fn of(&self, sequence: Sequence) -> Result<Vec<(PathBuf, UkiName)>, EspError> {
        Ok(self.entries()?.into_iter().filter(|(_, n)| n.sequence == sequence).collect())
    }

    fn rename(&self, from: &Path, to: UkiName) -> Result<(), EspError> {
        fs::rename(from, self.dir.join(to.render())).map_err(Self::io("rename", from))?;
        Ok(durable::sync_dir(&self.dir)?)
    }

    /// Remove what a crash left: half-written UKIs.
    fn remove_temporaries(&self) -> Result<(), EspError> {
        for e in fs::read_dir(&self.dir).map_err(Self::io("list", &self.dir))?.flatten() {
            let path = e.path();
            if path.extension().is_some_and(|x| x.eq_ignore_ascii_case("tmp")) {
                fs::remove_file(&path).map_err(Self::io("remove", &path))?;
            }
        }
        Ok(())
    }

    fn write(&self, tmp: &Path, uki: &mut dyn Read) -> Result<Installed, EspError> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(tmp).map_err(Self::io("create", tmp))?;
        let installed = copy_hashed(uki, &mut file, tmp)?;
        file.sync_all().map_err(Self::io("fsync", tmp))?;
        Ok(installed)
    }
}

fn copy_hashed(from: &mut dyn Read, to: &mut File, path: &Path) -> Result<Installed, EspError> {
    let mut hasher = FsVerityHasher::new();
    let mut buf = vec![0u8; 1 << 16];
    let mut size_bytes = 0;
    loop {
        let n = from.read(&mut buf).map_err(EntryFolder::io("read the source of", path))?;
        if n == 0 {
            break;
        }
        size_bytes += n as u64;
        if size_bytes > UKI_BYTES_MAX {
            return Err(EspError::Size(size_bytes));
        }
        hasher.update(&buf[..n]);
        to.write_all(&buf[..n]).map_err(EntryFolder::io("write", path))?;
    }
    if size_bytes == 0 {
        return Err(EspError::Size(0));
    }
    Ok(Installed { size_bytes, digest: hasher.finish() })
}

impl BootEntries for EntryFolder {
    fn list(&self) -> Result<Vec<UkiName>, EspError> {
        Ok(self.entries()?.into_iter().map(|(_, n)| n).collect())
    }

    fn install(
        &mut self,
        sequence: Sequence,
        uki: &mut dyn Read,
        expected: &ObjectDigest,
    ) -> Result<Installed, EspError> {
        self.remove_temporaries()?;
        let tmp = self.dir.join(format!("skerry-{}.tmp", sequence.padded()));
        let written = self.write(&tmp, uki);
        let installed = match written {
            Ok(i) if i.digest == *expected => i,
            other => {
                let _ = fs::remove_file(&tmp);
                return other;
            }
        };
        let older = self.of(sequence)?;
        let name = UkiName::candidate(sequence);
        self.rename(&tmp, name)?;
        for (path, _) in older.iter().filter(|(p, _)| *p != self.dir.join(name.render())) {
            fs::remove_file(path).map_err(Self::io("remove", path))?;
        }
        durable::sync_dir(&self.dir)?;
        durable::sync_fs(&self.dir)?;
        Ok(installed)
    }

    fn bless(&mut self, sequence: Sequence) -> Result<(), EspError> {
        let entries = self.of(sequence)?;
        if !entries.iter().any(|(_, n)| n.counter.is_none()) {
            let (path, _) = entries.first().ok_or(EspError::Missing(sequence))?;
            self.rename(path, UkiName::blessed(sequence))?;
        }
        Ok(durable::sync_fs(&self.dir)?)
    }

    fn mark_bad(&mut self, sequence: Sequence) -> Result<(), EspError> {
        let entries = self.of(sequence)?;
        if entries.is_empty() {
            return Err(EspError::Missing(sequence));
        }
        for (path, name) in entries {
            if name.counter.is_none_or(|c| c.left > 0) {
                let counter = Some(BootCounter { left: 0, done: BOOT_TRIES });
                self.rename(&path, UkiName { sequence, counter })?;
            }
        }
        Ok(durable::sync_fs(&self.dir)?)
    }

    fn remove(&mut self, sequence: Sequence) -> Result<(), EspError> {
        for (path, _) in self.of(sequence)? {
            fs::remove_file(&path).map_err(Self::io("remove", &path))?;
        }
        durable::sync_dir(&self.dir)?;
        Ok(durable::sync_fs(&self.dir)?)
    }
}

/// The ESP, mounted for as long as this lives; unmounted, and thereby written
/// back, on drop.
#[derive(Debug)]
pub struct EspMount {
    at: PathBuf,
}

impl EspMount {
    /// Mount partition `device` (vfat) at `at`, which is created. A mount that
    /// an earlier crash of the caller left there is taken over.
    ///
    /// # Errors
    /// [`EspError`].
    pub fn new(device: &Path, at: &Path) -> Result<Self, EspError> {
        fs::create_dir_all(at).map_err(EntryFolder::io("create", at))?;
        if !mount::is_mount_point(at).map_err(EntryFolder::io("list", at))? {
            let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC;
            // A directory entry that a power cut doubled must not turn the ESP
            // read-only when its second name is removed.
            mount::mount_device("vfat", device, at, attributes, "umask=0077,errors=continue")?;
        }
        Ok(Self { at: at.to_owned() })
    }

    /// Find the ESP on the disk that this box runs from, by its partition name,
    /// and mount it at [`ESP_MOUNT`].
    ///
    /// # Errors
    /// [`EspError`].
    pub fn of_this_box() -> Result<Self, EspError> {
        let name = skerry_formats::layout::PART_ESP;
        let system = block::partition_of(Path::new(SYSROOT))?;
        let found = block::partitions()?.into_iter().find(|p| p.disk == system.disk && p.name.as_deref() == Some(name));
        let esp = found.ok_or(EspError::NoPartition { name, disk: system.disk })?;
        Self::new(&esp.device, Path::new(ESP_MOUNT))
    }

    /// The boot entries on it.
    pub fn entries(&self) -> EntryFolder {
        EntryFolder::new(&self.at)
    }
}

impl Drop for EspMount {
    fn drop(&mut self) {
        let _ = durable::sync_fs(&self.at);
        if mount::unmount(&self.at).is_err() {
            let _ = mount::unmount_detach(&self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use skerry_formats::fsverity_digest;

    use super::*;

    fn folder() -> (tempfile::TempDir, EntryFolder) {
        let d = tempfile::tempdir().unwrap();
        fs::create_dir_all(d.path().join(ESP_UKI_DIR)).unwrap();
        let f = EntryFolder::new(d.path());
        (d, f)
    }

    fn names(f: &EntryFolder) -> Vec<String> {
        let mut v: Vec<_> =
            fs::read_dir(&f.dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        v.sort();
        v
    }

    fn put(f: &EntryFolder, name: &str) {
        fs::write(f.dir.join(name), name).unwrap();
    }

    #[test]
    fn install_bless_and_remove() {
        let (_d, mut f) = folder();
        put(&f, "skerry-0000000001.efi");
        put(&f, "skerry-0000000002.tmp");
        let i = f.install(Sequence(2), &mut &b"kernel"[..], &fsverity_digest(b"kernel")).unwrap();
        assert_eq!(i, Installed { size_bytes: 6, digest: fsverity_digest(b"kernel") });
        assert_eq!(names(&f), ["skerry-0000000001.efi", "skerry-0000000002+3.efi"]);
        f.bless(Sequence(2)).unwrap();
        f.bless(Sequence(2)).unwrap();
        assert_eq!(names(&f), ["skerry-0000000001.efi", "skerry-0000000002.efi"]);
        f.remove(Sequence(1)).unwrap();
        f.remove(Sequence(1)).unwrap();
        assert_eq!(f.list().unwrap(), [UkiName::blessed(Sequence(2))]);
    }

    #[test]
    fn uki_of_other_bytes_never_becomes_an_entry() {
        let (_d, mut f) = folder();
        let i = f.install(Sequence(2), &mut &b"kernex"[..], &fsverity_digest(b"kernel")).unwrap();
        assert_ne!(i.digest, fsverity_digest(b"kernel"));
        assert!(names(&f).is_empty());
        assert!(matches!(f.install(Sequence(2), &mut &b""[..], &fsverity_digest(b"")), Err(EspError::Size(0))));
        assert!(names(&f).is_empty());
    }

    #[test]
    fn source_that_breaks_off_leaves_the_old_entries_alone() {
        struct Broken(u8);
        impl Read for Broken {
            fn read(&mut self, b: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 2 {
                    Err(io::ErrorKind::UnexpectedEof.into())
                } else {
                    b[0] = 1;
                    Ok(1)
                }
            }
        }
        let (_d, mut f) = folder();
        put(&f, "skerry-0000000002+1-2.efi");
        f.install(Sequence(2), &mut Broken(0), &fsverity_digest(b"x")).unwrap_err();
        assert_eq!(names(&f), ["skerry-0000000002+1-2.efi"]);
    }

    #[test]
    fn installing_again_gives_fresh_tries() {
        let (_d, mut f) = folder();
        put(&f, "SKERRY-0000000002+0-3.EFI");
        f.install(Sequence(2), &mut &b"k"[..], &fsverity_digest(b"k")).unwrap();
        assert_eq!(names(&f), ["skerry-0000000002+3.efi"]);
    }

    #[test]
    fn bad_entries_get_no_tries_whatever_they_were() {
        for before in ["skerry-0000000002.efi", "skerry-0000000002+3.efi", "skerry-0000000002+2-1.efi"] {
            let (_d, mut f) = folder();
            put(&f, before);
            f.mark_bad(Sequence(2)).unwrap();
            f.mark_bad(Sequence(2)).unwrap();
            assert_eq!(names(&f), ["skerry-0000000002+0-3.efi"], "{before}");
        }
        let (_d, mut f) = folder();
        assert!(matches!(f.mark_bad(Sequence(9)), Err(EspError::Missing(Sequence(9)))));
        assert!(matches!(f.bless(Sequence(9)), Err(EspError::Missing(Sequence(9)))));
    }

    #[test]
    fn doubled_name_after_a_power_cut_in_bless_stays_bootable() {
        let (_d, mut f) = folder();
        put(&f, "skerry-0000000002.efi");
        put(&f, "skerry-0000000002+2-1.efi");
        f.bless(Sequence(2)).unwrap();
        assert!(names(&f).contains(&"skerry-0000000002.efi".to_owned()));
        f.remove(Sequence(2)).unwrap();
        assert!(names(&f).is_empty());
    }
}
