//! What each path answers.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::http::{Method, Parsed, Status, parse, render};

/// Version compiled in; `DEMO_APP_VERSION` at build time sets it.
const BUILT_VERSION: &str = match option_env!("DEMO_APP_VERSION") {
    Some(v) => v,
    None => env!("CARGO_PKG_VERSION"),
};

/// Time after the start in which the app is not ready.
const WARM_UP: Duration = Duration::from_secs(1);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// Prometheus text exposition format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The app: its identity and its counters.
pub struct App {
    version: String,
    node: String,
    pod: String,
    host: String,
    labels: BTreeMap<String, String>,
    broken: bool,
    started: Instant,
    requests: [AtomicU64; 7],
}

impl App {
    /// Identity from the environment: `APP_VERSION` (else what was compiled
    /// in), `NODE_NAME`, `POD_NAME`, `LABEL_*`, `BROKEN=1`.
    pub fn from_env(env: impl Iterator<Item = (String, String)>, host: String, started: Instant) -> Self {
        let mut app = App {
            version: BUILT_VERSION.into(),
            node: String::new(),
            pod: String::new(),
            host,
            labels: BTreeMap::new(),
            broken: false,
            started,
            requests: Default::default(),
        };
        for (key, value) in env {
            match key.as_str() {
                "APP_VERSION" if !value.is_empty() => app.version = value,
                "NODE_NAME" => app.node = value,
                "POD_NAME" => app.pod = value,
                "BROKEN" => app.broken = value == "1",
                _ => {
                    if let Some(label) = key.strip_prefix("LABEL_") {
                        app.labels.insert(label.to_ascii_lowercase(), value);
                    }
                }
            }
        }
        app
    }

    /// Version that `/` tells.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Answer to the bytes of a request head; `None`: more bytes are needed.
    pub fn answer(&self, head: &[u8], now: Instant) -> Option<Vec<u8>> {
        Some(match parse(head) {
            Parsed::More => return None,
            Parsed::Refuse(status) => self.refuse(status),
            Parsed::Done(request) => {
                let (status, content_type, body) = self.page(&request.path, now);
                self.count(status);
                render(status, content_type, &body, request.method == Method::Get)
            }
        })
    }

    /// A refusal, counted.
    pub fn refuse(&self, status: Status) -> Vec<u8> {
        self.count(status);
        render(status, TEXT, &format!("{}\n", status.line()), true)
    }

    fn page(&self, path: &str, now: Instant) -> (Status, &'static str, String) {
        match path {
            "/" => (Status::Ok, JSON, self.identity()),
            "/health" => (Status::Ok, TEXT, "ok\n".into()),
            "/ready" if self.broken => (Status::Unavailable, TEXT, "broken on purpose\n".into()),
            "/ready" if !self.warm(now) => (Status::Unavailable, TEXT, "warming up\n".into()),
            "/ready" => (Status::Ok, TEXT, "ready\n".into()),
            "/metrics" => (Status::Ok, METRICS, self.metrics(now)),
            _ => (Status::NotFound, TEXT, "try /, /health, /ready or /metrics\n".into()),
        }
    }

    fn warm(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) >= WARM_UP
    }

    fn identity(&self) -> String {
        let doc = serde_json::json!({
            "app": "hello",
            "version": self.version,
            "node": self.node,
            "pod": self.pod,
            "labels": self.labels,
            "hostname": self.host,
        });
        format!("{doc}\n")
    }

    fn metrics(&self, now: Instant) -> String {
        let mut out = String::from(
            "# HELP hello_requests_total Requests answered, by status code.\n# TYPE hello_requests_total counter\n",
        );
        for (status, counter) in STATUSES.iter().zip(&self.requests) {
            let code = status.line().split(' ').next().unwrap_or_default();
            let _ = writeln!(out, "hello_requests_total{{code=\"{code}\"}} {}", counter.load(Ordering::Relaxed));
        }
        let up = now.saturating_duration_since(self.started).as_secs_f64();
        let ready = u8::from(!self.broken && self.warm(now));
        let version = self.version.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(
            out,
            "# HELP hello_up_seconds Seconds since the start.\n# TYPE hello_up_seconds gauge\nhello_up_seconds {up:.3}\n\
             # HELP hello_ready 1 if the app is ready.\n# TYPE hello_ready gauge\nhello_ready {ready}\n\
             # HELP hello_build_info Version of the app.\n# TYPE hello_build_info gauge\nhello_build_info{{version=\"{version}\"}} 1\n"
        );
        out
    }

    fn count(&self, status: Status) {
        if let Some(i) = STATUSES.iter().position(|s| *s == status) {
            self.requests[i].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All statuses, in the order of the counters.
const STATUSES: [Status; 7] = [
    Status::Ok,
    Status::BadRequest,
    Status::NotFound,
    Status::MethodNotAllowed,
    Status::Timeout,
    Status::HeadTooLarge,
    Status::Unavailable,
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn app(env: &[(&str, &str)], started: Instant) -> App {
        App::from_env(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())), "box".into(), started)
    }

    fn ask(app: &App, path: &str, now: Instant) -> (String, String) {
        let bytes = app.answer(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes(), now).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
    }

    #[test]
    fn identity_is_one_json_line_with_all_of_the_environment() {
        let t = Instant::now();
        let a =
            app(&[("APP_VERSION", "9.1"), ("NODE_NAME", "n1"), ("POD_NAME", "p-0"), ("LABEL_APP", "hello \"x\"")], t);
        let (code, body) = ask(&a, "/", t);
        assert_eq!(code, "200");
        assert_eq!(body.matches('\n').count(), 1);
        let doc: serde_json::Value = serde_json::from_str(&body).unwrap();
        let want = serde_json::json!({"app": "hello", "version": "9.1", "node": "n1", "pod": "p-0", "labels": {"app": "hello \"x\""}, "hostname": "box"});
        assert_eq!(doc, want);
    }

    #[test]
    fn ready_only_after_warm_up_and_never_when_broken() {
        let t = Instant::now();
        let a = app(&[], t);
        assert_eq!(ask(&a, "/ready", t).0, "503");
        assert_eq!(ask(&a, "/ready", t + WARM_UP).0, "200");
        let b = app(&[("BROKEN", "1")], t);
        assert_eq!(ask(&b, "/ready", t + WARM_UP).0, "503");
        assert_eq!(ask(&b, "/health", t + WARM_UP).0, "200");
    }

    #[test]
    fn metrics_count_what_was_answered() {
        let t = Instant::now();
        let a = app(&[], t);
        ask(&a, "/", t);
        ask(&a, "/nowhere", t);
        ask(&a, "/nowhere", t);
        let (_, body) = ask(&a, "/metrics", t + WARM_UP);
        assert!(body.contains("hello_requests_total{code=\"200\"} 1\n"), "{body}");
        assert!(body.contains("hello_requests_total{code=\"404\"} 2\n"), "{body}");
        assert!(body.contains("hello_ready 1\n"), "{body}");
    }
}
