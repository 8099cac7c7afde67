//! Release: from objects and trees to a signed statement about them, and the
//! way back: verify, inspect, diff.

pub mod diff;
pub mod files;
pub mod inspect;
pub mod keys;
pub mod objects;
pub mod sbom;
pub mod sums;
#[cfg(test)]
pub(crate) mod testing;
pub mod tuf_keys;
pub mod verify;
pub mod write;

pub use write::{AppInput, ReleaseInputs, Statement, TreeInput, write_release};
