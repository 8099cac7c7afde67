//! Changing an object: JSON patch (RFC 6902), merge patch (RFC 7386),
//! strategic merge patch, and server-side apply with its record of who owns
//! which field.

mod apply;
mod compare;
mod fields;
mod json;
mod managers;
mod strategic;
mod track;

use serde_json::Value;

pub use apply::{Applied, apply};
pub use track::{Writer, track_update};

use crate::{ApiError, Kind, Reason, schema};

/// A patch is not read if it is larger.
pub const PATCH_SIZE_BYTES_MAX: usize = 3 << 20;
/// A JSON patch is not applied if it has more operations.
pub const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;
/// What the `copy` operations of a JSON patch may add up to.
pub const JSON_PATCH_COPY_BYTES_MAX: usize = 3 << 20;
/// Objects within objects, in patches.
const DEPTH_MAX: usize = 100;

/// Kind of a patch, from its media type. Server-side apply is not among them:
/// it needs to know who applies, see [`apply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// `application/json-patch+json`
    Json,
    /// `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`
    Strategic,
}

/// Media type of a server-side apply.
pub const APPLY_MEDIA_TYPE: &str = "application/apply-patch+yaml";

impl PatchType {
    /// From a media type without parameters.
    pub fn from_media_type(text: &str) -> Option<Self> {
        Some(match text {
            "application/json-patch+json" => Self::Json,
            "application/merge-patch+json" => Self::Merge,
            "application/strategic-merge-patch+json" => Self::Strategic,
            _ => return None,
        })
    }
}

/// The object after a patch. What identifies it stays as it is.
///
/// # Errors
/// 400 if the patch makes no sense, 413 if it is too large, 422 if it does not
/// fit the object or would make it another one.
pub fn patch(kind: &Kind, live: &Value, body: &[u8], patch_type: PatchType) -> Result<Value, ApiError> {
    check_size(body)?;
    let patched = match patch_type {
        PatchType::Json => json::patch(live, body)?,
        PatchType::Merge => merged(live, object(body)?)?,
        PatchType::Strategic => strategic::patch(live, &object(body)?, schema::of(kind))?,
    };
    check_identity(kind, live, &patched)?;
    Ok(patched)
}

pub(crate) fn check_size(body: &[u8]) -> Result<(), ApiError> {
    if body.len() > PATCH_SIZE_BYTES_MAX {
        let message = format!("the patch has {} bytes, at most {PATCH_SIZE_BYTES_MAX} are read", body.len());
        return Err(ApiError::new(Reason::RequestEntityTooLarge, message));
    }
    Ok(())
}

fn object(body: &[u8]) -> Result<Value, ApiError> {
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(ApiError::bad_request("the patch must be a JSON object")),
        Err(e) => Err(ApiError::bad_request(format!("error decoding patch: {e}"))),
    }
}

fn merged(live: &Value, patch: Value) -> Result<Value, ApiError> {
    let mut result = live.clone();
    merge(&mut result, patch);
    Ok(result)
}

/// RFC 7386. As deep as the JSON parser goes, which has a limit.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    let Some(map) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            map.shift_remove(&key);
        } else {
            merge(map.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// A patch does not rename an object or make it another one.
fn check_identity(kind: &Kind, live: &Value, patched: &Value) -> Result<(), ApiError> {
    let text =
        |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_string();
    let name = text(live, "/metadata/name");
    for (path, field) in [
        ("/apiVersion", "apiVersion"),
        ("/kind", "kind"),
        ("/metadata/name", "metadata.name"),
        ("/metadata/namespace", "metadata.namespace"),
        ("/metadata/uid", "metadata.uid"),
    ] {
        let (old, new) = (text(live, path), text(patched, path));
        if old != new {
            let message = format!("Invalid value: {new:?}: field is immutable");
            let cause = crate::Cause { reason: "FieldValueInvalid", field: field.into(), message };
            return Err(ApiError::invalid(kind, &name, vec![cause]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn map() -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "n", "uid": "u"},
            "data": {"a": "1", "b": "2"}})
    }

    fn patched(body: Value, patch_type: PatchType) -> Result<Value, ApiError> {
        patch(crate::kind("", "ConfigMap"), &map(), body.to_string().as_bytes(), patch_type)
    }

    #[test]
    fn merge_patch() {
        let result = patched(json!({"data": {"a": null, "c": "3"}, "immutable": true}), PatchType::Merge).unwrap();
        assert_eq!((&result["data"], &result["immutable"]), (&json!({"b": "2", "c": "3"}), &json!(true)));
        // appendix A of the RFC
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut result = target.clone();
            merge(&mut result, patch);
            assert_eq!(result, expected);
        }
    }

    #[test]
    fn identity_stays() {
        for (body, field) in [
            (json!({"metadata": {"name": "other"}}), "metadata.name"),
            (json!({"metadata": {"uid": null}}), "metadata.uid"),
            (json!({"metadata": null}), "metadata.name"),
            (json!({"kind": "Secret"}), "kind"),
        ] {
            for patch_type in [PatchType::Merge, PatchType::Strategic] {
                let error = patched(body.clone(), patch_type).unwrap_err();
                assert_eq!((error.code(), error.causes[0].field.as_str()), (422, field), "{body}");
            }
        }
        let rename = json!([{"op": "replace", "path": "/metadata/name", "value": "x"}]);
        assert_eq!(patched(rename, PatchType::Json).unwrap_err().code(), 422);
    }

    #[test]
    fn refused() {
        assert_eq!(patched(json!([1]), PatchType::Merge).unwrap_err().code(), 400);
        assert_eq!(patched(json!("x"), PatchType::Strategic).unwrap_err().code(), 400);
        let kind = crate::kind("", "ConfigMap");
        assert_eq!(patch(kind, &map(), b"{", PatchType::Merge).unwrap_err().code(), 400);
        let large = vec![b' '; PATCH_SIZE_BYTES_MAX + 1];
        assert_eq!(patch(kind, &map(), &large, PatchType::Merge).unwrap_err().code(), 413);
        assert_eq!(PatchType::from_media_type("application/merge-patch+json"), Some(PatchType::Merge));
        assert_eq!(PatchType::from_media_type("text/plain"), None);
    }
}
