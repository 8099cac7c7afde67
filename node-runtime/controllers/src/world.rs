//! What controllers see, and what they answer.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use skerry_machinery::{Key, Kind, Stored};

/// Everything that controllers look at.
pub struct World<'a> {
    /// Now, by the node's clock.
    pub now: Timestamp,
    /// Name of the node, the only one.
    pub node: &'a str,
    /// Objects of a kind, all namespaces, in key order.
    pub list: &'a dyn Fn(&'static Kind) -> Vec<Arc<Stored>>,
    /// Where random parts of names come from; the same for the same world in
    /// tests.
    pub seed: u64,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new object, complete but for what the server adds.
    Create {
        /// Kind.
        kind: &'static Kind,
        /// Namespace; empty for kinds without.
        namespace: String,
        /// Object.
        object: Value,
    },
    /// Another state of an object; `object.metadata.resourceVersion` is the
    /// state it was made from.
    Update {
        /// Which.
        key: Key,
        /// New state.
        object: Value,
    },
    /// The same for its status.
    UpdateStatus {
        /// Which.
        key: Key,
        /// New state; only `status` counts.
        object: Value,
    },
    /// The object goes, in the background.
    Delete {
        /// Which.
        key: Key,
        /// Only this one, not another of the same name.
        uid: String,
    },
    /// Something to tell people.
    Event {
        /// About which object.
        about: Key,
        /// Its uid.
        uid: String,
        /// Normal or warning.
        kind: EventKind,
        /// One word, `SuccessfulCreate`.
        reason: &'static str,
        /// One line.
        message: String,
    },
}

/// Kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Worth a look.
    Warning,
}

/// What the controllers want.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// In this order.
    pub changes: Vec<Change>,
    /// When something becomes due by itself.
    pub wake_at: Option<Timestamp>,
    /// Objects that could not be read and were left alone.
    pub problems: Vec<String>,
}
