//! get and list.

use axum::{body::Body, http::Response};
use serde_json::{Value, json};
use skerry_machinery::{
    ApiError,
    selector::{FieldQuery, LabelQuery},
};

use super::{objects, output::Output, page};
use crate::{
    api::Call,
    http::{self, ListQuery, Place},
};

/// One object.
pub(super) async fn get(call: &Call<'_>, place: &Place) -> Result<Response<Body>, ApiError> {
    let output = Output::of(call)?;
    if place.is_view() {
        let all = call.api.backend().view(place.kind, place.namespace()).await?;
        let found = all.iter().find(|o| o["metadata"]["name"] == place.name.as_str());
        let found = found.ok_or_else(|| ApiError::not_found(place.kind, &place.name))?;
        return Ok(http::json(200, output.value(place.kind, found, true).to_string()));
    }
    // A reader that has seen a newer version than we have is from another
    // life of this store; it must not be told old news.
    let object = objects::get(call.api, &place.key())?;
    Ok(output.one(200, place.kind, &object))
}

/// Label and field selectors of a list.
pub(super) struct Filter {
    pub(super) labels: LabelQuery,
    pub(super) fields: FieldQuery,
}

impl Filter {
    pub(super) fn of(list: &ListQuery, place: &Place) -> Result<Self, ApiError> {
        Ok(Self { labels: LabelQuery::parse(&list.labels)?, fields: FieldQuery::parse(&list.fields, place.kind)? })
    }

    pub(super) fn takes(&self, object: &skerry_machinery::Stored) -> bool {
        self.labels.matches_stored(object) && self.fields.matches_stored(object)
    }

    pub(super) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    fn takes_value(&self, object: &Value) -> bool {
        let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
        let labels = labels.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_string())).collect();
        self.labels.matches(&labels) && self.fields.matches(object)
    }
}

/// All objects of a kind, or of a kind in a namespace.
pub(super) async fn list(call: &Call<'_>, place: &Place) -> Result<Response<Body>, ApiError> {
    let output = Output::of(call)?;
    let query = call.query.list()?;
    let filter = Filter::of(&query, place)?;
    if place.is_view() {
        let mut all = call.api.backend().view(place.kind, place.namespace()).await?;
        all.retain(|o| filter.takes_value(o));
        return Ok(output.values(place.kind, &all, json!({})));
    }
    let page = page::read(call.api, place, &query, &filter)?;
    Ok(output.list(place.kind, page.items, page.metadata))
}
