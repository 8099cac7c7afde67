//! Reads the sources of the two crates, line by line: both are generated and
//! very regular.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

/// A message of `k8s-pb`.
#[derive(Clone, Default)]
pub struct Struct {
    pub markers: Vec<String>,
    pub fields: Vec<Field>,
}

/// One field of it.
#[derive(Clone, Default)]
pub struct Field {
    pub name: String,
    pub tag: u32,
    /// `string`, `bool`, `int32`, `int64`, `bytes`, `message`.
    pub kind: String,
    /// Path of the message, if it is one.
    pub message: Option<String>,
    pub repeated: bool,
    pub map: bool,
    pub markers: Vec<String>,
}

/// A type of `k8s-openapi`: plain field name → JSON name, is it required.
#[derive(Default)]
pub struct OpenApi {
    pub fields: BTreeMap<String, (String, bool)>,
}

/// Field names without what the two crates write differently.
pub fn plain(name: &str) -> String {
    name.trim_start_matches("r#").replace('_', "").to_lowercase()
}

/// Messages with a JSON form of their own.
pub fn special(path: &str) -> Option<&'static str> {
    Some(match path {
        "apimachinery.pkg.util.intstr.IntOrString" => "IntOrString",
        "apimachinery.pkg.api.resource.Quantity" => "Quantity",
        "apimachinery.pkg.apis.meta.v1.Time" => "Time",
        "apimachinery.pkg.apis.meta.v1.MicroTime" => "MicroTime",
        "apimachinery.pkg.apis.meta.v1.FieldsV1" | "apimachinery.pkg.runtime.RawExtension" => "Raw",
        _ => return None,
    })
}

/// Every source file below a folder.
pub fn files(folder: &Path, each: &mut dyn FnMut(&Path, String)) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, each)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            each(&path, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

fn module(root: &Path, file: &Path) -> Vec<String> {
    let folder = file.parent().and_then(|f| f.strip_prefix(root).ok()).unwrap_or(Path::new(""));
    folder.iter().map(|p| p.to_string_lossy().into_owned()).collect()
}

/// All messages, by path such as `api.core.v1.Pod`.
pub fn protobuf(root: &Path) -> Result<BTreeMap<String, Struct>, Box<dyn Error>> {
    let mut structs = BTreeMap::new();
    files(root, &mut |path, text| {
        let module = module(root, path);
        let mut lines = text.lines();
        let mut markers = vec![];
        while let Some(line) = lines.next() {
            if let Some(marker) = marker(line) {
                markers.push(marker);
            } else if let Some(name) = line.strip_prefix("pub struct ").and_then(|l| l.strip_suffix(" {")) {
                let item = Struct { markers: std::mem::take(&mut markers), fields: fields(&mut lines, &module) };
                structs.insert(format!("{}.{name}", module.join(".")), item);
            } else if !line.starts_with("///") && !line.starts_with("#[") {
                markers.clear();
            }
        }
    })?;
    Ok(structs)
}

fn marker(line: &str) -> Option<String> {
    let marker = line.trim().strip_prefix("/// +")?;
    ["listType=", "listMapKey=", "mapType=", "structType=", "patchStrategy=", "patchMergeKey="]
        .iter()
        .any(|p| marker.starts_with(p))
        .then(|| marker.to_string())
}

fn fields<'a>(lines: &mut impl Iterator<Item = &'a str>, module: &[String]) -> Vec<Field> {
    let (mut fields, mut field) = (vec![], Field::default());
    while let Some(line) = lines.next().filter(|l| *l != "}") {
        if let Some(marker) = marker(line) {
            field.markers.push(marker);
        } else if let Some(attribute) = line.trim().strip_prefix("#[prost(") {
            read_attribute(attribute, &mut field);
        } else if let Some(start) = line.trim().strip_prefix("pub ") {
            let mut text = start.to_string();
            while !(text.ends_with(',') && text.matches('<').count() == text.matches('>').count()) {
                text.push_str(lines.next().unwrap_or(",").trim());
            }
            let (name, kind) = text.split_once(':').unwrap_or_default();
            field.name = name.into();
            if field.kind == "message" {
                field.message = Some(resolve(kind, module));
            }
            fields.push(std::mem::take(&mut field));
        }
    }
    fields
}

fn read_attribute(attribute: &str, field: &mut Field) {
    field.map = attribute.starts_with("btree_map");
    field.repeated = attribute.contains("repeated");
    field.kind = match field.map {
        true => attribute.split('"').nth(1).and_then(|m| m.split(", ").nth(1)).unwrap_or_default().into(),
        false => attribute.split([',', ' ']).next().unwrap_or_default().into(),
    };
    let tag = attribute.split("tag = \"").nth(1).and_then(|t| t.split('"').next());
    field.tag = tag.and_then(|t| t.parse().ok()).unwrap_or(0);
}

/// The innermost type of a field, as a path from the root.
fn resolve(kind: &str, module: &[String]) -> String {
    let inner = kind.rsplit(['<', ' ']).find(|p| !p.trim_matches([',', '>']).is_empty()).unwrap_or_default();
    let inner = inner.trim_matches([',', '>']).rsplit(',').next().unwrap_or_default();
    let mut path = module.to_vec();
    for part in inner.split("::").filter(|p| !p.is_empty()) {
        if part == "super" {
            path.pop();
        } else {
            path.push(part.into());
        }
    }
    path.join(".")
}

/// All types of `k8s-openapi`, by the same paths in lower case (`PodIp` is
/// `PodIP`).
pub fn openapi(root: &Path) -> Result<BTreeMap<String, OpenApi>, Box<dyn Error>> {
    let mut types = BTreeMap::new();
    files(root, &mut |path, text| {
        let Some(name) = text.lines().find_map(|l| l.strip_prefix("pub struct ")) else { return };
        let name = name.split([' ', '(', '<', ';']).next().unwrap_or_default();
        let mut required = BTreeMap::new();
        let mut item = OpenApi::default();
        for line in text.lines() {
            let line = line.trim();
            if let Some((field, kind)) = line.strip_prefix("pub ").and_then(|l| l.split_once(": ")) {
                required.insert(plain(field), !kind.contains("Option<"));
            } else if let Some((json, field)) = line.split_once(" => Field::Key_") {
                let field = plain(field.trim_end_matches(','));
                let needed = required.get(&field).copied().unwrap_or(false);
                item.fields.insert(field, (json.trim_matches('"').into(), needed));
            }
        }
        types.insert(format!("{}.{name}", module(root, path).join(".")).to_lowercase(), item);
    })?;
    Ok(types)
}
