//! One request: who asks, what for, may they, and the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, Response, header},
};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use skerry_machinery::{ApiError, KINDS, Reason, Source};
use skerry_store::Registry;

use crate::{
    Backend, OpenApi,
    auth::{self, Attributes, Identity, tokens::Tokens},
    discovery,
    http::{self, Accept, ContentType, Format, Query, Route},
    metrics::Metrics,
    openapi,
    pki::Subject,
    rest,
};

/// Version of the Kubernetes API that is spoken.
pub const KUBERNETES: (&str, &str, &str) = ("1", "34", "v1.34.0");

/// What the server works with.
pub struct Parts {
    /// Objects.
    pub registry: Registry,
    /// The node.
    pub backend: Arc<dyn Backend>,
    /// Bearer tokens.
    pub tokens: Tokens,
    /// OpenAPI documents.
    pub openapi: OpenApi,
    /// Version of Skerry, for `/version`.
    pub version: String,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// The API, without connections.
pub struct Api {
    parts: Parts,
    metrics: Metrics,
    watching: Arc<AtomicU64>,
}

/// One request, understood as far as all verbs need it.
pub(crate) struct Call<'a> {
    pub(crate) api: &'a Arc<Api>,
    pub(crate) who: Identity,
    pub(crate) query: Query,
    pub(crate) accept: Accept,
    pub(crate) agent: String,
}

/// How a request is counted.
#[derive(Clone)]
struct Label {
    verb: &'static str,
    resource: String,
}

impl Api {
    /// An API of these parts.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self { parts, metrics: Metrics::default(), watching: Arc::default() })
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.parts.registry
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        self.parts.backend.as_ref()
    }

    /// Counts the watches that are open.
    pub(crate) fn watching(&self) -> &Arc<AtomicU64> {
        &self.watching
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.parts.now)()
    }

    /// Answer a request; `peer` is the owner of the client certificate.
    pub async fn handle(self: &Arc<Self>, peer: Option<&Subject>, request: Request<Body>) -> Response<Body> {
        let started = Instant::now();
        let mut label = Label { verb: "OTHER", resource: String::new() };
        let answer = self.answer(peer, request, &mut label).await;
        let response = answer.unwrap_or_else(|error| {
            let mut response = http::error(&error);
            if error.reason == Reason::Unauthorized {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        });
        self.metrics.count(label.verb, &label.resource, response.status().as_u16(), started.elapsed());
        response
    }

    async fn answer(
        self: &Arc<Self>,
        peer: Option<&Subject>,
        request: Request<Body>,
        label: &mut Label,
    ) -> Result<Response<Body>, ApiError> {
        let route = http::parse(request.uri().path());
        let query = Query::parse(request.uri().query());
        let route = match route {
            Some(route) => route,
            None => {
                self.identify(peer, request.headers())?;
                return Err(ApiError::new(Reason::NotFound, "the server could not find the requested resource"));
            }
        };
        let verb = verb(&route, request.method(), &query);
        *label = Label { verb: counted(verb), resource: resource_of(&route).1 };
        let open = matches!(route, Route::Health(_) | Route::Version);
        let who = match self.identify(peer, request.headers()) {
            Err(_) if open => Identity::anonymous(),
            who => who?,
        };
        let attributes = attributes(&route, verb, request.uri().path());
        if !open && !who.may(&attributes) {
            return Err(auth::refusal(&who.user, &attributes));
        }
        let agent = request.headers().get(header::USER_AGENT).and_then(|v| v.to_str().ok());
        let agent = agent.unwrap_or_default().to_string();
        let call = Call { api: self, who, query, accept: Accept::of(request.headers()), agent };
        match route {
            Route::Objects(place) => rest::answer(call, place, verb, request).await,
            Route::Review(review) if verb == "create" => review_answer(call, review, request).await,
            _ if verb != "get" => Err(method_not_allowed()),
            route => self.document(route, call, request.headers()).await,
        }
    }

    fn identify(&self, peer: Option<&Subject>, headers: &HeaderMap) -> Result<Identity, ApiError> {
        if let Some(subject) = peer {
            return Ok(Identity::of_certificate(subject.clone()));
        }
        let token = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let token = token.and_then(|v| v.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let who = token.and_then(|(_, token)| self.parts.tokens.identify(token.trim(), self.now()));
        who.ok_or_else(|| ApiError::new(Reason::Unauthorized, "Unauthorized"))
    }

    /// What is read and is no object.
    async fn document(
        self: &Arc<Self>,
        route: Route,
        call: Call<'_>,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, ApiError> {
        let missing = || ApiError::new(Reason::NotFound, "the server could not find the requested resource");
        let offered = match route {
            Route::CoreVersions | Route::Groups => &[Format::Json, Format::Discovery][..],
            Route::OpenApiV2 => &[Format::Json, Format::OpenApiProtobuf],
            _ => &[Format::Json],
        };
        let text = matches!(route, Route::Health(_) | Route::Metrics);
        let format = if text { Format::Json } else { call.accept.best(offered).ok_or_else(rest::not_acceptable)? };
        let document = match route {
            Route::Health(name) => return Ok(self.health(name, &call.query)),
            Route::Metrics => return Ok(http::text(200, self.metrics.render(&self.gauges()))),
            Route::CoreVersions | Route::Groups if format == Format::Discovery => {
                return Ok(aggregated(matches!(route, Route::CoreVersions), headers));
            }
            Route::Root => discovery::paths(),
            Route::Version => self.version(),
            Route::CoreVersions => discovery::core_versions(),
            Route::Groups => discovery::group_list(),
            Route::Group(name) => discovery::group(&name).ok_or_else(missing)?,
            Route::Resources(group, version) => discovery::resources(&group, &version).ok_or_else(missing)?,
            Route::OpenApiV2 => {
                let protobuf = format == Format::OpenApiProtobuf;
                let form = if protobuf { openapi::Form::Protobuf } else { openapi::Form::Json };
                let form_name = if protobuf { http::OPENAPI_PROTOBUF_TYPE } else { JSON };
                return self.parts.openapi.v2(form).map(|b| kept(b, form_name, headers, None)).ok_or_else(missing);
            }
            Route::OpenApiV3(path) => {
                let openapi = &self.parts.openapi;
                let bytes = if path.is_empty() { openapi.index() } else { openapi.v3(&path) };
                return bytes.map(|b| kept(b, JSON, headers, call.query.get("hash"))).ok_or_else(missing);
            }
            Route::Review(_) | Route::Objects(_) => return Err(method_not_allowed()),
        };
        Ok(http::json(200, document.to_string()))
    }

    fn version(&self) -> Value {
        let (major, minor, version) = KUBERNETES;
        json!({
            "major": major, "minor": minor, "gitVersion": format!("{version}+skerry.{}", self.parts.version),
            "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "",
            "compiler": "rustc", "platform": format!("linux/{}", std::env::consts::ARCH),
        })
    }

    fn health(&self, name: &str, query: &Query) -> Response<Body> {
        // Alive means that it answers.
        let problem = if name == "readyz" { self.backend().not_ready() } else { None };
        let verbose = query.has("verbose");
        match problem {
            None if !verbose => http::text(200, "ok"),
            None => http::text(200, format!("[+]ping ok\n[+]node ok\n{name} check passed\n")),
            Some(why) => http::text(503, format!("[+]ping ok\n[-]node failed: {why}\n{name} check failed\n")),
        }
    }

    fn gauges(&self) -> Vec<(&'static str, String, u64)> {
        let mut gauges = Vec::new();
        for kind in KINDS.iter().filter(|k| k.source == Source::Stored) {
            let count = rest::count(self, kind);
            gauges.push(("apiserver_storage_objects", format!("resource=\"{}\"", kind.qualified()), count));
        }
        gauges.push(("apiserver_registered_watchers", String::new(), self.watching.load(Ordering::Relaxed)));
        gauges
    }
}

async fn review_answer(
    call: Call<'_>,
    review: http::Review,
    request: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    call.accept.best(&[Format::Json]).ok_or_else(rest::not_acceptable)?;
    let form = http::content_type(request.headers())?;
    if !matches!(form, ContentType::Json | ContentType::Yaml | ContentType::Protobuf) {
        return Err(ApiError::new(Reason::UnsupportedMediaType, "send application/json"));
    }
    let bytes = http::read(request.into_body()).await?;
    let asked = match form {
        ContentType::Protobuf => auth::decode_review(review, &bytes)?,
        _ => http::decode(form, &bytes)?.value,
    };
    let answer = auth::answer_review(review, asked, &call.who)?;
    Ok(http::json(201, answer.to_string()))
}

const JSON: &str = "application/json";

/// The aggregated discovery document.
fn aggregated(core: bool, headers: &HeaderMap) -> Response<Body> {
    let form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    kept(discovery::aggregated(core).to_string().into(), form, headers, None)
}

/// A document that clients keep by its ETag; without asking again, if its
/// address holds its hash.
fn kept(document: Bytes, form: &'static str, headers: &HeaderMap, asked: Option<&str>) -> Response<Body> {
    let hash = openapi::hash(&document);
    let etag = format!("\"{hash}\"");
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == etag.as_bytes());
    let mut response = if known { http::json(304, "") } else { http::json(200, document) };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::ETAG, HeaderValue::from_str(&etag).expect("hex is ASCII"));
    if asked == Some(&hash) {
        let forever = HeaderValue::from_static("private, immutable, max-age=31536000");
        headers.insert(header::CACHE_CONTROL, forever);
    }
    response
}

