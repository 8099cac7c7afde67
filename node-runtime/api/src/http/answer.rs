//! Answers.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde_json::{Value, json};
use skerry_machinery::ApiError;

/// JSON with a status code.
pub fn json(code: u16, body: impl Into<Body>) -> Response<Body> {
    with_type(code, "application/json", body)
}

/// Text.
pub fn text(code: u16, body: impl Into<Body>) -> Response<Body> {
    with_type(code, "text/plain; charset=utf-8", body)
}

fn with_type(code: u16, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// An error as Status.
pub fn error(error: &ApiError) -> Response<Body> {
    json(error.code(), error.to_status().to_string())
}

/// `Status` of a success.
pub fn success(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code})
}

/// Add warnings for people (RFC 7234 5.5, code 299).
pub fn warn(response: &mut Response<Body>, warnings: &[String]) {
    // kubectl shows each; more than a page helps nobody.
    const WARNINGS_MAX: usize = 50;
    for warning in warnings.iter().take(WARNINGS_MAX) {
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{}\"", quoted(warning))) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// The inside of a quoted-string; control characters become spaces.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_one_quoted_line() {
        let mut response = text(200, "");
        warn(&mut response, &["unknown field \"a\"\nb".into(), "x".into()]);
        let got: Vec<_> = response.headers().get_all(header::WARNING).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(got, [&br#"299 - "unknown field \"a\" b""#[..], b"299 - \"x\""]);
    }
}
