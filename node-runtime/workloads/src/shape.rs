//! A small schema language for "which fields do we act on", and the check of a
//! parsed document against it.
//!
//! The generated Kubernetes types ignore unknown fields and know thousands that
//! this orchestrator does not act on. The shape is the list of those it does.

use serde_json::Value;

use crate::problem::Collector;

/// What may stand at a place in a document.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// A string.
    Str,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A whole number in this range.
    Int(i64, i64),
    /// `true` or `false`.
    Bool,
    /// Only `false`, because the orchestrator does not do the other.
    False,
    /// A port number or a port name.
    Port,
    /// A quantity such as `250m` or `64Mi`.
    Quantity,
    /// String to string.
    StrMap,
    /// Present in files written by tools, without meaning here.
    Ignored,
    /// A list.
    List(&'static Shape),
    /// An object with exactly these optional fields.
    Obj(&'static [(&'static str, Shape)]),
}

/// Remove `null`s: the Kubernetes API treats them as absent.
pub(crate) fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// Write quantities that YAML made numbers of (`cpu: 1`) as strings, the only
/// form that the typed objects take.
pub(crate) fn quantities_to_text(value: &mut Value, shape: &Shape) {
    match (shape, value) {
        (Shape::Quantity, v) if v.is_number() => *v = Value::String(v.to_string()),
        (Shape::List(item), Value::Array(list)) => list.iter_mut().for_each(|v| quantities_to_text(v, item)),
        (Shape::Obj(fields), Value::Object(map)) => {
            for (name, shape) in *fields {
                if let Some(v) = map.get_mut(*name) {
                    quantities_to_text(v, shape);
                }
            }
        }
        _ => {}
    }
}

/// Check `value` against `shape`; `path` is where it stands.
pub(crate) fn check(value: &Value, shape: &Shape, path: &str, out: &mut Collector<'_>) {
    let mut want = |ok: bool, what: &str| {
        if !ok {
            out.add(path, format!("expected {what}, found {}", describe(value)));
        }
    };
    match shape {
        Shape::Ignored => {}
        Shape::Str => want(value.is_string(), "a string (quote it if it looks like a number or a boolean)"),
        Shape::OneOf(allowed) => {
            let ok = value.as_str().is_some_and(|s| allowed.contains(&s));
            want(ok, &format!("one of {}, the values supported here", allowed.join(", ")));
        }
        Shape::Int(min, max) => {
            let ok = value.as_i64().is_some_and(|n| (*min..=*max).contains(&n));
            want(ok, &format!("a whole number from {min} to {max}"));
        }
        Shape::Bool => want(value.is_boolean(), "true or false"),
        Shape::False => want(value == &Value::Bool(false), "false, the only value supported here"),
        Shape::Port => {
            let number = value.as_i64().is_some_and(|n| (1..=65535).contains(&n));
            let name = value.as_str().is_some_and(|s| !s.is_empty() && s.len() <= 15);
            want(number || name, "a port number or the name of a container port");
        }
        Shape::Quantity => {
            let text = match value {
                Value::String(s) => s.clone(),
                Value::Number(n) => n.to_string(),
                _ => String::new(),
            };
            want(crate::quantity::millis(&text).is_some(), "a quantity such as 250m or 64Mi");
        }
        Shape::StrMap => check_map(value, path, out),
        Shape::List(item) => match value.as_array() {
            None => want(false, "a list"),
            Some(list) => {
                for (i, v) in list.iter().enumerate() {
                    check(v, item, &format!("{path}[{i}]"), out);
                }
            }
        },
        Shape::Obj(fields) => check_object(value, fields, path, out),
    }
}

fn check_map(value: &Value, path: &str, out: &mut Collector<'_>) {
    let Some(map) = value.as_object() else {
        return out.add(path, format!("expected a map of strings, found {}", describe(value)));
    };
    for (key, v) in map {
        if !v.is_string() {
            let message = format!("expected a string (quote it), found {}", describe(v));
            out.add(format!("{path}['{key}']"), message);
        }
    }
}

fn check_object(value: &Value, fields: &[(&str, Shape)], path: &str, out: &mut Collector<'_>) {
    let Some(map) = value.as_object() else {
        return out.add(path, format!("expected an object, found {}", describe(value)));
    };
    for (key, v) in map {
        let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match fields.iter().find(|(name, _)| name == key) {
            Some((_, shape)) => check(v, shape, &here, out),
            None => {
                let names: Vec<&str> = fields.iter().map(|(n, _)| *n).collect();
                let hint = nearest(key, &names).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                out.add(here, format!("this field is not supported{hint} (supported here: {})", names.join(", ")));
            }
        }
    }
}

fn describe(value: &Value) -> String {
    let mut text = match value {
        Value::Object(_) => return "an object".into(),
        Value::Array(_) => return "a list".into(),
        v => v.to_string(),
    };
    if text.chars().count() > 60 {
        text = text.chars().take(60).chain(['…']).collect();
    }
    text
}

/// The name with the smallest edit distance, if it is small.
fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    names
        .iter()
        .map(|n| (distance(&word.to_ascii_lowercase(), &n.to_ascii_lowercase()), *n))
        .filter(|(d, n)| *d <= 2 && *d < n.len())
        .min()
        .map(|(_, n)| n)
}

/// Levenshtein distance over bytes; field names are ASCII and short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.bytes().enumerate() {
            let next = (diagonal + usize::from(ca != cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}
