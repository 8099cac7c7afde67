//! `GET …/pods/NAME/log`.

use axum::{
    body::Body,
    http::{HeaderValue, Response, header},
};
use bytes::Bytes;
use futures::stream;
use skerry_machinery::ApiError;

use crate::{Backend, LogRequest, http::Query};

/// Send a container's log.
///
/// # Errors
/// If a parameter makes no sense, or the node has no such log.
pub async fn log(
    backend: &dyn Backend,
    (namespace, pod): (String, String),
    query: &Query,
) -> Result<Response<Body>, ApiError> {
    let pieces = backend.logs(wanted(namespace, pod, query)?).await?;
    let body = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(piece)), pieces))
    });
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

fn wanted(namespace: String, pod: String, query: &Query) -> Result<LogRequest, ApiError> {
    let flag = |name| query.flag(name).map(|f| f.unwrap_or(false));
    let since_time = query.get("sinceTime").map(str::to_string);
    if let Some(time) = &since_time {
        let bad = |e| ApiError::bad_request(format!("sinceTime={time:?}: {e}"));
        time.parse::<jiff::Timestamp>().map_err(bad)?;
    }
    let request = LogRequest {
        namespace,
        pod,
        container: query.get("container").map(str::to_string),
        previous: flag("previous")?,
        follow: flag("follow")?,
        tail_lines: query.number("tailLines")?,
        limit_bytes: query.number("limitBytes")?,
        since_seconds: query.number("sinceSeconds")?,
        since_time,
        timestamps: flag("timestamps")?,
    };
    let refuse = |why: &str| Err(ApiError::bad_request(why));
    match &request {
        r if r.since_seconds.is_some() && r.since_time.is_some() => {
            refuse("at most one of sinceTime or sinceSeconds may be specified")
        }
        r if r.since_seconds == Some(0) => refuse("sinceSeconds: must be greater than 0"),
        r if r.limit_bytes == Some(0) => refuse("limitBytes: must be greater than 0"),
        _ => Ok(request),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let parse = |q: &str| wanted("n".into(), "p".into(), &Query::parse(Some(q)));
        let got = parse("container=c&follow=true&tailLines=0&sinceTime=2026-01-01T00%3A00%3A00Z").unwrap();
        assert_eq!((got.container.as_deref(), got.follow, got.tail_lines), (Some("c"), true, Some(0)));
        for bad in ["tailLines=-1", "limitBytes=0", "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", "sinceTime=x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
