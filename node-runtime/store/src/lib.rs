//! Objects of the Kubernetes API: in memory, watched, kept in SQLite.
//!
//! [`Store`] keeps objects and their history: revisions, lists, watches, and
//! what reaches the disk when. [`Registry`] adds what the API promises about
//! writes: defaults and checks ([`Admission`]), optimistic concurrency,
//! generations, finalizers, deletion with grace. Clients (through `api`),
//! controllers and the node's own status all write through the registry.
//!
//! It does not know what objects mean; that is `workloads` (fields),
//! `controllers` and the orchestrator.

mod admission;
mod options;

pub use admission::{Admission, Lookup, Operation, Review};
pub use options::{DeleteOptions, FieldValidation, Part, Propagation, WriteOptions};
