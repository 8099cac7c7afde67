//! What decides about a write before it happens.

use std::sync::Arc;

use serde_json::Value;
use skerry_machinery::{ApiError, Kind, Stored};

use crate::{FieldValidation, Part};

/// What a client wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// Another state of this part of an object.
    Update(Part),
    /// An object goes.
    Delete,
}

/// One write, to be decided on.
#[derive(Debug)]
pub struct Review<'a> {
    /// What is done.
    pub operation: Operation,
    /// Kind of the object.
    pub kind: &'static Kind,
    /// The object as it will be; may be changed (defaults, given addresses).
    /// `Null` for a deletion.
    pub object: &'a mut Value,
    /// The object as it is.
    pub old: Option<&'a Arc<Stored>>,
    /// What to do about unknown fields.
    pub field_validation: FieldValidation,
    /// Warnings for the client, one line each.
    pub warnings: Vec<String>,
}

/// Sets defaults and refuses what may not be. Called with the store locked:
/// it must neither write nor read but through `store`, which is the state that
/// the write will change.
pub trait Admission: Send + Sync {
    /// Decide; `store` is the state before the write.
    ///
    /// # Errors
    /// What the client is told.
    fn review(&self, review: &mut Review<'_>, store: &dyn Lookup) -> Result<(), ApiError>;
}

/// Read access to the state during admission.
pub trait Lookup {
    /// One object.
    fn get(&self, kind: &'static Kind, namespace: &str, name: &str) -> Option<Arc<Stored>>;
    /// All objects of a kind; `None`: of all namespaces.
    fn list(&self, kind: &'static Kind, namespace: Option<&str>) -> Vec<Arc<Stored>>;
}

/// Lets everything pass, for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

impl Admission for AllowAll {
    fn review(&self, _: &mut Review<'_>, _: &dyn Lookup) -> Result<(), ApiError> {
        Ok(())
    }
}
