//! The `scale` subresource: `autoscaling/v1` Scale of a Deployment,
//! ReplicaSet or StatefulSet.

use std::fmt::Write as _;

use axum::{
    body::Body,
    http::{Request, Response},
};
use serde_json::{Value, json};
use skerry_machinery::{ApiError, Cause, Reason, patch as patches};
use skerry_store::{Part, WriteOptions};

use super::{
    objects,
    patch::{self, Patch},
    write,
};
use crate::{api::Call, http, http::Place};

/// Read it.
pub(super) async fn get(call: &Call<'_>, place: &Place) -> Result<Response<Body>, ApiError> {
    call.accept.best(&[http::Format::Json]).ok_or_else(super::not_acceptable)?;
    let object = objects::get(call.api, &place.key())?;
    Ok(http::json(200, scale(&object.value()).to_string()))
}

/// Set it.
pub(super) async fn update(call: &Call<'_>, place: &Place, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let options = call.query.write(&call.who.user, &call.agent)?;
    let (wanted, _) = write::body(request, &options).await?;
    set(call, place, &options, |_| Ok(wanted)).await
}

/// Patch it.
pub(super) async fn patch(call: &Call<'_>, place: &Place, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let options = call.query.write(&call.who.user, &call.agent)?;
    let Patch::Plain(form, bytes) = patch::body(request).await? else {
        return Err(ApiError::new(Reason::UnsupportedMediaType, "the scale subresource takes no apply patch"));
    };
    set(call, place, &options, |scale| patches::patch(place.kind, scale, &bytes, form)).await
}

/// Write the replicas of what `change` makes of the Scale.
async fn set(
    call: &Call<'_>,
    place: &Place,
    options: &WriteOptions,
    change: impl FnOnce(&Value) -> Result<Value, ApiError>,
) -> Result<Response<Body>, ApiError> {
    call.accept.best(&[http::Format::Json]).ok_or_else(super::not_acceptable)?;
    let written = objects::update(call.api, place, (Part::Main, "scale"), options, |was| {
        let wanted = change(&scale(was))?;
        let mut object = was.clone();
        object["spec"]["replicas"] = replicas(place, &wanted)?.into();
        // A version that the client names must still be the current one.
        if let Some(version) = wanted["metadata"]["resourceVersion"].as_str().filter(|v| !v.is_empty()) {
            object["metadata"]["resourceVersion"] = version.into();
        }
        Ok(object)
    });
    let written = written.await?;
    let mut response = http::json(200, scale(&written.object.value()).to_string());
    http::warn(&mut response, &written.warnings);
    Ok(response)
}

fn replicas(place: &Place, wanted: &Value) -> Result<i32, ApiError> {
    let value = match &wanted["spec"]["replicas"] {
        Value::Null => return Ok(0),
        value => value,
    };
    value.as_i64().and_then(|n| i32::try_from(n).ok()).filter(|n| *n >= 0).ok_or_else(|| {
        let message = format!("Invalid value: {value}: must be greater than or equal to 0");
        let cause = Cause { reason: "FieldValueInvalid", field: "spec.replicas".into(), message };
        ApiError::invalid(place.kind, &place.name, vec![cause])
    })
}

/// The Scale of an object.
fn scale(value: &Value) -> Value {
    let metadata = &value["metadata"];
    let number = |v: &Value| v.as_i64().unwrap_or_default();
    let mut status = json!({"replicas": number(&value["status"]["replicas"])});
    let selector = selector(&value["spec"]["selector"]);
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        // Absent means one, as everywhere.
        "spec": {"replicas": value["spec"]["replicas"].as_i64().unwrap_or(1)},
        "status": status,
    })
}

/// A label selector as one line.
fn selector(selector: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for one in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = one["key"].as_str().unwrap_or_default();
        let values: Vec<&str> = one["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut part = String::new();
        let _ = match one["operator"].as_str().unwrap_or_default() {
            "In" => write!(part, "{key} in ({})", values.join(",")),
            "NotIn" => write!(part, "{key} notin ({})", values.join(",")),
            "DoesNotExist" => write!(part, "!{key}"),
            _ => write!(part, "{key}"),
        };
        parts.push(part);
    }
    parts.sort();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_as_one_line() {
        let given = json!({
            "matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [{"key": "c", "operator": "In", "values": ["x", "y"]},
                {"key": "d", "operator": "DoesNotExist"}],
        });
        assert_eq!(selector(&given), "!d,a=1,b=2,c in (x,y)");
        assert_eq!(selector(&Value::Null), "");
    }
}
