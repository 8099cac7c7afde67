//! The images that were pulled: on the disk, and an index of them in memory.
//!
//! An image counts once its record is written, which is the last step of a pull.
//! Whatever else lies in the store when it is opened is a leftover of a crash
//! and is removed, except for unfinished downloads, which are resumed.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, SystemTime},
};

use skerry_formats::{ObjectDigest, Sha256Digest, baked::AppConfig};
use tokio::sync::Semaphore;

use crate::{
    locks::{Locks, lock},
    objects::{ObjectError, Objects, Room, Sealing, Space, TEMP_PREFIX, io_error},
    record::{Record, Records, list},
};

/// Age at which an unfinished download is given up.
const PARTIAL_SECS_MAX: u64 = 7 * 24 * 3600;
/// How often the last use of an image is written.
const USED_WRITE_SECS: u64 = 24 * 3600;

/// Where and how.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Folder of the store, on DATA.
    pub root: PathBuf,
    /// Bytes of the file system that stay free for everything else.
    pub free_margin_bytes: u64,
    /// Bytes that one image may unpack to.
    pub unpacked_bytes_max: u64,
    /// Images that are pulled at a time.
    pub parallel_pulls: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            root: "/var/lib/skerry/images".into(),
            free_margin_bytes: 128 << 20,
            unpacked_bytes_max: 8 << 30,
            parallel_pulls: 2,
        }
    }
}

/// An image that can be used. Whoever holds one keeps it from being collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledImage {
    /// Canonical reference that it was pulled by.
    pub reference: String,
    /// OCI manifest digest.
    pub manifest_digest: Sha256Digest,
    /// fs-verity digest of its EROFS image, which is an object of the store.
    pub composefs: ObjectDigest,
    /// How it runs.
    pub config: AppConfig,
    /// Bytes that it takes, shared ones counted.
    pub size_bytes: u64,
}

/// An image in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The image.
    pub image: Arc<PulledImage>,
    /// Canonical references that name it now; none if they moved on.
    pub references: Vec<String>,
    /// When it was last known to be used, Unix time.
    pub used_secs: u64,
}

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Files.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Another process has it.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// A container uses it, or is about to.
    #[error("image sha256:{0} is in use")]
    InUse(Sha256Digest),
    /// There is no such image.
    #[error("there is no image sha256:{0}")]
    Unknown(Sha256Digest),
}

/// The store. Shared; all methods take `&self`. Those that are not `async` may
/// wait for the disk.
#[derive(Debug)]
pub struct Store {
    pub(crate) objects: Objects,
    pub(crate) records: Records,
    pub(crate) partial: PathBuf,
    pub(crate) room: Room,
    pub(crate) unpacked_bytes_max: u64,
    pub(crate) index: RwLock<Index>,
    /// Held by whoever adds or removes objects.
    pub(crate) change: Mutex<()>,
    pub(crate) blobs: Locks<Sha256Digest>,
    pub(crate) references: Locks<String>,
    pub(crate) pulls: Semaphore,
    root: PathBuf,
    _lock: File,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    pub images: BTreeMap<Sha256Digest, Held>,
    pub references: BTreeMap<String, Sha256Digest>,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub image: Arc<PulledImage>,
    pub record: Record,
    pub used_secs: u64,
}

