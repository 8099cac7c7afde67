//! delete, deletecollection and eviction.

use axum::{
    body::Body,
    http::{Request, Response},
};
use serde_json::Value;
use skerry_machinery::ApiError;
use skerry_store::{DeleteOptions, Propagation};

use super::{objects, output::Output, page, read::Filter, write};
use crate::{
    api::Call,
    http::{self, Place, Query},
};

/// One object.
pub(super) async fn delete(call: &Call<'_>, place: &Place, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let output = Output::of(call)?;
    let options = options(&call.query, &body(request).await?)?;
    let deleted = objects::delete(call.api, &place.key(), &options).await?;
    let answer = deleted.answer();
    let object = answer["kind"] != "Status";
    let answer = if object { output.value(place.kind, &answer, true) } else { answer };
    let mut response = http::json(200, answer.to_string());
    http::warn(&mut response, &deleted.warnings);
    Ok(response)
}

/// All objects that selectors name.
pub(super) async fn collection(
    call: &Call<'_>,
    place: &Place,
    request: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    let output = Output::of(call)?;
    if place.kind.namespaced && place.namespace.is_empty() {
        return Err(crate::api::method_not_allowed());
    }
    let query = call.query.list()?;
    let filter = Filter::of(&query, place)?;
    let options = options(&call.query, &body(request).await?)?;
    let page = page::read(call.api, place, &query, &filter)?;
    let mut items = Vec::new();
    for object in page.items {
        match objects::delete(call.api, &object.key, &options).await {
            Ok(deleted) => items.push(deleted.object),
            // Somebody was faster.
            Err(e) if e.code() == 404 => {}
            Err(e) => return Err(e),
        }
    }
    Ok(output.list(place.kind, items, page.metadata))
}

/// `policy/v1` Eviction of a pod. The node has no disruption budgets: it is a
/// deletion.
pub(super) async fn evict(call: &Call<'_>, place: &Place, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let write = call.query.write(&call.who.user, &call.agent)?;
    let (eviction, _) = write::body(request, &write).await?;
    if eviction["kind"].as_str().is_some_and(|k| k != "Eviction") {
        return Err(ApiError::bad_request("want a policy/v1 Eviction"));
    }
    let name = eviction["metadata"]["name"].as_str().unwrap_or_default();
    if !name.is_empty() && name != place.name {
        return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
    }
    let options = options(&call.query, &eviction["deleteOptions"])?;
    objects::delete(call.api, &place.key(), &options).await?;
    Ok(http::json(201, http::success(201).to_string()))
}

/// The body of a deletion; there may be none.
async fn body(request: Request<Body>) -> Result<Value, ApiError> {
    let form = http::content_type(request.headers())?;
    let bytes = http::read(request.into_body()).await?;
    if bytes.is_empty() { Ok(Value::Null) } else { Ok(http::decode(form, &bytes)?.value) }
}

/// `DeleteOptions` of the body, then of the query.
fn options(query: &Query, body: &Value) -> Result<DeleteOptions, ApiError> {
    let bad = |field: &str, wanted: &str| ApiError::bad_request(format!("DeleteOptions {field}: want {wanted}"));
    if !(body.is_null() || body.is_object()) {
        return Err(ApiError::bad_request("the request's body is no DeleteOptions"));
    }
    let grace = match (query.number("gracePeriodSeconds")?, &body["gracePeriodSeconds"]) {
        (Some(seconds), _) => Some(i64::try_from(seconds).unwrap_or(i64::MAX)),
        (None, Value::Null) => None,
        (None, value) => {
            let seconds = value.as_i64().filter(|s| *s >= 0);
            Some(seconds.ok_or_else(|| bad("gracePeriodSeconds", "a number that is not negative"))?)
        }
    };
    let propagation = query.get("propagationPolicy").or(body["propagationPolicy"].as_str());
    let orphan = body["orphanDependents"].as_bool().or(query.flag("orphanDependents")?);
    let propagation = match (propagation, orphan) {
        (Some("Background"), _) | (None, None | Some(false)) => Propagation::Background,
        (Some("Foreground"), _) => Propagation::Foreground,
        (Some("Orphan"), _) | (None, Some(true)) => Propagation::Orphan,
        (Some(_), _) => return Err(bad("propagationPolicy", "Background, Foreground or Orphan")),
    };
    let in_body = match &body["dryRun"] {
        Value::Null => false,
        Value::Array(list) if list.is_empty() => false,
        Value::Array(list) if list.iter().all(|v| v == "All") => true,
        _ => return Err(bad("dryRun", "[All]")),
    };
    let text = |field: &str| body["preconditions"][field].as_str().map(str::to_string);
    Ok(DeleteOptions {
        dry_run: query.dry_run()? || in_body,
        grace_period_seconds: grace,
        propagation,
        uid: text("uid"),
        resource_version: text("resourceVersion"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn options_of_body_and_query() {
        let of = |query: &str, body: Value| options(&Query::parse(Some(query)), &body);
        assert_eq!(of("", Value::Null).unwrap(), DeleteOptions::default());
        let got = of(
            "gracePeriodSeconds=0&dryRun=All",
            json!({"gracePeriodSeconds": 30, "propagationPolicy": "Foreground", "preconditions": {"uid": "u"}}),
        );
        let got = got.unwrap();
        assert_eq!((got.grace_period_seconds, got.propagation), (Some(0), Propagation::Foreground));
        assert!(got.dry_run && got.uid.as_deref() == Some("u"));
        assert_eq!(of("", json!({"orphanDependents": true})).unwrap().propagation, Propagation::Orphan);
        for (query, body) in [
            ("gracePeriodSeconds=-1", Value::Null),
            ("", json!({"gracePeriodSeconds": -1})),
            ("", json!({"propagationPolicy": "Sideways"})),
            ("", json!({"dryRun": ["Some"]})),
            ("", json!([1])),
        ] {
            assert_eq!(of(query, body.clone()).unwrap_err().code(), 400, "{query} {body}");
        }
    }
}