pub(crate) fn method_not_allowed() -> ApiError {
    let why = "the server does not allow this method on the requested resource";
    ApiError::new(Reason::MethodNotAllowed, why)
}

/// Kubernetes' verb of a request; empty: none.
fn verb(route: &Route, method: &Method, query: &Query) -> &'static str {
    let (named, sub) = match route {
        Route::Objects(place) => (!place.name.is_empty(), place.sub),
        _ => (true, None),
    };
    use skerry_machinery::Subresource::{Attach, Exec, PortForward};
    // WebSockets begin with GET; what they do is no reading.
    if matches!(sub, Some(Exec | Attach | PortForward)) && matches!(*method, Method::GET | Method::POST) {
        return "create";
    }
    match (method.as_str(), named) {
        ("GET", true) => "get",
        ("GET", false) if query.flag("watch").ok().flatten() == Some(true) => "watch",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "",
    }
}

fn counted(verb: &str) -> &'static str {
    match verb {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "OTHER",
    }
}

/// Group and plural.
fn resource_of(route: &Route) -> (&'static str, String) {
    match route {
        Route::Objects(place) => (place.kind.group, place.kind.plural.into()),
        Route::Review(review) => (review.group(), review.plural().into()),
        _ => ("", String::new()),
    }
}

fn attributes<'a>(route: &'a Route, verb: &'a str, path: &'a str) -> Attributes<'a> {
    match route {
        Route::Objects(place) => Attributes {
            verb,
            group: place.kind.group,
            resource: place.kind.plural,
            subresource: place.sub.map_or("", |s| s.name()),
            namespace: &place.namespace,
            name: &place.name,
            path,
        },
        Route::Review(review) => {
            Attributes { verb, group: review.group(), resource: review.plural(), path, ..Attributes::default() }
        }
        _ => Attributes { verb, path, ..Attributes::default() },
    }
}
