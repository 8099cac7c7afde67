//! `metadata.managedFields`: who owns which fields.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::FieldSet;

/// How a manager wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) operation: Operation,
    pub(super) api_version: String,
    pub(super) subresource: String,
    pub(super) time: Option<String>,
    pub(super) fields: FieldSet,
}

/// More `Update` entries are combined into one.
const UPDATE_MANAGERS_MAX: usize = 10;
const COMBINED: &str = "ancient-changes";

impl Manager {
    pub(super) fn new(
        name: &str,
        operation: Operation,
        api_version: String,
        subresource: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            name: name.into(),
            operation,
            api_version,
            subresource: subresource.into(),
            time: Some(format!("{now:.0}")),
            fields: FieldSet::default(),
        }
    }

    /// Is it the same manager, whatever it owns and when it wrote?
    pub(super) fn same(&self, other: &Self) -> bool {
        (&self.name, self.operation, &self.api_version, &self.subresource)
            == (&other.name, other.operation, &other.api_version, &other.subresource)
    }

    /// As messages name it.
    pub(super) fn shown(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
            if let Some(time) = &self.time {
                text.push_str(&format!(" at {time}"));
            }
        }
        text
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        Some(Self {
            name: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: Some(text("time")).filter(|t| !t.is_empty()),
            fields: FieldSet::from_json(value.get("fieldsV1")?)?,
        })
    }

    fn write(&self) -> Value {
        let operation = format!("{:?}", self.operation);
        let mut value = json!({"manager": self.name, "operation": operation, "apiVersion": self.api_version});
        if let Some(time) = &self.time {
            value["time"] = time.as_str().into();
        }
        value["fieldsType"] = "FieldsV1".into();
        value["fieldsV1"] = self.fields.to_json();
        if !self.subresource.is_empty() {
            value["subresource"] = self.subresource.as_str().into();
        }
        value
    }
}

/// The entries of an object; `None` if there are none or they make no sense.
pub(super) fn read(object: &Value) -> Option<Vec<Manager>> {
    let list = object.pointer("/metadata/managedFields")?.as_array()?;
    match list.as_slice() {
        [] => None,
        // the way to say "forget all"
        [Value::Object(one)] if one.is_empty() => Some(vec![]),
        list => list.iter().map(Manager::read).collect(),
    }
}

/// Writes the entries, in the order of Kubernetes, without those that own
/// nothing.
pub(super) fn write(object: &mut Value, mut managers: Vec<Manager>) {
    managers.retain(|m| !m.fields.is_empty());
    let order = |a: &Manager, b: &Manager| {
        (a.operation, &a.time, &a.name, &a.api_version, &a.subresource).cmp(&(
            b.operation,
            &b.time,
            &b.name,
            &b.api_version,
            &b.subresource,
        ))
    };
    managers.sort_by(order);
    combine_old(&mut managers);
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if managers.is_empty() {
        metadata.shift_remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), managers.iter().map(Manager::write).collect());
    }
}

/// Combines the oldest updates, so that the list does not grow with every new
/// name of a client.
fn combine_old(managers: &mut Vec<Manager>) {
    while managers.iter().filter(|m| m.operation == Operation::Update).count() > UPDATE_MANAGERS_MAX {
        let of = |m: &Manager| m.operation == Operation::Update && m.subresource.is_empty();
        let old: Vec<usize> = managers.iter().enumerate().filter(|(_, m)| of(m)).map(|(i, _)| i).take(2).collect();
        let [first, second] = old[..] else { return };
        let second = managers.remove(second);
        let combined = &mut managers[first];
        combined.fields = combined.fields.union(&second.fields);
        combined.name = COMBINED.into();
        combined.time = second.time;
    }
}
