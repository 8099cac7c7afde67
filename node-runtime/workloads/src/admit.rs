//! Admission of one object: shape, defaults, values, changes.

use std::io;

use serde_json::Value;
use skerry_machinery::{ApiError, Cause, Kind, Reason};

use crate::{
    cause::{Causes, UNKNOWN_FIELD},
    checks, defaults,
    fields::shape_of,
    walk::Walk,
};

/// What to do about fields that Kubernetes does not know either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse.
    #[default]
    Strict,
    /// Drop them and say so in a warning.
    Warn,
    /// Drop them.
    Ignore,
}

/// Largest object in bytes of JSON, as etcd has it under Kubernetes.
pub const OBJECT_BYTES_MAX: usize = 1_500_000;

/// Decide about one object, and complete it: remove `null`s, set defaults.
/// `old` is the object as it is, if it is there already. Admitting what was
/// admitted changes nothing.
///
/// Returns warnings for the client.
///
/// # Errors
/// Everything that is wrong: unknown fields, fields and values that the node
/// does not support, what Kubernetes refuses. `object` may have been changed.
pub fn admit(
    kind: &'static Kind,
    object: &mut Value,
    old: Option<&Value>,
    validation: FieldValidation,
) -> Result<Vec<String>, Vec<Cause>> {
    let mut walk = Walk::new(kind, validation);
    let Some(shape) = shape_of(kind) else {
        walk.out.forbidden("kind", format!("{} objects are made by the node and cannot be written", kind.kind));
        return Err(walk.out.list);
    };
    walk.value(object, shape);
    type_meta(kind, object, &mut walk.out);
    if !walk.out.list.is_empty() {
        return Err(walk.out.list);
    }
    defaults::apply(kind, object, old);
    if json_bytes(object) > OBJECT_BYTES_MAX {
        walk.out.forbidden("", format!("the object has more than {OBJECT_BYTES_MAX} bytes"));
        return Err(walk.out.list);
    }
    checks::object(kind, object, &mut walk.out);
    if let Some(old) = old.filter(|_| walk.out.list.is_empty()) {
        // What was stored by an older version may lack defaults.
        let mut old = old.clone();
        defaults::apply(kind, &mut old, None);
        checks::update(kind, object, &old, &mut walk.out);
    }
    if walk.out.list.is_empty() { Ok(walk.warnings) } else { Err(walk.out.list) }
}

/// Check the `status` that a controller or client writes: it must have the
/// form that Kubernetes says.
///
/// # Errors
/// What does not fit.
pub fn admit_status(kind: &'static Kind, object: &Value) -> Result<(), Vec<Cause>> {
    let mut out = Causes::default();
    if let Some(why) = crate::types::mismatch(kind, object) {
        out.invalid("status", kind.kind, why);
    }
    if out.list.is_empty() { Ok(()) } else { Err(out.list) }
}

/// Size as JSON, without keeping the text.
fn json_bytes(object: &Value) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting does not fail, and a `Value` can always be written.
    serde_json::to_writer(&mut count, object).map_or(usize::MAX, |()| count.0)
}

fn type_meta(kind: &Kind, object: &mut Value, out: &mut Causes) {
    let Some(map) = object.as_object_mut() else { return };
    for (field, want) in [("apiVersion", kind.api_version()), ("kind", kind.kind.to_owned())] {
        match map.get(field).and_then(Value::as_str) {
            None | Some("") => {
                map.insert(field.into(), want.into());
            }
            Some(found) if found != want => out.invalid(field, found, format!("must be {want}")),
            Some(_) => {}
        }
    }
}

/// The answer to a client whose object was refused: 400 if it cannot be read
/// as the kind, else 422.
pub fn refusal(kind: &'static Kind, name: &str, causes: Vec<Cause>) -> ApiError {
    let unreadable = |c: &Cause| c.reason == UNKNOWN_FIELD || c.reason == "FieldValueTypeInvalid";
    let mut error = ApiError::invalid(kind, name, causes);
    if error.causes.iter().any(unreadable) {
        let said: Vec<String> = error.causes.iter().filter(|c| unreadable(c)).map(decoding_error).collect();
        error.reason = Reason::BadRequest;
        error.message = format!(
            "{0} in version {1:?} cannot be handled as a {0}: strict decoding error: {2}",
            kind.kind,
            kind.version,
            said.join(", ")
        );
    }
    error
}

fn decoding_error(cause: &Cause) -> String {
    match cause.reason {
        UNKNOWN_FIELD => cause.message.clone(),
        _ => format!("{}: {}", cause.field, cause.message),
    }
}
