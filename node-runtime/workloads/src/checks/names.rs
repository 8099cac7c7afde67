//! Names, labels and keys: what they may look like (apimachinery
//! `validation`).

use serde_json::Value;

use crate::cause::Causes;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                     validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
                         '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used \
                         for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                          alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or \
                          'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                         with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                         validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                           '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
                           'my_value',  or '12345', regex used for validation is \
                           '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
                          'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is \
                          '[-._a-zA-Z0-9]+')";

/// How a name must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// RFC 1123 label: containers, volumes, namespaces.
    Label,
    /// RFC 1123 subdomain: most objects.
    Subdomain,
    /// RFC 1035 label: Services.
    Label1035,
}

/// Why `text` has not this form.
pub(crate) fn form_error(text: &str, form: Form) -> Option<String> {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label =
        |t: &str| !t.is_empty() && t.bytes().all(|b| lower(b) || b == b'-') && !t.starts_with('-') && !t.ends_with('-');
    let (max, good, message) = match form {
        Form::Label => (63, label(text), LABEL),
        Form::Subdomain => (253, text.split('.').all(label), SUBDOMAIN),
        Form::Label1035 => (63, label(text) && !text.starts_with(|c: char| c.is_ascii_digit()), LABEL_1035),
    };
    match () {
        () if text.len() > max => Some(format!("must be no more than {max} bytes")),
        () if !good => Some(message.into()),
        () => None,
    }
}

/// Check a name that must be there.
pub(crate) fn name(text: &str, form: Form, field: impl Into<String>, out: &mut Causes) {
    if text.is_empty() {
        out.required(field, "");
    } else if let Some(why) = form_error(text, form) {
        out.invalid(field, text, why);
    }
}

fn name_part_ok(text: &str) -> bool {
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && ends(text.bytes().next())
        && ends(text.bytes().last())
}

/// Why `key` is no key of labels and annotations: `[PREFIX/]NAME`.
pub(crate) fn key_error(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        None => (None, key),
        Some((prefix, name)) => (Some(prefix), name),
    };
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            return Some("prefix part must be non-empty".into());
        }
        if let Some(why) = form_error(prefix, Form::Subdomain) {
            return Some(format!("prefix part {why}"));
        }
    }
    match name {
        "" => Some("name part must be non-empty".into()),
        n if n.len() > 63 => Some("name part must be no more than 63 bytes".into()),
        n if !name_part_ok(n) => Some(NAME_PART.into()),
        _ => None,
    }
}

/// Why `value` is no value of a label.
pub(crate) fn label_value_error(value: &str) -> Option<&'static str> {
    match value {
        "" => None,
        v if v.len() > 63 => Some("must be no more than 63 bytes"),
        v if !name_part_ok(v) => Some(LABEL_VALUE),
        _ => None,
    }
}

/// Check labels.
pub(crate) fn labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>, field: &str, out: &mut Causes) {
    for (key, value) in labels {
        if let Some(why) = key_error(key) {
            out.invalid(field, key.as_str(), why);
        }
        if let Some(why) = label_value_error(value) {
            out.invalid(format!("{field}[{key}]"), value.as_str(), why);
        }
    }
}

/// Check a key of a ConfigMap or Secret.
pub(crate) fn config_key(key: &str, field: &str, out: &mut Causes) {
    let why = match key {
        k if k.len() > 253 => "must be no more than 253 bytes",
        "." | ".." => "must not be '.' or '..'",
        k if k.is_empty() || !k.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) => CONFIG_KEY,
        _ => return,
    };
    out.invalid(format!("{field}[{key}]"), key, why);
}

/// Check the name of a port (`IANA_SVC_NAME`).
pub(crate) fn port_name(text: &str, field: impl Into<String>, out: &mut Causes) {
    let good = text.len() <= 15
        && form_error(text, Form::Label).is_none()
        && text.bytes().any(|b| b.is_ascii_lowercase())
        && !text.contains("--");
    if !good {
        let why = "must be at most 15 of a-z, 0-9 and '-', with at least one letter, no two '-' in a row, and no '-' \
                   at the start or end";
        out.invalid(field, Value::from(text), why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, form, good) in [
            ("a", Form::Label, true),
            ("1a", Form::Label, true),
            ("1a", Form::Label1035, false),
            ("a.b", Form::Label, false),
            ("a.b", Form::Subdomain, true),
            ("a..b", Form::Subdomain, false),
            ("-a", Form::Subdomain, false),
            ("A", Form::Subdomain, false),
            ("ä", Form::Subdomain, false),
        ] {
            assert_eq!(form_error(text, form).is_none(), good, "{text} {form:?}");
        }
        assert_eq!(form_error(&"a".repeat(64), Form::Label).as_deref(), Some("must be no more than 63 bytes"));
    }

    #[test]
    fn keys_and_values() {
        for (key, good) in [
            ("app", true),
            ("app.kubernetes.io/name", true),
            ("/name", false),
            ("a/b/c", false),
            ("A_B/c", false),
            ("-a", false),
            ("", false),
        ] {
            assert_eq!(key_error(key).is_none(), good, "{key}");
        }
        for (value, good) in [("", true), ("a_B.c-1", true), ("a b", false), ("-", false)] {
            assert_eq!(label_value_error(value).is_none(), good, "{value}");
        }
    }
}
