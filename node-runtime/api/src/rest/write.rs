//! create and update.

use axum::{
    body::Body,
    http::{Request, Response},
};
use serde_json::Value;
use skerry_machinery::{ApiError, Subresource};
use skerry_store::{FieldValidation, Part, WriteOptions};

use super::{objects, output::Output};
use crate::{
    api::Call,
    http::{self, ContentType, Document, Place},
};

/// A new object.
pub(super) async fn create(call: &Call<'_>, place: &Place, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let output = Output::of(call)?;
    let options = call.query.write(&call.who.user, &call.agent)?;
    let (mut object, mut warnings) = body(request, &options).await?;
    check_kind(place, &mut object)?;
    check_namespace(place, &mut object)?;
    let written = objects::create(call.api, place, object, &options).await?;
    warnings.extend(written.warnings);
    let mut response = output.one(201, place.kind, &written.object);
    http::warn(&mut response, &warnings);
    Ok(response)
}

/// Another state of an object, or of its status. An object that is not there
/// is not made.
pub(super) async fn update(call: &Call<'_>, place: &Place, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let output = Output::of(call)?;
    let options = call.query.write(&call.who.user, &call.agent)?;
    let (mut object, mut warnings) = body(request, &options).await?;
    check_kind(place, &mut object)?;
    check_namespace(place, &mut object)?;
    check_name(place, &mut object)?;
    let written = objects::update(call.api, place, part(place), &options, |_| Ok(object)).await?;
    warnings.extend(written.warnings);
    let mut response = output.one(200, place.kind, &written.object);
    http::warn(&mut response, &warnings);
    Ok(response)
}

/// The part that an address is about, and its name there.
pub(super) fn part(place: &Place) -> (Part, &'static str) {
    if place.sub == Some(Subresource::Status) { (Part::Status, "status") } else { (Part::Main, "") }
}

/// The object in a request, and warnings about its form.
pub(super) async fn body(request: Request<Body>, options: &WriteOptions) -> Result<(Value, Vec<String>), ApiError> {
    let form = http::content_type(request.headers())?;
    if !matches!(form, ContentType::Json | ContentType::Yaml | ContentType::Protobuf) {
        let why = "the body of the request was in an unknown format - accepted media types include: \
                   application/json, application/yaml, application/vnd.kubernetes.protobuf";
        return Err(ApiError::new(skerry_machinery::Reason::UnsupportedMediaType, why));
    }
    let document = http::decode(form, &http::read(request.into_body()).await?)?;
    let warnings = doubled(&document, options.field_validation)?;
    Ok((document.value, warnings))
}

/// What `fieldValidation` says about fields that stand twice.
pub(super) fn doubled(document: &Document, validation: FieldValidation) -> Result<Vec<String>, ApiError> {
    let lines: Vec<String> = document.doubled.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
    match validation {
        FieldValidation::Strict if !lines.is_empty() => {
            Err(ApiError::bad_request(format!("strict decoding error: {}", lines.join(", "))))
        }
        FieldValidation::Warn => Ok(lines),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(vec![]),
    }
}

/// `apiVersion` and `kind` must be those of the address; they may be absent.
pub(super) fn check_kind(place: &Place, object: &mut Value) -> Result<(), ApiError> {
    let Some(fields) = object.as_object_mut() else {
        return Err(ApiError::bad_request("the request's body is not an object"));
    };
    for (field, wanted) in [("apiVersion", place.kind.api_version()), ("kind", place.kind.kind.to_string())] {
        match fields.get(field).and_then(Value::as_str) {
            Some(found) if found == wanted => {}
            None | Some("") => {
                fields.insert(field.into(), wanted.into());
            }
            Some(found) => {
                let why = format!("{field} in the data ({found}) does not match the expected {field} ({wanted})");
                return Err(ApiError::bad_request(why));
            }
        }
    }
    Ok(())
}

pub(super) fn check_namespace(place: &Place, object: &mut Value) -> Result<(), ApiError> {
    if place.kind.namespaced && place.namespace.is_empty() {
        return Err(crate::api::method_not_allowed());
    }
    fill(object, "namespace", &place.namespace, |_| {
        "the namespace of the provided object does not match the namespace sent on the request".into()
    })
}

pub(super) fn check_name(place: &Place, object: &mut Value) -> Result<(), ApiError> {
    fill(object, "name", &place.name, |found| {
        format!("the name of the object ({found}) does not match the name on the URL ({})", place.name)
    })
}

/// A field of the metadata must be this or absent; then it is set.
fn fill(object: &mut Value, field: &str, wanted: &str, why: impl Fn(&str) -> String) -> Result<(), ApiError> {
    let metadata = &mut object["metadata"];
    if metadata.is_null() {
        *metadata = serde_json::json!({});
    }
    let Some(metadata) = metadata.as_object_mut() else {
        return Err(ApiError::bad_request("metadata is not an object"));
    };
    match metadata.get(field).and_then(Value::as_str).unwrap_or_default() {
        found if found == wanted => Ok(()),
        "" => {
            metadata.insert(field.into(), wanted.into());
            Ok(())
        }
        found => Err(ApiError::bad_request(why(found))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_body_must_fit_the_address() {
        let kind = skerry_machinery::kind("", "Pod");
        let place = Place { kind, namespace: "a".into(), name: "b".into(), sub: None };
        let check = |mut object: Value| {
            check_kind(&place, &mut object)?;
            check_namespace(&place, &mut object)?;
            check_name(&place, &mut object)?;
            Ok::<_, ApiError>(object)
        };
        let full = json!({"metadata": {"namespace": "a", "name": "b"}, "apiVersion": "v1", "kind": "Pod"});
        assert_eq!(check(json!({})).unwrap(), full);
        assert_eq!(check(full.clone()).unwrap(), full);
        for bad in [
            json!([]),
            json!({"metadata": 1}),
            json!({"kind": "Secret"}),
            json!({"apiVersion": "apps/v1"}),
            json!({"metadata": {"name": "c"}}),
            json!({"metadata": {"namespace": "c"}}),
        ] {
            assert_eq!(check(bad.clone()).unwrap_err().code(), 400, "{bad}");
        }
    }
}
