//! Server-side apply: a client sends the fields that it cares about; it becomes
//! their owner, and what it no longer sends goes away unless others own it.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    compare::{compare, merged, prune},
    fields::{FieldSet, all_of},
    managers::{self, Manager, Operation},
    track::{Writer, form_of, strip},
};
use crate::{ApiError, Cause, Kind, Reason};

/// What an apply makes of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object, with `managedFields`.
    pub object: Value,
    /// Did anything change? If not, nothing needs to be stored.
    pub changed: bool,
}

/// Applies a configuration to an object (`None`: there is none yet). With
/// `force`, fields that others own are taken over.
///
/// # Errors
/// 400 if the configuration makes no sense; 409 that names managers and fields
/// if others own what it would change.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    writer: Writer,
    force: bool,
    now: Timestamp,
    kind: &Kind,
) -> Result<Applied, ApiError> {
    check_config(live, config, writer, kind)?;
    let (form, nothing) = (form_of(kind), Value::Null);
    let before = live.unwrap_or(&nothing);
    let mut known = managers::read(before).unwrap_or_default();
    let mut own = Manager::new(writer.manager, Operation::Apply, kind.api_version(), writer.subresource, now);
    let previous = known.iter().position(|m| m.same(&own)).map(|at| known.remove(at));
    own.fields = all_of(&without_nulls(config), form);
    strip(&mut own.fields, kind, writer.subresource);

    let mut object = merged(before, &allowed(config, kind, writer), form, "")?;
    let owned = known.iter().fold(own.fields.clone(), |all, m| all.union(&m.fields));
    if let Some(previous) = &previous {
        prune(&mut object, form, &previous.fields, &owned);
    }
    let mut difference = compare(before, &object, form);
    strip(&mut difference.changed, kind, writer.subresource);
    strip(&mut difference.removed, kind, writer.subresource);
    take_over(&mut known, &difference.changed, force)?;
    known.iter_mut().for_each(|m| m.fields = m.fields.difference(&difference.removed));

    let same = difference.changed.is_empty() && difference.removed.is_empty();
    let unchanged = live.is_some() && same && previous.as_ref().is_some_and(|p| p.fields == own.fields);
    if unchanged && let Some(previous) = previous {
        own.time = previous.time;
    }
    known.push(own);
    managers::write(&mut object, known);
    Ok(Applied { object, changed: !unchanged })
}

fn check_config(live: Option<&Value>, config: &Value, writer: Writer, kind: &Kind) -> Result<(), ApiError> {
    let text =
        |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_string();
    if writer.manager.is_empty() {
        return Err(ApiError::bad_request("fieldManager is required for apply patch"));
    }
    if text(config, "/apiVersion") != kind.api_version() || text(config, "/kind") != kind.kind {
        let message =
            format!("the applied object must have apiVersion {:?} and kind {:?}", kind.api_version(), kind.kind);
        return Err(ApiError::bad_request(message));
    }
    let managed = config.pointer("/metadata/managedFields");
    if managed.is_some_and(|m| !m.is_null() && m.as_array().is_none_or(|list| !list.is_empty())) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    for path in ["/metadata/name", "/metadata/namespace", "/metadata/uid"] {
        let (applied, known) = (text(config, path), live.map(|l| text(l, path)).unwrap_or_default());
        if live.is_some() && !applied.is_empty() && applied != known {
            let field = path[1..].replace('/', ".");
            return Err(ApiError::bad_request(format!("{field} {applied:?} of the applied object is not {known:?}")));
        }
    }
    Ok(())
}

/// The configuration without the parts that this address does not write.
fn allowed(config: &Value, kind: &Kind, writer: Writer) -> Value {
    let mut config = config.clone();
    if let Some(map) = config.as_object_mut() {
        if writer.subresource == "status" {
            map.shift_remove("spec");
        } else if kind.has(crate::Subresource::Status) {
            map.shift_remove("status");
        }
    }
    if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
        metadata.shift_remove("creationTimestamp");
        metadata.shift_remove("generation");
    }
    config
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect()
        }
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Takes changed fields from their owners, or refuses to.
fn take_over(known: &mut [Manager], changed: &FieldSet, force: bool) -> Result<(), ApiError> {
    let mut conflicts: Vec<(String, String)> = vec![];
    for manager in known.iter_mut() {
        let taken = manager.fields.intersection(changed);
        if force {
            manager.fields = manager.fields.difference(&taken);
        } else {
            conflicts.extend(taken.paths().into_iter().map(|path| (manager.shown(), path)));
        }
    }
    if conflicts.is_empty() {
        return Ok(());
    }
    conflicts.sort();
    let mut error = ApiError::new(Reason::Conflict, conflict_message(&conflicts));
    error.causes = conflicts
        .into_iter()
        .map(|(manager, field)| Cause {
            reason: "FieldManagerConflict",
            field,
            message: format!("conflict with {manager}"),
        })
        .collect();
    Err(error)
}

/// Sorted conflicts, as Kubernetes prints them.
fn conflict_message(conflicts: &[(String, String)]) -> String {
    if let [(manager, path)] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {manager}: {path}");
    }
    let mut lines = vec![];
    let mut last = "";
    for (manager, path) in conflicts {
        if last != manager {
            lines.push(format!("conflicts with {manager}:"));
            last = manager;
        }
        lines.push(format!("- {path}"));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

#[cfg(test)]
mod tests;
