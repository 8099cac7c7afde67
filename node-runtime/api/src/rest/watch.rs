//! watch: one line of JSON for each change.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, http::Response};
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};
use skerry_machinery::{ApiError, Kind, Stored};
use skerry_store::{EventType, Watch, WatchEvent};
use tokio::time::{Instant, sleep_until};

use super::{objects, output::Output, read::Filter};
use crate::{
    api::Call,
    http::{self, ListQuery, Place},
};

/// How long a watch lasts if the client does not say.
const DURATION: Duration = Duration::from_secs(30 * 60);
/// How often a client that wants bookmarks gets one.
const BOOKMARK: Duration = Duration::from_secs(60);
/// Says that all objects that were there at the beginning have been sent.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// Begin a watch.
pub(super) async fn watch(call: &Call<'_>, place: &Place) -> Result<Response<Body>, ApiError> {
    let output = Output::of(call)?;
    let query = call.query.list()?;
    let filter = Filter::of(&query, place)?;
    let (initial, from) = beginning(call, place, &query, &filter)?;
    let watch = match objects::watch(call.api, place, from) {
        Ok(watch) => watch,
        // Clients expect this as an event, not as the answer.
        Err(error) => return Ok(http::json(200, error_line(&error))),
    };
    let watching = Watching {
        kind: place.kind,
        watch,
        initial: initial.into_iter(),
        initial_end: query.initial == Some(true) && query.bookmarks,
        filter,
        output,
        columns: true,
        deadline: Instant::now() + query.timeout_secs.map_or(DURATION, Duration::from_secs),
        bookmark: query.bookmarks.then(|| Instant::now() + BOOKMARK),
        ended: false,
        _counted: Counted::new(call.api.watching()),
    };
    let lines = stream::unfold(watching, |mut watching| async move {
        let line = watching.next().await?;
        Some((Ok::<_, Infallible>(line), watching))
    });
    Ok(http::json(200, Body::from_stream(lines)))
}

/// What is sent first, and the revision to go on from.
fn beginning(
    call: &Call<'_>,
    place: &Place,
    query: &ListQuery,
    filter: &Filter,
) -> Result<(Vec<Arc<Stored>>, u64), ApiError> {
    match (query.initial, query.version) {
        // From a revision that the client has; it may be gone, which is told
        // as an event.
        (None, Some(version)) if version > 0 => Ok((vec![], version)),
        (Some(false), Some(version)) if version > 0 => Ok((vec![], version)),
        (Some(false), _) => Ok((vec![], objects::list(call.api, place.kind, place.namespace()).1)),
        // "Start with the state and go on": `sendInitialEvents`, and of old.
        (None | Some(true), version) => {
            let (mut items, revision) = objects::list(call.api, place.kind, place.namespace());
            objects::not_newer(version, revision)?;
            items.retain(|o| filter.takes(o));
            Ok((items, revision))
        }
    }
}

/// A watch under way.
struct Watching {
    kind: &'static Kind,
    watch: Watch,
    initial: std::vec::IntoIter<Arc<Stored>>,
    initial_end: bool,
    filter: Filter,
    output: Output,
    /// Does the next table need its heads?
    columns: bool,
    deadline: Instant,
    /// When the next bookmark is due; `None`: none are wanted.
    bookmark: Option<Instant>,
    ended: bool,
    _counted: Counted,
}

impl Watching {
    /// The next line; `None`: the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if let Some(object) = self.initial.next() {
            return Some(self.line("ADDED", &object));
        }
        if std::mem::take(&mut self.initial_end) {
            return Some(self.bookmark_line(true));
        }
        loop {
            let due = self.bookmark.unwrap_or(self.deadline).min(self.deadline);
            let event = tokio::select! {
                event = self.watch.next() => event,
                () = sleep_until(due) => match self.watch.try_next() {
                    Ok(None) => return self.time(),
                    Ok(Some(event)) => Ok(event),
                    Err(error) => Err(error),
                },
            };
            match event {
                Err(error) => {
                    self.ended = true;
                    return Some(error_line(&error));
                }
                Ok(event) => {
                    if let Some(name) = seen_as(&event, |o| self.filter.takes(o)) {
                        return Some(self.line(name, &event.object));
                    }
                }
            }
        }
    }

    /// Nothing happened for a while: a bookmark, or the end.
    fn time(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        self.ended = now >= self.deadline;
        let next = self.bookmark?;
        let line = self.bookmark_line(false);
        self.bookmark = Some(next.max(now) + BOOKMARK);
        Some(line)
    }

    fn line(&mut self, name: &str, object: &Stored) -> Bytes {
        let columns = std::mem::take(&mut self.columns);
        line(name, &self.output.stored(self.kind, object, columns))
    }

    fn bookmark_line(&mut self, initial_end: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": self.watch.position().to_string()});
        if initial_end {
            metadata["annotations"] = json!({INITIAL_END: "true"});
        }
        let object = json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata});
        let columns = std::mem::take(&mut self.columns);
        let object: Value = self.output.value(self.kind, &object, columns);
        line("BOOKMARK", object.to_string().as_bytes())
    }
}

fn error_line(error: &ApiError) -> Bytes {
    line("ERROR", error.to_status().to_string().as_bytes())
}

fn line(name: &str, object: &[u8]) -> Bytes {
    let head = format!("{{\"type\":\"{name}\",\"object\":");
    [head.as_bytes(), object, b"}\n"].concat().into()
}

/// What a change is to somebody who sees only what `takes`; `None`: nothing.
fn seen_as(event: &WatchEvent, takes: impl Fn(&Stored) -> bool) -> Option<&'static str> {
    let before = event.previous.as_deref().is_some_and(&takes);
    let after = event.event != EventType::Deleted && takes(&event.object);
    match (before, after) {
        (false, false) => None,
        (false, true) => Some("ADDED"),
        (true, true) => Some("MODIFIED"),
        (true, false) => Some("DELETED"),
    }
}

/// Counts a watch for as long as it lives.
struct Counted(Arc<AtomicU64>);

impl Counted {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
