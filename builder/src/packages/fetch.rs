//! Packages in the cache, verified against the lock.

use std::path::PathBuf;

use skerry_plan::lock::LockedPackage;

/// A package whose bytes match the lock.
#[derive(Debug, Clone)]
pub struct FetchedDeb {
    /// What the lock says about it.
    pub package: LockedPackage,
    /// The `.deb` in the cache.
    pub path: PathBuf,
}
