//! Commit: from a [`Tree`](crate::tree::model::Tree) to its two stored forms:
//! the composefs image with its objects ([`composefs`]), which nodes run, and
//! the signed OSTree commit ([`ostree`]), which is the release history.

pub mod composefs;
mod digests;
mod error;
pub mod ostree;
mod ostree_copy;
mod ostree_oci;
pub mod ostree_sign;
#[cfg(test)]
mod tests;

pub use self::{
    composefs::{SealedObject, SealedTree},
    digests::DigestCache,
    error::CommitError,
};
