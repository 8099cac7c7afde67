//! OpenAPI documents. They are made elsewhere, from the supported fields; here
//! they are served.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use bytes::Bytes;
use serde_json::{Value, json};
use skerry_machinery::{KINDS, Kind, Source};

/// The documents, JSON. Without any, clients get 404 and do without.
#[derive(Debug, Clone, Default)]
pub struct OpenApi {
    /// `/openapi/v2`.
    pub v2: Option<Bytes>,
    /// `/openapi/v3/…`: `api/v1`, `apis/apps/v1`, …
    pub v3: BTreeMap<String, Bytes>,
}

impl OpenApi {
    /// `/openapi/v3`: addresses that change with the content, so that clients
    /// can keep what they have.
    pub fn index(&self) -> Option<Value> {
        let hash = |bytes: &Bytes| hex::encode_upper(digest::digest(&digest::SHA256, bytes));
        let paths = self.v3.iter().map(|(path, document)| {
            let url = format!("/openapi/v3/{path}?hash={}", hash(document));
            (path.clone(), json!({"serverRelativeURL": url}))
        });
        (!self.v3.is_empty()).then(|| json!({"paths": paths.collect::<serde_json::Map<_, _>>()}))
    }
}

impl OpenApi {
    /// Documents that name the addresses and their parameters, and no schemas:
    /// enough for kubectl to leave the checking of fields to the server, not
    /// for `kubectl explain`.
    pub fn of_kinds() -> Self {
        let mut paths: BTreeMap<String, serde_json::Map<String, Value>> = BTreeMap::new();
        for kind in KINDS {
            let root = if kind.group.is_empty() { "api/v1".into() } else { format!("apis/{}", kind.api_version()) };
            let namespaces = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
            let list = format!("/{root}{namespaces}/{}", kind.plural);
            let paths = paths.entry(root).or_default();
            let stored = kind.source == Source::Stored;
            paths.insert(
                format!("{list}/{{name}}"),
                operations(kind, if stored { &["get", "put", "patch", "delete"] } else { &["get"] }),
            );
            paths.insert(list, operations(kind, if stored { &["get", "post", "delete"] } else { &["get"] }));
        }
        let document =
            |paths| json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.34.0"}, "paths": paths});
        let v3 = paths.into_iter().map(|(root, paths)| (root, document(paths).to_string().into()));
        Self { v2: None, v3: v3.collect() }
    }
}

fn operations(kind: &Kind, methods: &[&str]) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let operation = |method: &str| {
        let writes: Vec<Value> = match method {
            "get" | "delete" => vec![],
            _ => ["dryRun", "fieldManager", "fieldValidation"].map(parameter).into(),
        };
        json!({
            "parameters": writes, "responses": {"200": {"description": "OK"}},
            "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        })
    };
    methods.iter().map(|m| (m.to_string(), operation(m))).collect()
}
