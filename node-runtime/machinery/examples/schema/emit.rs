//! Writes the table.

use std::{collections::BTreeMap, fmt::Write};

use crate::{
    Message, pointers,
    source::{self, Field},
};

/// `api.core.v1.Pod` → `CORE_V1_POD`.
fn constant(path: &str) -> String {
    let path = path.trim_start_matches("api.").replace("apimachinery.pkg.apis.", "").replace("apimachinery.pkg.", "");
    let (module, name) = path.rsplit_once('.').unwrap_or(("", &path));
    let mut text = module.replace('.', "_").to_uppercase();
    let chars: Vec<char> = name.chars().collect();
    text.push('_');
    for (i, c) in chars.iter().enumerate() {
        let word = c.is_uppercase() && i > 0;
        let starts = word && (!chars[i - 1].is_uppercase() || chars.get(i + 1).is_some_and(|n| n.is_lowercase()));
        if starts {
            text.push('_');
        }
        text.push(c.to_ascii_uppercase());
    }
    text
}

fn is_pointer(path: &str, json: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or_default();
    pointers::POINTERS.iter().any(|(message, fields)| *message == name && fields.split(' ').any(|f| f == json))
}

/// Prints optional scalars, and whether they count as pointers.
pub fn scalars(messages: &BTreeMap<String, Message>) {
    for (path, message) in messages {
        let name = path.rsplit('.').next().unwrap_or_default();
        for (field, json) in message.item.fields.iter().zip(&message.names) {
            let Some((json, required)) = json else { continue };
            let special = field.message.as_deref().and_then(source::special);
            let scalar = field.message.is_none() || special == Some("IntOrString");
            if scalar && !required && !field.repeated && !field.map {
                println!("{} {name}.{json} {}", if is_pointer(path, json) { "*" } else { " " }, field.kind);
            }
        }
    }
}

/// The whole file.
pub fn types(messages: &BTreeMap<String, Message>, roots: &[(&str, &str, &str)]) -> String {
    let mut out = String::from(
        "//! Written by `examples/schema`; not to be edited.\n\n\
         use super::{List::{Atomic, Keyed, Set}, Message, Ty::*, \
         many, map, one};\n\n\
         /// `apiVersion`, kind and message of what clients send.\n\
         pub(super) static ROOTS: &[(&str, &str, &Message)] = &[\n",
    );
    for (version, kind, path) in roots {
        let _ = writeln!(out, "(\"{version}\", \"{kind}\", &{}),", constant(path));
    }
    out.push_str("];\n");
    for (path, message) in messages {
        let atomic = message.item.markers.iter().any(|m| m == "structType=atomic");
        let name = path.trim_start_matches("api.");
        let _ = writeln!(
            out,
            "static {}: Message = Message {{ name: \"{name}\", atomic: {atomic}, fields: &[",
            constant(path)
        );
        for (field, json) in message.item.fields.iter().zip(&message.names) {
            if let Some(line) = one_field(path, field, json.as_ref()) {
                let _ = writeln!(out, "{line},");
            }
        }
        out.push_str("] };\n");
    }
    out
}

fn one_field(path: &str, field: &Field, json: Option<&(String, bool)>) -> Option<String> {
    let ty = match (&field.message, json) {
        (Some(message), None) => format!("Inline(&{})", constant(message)),
        (Some(message), Some(_)) => match source::special(message) {
            Some(special) => special.into(),
            None => format!("Nested(&{})", constant(message)),
        },
        (None, None) => return None,
        (None, Some(_)) => match field.kind.as_str() {
            "string" => "Text".into(),
            "bool" => "Bool".into(),
            "int32" | "int64" => "Int".into(),
            "bytes" => "Bytes".to_string(),
            other => panic!("{path}.{}: {other}", field.name),
        },
    };
    let (name, required) = json.map_or(("", false), |(name, required)| (name.as_str(), *required));
    let shape = if field.map {
        "map"
    } else if field.repeated {
        "many"
    } else {
        "one"
    };
    let mut line = format!("{shape}({}, \"{name}\", {ty})", field.tag);
    if required || is_pointer(path, name) {
        line.push_str(".keeps_zero()");
    }
    line.push_str(&merging(field));
    Some(line)
}

fn merging(field: &Field) -> String {
    let value = |key: &str| field.markers.iter().find_map(|m| m.strip_prefix(key).map(str::to_string));
    let keys: Vec<String> =
        field.markers.iter().filter_map(|m| m.strip_prefix("listMapKey=")).map(|k| format!("\"{k}\"")).collect();
    let mut line = String::new();
    match value("listType=").as_deref() {
        Some("map") => line.push_str(&format!(".list(Keyed(&[{}]))", keys.join(", "))),
        Some("set") => line.push_str(".list(Set)"),
        _ => {}
    }
    if value("mapType=").or_else(|| value("structType=")).as_deref() == Some("atomic") {
        line.push_str(".list(Atomic)");
    }
    let strategy = value("patchStrategy=").unwrap_or_default();
    if strategy.split(',').any(|s| s == "merge") {
        line.push_str(&format!(".merge(\"{}\")", value("patchMergeKey=").unwrap_or_default()));
    }
    line
}
