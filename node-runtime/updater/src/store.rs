//! SYSTEM: which objects are there, landing new ones, pruning old ones.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use skerry_formats::{
    ObjectDigest, Sequence,
    digest::FsVerityHasher,
    index::{Index, IndexEntry, Role},
    layout::{INDEX_FILE, OBJECTS_DIR, RELEASE_FILE, RELEASES_DIR, STAGING_DIR},
    release::Release,
    status::ReleaseRef,
    versioned::Document as _,
};
use skerry_update_core::DiskRelease;

use crate::{Config, UpdateError, error::io as io_error, facilities::Facilities};

/// Largest window that a compressed object may ask for (2^27 = 128 MiB is what
/// zstd's own default allows; the frame's content size bounds it further).
const WINDOW_LOG_MAX: u32 = 27;
/// Bytes that stay free beside the candidate's objects.
pub const FREE_MARGIN_BYTES: u64 = 16 << 20;
/// Block size for estimates of what an object takes on the disk.
const BLOCK_BYTES: u64 = 4096;
/// Piece in which objects are unpacked.
const PIECE_BYTES: usize = 128 << 10;

/// Folder of a release's record.
pub fn release_dir(cfg: &Config, sequence: Sequence) -> PathBuf {
    cfg.system(RELEASES_DIR).join(sequence.padded())
}

/// Folder of a candidate's record while it is being fetched.
pub fn staged_release_dir(cfg: &Config, sequence: Sequence) -> PathBuf {
    cfg.system(STAGING_DIR).join(format!("release-{}", sequence.padded()))
}

/// A candidate's kernel image while it waits for the ESP.
pub fn staged_uki(cfg: &Config, digest: &ObjectDigest) -> PathBuf {
    cfg.system(STAGING_DIR).join(format!("{digest}.uki"))
}

/// Half a download.
pub fn part_path(cfg: &Config, digest: &ObjectDigest) -> PathBuf {
    cfg.system(STAGING_DIR).join(format!("{digest}.zst.part"))
}

/// The objects on SYSTEM.
pub struct Store<'a> {
    /// Paths.
    pub cfg: &'a Config,
    /// The machine.
    pub fac: &'a dyn Facilities,
}

