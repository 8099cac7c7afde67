//! What the API promises about writes, on top of the store.
//!
//! Each write happens under the store's lock: read, decide (admission), write.
//! Nothing in between is async; only waiting for the disk is, and it comes
//! afterwards ([`Written::ack`]).

use std::sync::{Arc, Mutex};

use serde_json::Value;
use skerry_machinery::{ApiError, Key, Kind, Reason, Source, Stored};

use crate::{
    Ack, Admission, Environment, Operation, Part, Review, Store, WriteOptions, body, durability, events::EventAges,
    namespace, store::Locked,
};

/// Objects may not be larger than this (etcd's limit).
pub const OBJECT_SIZE_BYTES_MAX: usize = 3 << 19;

/// A write that was done.
#[derive(Debug, Clone)]
pub struct Written {
    /// The object as it is now; of one that went with the write, its last
    /// state.
    pub object: Arc<Stored>,
    /// For the client, one line each.
    pub warnings: Vec<String>,
    /// Tells when it is on the disk; clients are answered after that.
    pub ack: Ack,
}

/// The store as clients and controllers write to it. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    store: Store,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) events: Arc<Mutex<EventAges>>,
}

impl Registry {
    /// A registry; all writes to the store should go through it.
    pub fn new(store: Store, admission: Arc<dyn Admission>, environment: Arc<dyn Environment>) -> Self {
        let events = Arc::new(Mutex::new(EventAges::of(&store)));
        Self { store, admission, environment, events }
    }

    /// For reads and watches.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// One object.
    ///
    /// # Errors
    /// 404 if there is none.
    pub fn get(&self, key: &Key) -> Result<Arc<Stored>, ApiError> {
        self.store.get(key).ok_or_else(|| ApiError::not_found(key.kind, &key.name))
    }

    /// Let admission decide; answers its warnings.
    pub(crate) fn review(
        &self,
        locked: &Locked<'_>,
        operation: Operation,
        kind: &'static Kind,
        object: &mut Value,
        old: Option<&Arc<Stored>>,
        options: &WriteOptions,
    ) -> Result<Vec<String>, ApiError> {
        let field_validation = options.field_validation;
        let mut review = Review { operation, kind, object, old, field_validation, warnings: vec![] };
        self.admission.review(&mut review, locked)?;
        Ok(review.warnings)
    }

    /// Write a state that everybody has agreed to.
    pub(crate) fn commit(
        &self,
        locked: &mut Locked<'_>,
        kind: &'static Kind,
        old: Option<(&Arc<Stored>, &Value)>,
        object: Value,
        options: &WriteOptions,
    ) -> Result<(Arc<Stored>, Ack), ApiError> {
        if options.dry_run {
            check_size(object.to_string().len())?;
            return Ok((Arc::new(unstored(object, old.map(|(o, _)| o))?), Ack::default()));
        }
        let durability = durability::of(kind, old.map(|(_, value)| value), Some(&object));
        let (stored, ack) = locked.put_checked(object, durability, check_size)?;
        if kind.kind == "Event" {
            self.note_event(locked, &stored, old.map(|(o, _)| o.revision));
        }
        Ok((stored, ack))
    }

    /// Take an object out, or say what would be.
    pub(crate) fn commit_removal(
        &self,
        locked: &mut Locked<'_>,
        object: &Arc<Stored>,
        dry_run: bool,
    ) -> Result<(Arc<Stored>, Ack), ApiError> {
        if dry_run {
            return Ok((Arc::clone(object), Ack::default()));
        }
        let durability = durability::of(object.key.kind, Some(&Value::Null), None);
        let removed = locked.remove(&object.key, durability)?;
        self.forget_event(object);
        if namespace::is(object.key.kind) {
            self.remove_events(locked, &object.key.name)?;
        }
        removed.ok_or_else(|| ApiError::not_found(object.key.kind, &object.key.name))
    }
}

/// Refuse kinds that nobody writes.
pub(crate) fn check_writable(kind: &'static Kind) -> Result<(), ApiError> {
    match kind.source {
        Source::Stored => Ok(()),
        Source::View => {
            let message = format!("{} are read from the node and cannot be written", kind.qualified());
            Err(ApiError::new(Reason::MethodNotAllowed, message))
        }
    }
}

/// Does this part of the kind have an address?
pub(crate) fn check_part(kind: &'static Kind, part: Part) -> Result<(), ApiError> {
    if part == Part::Status && !kind.has(skerry_machinery::Subresource::Status) {
        let message = format!("{} have no status of their own", kind.qualified());
        return Err(ApiError::new(Reason::MethodNotAllowed, message));
    }
    Ok(())
}

fn check_size(bytes: usize) -> Result<(), ApiError> {
    if bytes > OBJECT_SIZE_BYTES_MAX {
        let message = format!("the object has {bytes} bytes, at most {OBJECT_SIZE_BYTES_MAX} can be stored");
        return Err(ApiError::new(Reason::RequestEntityTooLarge, message));
    }
    Ok(())
}

/// What a dry run answers: with the revision of the state that it would have
/// changed, without any for a new object.
fn unstored(mut object: Value, old: Option<&Arc<Stored>>) -> Result<Stored, ApiError> {
    let revision = old.map_or(0, |o| o.revision);
    body::metadata_mut(&mut object)?.insert("resourceVersion".into(), revision.to_string().into());
    let mut stored = Stored::from_json(object.to_string())?;
    if old.is_none() {
        body::metadata_mut(&mut object)?.shift_remove("resourceVersion");
        stored.meta.resource_version.clear();
        stored.json = object.to_string().into();
    }
    Ok(stored)
}
