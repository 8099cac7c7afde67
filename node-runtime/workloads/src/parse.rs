//! YAML bytes → admitted objects.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Service},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use skerry_machinery::{KINDS, Kind, Source, by_kind};

use crate::{
    FieldValidation, across, admit,
    problem::{Origin, Problem},
};

/// Largest manifest file in bytes.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Where it was written.
    pub origin: Origin,
    /// Its kind.
    pub kind: &'static Kind,
    /// The object with its defaults. `metadata.namespace` is always set on
    /// namespaced kinds.
    pub value: Value,
    /// The object as its type.
    pub object: Object,
    /// What its author should know.
    pub warnings: Vec<String>,
}

/// Typed objects of the kinds that code asks for by type.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// `apps/v1` Deployment.
    Deployment(Box<Deployment>),
    /// `v1` Service.
    Service(Box<Service>),
    /// `v1` Namespace.
    Namespace(Box<Namespace>),
    /// Any other supported kind; see [`Workload::value`].
    Other(Head),
}

/// What names an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Kind; empty: not known.
    pub kind: String,
    /// Namespace; empty for kinds without.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Head {
    fn of(value: &Value) -> Self {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
        let name = match text("/metadata/name") {
            name if name.is_empty() => text("/metadata/generateName"),
            name => name,
        };
        Self { kind: text("/kind"), namespace: text("/metadata/namespace"), name }
    }

    /// `Kind namespace/name` for messages.
    pub fn title(&self) -> String {
        match self.namespace.as_str() {
            "" => format!("{} {}", self.kind, self.name).trim().to_owned(),
            ns => format!("{} {ns}/{}", self.kind, self.name),
        }
    }
}

impl Object {
    /// Kubernetes kind.
    pub fn kind(&self) -> &str {
        match self {
            Self::Deployment(_) => "Deployment",
            Self::Service(_) => "Service",
            Self::Namespace(_) => "Namespace",
            Self::Other(head) => &head.kind,
        }
    }

    /// Namespace and name; the namespace is empty for kinds without.
    pub fn key(&self) -> (&str, &str) {
        let meta = match self {
            Self::Deployment(d) => &d.metadata,
            Self::Service(s) => &s.metadata,
            Self::Namespace(n) => &n.metadata,
            Self::Other(head) => return (&head.namespace, &head.name),
        };
        (meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""))
    }

    /// `Kind namespace/name` for messages.
    pub fn title(&self) -> String {
        let (namespace, name) = self.key();
        Head { kind: self.kind().into(), namespace: namespace.into(), name: name.into() }.title()
    }
}

/// Parse manifest files (name, bytes; YAML with any number of documents, or
/// JSON) into the objects in them, in file order, with defaults.
///
/// # Errors
/// All problems of all files: syntax, unsupported kinds and fields, values out
/// of range, references that lead nowhere, two objects of the same name.
pub fn parse_manifests(files: &[(String, Vec<u8>)]) -> Result<Vec<Workload>, Vec<Problem>> {
    let mut workloads = vec![];
    let mut problems = vec![];
    for document in read(files) {
        match document.result {
            Ok(w) => workloads.push(*w),
            Err(mut p) => problems.append(&mut p),
        }
    }
    problems.extend(across::duplicates(&workloads));
    problems.extend(across::node_ports(&workloads));
    if problems.is_empty() { Ok(workloads) } else { Err(problems) }
}

/// One document, admitted or not.
pub(crate) struct Document {
    pub(crate) origin: Origin,
    pub(crate) head: Head,
    pub(crate) result: Result<Box<Workload>, Vec<Problem>>,
}

/// Read and admit every document by itself.
pub(crate) fn read(files: &[(String, Vec<u8>)]) -> Vec<Document> {
    let mut out = vec![];
    for (file, bytes) in files {
        match documents(file, bytes) {
            Err(p) => out.push(Document {
                origin: Origin { file: file.clone(), document: 0 },
                head: Head::default(),
                result: Err(vec![p]),
            }),
            Ok(values) => {
                for (i, value) in values.into_iter().enumerate() {
                    let origin = Origin { file: file.clone(), document: i + 1 };
                    out.extend(items(value).into_iter().map(|v| document(origin.clone(), v)));
                }
            }
        }
    }
    out
}

fn documents(file: &str, bytes: &[u8]) -> Result<Vec<Value>, Problem> {
    let whole = |message: String| Problem {
        file: file.into(),
        document: 0,
        object: String::new(),
        field: String::new(),
        message,
    };
    if bytes.len() > FILE_BYTES_MAX {
        return Err(whole(format!("the file is larger than {FILE_BYTES_MAX} bytes; split it")));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| whole(format!("not UTF-8: {e}")))?;
    let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| whole(format!("not valid YAML: {e}")))?;
    Ok(values.into_iter().filter(|v| !v.is_null()).collect())
}

/// The items of a `v1` List, else the object itself.
fn items(mut value: Value) -> Vec<Value> {
    let is_list = value["kind"] == "List" && value["apiVersion"] == "v1";
    match value.get_mut("items") {
        Some(Value::Array(list)) if is_list => std::mem::take(list),
        _ => vec![value],
    }
}

fn document(origin: Origin, mut value: Value) -> Document {
    let mut head = Head::of(&value);
    let problem = |head: &Head, field: String, message: String| Problem {
        file: origin.file.clone(),
        document: origin.document,
        object: head.title(),
        field,
        message,
    };
    let api = value.get("apiVersion").and_then(Value::as_str).unwrap_or("");
    let Some(kind) = by_kind(api, &head.kind).filter(|k| k.source == Source::Stored) else {
        let message = format!("{api:?} {:?} is not supported; supported are {}", head.kind, supported_kinds());
        let result = Err(vec![problem(&head, "kind".into(), message)]);
        return Document { origin, head, result };
    };
    if kind.namespaced && head.namespace.is_empty() {
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".into(), "default".into());
        }
        head.namespace = "default".into();
    }
    let result = match admit(kind, &mut value, None, FieldValidation::Strict) {
        Ok(warnings) => match typed(kind, &value, &head) {
            Ok(object) => Ok(Box::new(Workload { origin: origin.clone(), kind, value, object, warnings })),
            Err(e) => Err(vec![problem(&head, String::new(), e)]),
        },
        Err(causes) => Err(causes.into_iter().map(|c| problem(&head, c.field, c.message)).collect()),
    };
    Document { origin, head, result }
}

/// The kinds that can be written, with their API versions.
fn supported_kinds() -> String {
    let stored = KINDS.iter().filter(|k| k.source == Source::Stored);
    stored.map(|k| format!("{} {}", k.api_version(), k.kind)).collect::<Vec<_>>().join(", ")
}

fn typed(kind: &Kind, value: &Value, head: &Head) -> Result<Object, String> {
    fn read<T: DeserializeOwned>(value: &Value) -> Result<Box<T>, String> {
        T::deserialize(value).map(Box::new).map_err(|e| format!("not an object of this kind: {e}"))
    }
    Ok(match (kind.group, kind.kind) {
        ("apps", "Deployment") => Object::Deployment(read(value)?),
        ("", "Service") => Object::Service(read(value)?),
        ("", "Namespace") => Object::Namespace(read(value)?),
        _ => Object::Other(head.clone()),
    })
}
