//! fs-verity: seal a file, ask the kernel what it is sealed as.
//!
//! Always SHA-256 with 4096-byte blocks and no salt, because that digest is the
//! name of an object. Source: Linux `Documentation/filesystems/fsverity.rst`.

use std::{fs::File, os::fd::AsFd, path::Path};

use composefs_ioctls::fsverity::{EnableVerityError, MeasureVerityError, fs_ioc_enable_verity, fs_ioc_measure_verity};
use skerry_formats::{ObjectDigest, digest::VERITY_BLOCK_BYTES};

/// `FS_VERITY_HASH_ALG_SHA256`.
const SHA256: u8 = 1;

/// Why sealing or measuring failed.
#[derive(Debug, thiserror::Error)]
pub enum FsVerityError {
    /// The kernel refused to seal the file.
    #[error("cannot seal the file with fs-verity")]
    Enable(#[source] EnableVerityError),
    /// The kernel could not say how the file is sealed.
    #[error("cannot measure the fs-verity digest")]
    Measure(#[source] MeasureVerityError),
    /// The file could not be opened.
    #[error("cannot open {path}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Seal the file behind `fd`, which must be open read-only while nobody has it
/// open for writing. A file that is sealed already is fine.
///
/// # Errors
/// [`FsVerityError::Enable`]: no fs-verity on this file system, an open writer,
/// or an I/O error.
pub fn enable(fd: impl AsFd) -> Result<(), FsVerityError> {
    match fs_ioc_enable_verity(fd, SHA256, VERITY_BLOCK_BYTES as u32) {
        Ok(()) | Err(EnableVerityError::AlreadyEnabled) => Ok(()),
        Err(e) => Err(FsVerityError::Enable(e)),
    }
}

/// Digest that the kernel enforces for the file, `None` if it is not sealed
/// (or sealed in another way than ours, or on a file system that cannot seal).
///
/// # Errors
/// [`FsVerityError::Measure`] on I/O errors.
pub fn measure(fd: impl AsFd) -> Result<Option<ObjectDigest>, FsVerityError> {
    match fs_ioc_measure_verity::<32>(fd, SHA256) {
        Ok(d) => Ok(Some(ObjectDigest(d))),
        Err(
            MeasureVerityError::VerityMissing
            | MeasureVerityError::FilesystemNotSupported
            | MeasureVerityError::InvalidDigestAlgorithm { .. }
            | MeasureVerityError::InvalidDigestSize { .. },
        ) => Ok(None),
        Err(e) => Err(FsVerityError::Measure(e)),
    }
}

/// [`measure`] for a path; a file that is not there is an error.
///
/// # Errors
/// [`FsVerityError::Open`], [`FsVerityError::Measure`].
pub fn measure_path(path: &Path) -> Result<Option<ObjectDigest>, FsVerityError> {
    let file = File::open(path).map_err(|source| FsVerityError::Open { path: path.display().to_string(), source })?;
    measure(&file)
}
