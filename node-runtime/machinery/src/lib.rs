//! What the Kubernetes API is made of, without a server: which kinds there
//! are, what identifies an object, how errors look, selectors, patches and
//! encodings.
//!
//! Pure: no clock, no files, no network. `workloads` says which fields of a
//! kind are supported, `store` keeps objects, `controllers` acts on them, `api`
//! serves them.

mod error;
mod key;
mod kinds;
mod meta;
pub mod patch;
pub mod protobuf;
mod schema;
pub mod selector;
pub mod table;

pub use error::{ApiError, Cause, Reason};
pub use key::{Key, Stored};
pub use kinds::{KINDS, Kind, Source, Subresource, by_kind, by_resource, kind};
pub use meta::{Meta, OwnerRef};
