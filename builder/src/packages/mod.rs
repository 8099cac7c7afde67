//! Packages: from the lock to verified, unpacked `.deb`s in the cache.

pub mod cache;
pub mod fetch;
pub mod unpack;
