//! The registry, as the verbs use it. A write is answered when it is on the
//! disk.

use std::sync::Arc;

use serde_json::Value;
use skerry_machinery::{
    ApiError, Key, Kind, Reason, Stored,
    patch::{Writer, track_update},
};
use skerry_store::{DeleteOptions, Deleted, Part, Watch, WriteOptions, Written};

use crate::{Api, http::Place};

/// One object.
pub(super) fn get(api: &Api, key: &Key) -> Result<Arc<Stored>, ApiError> {
    api.registry().get(key)
}

/// All objects of a kind, and the revision at which this is so.
pub(super) fn list(api: &Api, kind: &'static Kind, namespace: Option<&str>) -> (Vec<Arc<Stored>>, u64) {
    let (revision, items) = api.registry().store().list(kind, namespace);
    (items, revision)
}

/// Changes after a revision.
pub(super) fn watch(api: &Api, place: &Place, from: u64) -> Result<Watch, ApiError> {
    api.registry().store().watch(place.kind, place.namespace(), from)
}

/// A new object.
pub(super) async fn create(
    api: &Api,
    place: &Place,
    mut object: Value,
    options: &WriteOptions,
) -> Result<Written, ApiError> {
    track_update(&Value::Null, &mut object, writer(options, ""), api.now(), place.kind);
    create_tracked(api, place, object, options).await
}

/// A new object whose fields have their owners already.
pub(super) async fn create_tracked(
    api: &Api,
    place: &Place,
    object: Value,
    options: &WriteOptions,
) -> Result<Written, ApiError> {
    let written = api.registry().create(place.kind, &place.namespace, object, options)?;
    written.ack.wait().await?;
    Ok(written)
}

/// Read, change and write, without anybody in between. `sub` is the part by
/// its name in an address.
pub(super) async fn update(
    api: &Api,
    place: &Place,
    (part, sub): (Part, &str),
    options: &WriteOptions,
    change: impl FnOnce(&Value) -> Result<Value, ApiError>,
) -> Result<Written, ApiError> {
    let now = api.now();
    let written = api.registry().update_with(&place.key(), part, options, |was| {
        let mut new = change(was)?;
        track_update(was, &mut new, writer(options, sub), now, place.kind);
        Ok(new)
    })?;
    written.ack.wait().await?;
    Ok(written)
}

/// The same, where `change` says itself who owns which field.
pub(super) async fn update_tracked(
    api: &Api,
    place: &Place,
    part: Part,
    options: &WriteOptions,
    change: impl FnOnce(&Value) -> Result<Value, ApiError>,
) -> Result<Written, ApiError> {
    let written = api.registry().update_with(&place.key(), part, options, change)?;
    written.ack.wait().await?;
    Ok(written)
}

/// Delete an object, or begin to.
pub(super) async fn delete(api: &Api, key: &Key, options: &DeleteOptions) -> Result<Deleted, ApiError> {
    let deleted = api.registry().delete(key, options)?;
    deleted.ack.wait().await?;
    Ok(deleted)
}

/// Who writes.
pub(super) fn writer<'a>(options: &'a WriteOptions, subresource: &'a str) -> Writer<'a> {
    Writer { manager: &options.field_manager, subresource }
}

/// Refuse a reader that has seen a newer revision than there is.
pub(super) fn not_newer(wanted: Option<u64>, now: u64) -> Result<(), ApiError> {
    match wanted {
        Some(wanted) if wanted > now => {
            let why = format!("Too large resource version: {wanted}, current: {now}");
            Err(ApiError::new(Reason::Timeout, why))
        }
        _ => Ok(()),
    }
}

/// Number of objects of a kind.
pub(crate) fn count(api: &Api, kind: &'static Kind) -> u64 {
    api.registry().store().list(kind, None).1.len() as u64
}
