//! The addresses of a document, and what can be done there.

use serde_json::{Map, Value, json};
use skerry_machinery::{Kind, Source, Subresource};

use super::{names, schema::Style};
use crate::http::Review;

const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const BODIES: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// Parameters of every write.
const WRITE: &[(&str, &str)] = &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const DELETE: &[(&str, &str)] =
    &[("dryRun", "string"), ("gracePeriodSeconds", "integer"), ("propagationPolicy", "string")];
const LIST: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

/// One method of an address.
struct Operation<'a> {
    method: &'a str,
    id: String,
    /// Kubernetes' verb.
    action: &'a str,
    gvk: [&'a str; 3],
    /// Type of the request's body.
    body: Option<String>,
    /// Type of the answer.
    answer: Option<String>,
    parameters: &'a [(&'a str, &'a str)],
}

/// The addresses of a kind.
pub fn of_kind(kind: &Kind, style: Style) -> Vec<(String, Value)> {
    let root = format!("/{}", names::root(kind.group, kind.version));
    let (scope, middle) = if kind.namespaced { ("/namespaces/{namespace}", "Namespaced") } else { ("", "") };
    let (all, some) = (format!("{root}/{}", kind.plural), format!("{root}{scope}/{}", kind.plural));
    let one = format!("{some}/{{name}}");
    let item = |operations| item(operations, &one, style);
    let mut paths = vec![];
    if kind.namespaced {
        let mut operation = list(kind, "");
        operation.id.push_str("ForAllNamespaces");
        paths.push((all, item_of(vec![operation], style)));
    }
    paths.push((some.clone(), self::item(of_list(kind, middle), &some, style)));
    paths.push((one.clone(), item(of_one(kind, middle))));
    for sub in kind.subresources {
        paths.push((format!("{one}/{}", sub.name()), item(of_sub(kind, *sub, middle))));
    }
    paths
}

/// The address of a review.
pub fn of_review(review: Review, style: Style) -> (String, Value) {
    let gvk = [review.group(), "v1", review.kind()];
    let operation = Operation {
        method: "post",
        id: names::operation("create", gvk, "", ""),
        action: "post",
        gvk,
        body: Some(names::of(gvk)),
        answer: Some(names::of(gvk)),
        parameters: &[],
    };
    let path = format!("/{}/{}", names::root(review.group(), "v1"), review.plural());
    (path, item_of(vec![operation], style))
}

fn gvk(kind: &Kind) -> [&'static str; 3] {
    [kind.group, kind.version, kind.kind]
}

fn list(kind: &Kind, middle: &str) -> Operation<'static> {
    Operation {
        method: "get",
        id: names::operation("list", gvk(kind), middle, ""),
        action: "list",
        gvk: gvk(kind),
        body: None,
        answer: Some(format!("{}List", names::of_kind(kind))),
        parameters: LIST,
    }
}

fn of_list(kind: &Kind, middle: &str) -> Vec<Operation<'static>> {
    let mut operations = vec![list(kind, middle)];
    if kind.source == Source::Stored {
        operations.push(write("post", "create", kind, names::of_kind(kind), middle, ""));
        operations.push(Operation {
            method: "delete",
            id: names::operation("delete", gvk(kind), &format!("Collection{middle}"), ""),
            action: "deletecollection",
            body: Some(names::meta("DeleteOptions")),
            answer: Some(names::meta("Status")),
            ..list(kind, middle)
        });
    }
    operations
}

fn of_one(kind: &Kind, middle: &str) -> Vec<Operation<'static>> {
    let ty = || names::of_kind(kind);
    let read = Operation { parameters: &[], ..write("get", "read", kind, ty(), middle, "") };
    let mut operations = vec![Operation { body: None, action: "get", ..read }];
    if kind.source == Source::Stored {
        operations.push(write("put", "replace", kind, ty(), middle, ""));
        operations.push(write("patch", "patch", kind, ty(), middle, ""));
        operations.push(Operation {
            body: Some(names::meta("DeleteOptions")),
            answer: Some(names::meta("Status")),
            parameters: DELETE,
            ..write("delete", "delete", kind, ty(), middle, "")
        });
    }
    operations
}

