//! A machine whose power can go at any write, fsync, rename, seal or boot entry
//! operation. What was not made durable by then is gone.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use skerry_formats::{ObjectDigest, Sequence, layout::UkiName};
use skerry_platform::esp::{BootEntries, EntryFolder, EspError, Installed};
use skerry_update_core::Now;
use skerry_updater::{
    facilities::{Facilities, OutFile, WithEntries, missing_is_fine},
    store,
};

/// File mode that stands for the fs-verity flag.
const SEALED: u32 = 0o1444;

enum Undo {
    Created { path: PathBuf },
    Renamed { from: PathBuf, to: PathBuf, old: Option<(Vec<u8>, u32)> },
    Removed { path: PathBuf, old: (Vec<u8>, u32) },
}

#[derive(Default)]
struct Inner {
    ops: u64,
    cut_at: Option<u64>,
    dead: bool,
    unsynced: HashMap<PathBuf, u64>,
    undo: Vec<(PathBuf, Undo)>,
    now: (u64, u64),
    boot: u32,
    reboot: bool,
    lines: Vec<String>,
    free: Option<u64>,
    room: Option<u64>,
}

#[derive(Clone)]
pub struct Fake {
    pub root: PathBuf,
    inner: Arc<Mutex<Inner>>,
}

impl Fake {
    pub fn new(root: &Path) -> Self {
        let inner = Inner { now: (1_800_000_000, 20), boot: 1, ..Inner::default() };
        Self { root: root.into(), inner: Arc::new(Mutex::new(inner)) }
    }

    pub fn cut_at(&self, op: u64) {
        let mut i = self.inner.lock().unwrap();
        i.cut_at = Some(i.ops + op);
    }

    pub fn never_cut(&self) {
        self.inner.lock().unwrap().cut_at = None;
    }

    pub fn ops(&self) -> u64 {
        self.inner.lock().unwrap().ops
    }

    pub fn dead(&self) -> bool {
        self.inner.lock().unwrap().dead
    }

    /// Ordered since last asked?
    pub fn take_reboot(&self) -> bool {
        std::mem::take(&mut self.inner.lock().unwrap().reboot)
    }

    pub fn pass(&self, secs: u64) {
        let mut i = self.inner.lock().unwrap();
        i.now.0 += secs;
        i.now.1 += secs;
    }

    pub fn now_parts(&self) -> (u64, u64, u32) {
        let i = self.inner.lock().unwrap();
        (i.now.0, i.now.1, i.boot)
    }

    pub fn set_clock(&self, (unix, boot_secs, boot): (u64, u64, u32)) {
        let mut i = self.inner.lock().unwrap();
        (i.now, i.boot) = ((unix, boot_secs), boot);
    }

    pub fn lines(&self) -> Vec<String> {
        self.inner.lock().unwrap().lines.clone()
    }

    pub fn set_free(&self, bytes: Option<u64>) {
        self.inner.lock().unwrap().free = bytes;
    }

    /// Bytes that can still be written before `ENOSPC`.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.inner.lock().unwrap().room = bytes;
    }

    /// Power is back, or the node restarted: a new boot.
    pub fn power_on(&self) {
        let mut i = self.inner.lock().unwrap();
        // An orderly reboot has everything written back.
        i.undo.clear();
        i.unsynced.clear();
        (i.dead, i.reboot) = (false, false);
        i.boot += 1;
        i.now.1 = 20;
    }

    /// The power goes now.
    pub fn pull_plug(&self) {
        let mut i = self.inner.lock().unwrap();
        self.lose(&mut i);
    }

    fn lose(&self, i: &mut Inner) {
        i.dead = true;
        for (_, undo) in std::mem::take(&mut i.undo).into_iter().rev() {
            match undo {
                Undo::Created { path } => {
                    let _ = fs::remove_file(&path);
                    i.unsynced.remove(&path);
                }
                Undo::Renamed { from, to, old } => {
                    let _ = fs::rename(&to, &from);
                    if let Some(n) = i.unsynced.remove(&to) {
                        i.unsynced.insert(from, n);
                    }
                    if let Some(old) = old {
                        restore(&to, &old);
                    }
                }
                Undo::Removed { path, old } => restore(&path, &old),
            }
        }
        for (path, len) in std::mem::take(&mut i.unsynced) {
            if let Ok(f) = OpenOptions::new().write(true).open(&path) {
                let _ = f.set_len(len);
            }
        }
    }

    /// One operation that changes something; the power may go before it.
    fn op(&self) -> io::Result<std::sync::MutexGuard<'_, Inner>> {
        let mut i = self.inner.lock().unwrap();
        if i.dead {
            return Err(io::Error::other("no power"));
        }
        i.ops += 1;
        if i.cut_at == Some(i.ops) {
            self.lose(&mut i);
            return Err(io::Error::other("the power went"));
        }
        Ok(i)
    }

    fn take_room(i: &mut Inner, n: usize) -> io::Result<()> {
        if let Some(room) = &mut i.room {
            if *room < n as u64 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= n as u64;
        }
        Ok(())
    }

    fn esp(&self) -> EntryFolder {
        EntryFolder::new(&self.root.join("esp"))
    }
}

fn keep(path: &Path) -> Option<(Vec<u8>, u32)> {
    let mode = fs::metadata(path).ok().filter(|m| m.is_file())?.permissions().mode();
    Some((fs::read(path).ok()?, mode))
}

