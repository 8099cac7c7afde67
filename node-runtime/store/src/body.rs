//! Objects as trees of values: reading and changing metadata, comparing states.

use serde_json::{Map, Value};
use skerry_machinery::{ApiError, Cause, Key, Kind};

/// `metadata`, made if there is none.
///
/// # Errors
/// If the object or its metadata is not a JSON object.
pub(crate) fn metadata_mut(object: &mut Value) -> Result<&mut Map<String, Value>, ApiError> {
    let object = object.as_object_mut().ok_or_else(|| ApiError::bad_request("the body is not a JSON object"))?;
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    metadata.as_object_mut().ok_or_else(|| ApiError::bad_request("metadata is not a JSON object"))
}

/// A string of `metadata`; empty if there is none.
pub(crate) fn metadata_str<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// Set what the body leaves out and refuse what contradicts the address: kind,
/// namespace and, if the address has one, name.
pub(crate) fn fit(object: &mut Value, kind: &'static Kind, namespace: &str, name: &str) -> Result<(), ApiError> {
    metadata_mut(object)?;
    fit_type(object, kind)?;
    let metadata = metadata_mut(object)?;
    if metadata.get("namespace").is_some_and(|n| !n.is_string() && !n.is_null()) {
        return Err(ApiError::bad_request("metadata.namespace is not a string"));
    }
    let found = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
    if !found.is_empty() && found != namespace {
        return Err(ApiError::bad_request(format!(
            "the namespace of the provided object ({found}) does not match the namespace sent on the request ({namespace})"
        )));
    }
    match kind.namespaced {
        true => drop(metadata.insert("namespace".into(), namespace.into())),
        false => drop(metadata.shift_remove("namespace")),
    }
    if name.is_empty() {
        return Ok(());
    }
    match metadata.get("name") {
        None | Some(Value::Null) => drop(metadata.insert("name".into(), name.into())),
        Some(found) if found == name => {}
        Some(found) => {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({found}) does not match the name on the URL ({name})"
            )));
        }
    }
    Ok(())
}

fn fit_type(object: &mut Value, kind: &'static Kind) -> Result<(), ApiError> {
    let object = object.as_object_mut().ok_or_else(|| ApiError::bad_request("the body is not a JSON object"))?;
    for (position, field, wanted) in [(0, "apiVersion", kind.api_version()), (1, "kind", kind.kind.into())] {
        match object.get(field) {
            None => drop(object.shift_insert(position, field.into(), wanted.into())),
            Some(found) if *found == wanted => {}
            Some(found) => {
                let message = format!("the {field} in the data ({found}) does not match the expected one ({wanted})");
                return Err(ApiError::bad_request(message));
            }
        }
    }
    Ok(())
}

/// Refuse names that cannot stand in a URL; admission knows the rules of each
/// kind.
pub(crate) fn check_name(kind: &'static Kind, name: &str) -> Result<(), ApiError> {
    let wrong = match name {
        "." | ".." => true,
        name => name.len() > 253 || name.contains(['/', '%']) || name.contains(char::is_control),
    };
    if wrong {
        let why = "may not be '.' or '..', contain '/' or '%', or be longer than 253 bytes";
        return Err(invalid_field(
            kind,
            name,
            "FieldValueInvalid",
            "metadata.name",
            format!("Invalid value: {name:?}: {why}"),
        ));
    }
    Ok(())
}

/// 422 about one field.
pub(crate) fn invalid_field(
    kind: &'static Kind,
    name: &str,
    reason: &'static str,
    field: &str,
    message: impl Into<String>,
) -> ApiError {
    ApiError::invalid(kind, name, vec![Cause { reason, field: field.into(), message: message.into() }])
}

/// Finalizers of an object.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    strings(&object["metadata"]["finalizers"])
}

