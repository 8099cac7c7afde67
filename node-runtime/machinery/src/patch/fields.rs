//! Sets of fields, as `managedFields` write them (`FieldsV1`).

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Map, Value};

use super::DEPTH_MAX;
use crate::schema::{Form, Message};

/// A set of paths, as a tree. Keys are path elements in the encoding of
/// `FieldsV1`: `f:name` (field), `k:{…}` (item of a list by its keys), `v:…`
/// (item by its value).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    /// Is this path itself in the set?
    pub(super) own: bool,
    /// What is in the set below it.
    pub(super) children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub(super) fn leaf() -> Self {
        Self { own: true, children: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.own && self.children.is_empty()
    }

    /// Adds what is not empty.
    pub(super) fn put(&mut self, element: String, set: Self) {
        if !set.is_empty() {
            self.children.insert(element, set);
        }
    }

    fn combined(&self, other: &Self, own: fn(bool, bool) -> bool, keep: (bool, bool)) -> Self {
        let mut result = Self { own: own(self.own, other.own), children: BTreeMap::new() };
        let empty = Self::default();
        for (element, set) in &self.children {
            match other.children.get(element) {
                Some(other) => result.put(element.clone(), set.combined(other, own, keep)),
                None if keep.0 => result.put(element.clone(), set.combined(&empty, own, keep)),
                None => {}
            }
        }
        if keep.1 {
            for (element, set) in other.children.iter().filter(|(e, _)| !self.children.contains_key(*e)) {
                result.put(element.clone(), empty.combined(set, own, keep));
            }
        }
        result
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        self.combined(other, |a, b| a || b, (true, true))
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        self.combined(other, |a, b| a && b, (false, false))
    }

    pub(super) fn difference(&self, other: &Self) -> Self {
        self.combined(other, |a, b| a && !b, (true, false))
    }

    /// Takes a path and all below it out of the set.
    pub(super) fn cut(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => {
                self.children.remove(*last);
            }
            [first, rest @ ..] => {
                if let Some(child) = self.children.get_mut(*first) {
                    child.cut(rest);
                    if child.is_empty() {
                        self.children.remove(*first);
                    }
                }
            }
        }
    }

    /// All paths in the set, as people read them: `.spec.ports[port=80].name`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = vec![];
        self.collect(&mut String::new(), &mut paths);
        paths
    }

    fn collect(&self, path: &mut String, paths: &mut Vec<String>) {
        if self.own {
            paths.push(path.clone());
        }
        for (element, set) in &self.children {
            let length = path.len();
            let _ = write!(path, "{}", readable(element));
            set.collect(path, paths);
            path.truncate(length);
        }
    }

    /// As `FieldsV1`.
    pub(super) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.own && !self.children.is_empty() {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        for (element, set) in &self.children {
            map.insert(element.clone(), set.to_json());
        }
        map.into()
    }

    /// From `FieldsV1`; `None` if it is something else.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let mut set = Self::read(value, DEPTH_MAX)?;
        if set.children.is_empty() {
            set.own = false;
        }
        Some(set)
    }

    fn read(value: &Value, depth: usize) -> Option<Self> {
        let map = value.as_object().filter(|_| depth > 0)?;
        let mut set = Self { own: map.is_empty() || map.contains_key("."), children: BTreeMap::new() };
        for (element, value) in map.iter().filter(|(e, _)| *e != ".") {
            set.children.insert(canonical(element)?, Self::read(value, depth - 1)?);
        }
        Some(set)
    }
}

fn canonical(element: &str) -> Option<String> {
    match element.split_at_checked(2)? {
        ("f:", _) => Some(element.into()),
        ("k:", keys) => {
            let Value::Object(mut keys) = serde_json::from_str(keys).ok()? else { return None };
            keys.sort_keys();
            Some(format!("k:{}", Value::Object(keys)))
        }
        ("v:", value) => Some(format!("v:{}", serde_json::from_str::<Value>(value).ok()?)),
        ("i:", _) => Some(element.into()),
        _ => None,
    }
}