fn restore(path: &Path, old: &(Vec<u8>, u32)) {
    let _ = fs::write(path, &old.0);
    let _ = fs::set_permissions(path, Permissions::from_mode(old.1));
}

fn dir_of(path: &Path) -> PathBuf {
    path.parent().unwrap().to_owned()
}

struct FakeFile {
    file: File,
    path: PathBuf,
    fake: Fake,
}

impl Write for FakeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut i = self.fake.op()?;
        Fake::take_room(&mut i, bytes.len())?;
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl OutFile for FakeFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut i = self.fake.op()?;
        let len = self.file.metadata()?.len();
        i.unsynced.insert(self.path.clone(), len);
        Ok(())
    }
}

impl Facilities for Fake {
    fn now(&self) -> Now {
        let i = self.inner.lock().unwrap();
        Now { unix_secs: i.now.0, boot_secs: i.now.1 }
    }
    fn boot_id(&self) -> io::Result<String> {
        Ok(format!("boot-{}", self.inner.lock().unwrap().boot))
    }
    fn random(&self) -> u64 {
        0
    }
    fn raise_clock(&self, floor: u64) {
        let mut i = self.inner.lock().unwrap();
        i.now.0 = i.now.0.max(floor);
    }
    fn announce(&self, line: &str) {
        self.inner.lock().unwrap().lines.push(line.into());
    }
    fn reboot(&self) -> io::Result<()> {
        self.op()?.reboot = true;
        Ok(())
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }
    fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // Same steps as the real one, each of them a chance for the power to go.
        fs::create_dir_all(dir_of(path))?;
        let tmp = path.with_file_name(format!(".{}.tmp", path.file_name().unwrap().to_string_lossy()));
        let mut f = self.create(&tmp)?;
        f.write_all(bytes)?;
        f.sync()?;
        self.rename(&tmp, path)?;
        self.sync_dir(&dir_of(path))
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        let mut i = self.op()?;
        let file = File::create(path)?;
        i.undo.push((dir_of(path), Undo::Created { path: path.into() }));
        i.unsynced.insert(path.into(), 0);
        Ok(Box::new(FakeFile { file, path: path.into(), fake: self.clone() }))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        let mut i = self.op()?;
        let new = !path.exists();
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        if new {
            i.undo.push((dir_of(path), Undo::Created { path: path.into() }));
        }
        let len = file.metadata()?.len();
        i.unsynced.entry(path.into()).or_insert(len);
        Ok(Box::new(FakeFile { file, path: path.into(), fake: self.clone() }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut i = self.op()?;
        let old = keep(to);
        fs::rename(from, to)?;
        if let Some(n) = i.unsynced.remove(from) {
            i.unsynced.insert(to.into(), n);
        }
        i.undo.push((dir_of(to), Undo::Renamed { from: from.into(), to: to.into(), old }));
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut i = self.op()?;
        let old = keep(path);
        missing_is_fine(fs::remove_file(path))?;
        i.unsynced.remove(path);
        if let Some(old) = old {
            i.undo.push((dir_of(path), Undo::Removed { path: path.into(), old }));
        }
        Ok(())
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut i = self.op()?;
        missing_is_fine(fs::remove_dir_all(path))?;
        i.undo.retain(|(dir, _)| !dir.starts_with(path));
        i.unsynced.retain(|p, _| !p.starts_with(path));
        Ok(())
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut i = self.op()?;
        i.undo.retain(|(dir, _)| dir != path);
        Ok(())
    }
    fn seal(&self, path: &Path) -> io::Result<()> {
        let _i = self.op()?;
        fs::set_permissions(path, Permissions::from_mode(SEALED))
    }
    fn measure(&self, path: &Path) -> io::Result<Option<ObjectDigest>> {
        let sealed = fs::metadata(path)?.permissions().mode() & 0o7777 == SEALED;
        if sealed { store::hash_file(path).map(Some) } else { Ok(None) }
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.inner.lock().unwrap().free.unwrap_or(1 << 40))
    }
    fn boot_entries(&self, work: WithEntries<'_>) -> Result<(), EspError> {
        work(&mut FakeEntries(self.clone()))
    }
}

struct FakeEntries(Fake);

impl FakeEntries {
    fn op(&self) -> Result<(), EspError> {
        self.0.op().map(drop).map_err(|source| EspError::Io { operation: "touch", path: "esp".into(), source })
    }
}

impl BootEntries for FakeEntries {
    fn list(&self) -> Result<Vec<UkiName>, EspError> {
        self.0.esp().list()
    }
    fn install(
        &mut self,
        sequence: Sequence,
        uki: &mut dyn Read,
        expected: &ObjectDigest,
    ) -> Result<Installed, EspError> {
        self.op()?;
        let half = self.0.root.join(format!("esp/EFI/Linux/skerry-{}.tmp", sequence.padded()));
        fs::write(&half, b"half of a kernel").unwrap();
        self.op()?;
        let installed = self.0.esp().install(sequence, uki, expected)?;
        self.op()?;
        Ok(installed)
    }
    fn bless(&mut self, sequence: Sequence) -> Result<(), EspError> {
        self.op()?;
        self.0.esp().bless(sequence)?;
        self.op()
    }
    fn mark_bad(&mut self, sequence: Sequence) -> Result<(), EspError> {
        self.op()?;
        self.0.esp().mark_bad(sequence)?;
        self.op()
    }
    fn remove(&mut self, sequence: Sequence) -> Result<(), EspError> {
        self.op()?;
        self.0.esp().remove(sequence)?;
        self.op()
    }
}