/// Those of a namespace's content.
pub(crate) fn strings(list: &Value) -> Vec<&str> {
    list.as_array().map(|l| l.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// Set or, if empty, remove the finalizers.
pub(crate) fn set_finalizers(object: &mut Value, finalizers: &[String]) -> Result<(), ApiError> {
    let metadata = metadata_mut(object)?;
    match finalizers.is_empty() {
        true => drop(metadata.shift_remove("finalizers")),
        false => drop(metadata.insert("finalizers".into(), finalizers.into())),
    }
    Ok(())
}

/// Is it only the status that differs, apart from what the server itself
/// writes into the metadata?
pub(crate) fn only_status_differs(old: &Value, new: &Value) -> bool {
    !main_differs(old, new) && same_metadata(old, new)
}

/// Does anything but metadata and status differ?
pub(crate) fn main_differs(old: &Value, new: &Value) -> bool {
    !same_fields(old, new, &["metadata", "status"])
}

/// Are the two states the same for clients? Not counted: the revision, and the
/// times at which managers wrote what was there already.
pub(crate) fn same(old: &Value, new: &Value) -> bool {
    let managers = |o: &Value| {
        let mut fields = o["metadata"]["managedFields"].clone();
        for entry in fields.as_array_mut().into_iter().flatten() {
            entry.as_object_mut().map(|e| e.shift_remove("time"));
        }
        fields
    };
    old["status"] == new["status"] && only_status_differs(old, new) && managers(old) == managers(new)
}

fn same_metadata(old: &Value, new: &Value) -> bool {
    let bookkeeping = ["resourceVersion", "managedFields", "generation"];
    same_fields(&old["metadata"], &new["metadata"], &bookkeeping)
}

fn same_fields(old: &Value, new: &Value, but: &[&str]) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return old == new };
    let counts = |field: &str| !but.contains(&field);
    let all_in = |a: &Map<String, Value>, b: &Map<String, Value>| {
        a.iter().filter(|(field, _)| counts(field)).all(|(field, value)| b.get(field) == Some(value))
    };
    all_in(old, new) && new.keys().filter(|f| counts(f)).all(|f| old.contains_key(f))
}

/// The key of a body that [`fit`] has passed.
pub(crate) fn key(object: &Value, kind: &'static Kind) -> Key {
    Key::new(kind, metadata_str(object, "namespace"), metadata_str(object, "name"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;
    use skerry_machinery::kind;

    use super::*;

    #[test]
    fn fits() {
        let pods = kind("", "Pod");
        let mut bare = json!({"spec": {}});
        fit(&mut bare, pods, "n", "a").unwrap();
        let wanted =
            json!({"apiVersion": "v1", "kind": "Pod", "spec": {}, "metadata": {"namespace": "n", "name": "a"}});
        assert_eq!(bare.to_string(), wanted.to_string());
        for (body, part) in [
            (json!({"apiVersion": "v2"}), "apiVersion"),
            (json!({"kind": "pod"}), "kind"),
            (json!({"kind": 7}), "kind"),
            (json!({"metadata": {"namespace": "m"}}), "namespace"),
            (json!({"metadata": {"namespace": 7}}), "namespace"),
            (json!({"metadata": {"name": "b"}}), "name"),
            (json!({"metadata": {"name": 7}}), "name"),
            (json!({"metadata": []}), "metadata"),
            (json!([]), "JSON object"),
            (json!(null), "JSON object"),
        ] {
            let error = fit(&mut body.clone(), pods, "n", "a").unwrap_err();
            assert!(error.code() == 400 && error.message.contains(part), "{body}: {error}");
        }
    }

    #[test]
    fn compares() {
        let a = json!({"metadata": {"name": "a", "resourceVersion": "1", "managedFields": [{"manager": "m", "time": "1"}]},
            "spec": {"x": 1, "y": 2}, "status": {"s": 1}});
        let mut b = a.clone();
        b["metadata"]["resourceVersion"] = "2".into();
        b["metadata"]["managedFields"][0]["time"] = "2".into();
        b["spec"] = json!({"y": 2, "x": 1});
        assert!(same(&a, &b) && only_status_differs(&a, &b));
        b["metadata"]["managedFields"][0]["manager"] = "n".into();
        assert!(!same(&a, &b));
        b = a.clone();
        b["status"]["s"] = 2.into();
        assert!(!same(&a, &b) && only_status_differs(&a, &b) && !main_differs(&a, &b));
        b = a.clone();
        b["metadata"]["labels"] = json!({"l": "1"});
        assert!(!same(&a, &b) && !only_status_differs(&a, &b) && !main_differs(&a, &b));
        b = a.clone();
        b["data"] = json!({});
        assert!(main_differs(&a, &b) && main_differs(&b, &a));
    }

    #[test]
    fn names() {
        for name in [".", "..", "a/b", "a%", "a\n"] {
            assert_eq!(check_name(kind("", "Pod"), name).unwrap_err().code(), 422, "{name}");
        }
        check_name(kind("", "Pod"), "a.b-c:d").unwrap();
    }
}