impl Store<'_> {
    fn object(&self, digest: &ObjectDigest) -> PathBuf {
        self.cfg.system(OBJECTS_DIR).join(digest.object_path())
    }

    /// Is an object here, sealed and measured under its own name?
    ///
    /// # Errors
    /// Local read errors.
    pub fn has(&self, e: &IndexEntry) -> Result<bool, UpdateError> {
        if e.role == Role::Uki {
            let path = staged_uki(self.cfg, &e.digest);
            return match hash_file(&path) {
                Ok(found) => Ok(found == e.digest),
                Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(err) => Err(io_error("read", &path)(err)),
            };
        }
        let path = self.object(&e.digest);
        match self.fac.measure(&path) {
            Ok(found) => Ok(found == Some(e.digest)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(io_error("measure", &path)(err)),
        }
    }

    /// The objects of an index that have to be fetched.
    ///
    /// # Errors
    /// Local read errors.
    pub fn missing(&self, index: &Index) -> Result<Vec<IndexEntry>, UpdateError> {
        let mut out = vec![];
        for e in index.entries() {
            if !self.has(e)? {
                out.push(e.clone());
            }
        }
        Ok(out)
    }

    /// Is there room for these objects? Half-done downloads that are here are
    /// part of the free space already gone, so they are not counted twice.
    ///
    /// # Errors
    /// [`UpdateError::NoRoom`].
    pub fn check_room(&self, missing: &[IndexEntry]) -> Result<(), UpdateError> {
        if missing.is_empty() {
            return Ok(());
        }
        let on_disk = |e: &IndexEntry| {
            // Data, its Merkle tree (1/127 of it) and two partly filled blocks.
            (e.size_bytes + e.size_bytes / 127).next_multiple_of(BLOCK_BYTES) + 2 * BLOCK_BYTES
        };
        // Downloads that wait beside the unpacked objects; an upper bound.
        let largest = missing.iter().map(|e| e.compressed_bytes).max().unwrap_or(0);
        let waiting = largest * crate::fetch::PARALLEL as u64;
        let need_bytes = missing.iter().map(on_disk).sum::<u64>() + waiting + FREE_MARGIN_BYTES;
        let root = self.cfg.system("");
        let free_bytes = self.fac.free_bytes(&root).map_err(io_error("statvfs", &root))?;
        if free_bytes < need_bytes {
            return Err(UpdateError::NoRoom { need_bytes, free_bytes });
        }
        Ok(())
    }

    /// Unpack a finished download and reveal it under its name, sealed and
    /// measured. Removes the download if it worked, or if it is not the object.
    ///
    /// # Errors
    /// [`UpdateError::Object`] if the content is not what the name says.
    pub fn land(&self, e: &IndexEntry) -> Result<(), UpdateError> {
        let part = part_path(self.cfg, &e.digest);
        let to = match e.role {
            Role::Uki => staged_uki(self.cfg, &e.digest),
            Role::Data | Role::Erofs => self.object(&e.digest),
        };
        let dir = to.parent().unwrap_or(Path::new("/")).to_owned();
        self.fac.create_dir_all(&dir).map_err(io_error("create", &dir))?;
        let tmp = dir.join(format!(".tmp-{}", e.digest));
        // A leftover may be sealed and so not writable.
        self.fac.remove(&tmp).map_err(io_error("remove", &tmp))?;
        let landed = self.unpack(e, &part, &tmp).and_then(|found| self.reveal(e, found, &tmp, &to, &dir));
        if let Err(err) = landed {
            let _ = self.fac.remove(&tmp);
            if matches!(err, UpdateError::Object { .. }) {
                self.drop_part(&e.digest)?;
            }
            return Err(err);
        }
        self.drop_part(&e.digest)
    }

    fn reveal(
        &self,
        e: &IndexEntry,
        found: ObjectDigest,
        tmp: &Path,
        to: &Path,
        dir: &Path,
    ) -> Result<(), UpdateError> {
        let found = match e.role {
            Role::Uki => Some(found),
            Role::Data | Role::Erofs => {
                self.fac.seal(tmp).map_err(io_error("seal", tmp))?;
                self.fac.measure(tmp).map_err(io_error("measure", tmp))?
            }
        };
        if found != Some(e.digest) {
            let detail = match found {
                Some(d) => format!("its content is object {d}"),
                None => "the kernel does not show it as sealed".into(),
            };
            return Err(UpdateError::Object { object: e.digest, detail });
        }
        self.fac.rename(tmp, to).map_err(io_error("rename", tmp))?;
        self.fac.sync_dir(dir).map_err(io_error("fsync", dir))
    }

    /// Forget half a download.
    ///
    /// # Errors
    /// Local I/O errors.
    pub fn drop_part(&self, digest: &ObjectDigest) -> Result<(), UpdateError> {
        let part = part_path(self.cfg, digest);
        for path in [part.with_extension("etag"), part] {
            self.fac.remove(&path).map_err(io_error("remove", &path))?;
        }
        Ok(())
    }

    fn unpack(&self, e: &IndexEntry, part: &Path, tmp: &Path) -> Result<ObjectDigest, UpdateError> {
        let bad = |detail: String| UpdateError::Object { object: e.digest, detail };
        let file = File::open(part).map_err(io_error("open", part))?;
        let mut decoder = zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(PIECE_BYTES, file))
            .map_err(io_error("read", part))?;
        decoder.window_log_max(WINDOW_LOG_MAX).map_err(io_error("read", part))?;
        let mut out = self.fac.create(tmp).map_err(io_error("create", tmp))?;
        // For kernel images; for all others the kernel does the hashing.
        let mut hasher = (e.role == Role::Uki).then(FsVerityHasher::new);
        let mut buf = vec![0; PIECE_BYTES];
        let mut size = 0;
        loop {
            let n = decoder.read(&mut buf).map_err(|err| bad(format!("it does not decompress ({err})")))?;
            if n == 0 {
                break;
            }
            size += n as u64;
            if size > e.size_bytes {
                return Err(bad(format!("it unpacks to more than its {} bytes", e.size_bytes)));
            }
            if let Some(h) = &mut hasher {
                h.update(&buf[..n]);
            }
            out.write_all(&buf[..n]).map_err(io_error("write", tmp))?;
        }
        if size != e.size_bytes {
            return Err(bad(format!("it unpacks to {size} bytes instead of {}", e.size_bytes)));
        }
        out.sync().map_err(io_error("fsync", tmp))?;
        Ok(hasher.map_or(e.digest, FsVerityHasher::finish))
    }

    /// Everything on SYSTEM and the ESP.
    pub fn on_disk(&self, entries: &[skerry_formats::layout::UkiName]) -> Vec<DiskRelease> {
        let mut out: Vec<DiskRelease> = vec![];
        for sequence in self.recorded() {
            let record = self.record(sequence);
            let version = record.as_ref().map_or("?".into(), |(r, _)| r.version.clone());
            let complete = record.is_some_and(|(_, index)| {
                let mut files = index.entries().iter().filter(|e| e.role != Role::Uki);
                files.all(|e| self.object(&e.digest).is_file())
            });
            out.push(DiskRelease { release: ReleaseRef { sequence, version }, entry: None, complete });
        }
        for entry in entries {
            let known = out.iter_mut().find(|d| d.release.sequence == entry.sequence);
            match known {
                // A power cut can leave two names of one release; the blessed
                // one counts.
                Some(d) if d.entry.is_none_or(|e| e.counter.is_some()) => d.entry = Some(*entry),
                Some(_) => {}
                None => out.push(DiskRelease {
                    release: ReleaseRef { sequence: entry.sequence, version: "?".into() },
                    entry: Some(*entry),
                    complete: false,
                }),
            }
        }
        out
    }

    fn recorded(&self) -> Vec<Sequence> {
        let Ok(dir) = fs::read_dir(self.cfg.system(RELEASES_DIR)) else { return vec![] };
        let name = |e: fs::DirEntry| e.file_name().to_str()?.parse().ok().map(Sequence);
        let mut out: Vec<_> = dir.flatten().filter_map(name).collect();
        out.sort();
        out
    }

    fn record(&self, sequence: Sequence) -> Option<(Release, Index)> {
        let dir = release_dir(self.cfg, sequence);
        let release = Release::parse(&fs::read(dir.join(RELEASE_FILE)).ok()?).ok()?;
        Some((release, read_index(&dir)?))
    }

    /// Remove releases and objects that belong to none of `keep`: boot entries
    /// first, then records, then objects, so that nothing bootable ever lacks
    /// anything.
    ///
    /// # Errors
    /// Local I/O errors, or an index of `keep` that cannot be read: then
    /// nothing is removed.
    pub fn prune(&self, keep: &[Sequence]) -> Result<(), UpdateError> {
        let wanted = self.wanted(keep)?;
        let mut unfinished = keep.to_vec();
        self.fac.boot_entries(&mut |entries| {
            let mut installed: Vec<_> = entries.list()?.iter().map(|n| n.sequence).collect();
            installed.dedup();
            unfinished.retain(|s| !installed.contains(s));
            installed.into_iter().filter(|s| !keep.contains(s)).try_for_each(|s| entries.remove(s))
        })?;
        let releases = self.cfg.system(RELEASES_DIR);
        for sequence in self.recorded().into_iter().filter(|s| !keep.contains(s)) {
            let dir = release_dir(self.cfg, sequence);
            self.fac.remove_dir_all(&dir).map_err(io_error("remove", &dir))?;
        }
        if releases.is_dir() {
            self.fac.sync_dir(&releases).map_err(io_error("fsync", &releases))?;
        }
        self.prune_staging(&unfinished)?;
        self.prune_objects(&wanted)
    }

    fn wanted(&self, keep: &[Sequence]) -> Result<HashSet<ObjectDigest>, UpdateError> {
        let mut wanted = HashSet::new();
        for sequence in keep {
            let dirs = [release_dir(self.cfg, *sequence), staged_release_dir(self.cfg, *sequence)];
            let index = dirs.iter().find_map(|d| read_index(d)).ok_or_else(|| UpdateError::Staging {
                sequence: sequence.0,
                detail: "its index cannot be read; nothing is removed".into(),
            })?;
            wanted.extend(index.entries().iter().map(|e| e.digest));
        }
        Ok(wanted)
    }

    /// What lies in staging for a release that has its boot entry is done with.
    fn prune_staging(&self, unfinished: &[Sequence]) -> Result<(), UpdateError> {
        let wanted = self.wanted(unfinished)?;
        let Ok(dir) = fs::read_dir(self.cfg.system(STAGING_DIR)) else { return Ok(()) };
        for entry in dir.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let path = entry.path();
            let stays = match name.strip_prefix("release-") {
                Some(seq) => seq.parse().is_ok_and(|s| unfinished.contains(&Sequence(s))),
                None => name.get(..64).and_then(|h| h.parse().ok()).is_some_and(|d| wanted.contains(&d)),
            };
            if !stays && path.is_dir() {
                self.fac.remove_dir_all(&path).map_err(io_error("remove", &path))?;
            } else if !stays {
                self.fac.remove(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    fn prune_objects(&self, wanted: &HashSet<ObjectDigest>) -> Result<(), UpdateError> {
        let objects = self.cfg.system(OBJECTS_DIR);
        let Ok(dirs) = fs::read_dir(&objects) else { return Ok(()) };
        for dir in dirs.flatten().filter(|d| d.path().is_dir()) {
            let prefix = dir.file_name();
            for file in fs::read_dir(dir.path()).map_err(io_error("list", &dir.path()))?.flatten() {
                let name = file.file_name();
                let (prefix, name) = (prefix.to_string_lossy(), name.to_string_lossy());
                let digest = ObjectDigest::from_object_path(&prefix, &name).ok();
                // What is no object is a leftover of an interrupted landing.
                if digest.is_none_or(|d| !wanted.contains(&d)) {
                    self.fac.remove(&file.path()).map_err(io_error("remove", &file.path()))?;
                }
            }
        }
        Ok(())
    }
}

fn read_index(dir: &Path) -> Option<Index> {
    Index::parse(&fs::read(dir.join(INDEX_FILE)).ok()?).ok()
}

/// fs-verity digest of a file, computed here.
///
/// # Errors
/// Read errors.
pub fn hash_file(path: &Path) -> io::Result<ObjectDigest> {
    let mut file = File::open(path)?;
    let mut hasher = FsVerityHasher::new();
    let mut buf = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut buf)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buf[..n]),
        }
    }
}