impl Store {
    /// Open or make a store, and remove leftovers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(options: &StoreOptions) -> Result<Arc<Self>, StoreError> {
        let sub = |name: &str| options.root.join(name);
        for folder in ["objects", "images", "partial"].map(sub) {
            skerry_platform::durable::create_dir_all(&folder).map_err(ObjectError::from)?;
        }
        set_private(&options.root)?;
        let lock_path = sub("lock");
        let lock = File::create(&lock_path).map_err(io_error("create", &lock_path))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| StoreError::Locked(options.root.clone()))?;
        remove_temporary(&sub("partial"))?;
        let store = Self {
            objects: Objects::open(sub("objects"), sub("partial"))?,
            records: Records(sub("images")),
            partial: sub("partial"),
            room: Room { folder: options.root.clone(), margin_bytes: options.free_margin_bytes },
            unpacked_bytes_max: options.unpacked_bytes_max,
            index: RwLock::default(),
            change: Mutex::new(()),
            blobs: Locks::default(),
            references: Locks::default(),
            pulls: Semaphore::new(options.parallel_pulls.max(1)),
            root: options.root.clone(),
            _lock: lock,
        };
        store.load()?;
        Ok(Arc::new(store))
    }

    /// Folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder to overlay, `ab/cdef…` below it.
    pub fn objects_folder(&self) -> &Path {
        &self.objects.folder
    }

    /// Who checks the objects after they were pulled.
    pub fn sealing(&self) -> Sealing {
        self.objects.sealing
    }

    /// Size and free space of the file system.
    ///
    /// # Errors
    /// [`ObjectError::Io`].
    pub fn space(&self) -> Result<Space, ObjectError> {
        self.room.space()
    }

    /// The image that a canonical reference names. One with a digest also finds
    /// an image of that digest that was pulled by another name.
    pub fn by_reference(&self, reference: &crate::Reference) -> Option<Arc<PulledImage>> {
        let index = self.index();
        let by_name = index.references.get(&reference.to_string());
        let digest = by_name.or(reference.digest.as_ref())?;
        index.images.get(digest).map(|h| h.image.clone())
    }

    /// The image with a manifest digest.
    pub fn by_digest(&self, digest: &Sha256Digest) -> Option<Arc<PulledImage>> {
        self.index().images.get(digest).map(|h| h.image.clone())
    }

    /// All images.
    pub fn list(&self) -> Vec<Listed> {
        let index = self.index();
        let listed = |h: &Held| Listed {
            image: h.image.clone(),
            references: h.record.references.keys().cloned().collect(),
            used_secs: h.used_secs,
        };
        index.images.values().map(listed).collect()
    }

    /// Remember that images are in use at a time, so that they are collected
    /// last. Written to the disk once a day at most.
    ///
    /// # Errors
    /// [`StoreError`]: a record could not be written.
    pub fn mark_used(
        &self,
        images: &std::collections::BTreeSet<Sha256Digest>,
        now_secs: u64,
    ) -> Result<(), StoreError> {
        let mut late = Vec::new();
        for digest in images {
            let mut index = self.index_mut();
            let Some(held) = index.images.get_mut(digest) else { continue };
            held.used_secs = held.used_secs.max(now_secs);
            if held.record.used_secs + USED_WRITE_SECS <= now_secs {
                late.push(*digest);
            }
        }
        let _change = if late.is_empty() { None } else { Some(lock(&self.change)) };
        for digest in late {
            let record = {
                let mut index = self.index_mut();
                let Some(held) = index.images.get_mut(&digest) else { continue };
                held.record.used_secs = now_secs;
                held.record.clone()
            };
            self.records.update(&record)?;
        }
        Ok(())
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new record counts: put it and its references into the index; the
    /// caller holds `change`.
    pub(crate) fn enter(&self, record: Record) -> Result<Arc<PulledImage>, StoreError> {
        let digest = record.manifest_digest;
        let mut moved = Vec::new();
        let image = {
            let mut index = self.index_mut();
            for reference in record.references.keys() {
                let before = index.references.insert(reference.clone(), digest);
                if let Some(held) = before.filter(|b| *b != digest).and_then(|b| index.images.get_mut(&b)) {
                    held.record.references.remove(reference);
                    moved.push(held.record.clone());
                }
            }
            let held = index.images.entry(digest).or_insert_with(|| Held {
                image: Arc::new(image_of(&record)),
                used_secs: record.used_secs,
                record: record.clone(),
            });
            held.record = record;
            held.image.clone()
        };
        for record in moved {
            self.records.update(&record)?;
        }
        Ok(image)
    }

    /// Read what is there and remove what does not belong to it.
    fn load(&self) -> Result<(), StoreError> {
        let _change = lock(&self.change);
        let (records, leftovers) = self.records.load()?;
        for path in leftovers {
            tracing::info!(path = %path.display(), "removing what an interrupted pull left");
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        let present = self.present()?;
        let mut wanted = HashSet::new();
        let mut highest: BTreeMap<String, u64> = BTreeMap::new();
        for (reference, number) in records.iter().flat_map(|r| &r.references) {
            let known = highest.entry(reference.clone()).or_default();
            *known = (*known).max(*number);
        }
        for mut record in records {
            record.references.retain(|reference, number| highest.get(reference) == Some(number));
            let objects = self.records.objects(&record)?;
            match objects.filter(|o| o.iter().all(|d| present.contains(d)) && o.contains(&record.composefs)) {
                Some(objects) => {
                    wanted.extend(objects);
                    self.enter(record)?;
                }
                None => {
                    tracing::warn!(image = %record.manifest_digest, "the image is not complete; removing it");
                    self.records.remove(&record.manifest_digest)?;
                }
            }
        }
        for digest in present.difference(&wanted) {
            let path = self.objects.path(digest);
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        Ok(())
    }

    /// Objects that are there; whatever has no name of one is removed.
    fn present(&self) -> Result<HashSet<ObjectDigest>, ObjectError> {
        let mut present = HashSet::new();
        for folder in list(&self.objects.folder)? {
            let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            for path in list(&folder)? {
                match ObjectDigest::from_object_path(&name(&folder), &name(&path)) {
                    Ok(digest) => drop(present.insert(digest)),
                    Err(_) => fs::remove_file(&path).map_err(io_error("remove", &path))?,
                }
            }
        }
        Ok(present)
    }
}

fn image_of(record: &Record) -> PulledImage {
    PulledImage {
        reference: record.reference.clone(),
        manifest_digest: record.manifest_digest,
        composefs: record.composefs,
        config: record.config.clone(),
        size_bytes: record.size_bytes,
    }
}

/// Images may hold secrets: nobody but root enters.
fn set_private(root: &Path) -> Result<(), ObjectError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(root, fs::Permissions::from_mode(0o700)).map_err(io_error("set the mode of", root))
}

/// Remove files in the making and old downloads.
fn remove_temporary(partial: &Path) -> Result<(), ObjectError> {
    let old = |path: &Path| {
        let modified = fs::metadata(path).and_then(|m| m.modified()).ok();
        modified
            .and_then(|m| SystemTime::now().duration_since(m).ok())
            .is_some_and(|age| age > Duration::from_secs(PARTIAL_SECS_MAX))
    };
    for path in list(partial)? {
        let making = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(TEMP_PREFIX));
        if making || old(&path) {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}
