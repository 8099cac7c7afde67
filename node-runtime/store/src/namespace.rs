//! Namespaces: what lives in them needs them, and they go only when it is gone.
//!
//! As in Kubernetes, deleting a namespace first only makes it `Terminating`;
//! a controller empties it and then removes the finalizer `kubernetes` from
//! `spec.finalizers`. There is no subresource `finalize`: an update of the
//! terminating and empty namespace does it.

use std::sync::Arc;

use serde_json::{Value, json};
use skerry_machinery::{ApiError, Cause, KINDS, Kind, Reason, Source, Stored, kind};

use crate::{body, state::State};

/// The finalizer of every namespace's content.
const FINALIZER: &str = "kubernetes";
/// They cannot be deleted.
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// Is it the kind Namespace?
pub(crate) fn is(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.kind == "Namespace"
}

/// May something new be made in it?
pub(crate) fn check_open(state: &State, content: &'static Kind, name: &str, namespace: &str) -> Result<(), ApiError> {
    if !content.namespaced {
        return Ok(());
    }
    if namespace.is_empty() {
        return Err(ApiError::bad_request("an empty namespace may not be set during creation"));
    }
    let kind = kind("", "Namespace");
    let key = skerry_machinery::Key::new(kind, "", namespace);
    let found = state.get(&key).ok_or_else(|| ApiError::not_found(kind, namespace))?;
    if found.meta.terminating() {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut error = ApiError::forbidden(content, name, &why);
        let message = format!("namespace {namespace} is being terminated");
        error.causes.push(Cause { reason: "NamespaceTerminating", field: "metadata.namespace".into(), message });
        return Err(error);
    }
    Ok(())
}

/// May it be deleted at all?
pub(crate) fn check_mortal(name: &str) -> Result<(), ApiError> {
    match IMMORTAL.contains(&name) {
        true => Err(ApiError::forbidden(kind("", "Namespace"), name, "this namespace may not be deleted")),
        false => Ok(()),
    }
}

/// A new namespace has the finalizer, whatever its body says.
pub(crate) fn prepare_new(object: &mut Value) -> Result<(), ApiError> {
    set_content_finalizers(object, json!([FINALIZER]))
}

/// The finalizer stays unless the namespace is terminating and empty.
pub(crate) fn prepare_update(state: &State, old: &Arc<Stored>, was: &Value, new: &mut Value) -> Result<(), ApiError> {
    let finalizers = was["spec"]["finalizers"].clone();
    let removes = body::strings(&new["spec"]["finalizers"]).len() < body::strings(&finalizers).len();
    if !old.meta.terminating() || !removes {
        return if finalizers.is_null() { Ok(()) } else { set_content_finalizers(new, finalizers) };
    }
    match content(state, &old.key.name) {
        None => Ok(()),
        Some(left) => {
            let why = format!("the namespace is not empty yet, it still has {}", left.key);
            Err(ApiError::new(Reason::Conflict, why).about(old.key.kind, &old.key.name))
        }
    }
}

/// Is its content still to be removed?
pub(crate) fn awaits_content(object: &Value) -> bool {
    !body::strings(&object["spec"]["finalizers"]).is_empty()
}

/// Something that is in a namespace; events do not count, they go with it.
fn content<'a>(state: &'a State, namespace: &'a str) -> Option<&'a Arc<Stored>> {
    let kinds = KINDS.iter().filter(|k| k.namespaced && k.source == Source::Stored && k.kind != "Event");
    kinds.filter_map(|k| state.iter(k, Some(namespace)).next()).next()
}

fn set_content_finalizers(object: &mut Value, finalizers: Value) -> Result<(), ApiError> {
    let map = object.as_object_mut().ok_or_else(|| ApiError::bad_request("the body is not a JSON object"))?;
    let spec = map.entry("spec").or_insert_with(|| json!({}));
    let spec = spec.as_object_mut().ok_or_else(|| ApiError::bad_request("spec is not a JSON object"))?;
    spec.insert("finalizers".into(), finalizers);
    Ok(())
}
