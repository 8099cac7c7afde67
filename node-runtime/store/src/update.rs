//! Other states of objects.

use std::sync::Arc;

use serde_json::{Map, Value};
use skerry_machinery::{ApiError, Key, Kind, Stored};

use crate::{
    Operation, Part, Registry, WriteOptions, Written, body,
    create::has_generation,
    namespace,
    registry::{check_part, check_writable},
    store::Locked,
};

/// Kinds that may not be written without saying which state was read.
const CONDITIONAL: &[&str] = &["ServiceAccount"];
/// Metadata that an update of the status may set; Deployments keep their
/// labels, as in Kubernetes. What the body leaves out stays.
const STATUS_METADATA: &[&str] = &["labels", "annotations", "finalizers", "managedFields"];

impl Registry {
    /// Replace a part of an object. If the body has a resourceVersion or uid,
    /// the object must still have it.
    ///
    /// # Errors
    /// 404 if there is none; 409 if it has changed since; 422 if fields change
    /// that may not; what admission says.
    pub fn update(&self, key: &Key, object: Value, part: Part, options: &WriteOptions) -> Result<Written, ApiError> {
        self.update_with(key, part, options, |_| Ok(object))
    }

    /// Read, change and write without anybody in between; for patches. A
    /// resourceVersion that `change` sets is compared as in
    /// [`Registry::update`]. `change` runs with the store locked: it must not
    /// use the store.
    ///
    /// # Errors
    /// As [`Registry::update`], and what `change` says.
    pub fn update_with(
        &self,
        key: &Key,
        part: Part,
        options: &WriteOptions,
        change: impl FnOnce(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        check_writable(key.kind)?;
        check_part(key.kind, part)?;
        let mut locked = self.store().lock();
        let old = locked.get(key).ok_or_else(|| ApiError::not_found(key.kind, &key.name))?;
        let was = old.value();
        let mut new = change(&was)?;
        body::fit(&mut new, key.kind, &key.namespace, &key.name)?;
        check_concurrency(&old, &new, part)?;
        carry_metadata(key.kind, &was, &mut new)?;
        carry_other_part(&locked, &old, &was, &mut new, part)?;
        let operation = Operation::Update(part);
        let warnings = self.review(&locked, operation, key.kind, &mut new, Some(&old), options)?;
        check_finalizers(key, &old, &new)?;
        count_generation(key.kind, &was, &mut new)?;
        let (object, ack) = self.conclude(&mut locked, &old, &was, new, options)?;
        Ok(Written { object, warnings, ack })
    }

    /// Write it, or nothing if nothing changes, or take it out if this was what
    /// its deletion has waited for.
    fn conclude(
        &self,
        locked: &mut Locked<'_>,
        old: &Arc<Stored>,
        was: &Value,
        new: Value,
        options: &WriteOptions,
    ) -> Result<(Arc<Stored>, crate::Ack), ApiError> {
        if deletion_is_due(old, &new) {
            return self.commit_removal(locked, old, options.dry_run);
        }
        if body::same(was, &new) {
            return Ok((Arc::clone(old), locked.ack()));
        }
        self.commit(locked, old.key.kind, Some((old, was)), new, options)
    }
}

/// Was nothing missing for it to go but what `new` no longer has?
fn deletion_is_due(old: &Stored, new: &Value) -> bool {
    let terminated = old.meta.terminating() && old.meta.deletion_grace_period_seconds.unwrap_or(0) == 0;
    let waits = namespace::is(old.key.kind) && namespace::awaits_content(new);
    terminated && body::finalizers(new).is_empty() && !waits
}

fn check_concurrency(old: &Stored, new: &Value, part: Part) -> Result<(), ApiError> {
    let (kind, name) = (old.key.kind, &old.key.name);
    let uid = body::metadata_str(new, "uid");
    if !uid.is_empty() && uid != old.meta.uid {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", old.meta.uid);
        return Err(ApiError::conflict(kind, name, &why));
    }
    match body::metadata_str(new, "resourceVersion") {
        "" if part == Part::Main && CONDITIONAL.contains(&kind.kind) => {
            let message = "Invalid value: \"\": must be specified for an update";
            Err(body::invalid_field(kind, name, "FieldValueInvalid", "metadata.resourceVersion", message))
        }
        "" => Ok(()),
        version if version == old.meta.resource_version => Ok(()),
        _ => {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            Err(ApiError::conflict(kind, name, why))
        }
    }
}

/// What only the server sets stays as it was (`rest.BeforeUpdate`).
fn carry_metadata(kind: &'static Kind, was: &Value, new: &mut Value) -> Result<(), ApiError> {
    let name = body::metadata_str(was, "name").to_owned();
    let immutable = |field: &str, value: &Value| {
        let field = format!("metadata.{field}");
        let message = format!("Invalid value: {value}: field is immutable");
        body::invalid_field(kind, &name, "FieldValueInvalid", &field, message)
    };
    let was = &was["metadata"];
    let new = body::metadata_mut(new)?;
    for field in ["uid", "creationTimestamp", "generation", "resourceVersion"] {
        copy(was, new, field);
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        let changed = new.get(field).filter(|v| !v.is_null() && **v != was[field]);
        let settable = field == "deletionTimestamp" && !was[field].is_null();
        if let Some(value) = changed.filter(|_| !settable) {
            return Err(immutable(field, value));
        }
        copy(was, new, field);
    }
    carry_managers(was, new);
    Ok(())
}

/// Who owns which fields: kept unless the body says it anew; `[{}]` is the
/// agreed way of forgetting it.
fn carry_managers(was: &Value, new: &mut Map<String, Value>) {
    let said = new.get("managedFields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if said.is_empty() {
        copy(was, new, "managedFields");
    } else if matches!(said, [Value::Object(entry)] if entry.is_empty()) {
        new.shift_remove("managedFields");
    }
}

fn copy(from: &Value, to: &mut Map<String, Value>, field: &str) {
    match from.get(field) {
        Some(value) => drop(to.insert(field.into(), value.clone())),
        None => drop(to.shift_remove(field)),
    }
}

/// The part that is not written stays as it was.
fn carry_other_part(
    locked: &Locked<'_>,
    old: &Arc<Stored>,
    was: &Value,
    new: &mut Value,
    part: Part,
) -> Result<(), ApiError> {
    let kind = old.key.kind;
    match part {
        Part::Main => {
            if kind.has(skerry_machinery::Subresource::Status)
                && let Some(object) = new.as_object_mut()
            {
                copy(was, object, "status");
            }
            if namespace::is(kind) {
                namespace::prepare_update(locked.state(), old, was, new)?;
            }
        }
        Part::Status => *new = with_status_of(kind, was, new),
    }
    Ok(())
}

/// The old object with the new one's status and some of its metadata.
fn with_status_of(kind: &'static Kind, was: &Value, new: &Value) -> Value {
    let mut merged = was.clone();
    if let Some(status) = new.get("status") {
        merged["status"] = status.clone();
    }
    for field in STATUS_METADATA {
        let kept = *field == "labels" && kind.kind == "Deployment";
        if let Some(value) = new["metadata"].get(*field).filter(|_| !kept) {
            merged["metadata"][*field] = value.clone();
        }
    }
    merged
}

/// Nobody can join those who must agree once it is going.
fn check_finalizers(key: &Key, old: &Stored, new: &Value) -> Result<(), ApiError> {
    let has = |f: &&str| old.meta.finalizers.iter().any(|o| o == f);
    let added: Vec<&str> = body::finalizers(new).into_iter().filter(|f| !has(f)).collect();
    if !old.meta.terminating() || added.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
    );
    Err(body::invalid_field(key.kind, &key.name, "FieldValueForbidden", "metadata.finalizers", message))
}

fn count_generation(kind: &'static Kind, was: &Value, new: &mut Value) -> Result<(), ApiError> {
    if has_generation(kind) && body::main_differs(was, new) {
        let generation = was["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        body::metadata_mut(new)?.insert("generation".into(), generation.into());
    }
    Ok(())
}
