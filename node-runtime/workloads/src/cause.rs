//! What is wrong with a field, worded as the Kubernetes API server does it
//! (apimachinery `field.Error`).

use serde_json::Value;
use skerry_machinery::Cause;

/// Longest value that is repeated in a message, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Collects causes.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    /// What was found so far.
    pub(crate) list: Vec<Cause>,
}

impl Causes {
    fn add(&mut self, reason: &'static str, field: impl Into<String>, message: String) {
        self.list.push(Cause { reason, field: field.into(), message });
    }

    /// A field that must be there.
    pub(crate) fn required(&mut self, field: impl Into<String>, why: &str) {
        let message = if why.is_empty() { "Required value".into() } else { format!("Required value: {why}") };
        self.add("FieldValueRequired", field, message);
    }

    /// A value that cannot be.
    pub(crate) fn invalid(&mut self, field: impl Into<String>, value: impl Into<Value>, why: impl AsRef<str>) {
        let message = format!("Invalid value: {}: {}", shown(&value.into()), why.as_ref());
        self.add("FieldValueInvalid", field, message);
    }

    /// A value of the wrong type.
    pub(crate) fn wrong_type(&mut self, field: impl Into<String>, value: &Value, wanted: &str) {
        self.add("FieldValueTypeInvalid", field, format!("Invalid value: {}: must be {wanted}", shown(value)));
    }

    /// Something that may be there only once.
    pub(crate) fn duplicate(&mut self, field: impl Into<String>, value: impl Into<Value>) {
        self.add("FieldValueDuplicate", field, format!("Duplicate value: {}", shown(&value.into())));
    }

    /// None of the allowed values.
    pub(crate) fn unsupported(&mut self, field: impl Into<String>, value: &Value, allowed: &[&str]) {
        let allowed: Vec<String> = allowed.iter().map(|a| format!("{a:?}")).collect();
        let message = format!("Unsupported value: {}: supported values: {}", shown(value), allowed.join(", "));
        self.add("FieldValueNotSupported", field, message);
    }

    /// Something that may not be there.
    pub(crate) fn forbidden(&mut self, field: impl Into<String>, why: impl AsRef<str>) {
        self.add("FieldValueForbidden", field, format!("Forbidden: {}", why.as_ref()));
    }

    /// More than allowed.
    pub(crate) fn too_many(&mut self, field: impl Into<String>, found: usize, max: usize) {
        self.add("FieldValueTooMany", field, format!("Too many: {found}: must have at most {max} items"));
    }

    /// A name that Kubernetes does not know.
    pub(crate) fn unknown_field(&mut self, field: &str, hint: &str) {
        self.add(UNKNOWN_FIELD, field, format!("unknown field {field:?}{hint}"));
    }
}

/// Reason of a cause that names a field unknown to Kubernetes.
pub const UNKNOWN_FIELD: &str = "FieldUnknown";

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