fn of_sub(kind: &Kind, sub: Subresource, middle: &str) -> Vec<Operation<'static>> {
    let (gvk, methods): (_, &[_]) = match sub {
        Subresource::Status => (gvk(kind), &[("get", "read"), ("put", "replace"), ("patch", "patch")]),
        Subresource::Scale => {
            (["autoscaling", "v1", "Scale"], &[("get", "read"), ("put", "replace"), ("patch", "patch")])
        }
        Subresource::Eviction => (["policy", "v1", "Eviction"], &[("post", "create")]),
        Subresource::Log => (gvk(kind), &[("get", "read")]),
        Subresource::Exec => (["", "v1", "PodExecOptions"], &[("get", "connectGet"), ("post", "connectPost")]),
        Subresource::Attach => (["", "v1", "PodAttachOptions"], &[("get", "connectGet"), ("post", "connectPost")]),
        Subresource::PortForward => {
            (["", "v1", "PodPortForwardOptions"], &[("get", "connectGet"), ("post", "connectPost")])
        }
    };
    let typed = matches!(sub, Subresource::Status | Subresource::Scale | Subresource::Eviction);
    let operation = |(method, verb): &(&'static str, &str)| {
        let mut operation = write(method, verb, kind, names::of(gvk), middle, sub.name());
        operation.gvk = gvk;
        if *method == "get" || !typed {
            (operation.body, operation.parameters) = (None, &[]);
        }
        if !typed {
            operation.answer = None;
        }
        operation.action = match (*method, verb.starts_with("connect")) {
            (_, true) => "connect",
            (method, _) => method,
        };
        operation
    };
    methods.iter().map(operation).collect()
}

fn write(method: &'static str, verb: &str, kind: &Kind, ty: String, middle: &str, end: &str) -> Operation<'static> {
    Operation {
        method,
        id: names::operation(verb, gvk(kind), middle, end),
        action: method,
        gvk: gvk(kind),
        body: Some(ty.clone()),
        answer: Some(ty),
        parameters: WRITE,
    }
}

/// An address with the parameters in it.
fn item(operations: Vec<Operation>, path: &str, style: Style) -> Value {
    let mut item = item_of(operations, style);
    let names = path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'));
    item["parameters"] = names.map(|name| parameter(name, "path", "string", style)).collect();
    item
}

fn item_of(operations: Vec<Operation>, style: Style) -> Value {
    let operations = operations.into_iter().map(|o| (o.method.to_string(), operation(&o, style)));
    operations.collect::<Map<_, _>>().into()
}

fn parameter(name: &str, place: &str, ty: &str, style: Style) -> Value {
    let mut parameter = json!({"name": name, "in": place});
    if place == "path" {
        parameter["required"] = true.into();
    }
    match style {
        Style::V2 => parameter["type"] = ty.into(),
        Style::V3 => parameter["schema"] = json!({"type": ty}),
    }
    parameter
}

fn operation(operation: &Operation, style: Style) -> Value {
    let mut parameters: Vec<Value> =
        operation.parameters.iter().map(|(name, ty)| parameter(name, "query", ty, style)).collect();
    let [group, version, kind] = operation.gvk;
    let patch = operation.method == "patch";
    let consumes = if patch { PATCHES } else { BODIES };
    let body = operation.body.as_ref().map(|ty| if patch { names::meta("Patch") } else { ty.clone() });
    let schema = operation.answer.as_ref().map(|ty| style.reference(ty));
    let mut response = json!({"description": "OK"});
    let mut out = json!({"operationId": operation.id});
    match style {
        Style::V2 => {
            if let Some(body) = body {
                let schema = style.reference(&body);
                parameters.push(json!({"name": "body", "in": "body", "required": !patch, "schema": schema}));
                out["consumes"] = json!(consumes);
            }
            out["produces"] = json!([if schema.is_some() { "application/json" } else { "*/*" }]);
            if let Some(schema) = schema {
                response["schema"] = schema;
            }
        }
        Style::V3 => {
            if let Some(body) = body {
                let one = |form: &&str| (form.to_string(), json!({"schema": style.reference(&body)}));
                out["requestBody"] = json!({"content": consumes.iter().map(one).collect::<Map<_, _>>()});
            }
            if let Some(schema) = schema {
                response["content"] = json!({"application/json": {"schema": schema}});
            }
        }
    }
    out["parameters"] = parameters.into();
    out["responses"] = json!({"200": response});
    out["x-kubernetes-action"] = operation.action.into();
    out["x-kubernetes-group-version-kind"] = json!({"group": group, "kind": kind, "version": version});
    out
}
