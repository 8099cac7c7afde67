//! Objects and lists in the forms that clients ask for.

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, http::Response};
use bytes::Bytes;
use futures::stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use skerry_machinery::{
    ApiError, Kind, Stored,
    table::{self, IncludeObject},
};

use super::not_acceptable;
use crate::{
    api::Call,
    http::{self, Format},
};

/// How objects are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) format: Format,
    include: IncludeObject,
    now: Timestamp,
}

impl Output {
    /// What the client takes; 406 if there is nothing.
    pub(super) fn of(call: &Call<'_>) -> Result<Self, ApiError> {
        let offered = [Format::Json, Format::Table, Format::Metadata];
        let format = call.accept.best(&offered).ok_or_else(not_acceptable)?;
        let include = IncludeObject::parse(call.query.get("includeObject").unwrap_or_default())?;
        Ok(Self { format, include, now: call.api.now() })
    }

    /// One stored object as text.
    pub(super) fn stored(self, kind: &Kind, object: &Stored, columns: bool) -> Bytes {
        match self.format {
            Format::Json | Format::Discovery | Format::OpenApiProtobuf => {
                Bytes::copy_from_slice(object.json.as_bytes())
            }
            _ => self.value(kind, &object.value(), columns).to_string().into(),
        }
    }

    /// One object as a value; `columns`: with the heads of a table.
    pub(super) fn value(self, kind: &Kind, object: &Value, columns: bool) -> Value {
        match self.format {
            Format::Json | Format::Discovery | Format::OpenApiProtobuf => object.clone(),
            Format::Metadata => table::partial_metadata(object),
            Format::Table => {
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                let heads = columns.then(|| table::column_definitions(kind));
                table::table(metadata, heads, vec![table::row(kind, object, self.now, self.include)])
            }
        }
    }

    /// An answer with one object.
    pub(super) fn one(self, code: u16, kind: &Kind, object: &Stored) -> Response<Body> {
        http::json(code, self.stored(kind, object, true))
    }

    /// An answer with a list. Objects are put on the wire one by one, so that
    /// a large list is not in memory twice.
    pub(super) fn list(self, kind: &'static Kind, items: Vec<Arc<Stored>>, metadata: Value) -> Response<Body> {
        match self.format {
            Format::Table => {
                let rows = items.iter().map(|o| table::row(kind, &o.value(), self.now, self.include)).collect();
                let table = table::table(metadata, Some(table::column_definitions(kind)), rows);
                http::json(200, table.to_string())
            }
            _ => {
                let name = match self.format {
                    Format::Metadata => ("PartialObjectMetadataList".into(), "meta.k8s.io/v1".into()),
                    _ => (kind.list_kind(), kind.api_version()),
                };
                http::json(200, Body::from_stream(stream::iter(self.pieces(items, name, metadata))))
            }
        }
    }

    fn pieces(
        self,
        items: Vec<Arc<Stored>>,
        (name, version): (String, String),
        metadata: Value,
    ) -> impl Iterator<Item = Result<Bytes, Infallible>> {
        let head = format!("{{\"kind\":\"{name}\",\"apiVersion\":\"{version}\",\"metadata\":{metadata},\"items\":[");
        let items = items.into_iter().enumerate().map(move |(i, object)| {
            let comma = if i > 0 { "," } else { "" };
            match self.format {
                Format::Metadata => format!("{comma}{}", table::partial_metadata(&object.value())),
                _ => format!("{comma}{}", object.json),
            }
        });
        std::iter::once(head).chain(items).chain(["]}".to_string()]).map(|piece| Ok(piece.into()))
    }

    /// A list of values, for kinds that are not stored.
    pub(super) fn values(self, kind: &Kind, items: &[Value], metadata: Value) -> Response<Body> {
        let document = match self.format {
            Format::Table => {
                let rows = items.iter().map(|o| table::row(kind, o, self.now, self.include)).collect();
                table::table(metadata, Some(table::column_definitions(kind)), rows)
            }
            Format::Metadata => {
                let items: Vec<Value> = items.iter().map(table::partial_metadata).collect();
                json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata, "items": items})
            }
            _ => json!({"kind": kind.list_kind(), "apiVersion": kind.api_version(),
                "metadata": metadata, "items": items}),
        };
        http::json(200, document.to_string())
    }
}
