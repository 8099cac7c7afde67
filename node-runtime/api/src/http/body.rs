//! Request bodies: JSON, YAML and Kubernetes' protobuf, all to JSON values.

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;
use skerry_machinery::{ApiError, Reason, protobuf};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::duplicates;

/// Largest request body, as in Kubernetes.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// A client that sends nothing for so long has gone.
const SILENCE_SECS: u64 = 30;
/// Time for a whole body, which is enough for the largest at 100 kbit/s.
const BODY_SECS_MAX: u64 = 300;
/// All bodies that are being read, together.
const BODIES_KIB_MAX: usize = 24 * 1024;
static BODIES: Semaphore = Semaphore::const_new(BODIES_KIB_MAX);

/// Forms of request bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`, and no content type at all.
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
    /// RFC 6902
    JsonPatch,
    /// RFC 7396
    MergePatch,
    /// Kubernetes' own
    StrategicPatch,
    /// Server-side apply, YAML or JSON
    Apply,
}

/// A decoded body.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Content.
    pub value: Value,
    /// Fields that stand twice.
    pub doubled: Vec<String>,
}

/// The form that the headers name.
///
/// # Errors
/// 415 for others.
pub fn content_type(headers: &HeaderMap) -> Result<ContentType, ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(ContentType::Json) };
    let text = value.to_str().unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Ok(match media.as_str() {
        "" | "application/json" => ContentType::Json,
        "application/yaml" => ContentType::Yaml,
        "application/vnd.kubernetes.protobuf" => ContentType::Protobuf,
        "application/json-patch+json" => ContentType::JsonPatch,
        "application/merge-patch+json" => ContentType::MergePatch,
        "application/strategic-merge-patch+json" => ContentType::StrategicPatch,
        "application/apply-patch+yaml" | "application/apply-patch+json" => ContentType::Apply,
        _ => {
            let why = format!("the body of the request was in an unknown format: {text:?}");
            return Err(ApiError::new(Reason::UnsupportedMediaType, why));
        }
    })
}

/// Read a whole body.
///
/// # Errors
/// 413 if it is too large, 429 if too many others are under way, 504 if the
/// client stops sending, 400 if the connection breaks.
pub async fn read(body: Body) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut all = Vec::new();
    let mut held: Option<SemaphorePermit<'static>> = None;
    let silence = std::time::Duration::from_secs(SILENCE_SECS);
    let end = Instant::now() + std::time::Duration::from_secs(BODY_SECS_MAX);
    loop {
        let next = timeout_at(end.min(Instant::now() + silence), stream.next()).await;
        let next = next.map_err(|_| ApiError::new(Reason::Timeout, "the request's body did not arrive"))?;
        match next {
            None => return Ok(all.into()),
            Some(Err(e)) => return Err(ApiError::bad_request(format!("reading the request's body: {e}"))),
            Some(Ok(piece)) if all.len() + piece.len() > BODY_BYTES_MAX => {
                let why = format!("Request entity too large: limit is {BODY_BYTES_MAX}");
                return Err(ApiError::new(Reason::RequestEntityTooLarge, why));
            }
            Some(Ok(piece)) => {
                reserve(&mut held, all.len() + piece.len())?;
                all.extend_from_slice(&piece);
            }
        }
    }
}

/// Make sure that a body may have so many bytes. It does not wait: bodies that
/// wait for each other would all wait.
fn reserve(held: &mut Option<SemaphorePermit<'static>>, bytes: usize) -> Result<(), ApiError> {
    let more = bytes.div_ceil(1024).saturating_sub(held.as_ref().map_or(0, SemaphorePermit::num_permits));
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    let busy = |_| ApiError::new(Reason::TooManyRequests, "too many large requests at a time; try again later");
    let permit = BODIES.try_acquire_many(more).map_err(busy)?;
    match held {
        Some(held) => held.merge(permit),
        None => *held = Some(permit),
    }
    Ok(())
}

/// Decode a body.
///
/// # Errors
/// 400 if it is not of its form.
pub fn decode(form: ContentType, bytes: &[u8]) -> Result<Document, ApiError> {
    match form {
        ContentType::Json | ContentType::JsonPatch | ContentType::MergePatch | ContentType::StrategicPatch => {
            json(bytes)
        }
        ContentType::Yaml => yaml(bytes),
        // JSON is YAML, but a JSON parser is stricter and says more.
        ContentType::Apply => json(bytes).or_else(|_| yaml(bytes)),
        ContentType::Protobuf => from_protobuf(bytes),
    }
}

fn json(bytes: &[u8]) -> Result<Document, ApiError> {
    let (value, doubled) =
        duplicates::parse(bytes).map_err(|e| ApiError::bad_request(format!("the request's body is not JSON: {e}")))?;
    Ok(Document { value, doubled })
}

fn yaml(bytes: &[u8]) -> Result<Document, ApiError> {
    let not = |e: &dyn std::fmt::Display| ApiError::bad_request(format!("the request's body is not YAML: {e}"));
    let text = std::str::from_utf8(bytes).map_err(|e| not(&e))?;
    // Doubled fields are an error of this parser.
    let value = serde_saphyr::from_str(text).map_err(|e| not(&e))?;
    Ok(Document { value, doubled: vec![] })
}

fn from_protobuf(bytes: &[u8]) -> Result<Document, ApiError> {
    Ok(Document { value: protobuf::decode(bytes)?, doubled: vec![] })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            content_type(&headers)
        };
        assert_eq!(content_type(&HeaderMap::new()).unwrap(), ContentType::Json);
        assert_eq!(of("application/json; charset=utf-8").unwrap(), ContentType::Json);
        assert_eq!(of("application/apply-patch+yaml").unwrap(), ContentType::Apply);
        assert_eq!(of("text/plain").unwrap_err().code(), 415);
    }

    #[test]
    fn yaml_and_json_are_the_same() {
        let json = decode(ContentType::Json, br#"{"a":{"b":[1,"x"]}}"#).unwrap();
        assert_eq!(decode(ContentType::Yaml, b"a:\n  b: [1, x]\n").unwrap(), json);
        assert_eq!(decode(ContentType::Apply, b"a:\n  b: [1, x]\n").unwrap(), json);
        assert!(decode(ContentType::Json, b"a: b").is_err());
        assert!(decode(ContentType::Yaml, b"\xff").is_err());
    }

    #[tokio::test]
    async fn large_bodies_are_refused() {
        let body = |size: usize| read(Body::from(vec![b' '; size]));
        assert_eq!(body(BODY_BYTES_MAX).await.unwrap().len(), BODY_BYTES_MAX);
        assert_eq!(body(BODY_BYTES_MAX + 1).await.unwrap_err().code(), 413);
    }
}
