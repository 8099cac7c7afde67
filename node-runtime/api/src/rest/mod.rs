//! Verbs on objects.

mod delete;
mod objects;
mod output;
mod page;
mod patch;
mod read;
mod scale;
mod watch;
mod write;

use axum::{
    body::Body,
    http::{Request, Response},
};
pub(crate) use objects::count;
use skerry_machinery::{ApiError, Key, Reason, Subresource};

use crate::{
    api::{Call, method_not_allowed},
    http::Place,
    streams,
};

/// Answer a request about objects.
pub(crate) async fn answer(
    call: Call<'_>,
    place: Place,
    verb: &str,
    request: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    use Subresource::{Attach, Eviction, Exec, Log, PortForward, Scale, Status};
    if place.is_view() && !matches!(verb, "get" | "list") {
        return Err(method_not_allowed());
    }
    let named = !place.name.is_empty();
    let here = || (place.namespace.clone(), place.name.clone());
    match (verb, place.sub) {
        ("get", None | Some(Status)) => read::get(&call, &place).await,
        ("list", None) => read::list(&call, &place).await,
        ("watch", None) => watch::watch(&call, &place).await,
        ("create", None) if !named => write::create(&call, &place, request).await,
        ("update", None | Some(Status)) if named => write::update(&call, &place, request).await,
        ("patch", None | Some(Status)) if named => patch::patch(&call, &place, request).await,
        ("delete", None) => delete::delete(&call, &place, request).await,
        ("deletecollection", None) => delete::collection(&call, &place, request).await,
        ("get", Some(Scale)) => scale::get(&call, &place).await,
        ("update", Some(Scale)) => scale::update(&call, &place, request).await,
        ("patch", Some(Scale)) => scale::patch(&call, &place, request).await,
        ("create", Some(Eviction)) => delete::evict(&call, &place, request).await,
        ("get", Some(Log)) => streams::log(call.api.backend(), pod(&call, &place)?, &call.query).await,
        ("create", Some(Exec)) => {
            pod(&call, &place)?;
            streams::exec(call.api.clone(), here(), call.query, request).await
        }
        ("create", Some(Attach)) => {
            pod(&call, &place)?;
            streams::attach(call.api.clone(), here(), call.query, request).await
        }
        ("create", Some(PortForward)) => {
            pod(&call, &place)?;
            streams::forward(call.api.clone(), here(), request)
        }
        _ => Err(method_not_allowed()),
    }
}

/// The pod of a stream, if there is one.
fn pod(call: &Call<'_>, place: &Place) -> Result<(String, String), ApiError> {
    objects::get(call.api, &place.key())?;
    Ok((place.namespace.clone(), place.name.clone()))
}

impl Place {
    /// Key of the object.
    pub(crate) fn key(&self) -> Key {
        Key::new(self.kind, self.namespace.clone(), self.name.clone())
    }

    /// The namespace, if one was named.
    pub(crate) fn namespace(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|n| !n.is_empty())
    }
}

pub(crate) fn not_acceptable() -> ApiError {
    let why = "only the following media types are accepted: application/json";
    ApiError::new(Reason::NotAcceptable, why)
}
