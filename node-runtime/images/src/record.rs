//! What is on the disk for each pulled image: `images/DIGEST.objects` (names of
//! its objects, 32 bytes each) and then `images/DIGEST.json`, which makes it
//! count. DIGEST is that of the manifest.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use skerry_formats::{
    ObjectDigest, Sha256Digest,
    baked::AppConfig,
    versioned::{Document, Header},
};
use skerry_platform::durable;

use crate::objects::{ObjectError, io_error};

/// One pulled image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name `skerry-pulled-image`.
    pub format: Header,
    /// Canonical reference that it was pulled by.
    pub reference: String,
    /// Canonical references that name it now, each with a number that grows with
    /// every pull: where two images claim a reference, the higher one has it.
    pub references: BTreeMap<String, u64>,
    /// OCI manifest digest.
    pub manifest_digest: Sha256Digest,
    /// fs-verity digest of the EROFS image.
    pub composefs: ObjectDigest,
    /// How it runs.
    pub config: AppConfig,
    /// Bytes of all its objects.
    pub size_bytes: u64,
    /// SHA-256 of the list of its objects.
    pub objects_sha256: Sha256Digest,
    /// When it was last known to be used, Unix time. Written once a day at most.
    pub used_secs: u64,
}

impl Document for Record {
    const NAME: &'static str = "skerry-pulled-image";
    const VERSION: u32 = 1;
}

/// The folder of records.
#[derive(Debug, Clone)]
pub struct Records(pub PathBuf);

impl Records {
    fn file(&self, digest: &Sha256Digest, extension: &str) -> PathBuf {
        self.0.join(format!("{digest}.{extension}"))
    }

    /// Write a record and the list of objects that goes with it.
    ///
    /// # Errors
    /// [`ObjectError::Durable`]; the image is then not there, or as before.
    pub fn create<'d>(
        &self,
        mut record: Record,
        objects: impl Iterator<Item = &'d ObjectDigest>,
    ) -> Result<Record, ObjectError> {
        let list: Vec<u8> = objects.flat_map(|d| d.0).collect();
        record.objects_sha256 = Sha256Digest::of(&list);
        durable::write_file_atomic(self.file(&record.manifest_digest, "objects"), &list)?;
        self.update(&record)?;
        Ok(record)
    }

    /// Write a changed record.
    ///
    /// # Errors
    /// [`ObjectError::Durable`]; the old one is then still there.
    pub fn update(&self, record: &Record) -> Result<(), ObjectError> {
        Ok(durable::write_file_atomic(self.file(&record.manifest_digest, "json"), &record.to_bytes())?)
    }

    /// Remove an image's files; it stops to count first.
    ///
    /// # Errors
    /// [`ObjectError::Durable`].
    pub fn remove(&self, digest: &Sha256Digest) -> Result<(), ObjectError> {
        durable::remove_file(&self.file(digest, "json"))?;
        Ok(durable::remove_file(&self.file(digest, "objects"))?)
    }

    /// Names of an image's objects; `None` if the list is not the one that was
    /// written.
    ///
    /// # Errors
    /// [`ObjectError::Io`].
    pub fn objects(&self, record: &Record) -> Result<Option<Vec<ObjectDigest>>, ObjectError> {
        let path = self.file(&record.manifest_digest, "objects");
        let list = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(io_error("read", &path))?,
        };
        if Sha256Digest::of(&list) != record.objects_sha256 {
            return Ok(None);
        }
        let (digests, _) = list.as_chunks::<32>();
        Ok(Some(digests.iter().map(|d| ObjectDigest(*d)).collect()))
    }

    /// All records that can be read, and what else lies in the folder.
    ///
    /// # Errors
    /// [`ObjectError::Io`].
    pub fn load(&self) -> Result<(Vec<Record>, Vec<PathBuf>), ObjectError> {
        let (mut records, mut others) = (vec![], vec![]);
        for path in list(&self.0)? {
            if path.extension().is_none_or(|e| e != "json") {
                others.push(path);
                continue;
            }
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            match Record::parse(&bytes) {
                Ok(r) if self.file(&r.manifest_digest, "json") == path => records.push(r),
                _ => others.push(path),
            }
        }
        others.retain(|p| !records.iter().any(|r| self.file(&r.manifest_digest, "objects") == *p));
        Ok((records, others))
    }
}

/// Paths in a folder.
///
/// # Errors
/// [`ObjectError::Io`].
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, ObjectError> {
    let entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
    entries.map(|e| e.map(|e| e.path()).map_err(io_error("list", folder))).collect()
}
