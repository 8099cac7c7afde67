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
mod body;
mod create;
mod database;
mod delete;
mod durability;
mod environment;
mod events;
mod history;
mod namespace;
mod options;
mod recovery;
mod registry;
mod state;
mod store;
mod update;
mod watch;
mod writer;

pub use admission::{Admission, AllowAll, Lookup, Operation, Review};
pub use database::{DatabaseError, SCHEMA};
pub use delete::Deleted;
pub use durability::Durability;
pub use environment::{Environment, SystemEnvironment};
pub use events::{EVENT_TTL_SECS, EVENTS_MAX};
pub use history::{EventType, WatchEvent};
pub use options::{DeleteOptions, FieldValidation, Part, Propagation, WriteOptions};
pub use registry::{OBJECT_SIZE_BYTES_MAX, Registry, Written};
pub use store::{Opened, Store, StoreError, StoreOptions};
pub use watch::Watch;
pub use writer::Ack;
