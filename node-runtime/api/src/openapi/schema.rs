//! One type as JSON Schema, as OpenAPI 2 and 3 have it.

use serde_json::{Map, Value, json};

use super::{
    select::{Selection, Values},
    table::{self, Field, Type},
};

/// Version of OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// 2.0, Swagger.
    V2,
    /// 3.0
    V3,
}

impl Style {
    /// A reference to a type.
    pub fn reference(self, name: &str) -> Value {
        let place = match self {
            Self::V2 => "#/definitions",
            Self::V3 => "#/components/schemas",
        };
        json!({"$ref": format!("{place}/{name}")})
    }

    /// A reference beside which other things can stand.
    fn wrapped(self, name: &str) -> Value {
        match self {
            Self::V2 => self.reference(name),
            Self::V3 => json!({"allOf": [self.reference(name)]}),
        }
    }
}

/// The schema of a type; `gvk`: the kind that it is.
pub fn definition(ty: &Type, selection: &Selection, gvk: Option<[&str; 3]>, style: Style) -> Value {
    let mut schema = form(ty.form, style);
    schema["description"] = ty.text().into();
    let mut properties = Map::new();
    let mut required = vec![];
    for (name, values) in selection.fields(ty.name) {
        let Some(field) = ty.field(name) else { continue };
        properties.insert(name.into(), property(field, values, style));
        if field.required() {
            required.push(name);
        }
    }
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !properties.is_empty() {
        schema["properties"] = properties.into();
    }
    if let Some(kind) = table::flag(ty.flags, "map") {
        schema["x-kubernetes-map-type"] = kind.into();
    }
    if let Some([group, version, kind]) = gvk {
        schema["x-kubernetes-group-version-kind"] = json!([{"group": group, "kind": kind, "version": version}]);
    }
    schema
}

/// A list of objects of a kind.
pub fn list(item: &str, [group, version, kind]: [&str; 3], meta: &str, style: Style) -> Value {
    let text = |text: &str| json!({"type": "string", "description": text});
    let mut metadata = style.wrapped(meta);
    metadata["description"] = "Standard list metadata.".into();
    json!({
        "type": "object",
        "description": format!("{kind}List is a list of {kind} objects."),
        "required": ["items"],
        "properties": {
            "apiVersion": text("APIVersion defines the versioned schema of this representation of an object."),
            "items": {"type": "array", "items": style.reference(item), "description": "The objects."},
            "kind": text("Kind is a string value representing the REST resource this object represents."),
            "metadata": metadata,
        },
        "x-kubernetes-group-version-kind": [{"group": group, "kind": format!("{kind}List"), "version": version}],
    })
}

fn form(form: &str, style: Style) -> Value {
    match (form, style) {
        ("s", _) => json!({"type": "string"}),
        ("t", _) => json!({"type": "string", "format": "date-time"}),
        ("q", Style::V2) => json!({"type": "string", "format": "int-or-string"}),
        ("q", Style::V3) => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "number"}, {"type": "string"}]})
        }
        _ => json!({"type": "object"}),
    }
}

fn property(field: &Field, values: &Values, style: Style) -> Value {
    let mut schema = value(field.ty, values, style);
    schema["description"] = field.text().into();
    for (flag, extension) in [
        ("list", "x-kubernetes-list-type"),
        ("map", "x-kubernetes-map-type"),
        ("patch", "x-kubernetes-patch-strategy"),
        ("key", "x-kubernetes-patch-merge-key"),
    ] {
        if let Some(value) = field.flag(flag) {
            schema[extension] = value.into();
        }
    }
    if let Some(keys) = field.flag("keys") {
        schema["x-kubernetes-list-map-keys"] = keys.split(',').collect();
    }
    schema
}

/// A value of this type (as in [`Field::ty`]).
fn value(ty: &str, values: &Values, style: Style) -> Value {
    if let Some(item) = ty.strip_prefix("[]") {
        return json!({"type": "array", "items": inner(item, values, style)});
    }
    if let Some(item) = ty.strip_prefix("{}") {
        return json!({"type": "object", "additionalProperties": inner(item, values, style)});
    }
    if let Some(name) = ty.strip_prefix('#') {
        return style.wrapped(name);
    }
    let mut schema = match ty {
        "i" => json!({"type": "integer", "format": "int32"}),
        "I" => json!({"type": "integer", "format": "int64"}),
        "n" => json!({"type": "number", "format": "double"}),
        "b" => json!({"type": "boolean"}),
        "B" => json!({"type": "string", "format": "byte"}),
        "o" => json!({"type": "object"}),
        _ => json!({"type": "string"}),
    };
    if let Values::Of(values) = values {
        schema["enum"] = json!(values);
    }
    schema
}

fn inner(ty: &str, values: &Values, style: Style) -> Value {
    match ty.strip_prefix('#') {
        Some(name) => style.reference(name),
        None => value(ty, values, style),
    }
}
