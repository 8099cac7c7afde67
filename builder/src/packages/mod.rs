//! Packages: from the lock to verified, unpacked `.deb`s in the cache.
//!
//! [`mirror`] says where the archive is, [`resolve`] makes locks from it,
//! [`fetch`] downloads what a lock names, [`unpack`] opens it.

pub mod cache;
pub mod fetch;
pub mod mirror;
pub mod resolve;
pub mod sources;
pub mod unpack;

pub use cache::Cache;
pub use fetch::{FetchError, FetchedDeb, fetch};
pub use mirror::{MirrorArgs, Mirrors};
