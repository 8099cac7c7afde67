//! YAML bytes → typed objects.

use std::collections::HashMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Service},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    fields,
    problem::{Collector, Origin, Problem},
    shape::{self, Shape},
    validate,
};

/// Largest manifest file in bytes.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Where it was written.
    pub origin: Origin,
    /// The object. `metadata.namespace` is always set on namespaced kinds.
    pub object: Object,
}

/// The kinds that are supported.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// `apps/v1` Deployment.
    Deployment(Box<Deployment>),
    /// `v1` Service.
    Service(Box<Service>),
    /// `v1` Namespace.
    Namespace(Box<Namespace>),
}

impl Object {
    /// Kubernetes kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deployment(_) => "Deployment",
            Self::Service(_) => "Service",
            Self::Namespace(_) => "Namespace",
        }
    }

    /// Namespace and name; the namespace is empty for a Namespace.
    pub fn key(&self) -> (&str, &str) {
        let meta = match self {
            Self::Deployment(d) => &d.metadata,
            Self::Service(s) => &s.metadata,
            Self::Namespace(n) => &n.metadata,
        };
        (meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""))
    }

    /// `Kind namespace/name` for messages.
    pub fn title(&self) -> String {
        let (ns, name) = self.key();
        title(self.kind(), ns, name)
    }
}

fn title(kind: &str, namespace: &str, name: &str) -> String {
    match namespace {
        "" => format!("{kind} {name}"),
        ns => format!("{kind} {ns}/{name}"),
    }
}

/// Parse manifest files (name, bytes; YAML with any number of documents, or
/// JSON) into the objects in them, in file order.
///
/// # Errors
/// All problems of all files: syntax, unsupported kinds and fields, values out
/// of range, references that lead nowhere, two objects of the same name.
pub fn parse_manifests(files: &[(String, Vec<u8>)]) -> Result<Vec<Workload>, Vec<Problem>> {
    let mut workloads = vec![];
    let mut problems = vec![];
    for (file, bytes) in files {
        match documents(file, bytes) {
            Err(p) => problems.push(p),
            Ok(values) => {
                for (i, value) in values.into_iter().enumerate() {
                    let origin = Origin { file: file.clone(), document: i + 1 };
                    match parse_document(origin, value) {
                        Ok(w) => workloads.push(w),
                        Err(mut p) => problems.append(&mut p),
                    }
                }
            }
        }
    }
    problems.extend(duplicates(&workloads));
    problems.extend(validate::across(&workloads));
    if problems.is_empty() { Ok(workloads) } else { Err(problems) }
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

fn parse_document(origin: Origin, mut value: Value) -> Result<Workload, Vec<Problem>> {
    shape::strip_nulls(&mut value);
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let (api, kind) = (text("/apiVersion"), text("/kind"));
    let name = title(&kind, &text("/metadata/namespace"), &text("/metadata/name"));
    let mut out = Collector::new(&origin, name);
    let object = match (api.as_str(), kind.as_str()) {
        ("apps/v1", "Deployment") => {
            typed(&value, &fields::DEPLOYMENT, &mut out).map(|o| Object::Deployment(Box::new(o)))
        }
        ("v1", "Service") => typed(&value, &fields::SERVICE, &mut out).map(|o| Object::Service(Box::new(o))),
        ("v1", "Namespace") => typed(&value, &fields::NAMESPACE, &mut out).map(|o| Object::Namespace(Box::new(o))),
        _ => {
            out.add(
                "kind",
                format!(
                    "{api:?} {kind:?} is not supported; supported are apps/v1 Deployment, v1 Service, v1 Namespace"
                ),
            );
            None
        }
    };
    let object = object.map(with_namespace).inspect(|o| validate::object(o, &mut out));
    let problems = std::mem::take(&mut out.problems);
    match object {
        Some(object) if problems.is_empty() => Ok(Workload { origin, object }),
        _ => Err(problems),
    }
}

/// Check the fields, then make the typed object; the second cannot fail where
/// the first passed, but if it does it is reported and not ignored.
fn typed<T: DeserializeOwned>(value: &Value, shape: &Shape, out: &mut Collector<'_>) -> Option<T> {
    shape::check(value, shape, "", out);
    if !out.problems.is_empty() {
        return None;
    }
    let mut value = value.clone();
    shape::quantities_to_text(&mut value, shape);
    serde_json::from_value(value).map_err(|e| out.add("", format!("not an object of this kind: {e}"))).ok()
}

fn with_namespace(mut object: Object) -> Object {
    let meta = match &mut object {
        Object::Deployment(d) => &mut d.metadata,
        Object::Service(s) => &mut s.metadata,
        Object::Namespace(_) => return object,
    };
    meta.namespace.get_or_insert_with(|| "default".into());
    object
}

fn duplicates(workloads: &[Workload]) -> Vec<Problem> {
    let mut seen: HashMap<String, &Origin> = HashMap::new();
    let mut problems = vec![];
    for w in workloads {
        let title = w.object.title();
        if let Some(first) = seen.get(&title) {
            let mut out = Collector::new(&w.origin, title);
            out.add("metadata.name", format!("already defined in {}, document {}", first.file, first.document));
            problems.append(&mut out.problems);
        } else {
            seen.insert(title, &w.origin);
        }
    }
    problems
}
