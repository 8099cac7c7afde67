//! Looking into JSON without tripping over what is absent.

use serde_json::Value;

/// The value at a path such as `status.phase`; null if there is none.
pub(super) fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(object, |v, name| v.get(name)).unwrap_or(&Value::Null)
}

/// The text at a path, or the empty text.
pub(super) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

/// The text at a path, or another.
pub(super) fn text_or<'a>(object: &'a Value, path: &str, or: &'a str) -> &'a str {
    match text(object, path) {
        "" => or,
        text => text,
    }
}

/// The number at a path, or 0.
pub(super) fn int(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or(0)
}

/// The items of the list at a path.
pub(super) fn items<'a>(object: &'a Value, path: &str) -> impl DoubleEndedIterator<Item = &'a Value> + use<'a> {
    at(object, path).as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// How many members or items there are at a path.
pub(super) fn count(object: &Value, path: &str) -> usize {
    match at(object, path) {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    }
}

/// Texts of a list, joined by commas.
pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join(",")
}

/// What is said of an empty text.
pub(super) fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".into() } else { text }
}

/// Is there a condition of this type with status `True`?
pub(super) fn condition_true(object: &Value, kind: &str) -> bool {
    items(object, "status.conditions").any(|c| text(c, "type") == kind && text(c, "status") == "True")
}

/// A map of labels: `a=b,c=d`, `<none>` without any.
pub(super) fn labels(map: &Value) -> String {
    let mut pairs: Vec<String> = vec![];
    for (key, value) in map.as_object().into_iter().flatten() {
        pairs.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    pairs.sort();
    or_none(pairs.join(","))
}

/// A `LabelSelector`: `a=b,c in (d,e),!f`, `<none>` without any.
pub(super) fn label_selector(selector: &Value) -> String {
    let mut terms: Vec<(&str, String)> = vec![];
    for (key, value) in at(selector, "matchLabels").as_object().into_iter().flatten() {
        terms.push((key, format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for expression in items(selector, "matchExpressions") {
        let key = text(expression, "key");
        let mut values: Vec<&str> = items(expression, "values").filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let term = match text(expression, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.into(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".into(),
        };
        terms.push((key, term));
    }
    terms.sort_by_key(|(key, _)| *key);
    or_none(joined(terms.iter().map(|(_, term)| term.as_str())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors() {
        for (selector, shown) in [
            (json!(null), "<none>"),
            (json!({}), "<none>"),
            (json!({"matchLabels": {"b": "1", "a": "2"}}), "a=2,b=1"),
            (
                json!({"matchLabels": {"m": "1"}, "matchExpressions": [
                    {"key": "z", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "DoesNotExist"}]}),
                "!c,m=1,z in (x,y)",
            ),
            (json!({"matchExpressions": [{"key": "z", "operator": "Like"}]}), "<error>"),
        ] {
            assert_eq!(label_selector(&selector), shown);
        }
    }
}
