//! `metav1.Table`: what `kubectl get` prints, made by the server. Columns and
//! cells are those of the Kubernetes API server 1.34, for all served kinds;
//! NodeMetrics and PodMetrics as metrics-server has them.

mod age;
mod cells;
mod cluster;
mod columns;
mod look;
mod pod;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use age::{human_duration, since};
pub use columns::{Column, columns};

use crate::{ApiError, Kind};

/// What a row carries beside its cells (`includeObject` of the query).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl IncludeObject {
    /// From the value of the query parameter; empty is the default.
    ///
    /// # Errors
    /// 400 that names the allowed values.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "None" => Ok(Self::None),
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => Err(ApiError::bad_request(format!(
                "includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// `columnDefinitions` of a kind's table.
pub fn column_definitions(kind: &Kind) -> Value {
    let one = |c: &Column| json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority});
    columns(kind).iter().map(one).collect()
}

/// One row of a kind's table.
pub fn row(kind: &Kind, object: &Value, now: Timestamp, include: IncludeObject) -> Value {
    let mut row = json!({"cells": cells::cells(kind, object, now)});
    if (kind.group, kind.kind) == ("", "Pod") {
        let conditions = pod::row_conditions(object);
        if !conditions.is_null() {
            row["conditions"] = conditions;
        }
    }
    row["object"] = match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial_metadata(object),
        IncludeObject::Object => object.clone(),
    };
    row
}

/// The object's metadata, as the kind `PartialObjectMetadata`.
pub fn partial_metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A whole table. `metadata` is that of the list (or of the one object, as far
/// as a list has it); `columns` is left out in a watch after the first event.
pub fn table(metadata: Value, columns: Option<Value>, rows: Vec<Value>) -> Value {
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": columns.unwrap_or(Value::Null), "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::KINDS;

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        let empty = json!({"metadata": {"name": "x"}});
        let odd = json!({"metadata": [], "spec": 1, "status": "x", "data": null, "items": {}});
        for kind in KINDS {
            for object in [&empty, &odd, &Value::Null] {
                let row = row(kind, object, Timestamp::UNIX_EPOCH, IncludeObject::None);
                assert_eq!(row["cells"].as_array().unwrap().len(), columns(kind).len(), "{}", kind.kind);
            }
            let names = columns(kind).iter().filter(|c| c.format == "name").count();
            assert_eq!(names, 1, "{}", kind.kind);
        }
    }

    #[test]
    fn whole_table() {
        let kind = crate::kind("", "ConfigMap");
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1", "b": "2"}, "binaryData": {"c": ""},
            "metadata": {"name": "m", "creationTimestamp": "2026-01-01T00:00:00Z"},
        });
        let now = "2026-01-01T01:30:00Z".parse().unwrap();
        let rows = vec![row(kind, &map, now, IncludeObject::parse("").unwrap())];
        let table = table(json!({"resourceVersion": "9"}), Some(column_definitions(kind)), rows);
        assert_eq!(table["rows"][0]["cells"], json!(["m", 3, "90m"]));
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "m");
        let first = json!({"name": "Name", "type": "string", "format": "name", "priority": 0,
            "description": table["columnDefinitions"][0]["description"]});
        assert_eq!(table["columnDefinitions"][0], first);
        assert_eq!(row(kind, &map, now, IncludeObject::Object)["object"], map);
        assert_eq!(row(kind, &map, now, IncludeObject::None)["object"], Value::Null);
        assert!(IncludeObject::parse("All").is_err());
    }
}
