//! JSON patch (RFC 6902).

use json_patch::{AddOperation, Patch, PatchOperation};
use serde_json::Value;

use super::{JSON_PATCH_COPY_BYTES_MAX, JSON_PATCH_OPERATIONS_MAX};
use crate::{ApiError, Reason};

/// The object after a list of operations; all of them or none.
pub(super) fn patch(live: &Value, body: &[u8]) -> Result<Value, ApiError> {
    let Patch(operations) =
        serde_json::from_slice(body).map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
    if operations.len() > JSON_PATCH_OPERATIONS_MAX {
        let message = format!(
            "The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {}",
            operations.len()
        );
        return Err(ApiError::new(Reason::RequestEntityTooLarge, message));
    }
    let (mut object, mut copied) = (live.clone(), 0);
    for operation in &operations {
        if let PatchOperation::Copy(copy) = operation {
            copied += object.pointer(copy.from.as_str()).map_or(0, |v| v.to_string().len());
            if copied > JSON_PATCH_COPY_BYTES_MAX {
                let message =
                    format!("the copies of the JSON patch add up to more than {JSON_PATCH_COPY_BYTES_MAX} bytes");
                return Err(ApiError::new(Reason::RequestEntityTooLarge, message));
            }
        }
        let operation = as_kubernetes(&object, operation);
        json_patch::patch_unsafe(&mut object, &[operation]).map_err(does_not_fit)?;
    }
    Ok(object)
}

/// Kubernetes lets `replace` add a member that an object does not have, other
/// than the RFC.
fn as_kubernetes(object: &Value, operation: &PatchOperation) -> PatchOperation {
    match operation {
        PatchOperation::Replace(replace) if object.pointer(replace.path.as_str()).is_none() => {
            let parent = replace.path.parent().and_then(|p| object.pointer(p.as_str()));
            match parent {
                Some(Value::Object(_)) => {
                    PatchOperation::Add(AddOperation { path: replace.path.clone(), value: replace.value.clone() })
                }
                _ => operation.clone(),
            }
        }
        other => other.clone(),
    }
}

fn does_not_fit(error: json_patch::PatchError) -> ApiError {
    let message = format!("the server rejected our request due to an error in our request: {error}");
    ApiError::new(Reason::Invalid, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn patched(object: Value, operations: Value) -> Result<Value, ApiError> {
        patch(&object, operations.to_string().as_bytes())
    }

    #[test]
    fn operations() {
        for (object, operation, expected) in [
            (json!({}), json!({"op": "add", "path": "/a", "value": 1}), json!({"a": 1})),
            (json!({"l": [1, 2]}), json!({"op": "add", "path": "/l/1", "value": 9}), json!({"l": [1, 9, 2]})),
            (json!({"l": [1]}), json!({"op": "add", "path": "/l/-", "value": 9}), json!({"l": [1, 9]})),
            (json!({"a": 1}), json!({"op": "remove", "path": "/a"}), json!({})),
            (json!({"a/b": 1}), json!({"op": "replace", "path": "/a~1b", "value": 2}), json!({"a/b": 2})),
            (json!({"a": 1}), json!({"op": "move", "from": "/a", "path": "/b"}), json!({"b": 1})),
            (json!({"a": 1}), json!({"op": "copy", "from": "/a", "path": "/b"}), json!({"a": 1, "b": 1})),
            (json!({"a": 1}), json!({"op": "test", "path": "/a", "value": 1}), json!({"a": 1})),
        ] {
            assert_eq!(patched(object, json!([operation])).unwrap(), expected);
        }
    }

    #[test]
    fn refused() {
        for (operation, code) in [
            (json!({"op": "test", "path": "/a", "value": 2}), 422),
            (json!({"op": "remove", "path": "/x"}), 422),
            (json!({"op": "replace", "path": "/l/7", "value": 2}), 422),
            (json!({"op": "frob", "path": "/a"}), 400),
            (json!({"op": "add", "path": "a", "value": 1}), 400),
        ] {
            assert_eq!(patched(json!({"a": 1, "l": []}), json!([operation])).unwrap_err().code(), code, "{operation}");
        }
    }

    #[test]
    fn limits() {
        let test = json!({"op": "test", "path": "/a", "value": 1});
        let many = vec![test; JSON_PATCH_OPERATIONS_MAX + 1];
        assert_eq!(patched(json!({"a": 1}), json!(many)).unwrap_err().code(), 413);
        let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
        assert_eq!(patched(json!({"a": ["x"]}), json!(vec![double; 100])).unwrap_err().code(), 413);
    }
}
