//! Whole documents: one for each group and version (OpenAPI 3), or one for
//! everything (OpenAPI 2).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use skerry_machinery::{KINDS, Kind, Subresource};

use super::{names, paths, schema, schema::Style, select::Selection, table::Table};
use crate::{api::KUBERNETES, http::Review};

/// Where a piece of a document goes; documents are written piece by piece, so
/// that their trees are never in memory as a whole.
pub trait Sink {
    /// An address.
    fn path(&mut self, name: &str, item: &Value);
    /// A type.
    fn schema(&mut self, name: &str, schema: &Value);
}

/// What a document is about: `None`, everything; or one group and version.
pub type About<'a> = Option<(&'a str, &'a str)>;

/// Groups and versions in order.
pub fn group_versions() -> Vec<(&'static str, &'static str)> {
    let kinds = KINDS.iter().map(|k| (k.group, k.version));
    let mut all: Vec<_> = kinds.chain(Review::ALL.iter().map(|r| (r.group(), "v1"))).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Write a document; all addresses come first.
pub fn write(table: &Table, about: About, style: Style, sink: &mut dyn Sink) {
    let wanted = |group, version| about.is_none_or(|a| a == (group, version));
    let kinds: Vec<&Kind> = KINDS.iter().filter(|k| wanted(k.group, k.version)).collect();
    let reviews: Vec<Review> = Review::ALL.into_iter().filter(|r| wanted(r.group(), "v1")).collect();
    for (path, item) in kinds.iter().flat_map(|k| paths::of_kind(k, style)) {
        sink.path(&path, &item);
    }
    for (path, item) in reviews.iter().map(|r| paths::of_review(*r, style)) {
        sink.path(&path, &item);
    }
    let gvks = gvks(&kinds, &reviews);
    let selection = select(table, &kinds, gvks.keys());
    for ty in selection.types().filter_map(|name| table.get(name)) {
        let gvk = gvks.get(ty.name).copied();
        sink.schema(ty.name, &schema::definition(ty, &selection, gvk, style));
    }
    for kind in kinds {
        let item = names::of_kind(kind);
        let gvk = [kind.group, kind.version, kind.kind];
        sink.schema(&format!("{item}List"), &schema::list(&item, gvk, &names::meta("ListMeta"), style));
    }
    let patch = json!({"type": "object", "description": "A patch, in the form that the content type says."});
    sink.schema(&names::meta("Patch"), &patch);
}

/// The types that are kinds.
fn gvks(kinds: &[&Kind], reviews: &[Review]) -> BTreeMap<String, [&'static str; 3]> {
    let mut gvks: Vec<[&str; 3]> = kinds.iter().map(|k| [k.group, k.version, k.kind]).collect();
    gvks.extend(reviews.iter().map(|r| [r.group(), "v1", r.kind()]));
    for (sub, gvk) in
        [(Subresource::Scale, ["autoscaling", "v1", "Scale"]), (Subresource::Eviction, ["policy", "v1", "Eviction"])]
    {
        gvks.extend(kinds.iter().any(|k| k.has(sub)).then_some(gvk));
    }
    let mut gvks: BTreeMap<_, _> = gvks.into_iter().map(|gvk| (names::of(gvk), gvk)).collect();
    if !kinds.is_empty() {
        gvks.insert(names::meta("DeleteOptions"), ["", "v1", "DeleteOptions"]);
        gvks.insert(names::meta("Status"), ["", "v1", "Status"]);
    }
    gvks
}

/// Kinds with their supported fields, all else whole.
pub fn select<'a>(table: &'a Table<'a>, kinds: &[&Kind], roots: impl Iterator<Item = &'a String>) -> Selection<'a> {
    let mut selection = Selection::new(table);
    for kind in kinds {
        selection.kind(kind);
    }
    let own: Vec<String> = kinds.iter().map(|k| names::of_kind(k)).collect();
    roots.filter(|r| !own.contains(r)).for_each(|r| selection.whole(r));
    selection.whole(&names::meta("ListMeta"));
    selection
}

/// A document as JSON text.
pub struct Text {
    out: String,
    style: Style,
    /// Is there something before the next entry of this map?
    begun: bool,
    in_schemas: bool,
}

impl Text {
    /// The beginning of a document.
    pub fn new(style: Style) -> Self {
        let head = match style {
            Style::V2 => r#"{"swagger":"2.0""#,
            Style::V3 => r#"{"openapi":"3.0.0""#,
        };
        let info = json!({"title": "Kubernetes", "version": KUBERNETES.2});
        Self { out: format!(r#"{head},"info":{info},"paths":{{"#), style, begun: false, in_schemas: false }
    }

    /// The whole document.
    pub fn end(mut self) -> String {
        self.begin_schemas();
        self.out.push_str(match self.style {
            Style::V2 => "}}",
            Style::V3 => "}}}",
        });
        self.out
    }

    fn begin_schemas(&mut self) {
        if !std::mem::replace(&mut self.in_schemas, true) {
            self.begun = false;
            self.out.push_str(match self.style {
                Style::V2 => r#"},"definitions":{"#,
                Style::V3 => r#"},"components":{"schemas":{"#,
            });
        }
    }

    fn entry(&mut self, name: &str, value: &Value) {
        if std::mem::replace(&mut self.begun, true) {
            self.out.push(',');
        }
        self.out.push_str(&format!("{}:{value}", json!(name)));
    }
}

impl Sink for Text {
    fn path(&mut self, name: &str, item: &Value) {
        self.entry(name, item);
    }

    fn schema(&mut self, name: &str, schema: &Value) {
        self.begin_schemas();
        self.entry(name, schema);
    }
}
