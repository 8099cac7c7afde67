//! Writes what OpenAPI documents are made of: for every message of the served
//! kinds its fields, their types, markers and texts. Read from the JSON schemas
//! in the source of `k8s-openapi`; markers come from `k8s-pb`.
//!
//! One line each, parts divided by tabs (`api/src/openapi/table.rs` reads it):
//!
//! ```text
//! @NAME  FORM  FLAGS  TEXT    a type; FORM is what it is in JSON
//! NAME   TYPE  FLAGS  TEXT    a field of it
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt::Write,
    path::Path,
};

use crate::source::{self, Field, Struct};

/// Beside the roots of the protobuf table: what is answered, never sent.
const ANSWERED: &[&str] = &[
    "io.k8s.api.authentication.v1.SelfSubjectReview",
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta",
];
/// How texts begin to say that an empty name may be left out.
const MAY_BE_EMPTY: &str = "allowed to be empty";

#[derive(Default)]
struct Type {
    form: String,
    text: String,
    properties: Vec<Property>,
}

#[derive(Default)]
struct Property {
    name: String,
    ty: String,
    text: String,
    required: bool,
}

/// The whole table.
pub fn table(pb: &Path, openapi: &Path, roots: &[&str]) -> Result<String, Box<dyn Error>> {
    let structs: BTreeMap<String, Struct> =
        source::protobuf(pb)?.into_iter().map(|(path, item)| (path.to_lowercase(), item)).collect();
    let mut types = BTreeMap::new();
    source::files(openapi, &mut |_, text| {
        if let Some((name, item)) = read(&text) {
            types.insert(name, item);
        }
    })?;
    let mut todo: Vec<String> = roots.iter().map(|r| format!("io.k8s.{r}")).collect();
    todo.extend(ANSWERED.iter().map(|r| r.to_string()));
    let mut done = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if !done.insert(name.clone()) {
            continue;
        }
        let item = types.get(&name).ok_or_else(|| format!("no schema of {name}"))?;
        let refs = item.properties.iter().filter_map(|p| p.ty.split_once('#'));
        todo.extend(refs.map(|(_, name)| name.to_string()));
    }
    let mut out = String::new();
    for name in &done {
        write(&mut out, name, &types[name], &structs)?;
    }
    Ok(out)
}

fn write(out: &mut String, name: &str, item: &Type, structs: &BTreeMap<String, Struct>) -> Result<(), Box<dyn Error>> {
    let message = structs.get(&name.trim_start_matches("io.k8s.").to_lowercase());
    let atomic = message.is_some_and(|m| m.markers.iter().any(|m| m == "structType=atomic"));
    writeln!(out, "@{name}\t{}\t{}\t{}", item.form, if atomic { "map=atomic" } else { "" }, item.text)?;
    for property in &item.properties {
        let mut flags = vec![];
        if property.required {
            flags.push("required".to_string());
        }
        if let Some(field) = message.and_then(|m| field(m, &property.name, structs)) {
            flags.extend(markers(field));
        }
        writeln!(out, "{}\t{}\t{}\t{}", property.name, property.ty, flags.join(";"), property.text)?;
    }
    Ok(())
}

/// The field of a message, or of one that is embedded in it.
fn field<'a>(message: &'a Struct, name: &str, structs: &'a BTreeMap<String, Struct>) -> Option<&'a Field> {
    let plain = name.to_lowercase();
    let own = message.fields.iter().find(|f| source::plain(&f.name) == plain);
    let embedded = |f: &'a Field| structs.get(&f.message.as_ref()?.to_lowercase());
    own.or_else(|| {
        let inner = message.fields.iter().filter(|f| !f.repeated && !f.map).filter_map(embedded);
        inner.flat_map(|m| &m.fields).find(|f| source::plain(&f.name) == plain)
    })
}

