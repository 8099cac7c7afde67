//! The objects folder on DATA: files named by their fs-verity digest, as on
//! SYSTEM, sealed where the file system can.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use skerry_formats::{ObjectDigest, digest::FsVerityHasher};
use skerry_platform::{durable::DurableError, fsverity};

use crate::{
    layers::{Contents, LayerError},
    tree::{INLINE_BYTES_MAX, Kind},
};

/// Bytes after which the free space is looked at again.
const LOOK_AGAIN_BYTES: u64 = 8 << 20;
/// Beginning of the names of files in the making.
pub const TEMP_PREFIX: &str = "unpack-";

/// Who checks the objects after they landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// The kernel, at every read (fs-verity).
    Kernel,
    /// Nobody: the file system has no fs-verity. Digests were compared when the
    /// image was pulled.
    AtPullOnly,
}

/// Why an object could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A file or folder.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk is too full.
    #[error(
        "{needed_bytes} bytes are needed on the node's disk and {free_bytes} are free for images; remove images or pods"
    )]
    NoRoom {
        /// Bytes needed at this point.
        needed_bytes: u64,
        /// Bytes there are.
        free_bytes: u64,
    },
    /// More than an image may have.
    #[error("the image unpacks to more than {0} bytes")]
    TooLarge(u64),
    /// The kernel refused to seal it.
    #[error("cannot seal {path}")]
    Seal {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: fsverity::FsVerityError,
    },
    /// Something could not be made durable.
    #[error(transparent)]
    Durable(#[from] DurableError),
}

impl ObjectError {
    /// Is the disk full?
    pub fn is_no_room(&self) -> bool {
        let full = |e: &io::Error| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match self {
            Self::NoRoom { .. } => true,
            Self::Io { source, .. } => full(source),
            Self::Durable(e) => full(&e.source),
            Self::TooLarge(_) | Self::Seal { .. } => false,
        }
    }
}

/// An I/O error with what was done to what.
pub fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ObjectError + use<> {
    let path = path.to_path_buf();
    move |source| ObjectError::Io { operation, path, source }
}

/// The free space that images may use.
#[derive(Debug, Clone)]
pub struct Room {
    /// A folder on the file system.
    pub folder: PathBuf,
    /// Bytes that stay free for everything else.
    pub margin_bytes: u64,
}

/// Size and free space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that it can hold.
    pub total_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
}

impl Room {
    /// Size and free space.
    ///
    /// # Errors
    /// [`ObjectError::Io`].
    pub fn space(&self) -> Result<Space, ObjectError> {
        let s = rustix::fs::statvfs(&self.folder).map_err(|e| io_error("look at", &self.folder)(e.into()))?;
        Ok(Space { total_bytes: s.f_blocks * s.f_frsize, free_bytes: s.f_bavail * s.f_frsize })
    }

    /// Is there room for so many bytes?
    ///
    /// # Errors
    /// [`ObjectError::NoRoom`].
    pub fn check(&self, needed_bytes: u64) -> Result<(), ObjectError> {
        let free_bytes = self.space()?.free_bytes.saturating_sub(self.margin_bytes);
        if needed_bytes > free_bytes { Err(ObjectError::NoRoom { needed_bytes, free_bytes }) } else { Ok(()) }
    }
}

/// Where objects lie.
#[derive(Debug, Clone)]
pub struct Objects {
    /// `ab/cdef…` below it.
    pub folder: PathBuf,
    /// Files in the making, on the same file system.
    pub temp: PathBuf,
    /// Who checks them.
    pub sealing: Sealing,
}

impl Objects {
    /// Find out whether the file system can seal.
    ///
    /// # Errors
    /// [`ObjectError::Io`].
    pub fn open(folder: PathBuf, temp: PathBuf) -> Result<Self, ObjectError> {
        let probe = temp.join(format!("{TEMP_PREFIX}probe"));
        fs::write(&probe, b"can this be sealed?").map_err(io_error("write", &probe))?;
        let file = File::open(&probe).map_err(io_error("open", &probe))?;
        let sealing = if fsverity::enable(&file).is_ok() { Sealing::Kernel } else { Sealing::AtPullOnly };
        fs::remove_file(&probe).map_err(io_error("remove", &probe))?;
        Ok(Self { folder, temp, sealing })
    }

    /// Path of an object.
    pub fn path(&self, digest: &ObjectDigest) -> PathBuf {
        self.folder.join(digest.object_path())
    }

