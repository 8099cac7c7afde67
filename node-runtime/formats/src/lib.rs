//! Everything the builder writes and the node reads, in one pure crate.
//!
//! Deployed readers are the hardest thing to change, so the shared formats live
//! on the node's side and nothing here touches the file system, the clock or
//! the network: parsers take bytes, writers return bytes. The normative text is
//! `docs/formats.md`.

pub mod baked;
pub mod channel;
pub mod cmdline;
pub mod digest;
pub mod error;
pub mod index;
pub mod layout;
pub mod release;
pub mod sign;
pub mod status;
pub mod versioned;

pub use digest::{ObjectDigest, Sha256Digest, fsverity_digest};
pub use error::FormatError;
pub use release::{Release, Sequence};
