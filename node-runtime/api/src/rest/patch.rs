//! patch: JSON patch, merge patch, strategic merge patch and server-side
//! apply.

use axum::{
    body::Body,
    http::{Request, Response},
};
use bytes::Bytes;
use serde_json::Value;
use skerry_machinery::{
    ApiError, Reason,
    patch::{self as patches, PatchType},
};
use skerry_store::{WriteOptions, Written};

use super::{objects, output::Output, write};
use crate::{
    api::Call,
    http::{self, ContentType, Place},
};

/// An object that goes away and comes back while it is applied.
const APPLY_TRIES: usize = 3;

/// A patch as it was sent.
pub(super) enum Patch {
    /// One that changes what is there.
    Plain(PatchType, Bytes),
    /// Server-side apply.
    Apply(http::Document),
}

/// Change an object.
pub(super) async fn patch(call: &Call<'_>, place: &Place, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let output = Output::of(call)?;
    let options = call.query.write(&call.who.user, &call.agent)?;
    let part = write::part(place);
    let mut warnings = Vec::new();
    let (code, written) = match body(request).await? {
        Patch::Plain(form, bytes) => {
            let change = |was: &Value| patches::patch(place.kind, was, &bytes, form);
            (200, objects::update(call.api, place, part, &options, change).await?)
        }
        Patch::Apply(document) => {
            warnings = write::doubled(&document, options.field_validation)?;
            apply(call, place, &document.value, &options).await?
        }
    };
    warnings.extend(written.warnings);
    let mut response = output.one(code, place.kind, &written.object);
    http::warn(&mut response, &warnings);
    Ok(response)
}

/// The patch in a request.
pub(super) async fn body(request: Request<Body>) -> Result<Patch, ApiError> {
    let form = match http::content_type(request.headers())? {
        ContentType::JsonPatch => Some(PatchType::Json),
        ContentType::MergePatch => Some(PatchType::Merge),
        ContentType::StrategicPatch => Some(PatchType::Strategic),
        ContentType::Apply => None,
        ContentType::Json | ContentType::Yaml | ContentType::Protobuf => {
            let why = "the body of the request was in an unknown format - accepted media types include: \
                       application/json-patch+json, application/merge-patch+json, \
                       application/strategic-merge-patch+json, application/apply-patch+yaml";
            return Err(ApiError::new(Reason::UnsupportedMediaType, why));
        }
    };
    let bytes = http::read(request.into_body()).await?;
    Ok(match form {
        Some(form) => Patch::Plain(form, bytes),
        None => Patch::Apply(http::decode(ContentType::Apply, &bytes)?),
    })
}

/// Server-side apply: changes the object, or makes it.
async fn apply(
    call: &Call<'_>,
    place: &Place,
    config: &Value,
    options: &WriteOptions,
) -> Result<(u16, Written), ApiError> {
    if call.query.get("fieldManager").is_none() {
        return Err(ApiError::bad_request("fieldManager is required for apply patch"));
    }
    let mut config = config.clone();
    write::check_kind(place, &mut config)?;
    write::check_namespace(place, &mut config)?;
    write::check_name(place, &mut config)?;
    let force = call.query.flag("force")?.unwrap_or(false);
    let (part, sub) = write::part(place);
    let (now, who) = (call.api.now(), objects::writer(options, sub));
    let applied = |live: Option<&Value>| {
        let applied = patches::apply(live, &config, who, force, now, place.kind)?;
        Ok::<_, ApiError>(applied.object)
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match objects::update_tracked(call.api, place, part, options, |was| applied(Some(was))).await {
            Err(e) if e.code() == 404 && place.sub.is_none() => {}
            other => return other.map(|written| (200, written)),
        }
        match objects::create_tracked(call.api, place, applied(None)?, options).await {
            Err(e) if e.reason == Reason::AlreadyExists && tries < APPLY_TRIES => {}
            other => return other.map(|written| (201, written)),
        }
    }
}