fn markers(field: &Field) -> Vec<String> {
    let value = |key: &str| field.markers.iter().find_map(|m| m.strip_prefix(key));
    let keys: Vec<&str> = field.markers.iter().filter_map(|m| m.strip_prefix("listMapKey=")).collect();
    let mut flags = vec![];
    flags.extend(value("listType=").map(|v| format!("list={v}")));
    flags.extend((!keys.is_empty()).then(|| format!("keys={}", keys.join(","))));
    flags.extend(value("mapType=").or(value("structType=")).map(|v| format!("map={v}")));
    flags.extend(value("patchStrategy=").map(|v| format!("patch={v}")));
    flags.extend(value("patchMergeKey=").map(|v| format!("key={v}")));
    flags
}

/// The schema in a source file.
fn read(text: &str) -> Option<(String, Type)> {
    let mut lines = text.lines().skip_while(|l| !l.contains("fn schema_name()"));
    let name = lines.nth(1)?.trim().strip_prefix('"')?.strip_suffix("\".into()")?.to_string();
    let mut item = Type::default();
    let mut required = false;
    let mut block: Option<Vec<&str>> = None;
    for line in lines {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if let (Some(lines), true) = (&mut block, indent > 16 || line.starts_with('}')) {
            lines.push(line);
            if indent == 16 {
                item.properties.push(property(&block.take().unwrap_or_default()));
            }
        } else if indent == 16 && required {
            let name = line.trim_matches(['"', ',']);
            item.properties.iter_mut().filter(|p| p.name == name).for_each(|p| p.required = is_required(p));
        } else if indent == 16 && line.ends_with(',') {
            item.properties.push(property(&[line]));
        } else if indent == 16 {
            block = Some(vec![line]);
        } else if indent == 12 {
            required = line.starts_with("\"required\"");
            head(&mut item, line);
        }
    }
    Some((name, item))
}

/// The crate wants metadata and some names that Kubernetes does not.
fn is_required(property: &Property) -> bool {
    property.name != "metadata" && !property.text.contains(MAY_BE_EMPTY)
}

fn head(item: &mut Type, line: &str) {
    if let Some(text) = line.strip_prefix("\"description\": \"").and_then(|l| l.strip_suffix("\",")) {
        item.text = text.into();
    } else if let Some(form) = line.strip_prefix("\"type\": \"").and_then(|l| l.strip_suffix("\",")) {
        item.form = if form == "string" { "s".into() } else { "o".into() };
    } else if line == "\"format\": \"date-time\"," {
        item.form = "t".into();
    } else if line.starts_with("\"x-kubernetes-int-or-string\"") {
        item.form = "q".into();
    }
}

fn property(lines: &[&str]) -> Property {
    let mut property = Property::default();
    let (mut types, mut format, mut reference) = (vec![], "", None);
    for line in lines {
        let value = |start: &str| line.strip_prefix(start).and_then(|l| l.strip_suffix("\","));
        if let Some(text) = value("\"description\": \"") {
            property.text = text.into();
        } else if let Some(rest) = line.split_once("insert(\"description\".into(), \"").map(|(_, rest)| rest) {
            property.text = rest.strip_suffix("\".into());").unwrap_or(rest).into();
        } else if let Some(ty) = value("\"type\": \"") {
            types.push(ty);
        } else if let Some(text) = value("\"format\": \"") {
            format = text;
        }
        if let Some((_, path)) = line.split_once("subschema_for::<crate::") {
            let path = path.split('>').next().unwrap_or_default();
            reference = Some(format!("#io.k8s.{}", path.replace("::", ".")));
        }
    }
    property.name = lines[0].split('"').nth(1).unwrap_or_default().into();
    let wrapped = lines.iter().any(|l| l.starts_with("\"additionalProperties\""));
    let mut ty = String::new();
    for (i, name) in types.iter().enumerate() {
        let innermost = i + 1 == types.len() && reference.is_none();
        ty.push_str(match (*name, format) {
            ("array", _) => "[]",
            ("object", _) if wrapped && !innermost => "{}",
            ("object", _) => "o",
            ("boolean", _) => "b",
            ("integer", "int64") => "I",
            ("integer", _) => "i",
            ("number", _) => "n",
            ("string", "byte") => "B",
            (_, _) => "s",
        });
    }
    property.ty = ty + &reference.unwrap_or_default();
    property
}
