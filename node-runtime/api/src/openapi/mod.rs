//! OpenAPI documents: what `kubectl explain` prints, what `kubectl apply`
//! checks manifests and makes patches with, and what clients are generated
//! from. They hold only what the node serves: its kinds with the fields that
//! `workloads` supports, and complete statuses.
//!
//! Nothing is kept: documents are made when they are asked for, some 10 ms and
//! 2 MB for the largest, since clients keep them by their hash.
//!
//! ```text
//! table     types.zst           → all fields of all types
//! select    supported fields    → those of a document
//! schema    one type            → JSON Schema
//! paths     one kind            → addresses and methods
//! document  a group or all      → JSON; protobuf: the same for OpenAPI 2
//! ```

mod document;
mod names;
mod paths;
mod protobuf;
mod schema;
mod select;
mod table;

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use bytes::Bytes;
use serde_json::{Value, json};

use document::{About, Text};
use schema::Style;
use table::Table;

/// The documents. Without any ([`OpenApi::default`]), clients get 404 and do
/// without.
#[derive(Debug, Clone, Default)]
pub struct OpenApi(Option<Arc<Kept>>);

/// What is remembered of documents once they were made.
#[derive(Debug, Default)]
struct Kept {
    index: OnceLock<Bytes>,
}

/// Forms of `/openapi/v2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON.
    Json,
    /// gnostic's messages.
    Protobuf,
}

impl OpenApi {
    /// Documents of the kinds that the node serves.
    pub fn of_kinds() -> Self {
        Self(Some(Arc::default()))
    }

    /// `/openapi/v3`: addresses that change with the content, so that clients
    /// can keep what they have.
    pub(crate) fn index(&self) -> Option<Bytes> {
        let kept = self.0.as_ref()?;
        Some(kept.index.get_or_init(|| with_table(index).into()).clone())
    }

    /// `/openapi/v3/ROOT`, ROOT being `api/v1` or `apis/apps/v1`.
    pub(crate) fn v3(&self, root: &str) -> Option<Bytes> {
        self.0.as_ref()?;
        let mut all = document::group_versions().into_iter();
        let about = all.find(|(group, version)| names::root(group, version) == root)?;
        Some(with_table(|table| text(table, Some(about), Style::V3)).into())
    }

    /// `/openapi/v2`.
    pub(crate) fn v2(&self, form: Form) -> Option<Bytes> {
        self.0.as_ref()?;
        Some(match form {
            Form::Json => with_table(|table| text(table, None, Style::V2)).into(),
            Form::Protobuf => with_table(|table| {
                let mut document = protobuf::Document::default();
                document::write(table, None, Style::V2, &mut document);
                document.end().into()
            }),
        })
    }
}

/// A document's hash, as it stands in the index and in ETags.
pub(crate) fn hash(document: &[u8]) -> String {
    hex::encode_upper(digest::digest(&digest::SHA256, document))
}

fn with_table<T>(make: impl FnOnce(&Table) -> T) -> T {
    let text = table::unpack().expect("the table in the program is whole; the tests read it");
    make(&Table::parse(&text))
}

fn text(table: &Table, about: About, style: Style) -> String {
    let mut text = Text::new(style);
    document::write(table, about, style, &mut text);
    text.end()
}

fn index(table: &Table) -> String {
    let mut paths = serde_json::Map::new();
    for (group, version) in document::group_versions() {
        let root = names::root(group, version);
        let hash = hash(text(table, Some((group, version)), Style::V3).as_bytes());
        let url = format!("/openapi/v3/{root}?hash={hash}");
        paths.insert(root, json!({"serverRelativeURL": url}));
    }
    json!({"paths": Value::Object(paths)}).to_string()
}

#[cfg(test)]
mod tests;