fn readable(element: &str) -> String {
    match element.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("k:", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("[{}]", keys.join(","))
        }
        Some(("v:", value)) => format!("[={value}]"),
        _ => format!("[{element}]"),
    }
}

/// What a missing list key counts as: the API's own defaults.
pub(super) fn key_default(key: &str) -> Value {
    if key == "protocol" { "TCP".into() } else { Value::Null }
}

/// The path element of an item of a keyed list.
pub(super) fn key_of(item: &Value, keys: &[&str]) -> String {
    let mut map = Map::new();
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    for key in keys {
        let value = item.get(key).filter(|v| !v.is_null()).cloned().unwrap_or_else(|| key_default(key));
        if !value.is_null() {
            map.insert(key.into(), value);
        }
    }
    format!("k:{}", Value::Object(map))
}

/// The path element of an item of a set.
pub(super) fn value_of(item: &Value) -> String {
    format!("v:{item}")
}

/// Form of a member of a struct.
pub(super) fn member(message: &'static Message, name: &str) -> Form {
    message.field(name).map_or(Form::Leaf, |f| f.form())
}

/// All fields of a value: what an applied configuration claims.
pub(super) fn all_of(value: &Value, form: Form) -> FieldSet {
    let mut set = FieldSet::default();
    match (form, value) {
        (Form::Struct(message), Value::Object(map)) if !map.is_empty() => {
            for (name, value) in map {
                set.put(format!("f:{name}"), all_of(value, member(message, name)));
            }
        }
        (Form::Map(field), Value::Object(map)) if !map.is_empty() => {
            for (name, value) in map {
                set.put(format!("f:{name}"), all_of(value, field.item()));
            }
        }
        (Form::Keyed(field, keys), Value::Array(list)) => {
            for item in list {
                let inner = all_of(item, field.item());
                set.put(key_of(item, keys), FieldSet { own: true, ..inner });
            }
        }
        (Form::Set, Value::Array(list)) => {
            for item in list {
                set.put(value_of(item), FieldSet::leaf());
            }
        }
        _ => set.own = true,
    }
    set
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn set(value: Value) -> FieldSet {
        FieldSet::from_json(&value).unwrap()
    }

    #[test]
    fn algebra() {
        let a = set(json!({"f:a": {}, "f:m": {".": {}, "f:x": {}, "f:y": {}}}));
        let b = set(json!({"f:b": {}, "f:m": {"f:x": {}}}));
        assert_eq!(a.union(&b).to_json(), json!({"f:a": {}, "f:b": {}, "f:m": {".": {}, "f:x": {}, "f:y": {}}}));
        assert_eq!(a.intersection(&b).to_json(), json!({"f:m": {"f:x": {}}}));
        assert_eq!(a.difference(&b).to_json(), json!({"f:a": {}, "f:m": {".": {}, "f:y": {}}}));
        assert!(a.difference(&a).is_empty());
        assert_eq!(a.union(&FieldSet::default()), a);
    }

    #[test]
    fn round_trip_and_names() {
        let text = json!({"f:spec": {"f:ports": {"k:{\"protocol\":\"TCP\",\"port\":80}": {".": {}, "f:name": {}}}},
            "f:metadata": {"f:finalizers": {"v:\"x\"": {}}}});
        let paths = set(text).paths();
        assert_eq!(
            paths,
            [
                ".metadata.finalizers[=\"x\"]",
                ".spec.ports[port=80,protocol=\"TCP\"]",
                ".spec.ports[port=80,protocol=\"TCP\"].name",
            ]
        );
        for wrong in [json!([]), json!({"x": {}}), json!({"f:a": 1}), json!({"k:x": {}}), json!({"ä": {}})] {
            assert_eq!(FieldSet::from_json(&wrong), None, "{wrong}");
        }
    }
}