    /// Give a finished file its name; `true` if it was not there before.
    fn land(&self, temp: &Path, digest: &ObjectDigest, size_bytes: u64) -> Result<bool, ObjectError> {
        let path = self.path(digest);
        if fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() == size_bytes) {
            fs::remove_file(temp).map_err(io_error("remove", temp))?;
            return Ok(false);
        }
        if self.sealing == Sealing::Kernel {
            let file = File::open(temp).map_err(io_error("open", temp))?;
            fsverity::enable(&file).map_err(|source| ObjectError::Seal { path: path.clone(), source })?;
        }
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
        fs::rename(temp, &path).map_err(io_error("rename", temp))?;
        Ok(true)
    }
}

/// Takes the objects of one image. What landed is removed again unless
/// [`Sink::keep`] is called.
pub struct Sink<'a> {
    objects: &'a Objects,
    room: &'a Room,
    bytes_max: u64,
    bytes: u64,
    since_look: u64,
    buffer: Vec<u8>,
    /// Objects that this image brought.
    new: Vec<ObjectDigest>,
    /// All of its objects with their sizes.
    all: BTreeMap<ObjectDigest, u64>,
}

impl<'a> Sink<'a> {
    /// Nothing yet. `bytes_max` is the most that the image may unpack to.
    pub fn new(objects: &'a Objects, room: &'a Room, bytes_max: u64) -> Self {
        let (new, all) = (vec![], Default::default());
        Self { objects, room, bytes_max, bytes: 0, since_look: 0, buffer: vec![0; 64 << 10], new, all }
    }

    /// Keep bytes that are in memory as an object.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn put_bytes(&mut self, bytes: &[u8]) -> Result<ObjectDigest, ObjectError> {
        let whole = self.stream(&mut &bytes[..], bytes.len() as u64)?;
        whole.map_err(io_error("read", &self.objects.temp))
    }

    /// Objects of the image with their sizes.
    pub fn objects(&self) -> &BTreeMap<ObjectDigest, u64> {
        &self.all
    }

    /// The image is complete: its objects stay.
    pub fn keep(mut self) {
        self.new.clear();
    }

    /// Read a file into an object. The inner error is the reader's.
    fn stream(&mut self, reader: &mut dyn Read, size_bytes: u64) -> Result<io::Result<ObjectDigest>, ObjectError> {
        let temp = self.objects.temp.join(format!("{TEMP_PREFIX}{}", self.all.len()));
        let result = self.copy(reader, size_bytes, &temp);
        match result {
            Ok(Ok(digest)) => {
                if self.objects.land(&temp, &digest, size_bytes).inspect_err(|_| drop(fs::remove_file(&temp)))? {
                    self.new.push(digest);
                }
                self.all.insert(digest, size_bytes);
                Ok(Ok(digest))
            }
            failed => {
                let _ = fs::remove_file(&temp);
                failed
            }
        }
    }

    fn copy(
        &mut self,
        reader: &mut dyn Read,
        size_bytes: u64,
        temp: &Path,
    ) -> Result<io::Result<ObjectDigest>, ObjectError> {
        let mut file = File::create(temp).map_err(io_error("create", temp))?;
        let (mut hasher, mut left) = (FsVerityHasher::new(), size_bytes);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let n = match reader.read(&mut self.buffer[..most]) {
                Ok(0) => return Ok(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Ok(Err(e)),
            };
            self.count(n as u64)?;
            hasher.update(&self.buffer[..n]);
            file.write_all(&self.buffer[..n]).map_err(io_error("write", temp))?;
            left -= n as u64;
        }
        Ok(Ok(hasher.finish()))
    }

    fn count(&mut self, bytes: u64) -> Result<(), ObjectError> {
        self.bytes += bytes;
        if self.bytes > self.bytes_max {
            return Err(ObjectError::TooLarge(self.bytes_max));
        }
        self.since_look += bytes;
        if self.since_look >= LOOK_AGAIN_BYTES {
            self.since_look = 0;
            self.room.check(LOOK_AGAIN_BYTES)?;
        }
        Ok(())
    }
}

impl Contents for Sink<'_> {
    fn put(&mut self, reader: &mut dyn Read, size_bytes: u64) -> Result<Kind, LayerError> {
        let unreadable = |source| LayerError::Read { layer: 0, source };
        if size_bytes <= INLINE_BYTES_MAX as u64 {
            let mut bytes = vec![0; size_bytes as usize];
            reader.read_exact(&mut bytes).map_err(unreadable)?;
            return Ok(Kind::Inline(bytes));
        }
        if size_bytes > self.bytes_max {
            return Err(ObjectError::TooLarge(self.bytes_max).into());
        }
        let digest = self.stream(reader, size_bytes)?.map_err(unreadable)?;
        Ok(Kind::Object { digest, size_bytes })
    }
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        for digest in &self.new {
            let _ = fs::remove_file(self.objects.path(digest));
        }
    }
}
