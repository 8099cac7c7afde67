//! Test bench: a publisher, web servers, a machine with power, a boot loader.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

pub mod bench;
pub mod machine;
pub mod publisher;
pub mod server;

/// A scratch folder, in memory where possible: these tests sync a lot.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
