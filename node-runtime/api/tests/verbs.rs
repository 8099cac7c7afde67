//! All verbs over real TLS, with an ordinary HTTP client.
#![allow(clippy::unwrap_used)]

mod support;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use skerry_api::{Limits, OpenApi, auth::Role, auth::tokens};
use skerry_machinery::{KINDS, Kind, Source};
use skerry_store::StoreOptions;
use support::Server;

const MERGE: &str = "application/merge-patch+json";

async fn send(client: &Client, method: &str, url: String, kind: &str, body: impl ToString) -> Response {
    let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
    request.header("content-type", kind).body(body.to_string()).send().await.unwrap()
}

async fn json_of(client: &Client, method: &str, url: String, body: Value) -> (u16, Value) {
    let kind = if method == "PATCH" { MERGE } else { "application/json" };
    let response = send(client, method, url, kind, body).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn get(client: &Client, url: String) -> (u16, Value) {
    let response = client.get(url).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn collection(kind: &Kind) -> String {
    let root = if kind.group.is_empty() { "/api/v1".into() } else { format!("/apis/{}", kind.api_version()) };
    let namespace = if kind.namespaced { "/namespaces/default" } else { "" };
    format!("{root}{namespace}/{}", kind.plural)
}

async fn config_map(server: &Server, admin: &Client, name: &str, labels: Value) -> Value {
    let body = json!({"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}});
    let (code, made) = json_of(admin, "POST", server.url("/api/v1/namespaces/default/configmaps"), body).await;
    assert_eq!(code, 201, "{made}");
    made
}

#[tokio::test]
async fn every_kind_is_made_read_changed_and_deleted() {
    let server = Server::start().await;
    let admin = server.admin();
    for kind in KINDS.iter().filter(|k| k.source == Source::Stored) {
        let (list, one) = (server.url(&collection(kind)), server.url(&format!("{}/x", collection(kind))));
        let (code, made) = json_of(&admin, "POST", list.clone(), json!({"metadata": {"name": "x"}})).await;
        assert_eq!((code, &made["kind"]), (201, &json!(kind.kind)), "{made}");
        let (code, got) = get(&admin, one.clone()).await;
        assert_eq!((code, &got), (200, &made));
        let mut changed = got.clone();
        changed["metadata"]["labels"] = json!({"a": "b"});
        let (code, changed) = json_of(&admin, "PUT", one.clone(), changed).await;
        assert_eq!((code, &changed["metadata"]["labels"]["a"]), (200, &json!("b")), "{changed}");
        let (code, stale) = json_of(&admin, "PUT", one.clone(), got).await;
        assert_eq!((code, &stale["reason"]), (409, &json!("Conflict")), "{stale}");
        let patch = json!({"metadata": {"labels": {"c": "d"}}});
        let (code, patched) = json_of(&admin, "PATCH", one.clone(), patch).await;
        assert_eq!((code, &patched["metadata"]["labels"]), (200, &json!({"a": "b", "c": "d"})), "{patched}");
        let (code, listed) = get(&admin, format!("{list}?labelSelector=c%3Dd")).await;
        assert_eq!((code, listed["items"].as_array().map(Vec::len)), (200, Some(1)), "{listed}");
        assert_eq!(listed["kind"], kind.list_kind());
        let (code, gone) = json_of(&admin, "DELETE", format!("{one}?gracePeriodSeconds=0"), Value::Null).await;
        assert_eq!(code, 200, "{gone}");
        let (code, missing) = get(&admin, one).await;
        // A namespace goes when a controller has emptied it.
        if kind.kind == "Namespace" {
            assert!(missing["metadata"]["deletionTimestamp"].is_string(), "{missing}");
            continue;
        }
        assert_eq!((code, &missing["kind"], &missing["reason"]), (404, &json!("Status"), &json!("NotFound")));
    }
}

#[tokio::test]
async fn only_those_who_may() {
    let server = Server::start().await;
    let (anonymous, admin) = (server.anonymous(), server.admin());
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_eq!(anonymous.get(server.url(path)).send().await.unwrap().status(), 200, "{path}");
    }
    for path in ["/", "/api", "/apis", "/metrics", "/nothing", "/api/v1/pods", "/openapi/v3"] {
        let (code, status) = get(&anonymous, server.url(path)).await;
        assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")), "{path}");
    }
    let (code, _) = get(&server.client("x", "no-such-group"), server.url("/api/v1/pods")).await;
    assert_eq!(code, 403);
    let token = tokens::create(&server.tokens_path(), "ci", Role::Deploy, None).unwrap();
    let ci = |path: &str, token: String| anonymous.get(server.url(path)).bearer_auth(token).send();
    assert_eq!(ci("/api/v1/namespaces/default/secrets", token.clone()).await.unwrap().status(), 200);
    assert_eq!(ci("/api/v1/namespaces/default/secrets", token + "x").await.unwrap().status(), 401);
    assert_eq!(get(&server.client("v", "skerry:view"), server.url("/api/v1/secrets")).await.0, 403);
    let metrics = admin.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("apiserver_request_total{verb=\"LIST\",resource=\"secrets\",code=\"403\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("apiserver_storage_objects{resource=\"namespaces\"} 1"), "{metrics}");
}

#[tokio::test]
async fn refusals() {
    let server = Server::start().await;
    let admin = server.admin();
    config_map(&server, &admin, "c", json!({})).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let twice = r#"{"metadata":{"name":"t"},"data":{},"data":{}}"#;
    for (method, path, kind, body, code) in [
        ("GET", "/api/v1/nothing".to_string(), "application/json", "", 404),
        ("GET", "/api/v2/pods".into(), "application/json", "", 404),
        ("POST", "/api/v1/configmaps".into(), "application/json", r#"{"metadata":{"name":"t"}}"#, 405),
        ("POST", maps.into(), "application/json", "{", 400),
        ("POST", maps.into(), "application/json", "[]", 400),
        ("POST", maps.into(), "application/json", r#"{"kind":"Secret","metadata":{"name":"t"}}"#, 400),
        ("POST", maps.into(), "application/json", r#"{"metadata":{"name":"t","namespace":"other"}}"#, 400),
        ("POST", maps.into(), "text/csv", "a,b", 415),
        ("POST", format!("{maps}?dryRun=Yes"), "application/json", r#"{"metadata":{"name":"t"}}"#, 400),
        ("POST", format!("{maps}?fieldValidation=Strict"), "application/json", twice, 400),
        ("PUT", format!("{maps}/c"), "application/json", r#"{"metadata":{"name":"d"}}"#, 400),
        ("PATCH", format!("{maps}/c"), "application/json", "{}", 415),
        ("PATCH", format!("{maps}/d"), MERGE, "{}", 404),
        ("PATCH", format!("{maps}/c"), "application/apply-patch+yaml", "{}", 400),
        ("GET", format!("{maps}?labelSelector=%3D%3D"), "application/json", "", 400),
        ("GET", format!("{maps}?fieldSelector=spec.nothing%3D1"), "application/json", "", 400),
        ("GET", format!("{maps}?continue=x"), "application/json", "", 400),
        ("GET", format!("{maps}?resourceVersion=999999"), "application/json", "", 504),
        ("DELETE", "/api/v1/nodes".into(), "application/json", r#"{"propagationPolicy":"Sideways"}"#, 400),
        ("POST", "/apis/metrics.k8s.io/v1beta1/nodes".into(), "application/json", "{}", 405),
        ("HEAD", maps.into(), "application/json", "", 405),
        ("GET", "/api/v1/namespaces/default/pods/p/exec?command=x&stdout=1".into(), "application/json", "", 404),
    ] {
        let response = send(&admin, method, server.url(&path), kind, body).await;
        assert_eq!(response.status().as_u16(), code, "{method} {path} {body}");
    }
    let large = format!(r#"{{"metadata":{{"name":"t"}},"data":{{"a":"{}"}}}}"#, "x".repeat(4 << 20));
    assert_eq!(send(&admin, "POST", server.url(maps), "application/json", large).await.status(), 413);
    let protobuf = admin.get(server.url(maps)).header("accept", "application/vnd.kubernetes.protobuf").send();
    assert_eq!(protobuf.await.unwrap().status(), 406);
}

#[tokio::test]
async fn warnings_dry_run_and_yaml() {
    let server = Server::start().await;
    let admin = server.admin();
    let maps = server.url("/api/v1/namespaces/default/configmaps");
    let twice = r#"{"metadata":{"name":"t"},"data":{"a":"1"},"data":{"a":"2"}}"#;
    let response = send(&admin, "POST", format!("{maps}?dryRun=All"), "application/json", twice).await;
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["warning"], r#"299 - "duplicate field \"data\"""#);
    assert_eq!(get(&admin, format!("{maps}/t")).await.0, 404);
    let yaml = "metadata:\n  name: t\ndata:\n  a: '3'\n";
    assert_eq!(send(&admin, "POST", maps.clone(), "application/yaml", yaml).await.status(), 201);
    assert_eq!(get(&admin, format!("{maps}/t")).await.1["data"]["a"], "3");
}

#[tokio::test]
async fn pieces_of_a_list_show_one_moment() {
    let server = Server::start().await;
    let admin = server.admin();
    for name in ["a", "b", "c", "d", "e"] {
        config_map(&server, &admin, name, json!({})).await;
    }
    let maps = server.url("/api/v1/namespaces/default/configmaps");
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|o| o["metadata"]["name"].as_str().unwrap().to_string()).collect()
    };
    let (_, first) = get(&admin, format!("{maps}?limit=2")).await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    json_of(&admin, "DELETE", format!("{maps}/d"), Value::Null).await;
    config_map(&server, &admin, "cc", json!({})).await;
    json_of(&admin, "PATCH", format!("{maps}/e"), json!({"data": {"a": "2"}})).await;
    let next = |list: &Value| list["metadata"]["continue"].as_str().unwrap().to_string();
    let (_, second) = get(&admin, format!("{maps}?limit=2&continue={}", next(&first))).await;
    assert_eq!(names(&second), ["c", "d"]);
    let (_, third) = get(&admin, format!("{maps}?limit=2&continue={}", next(&second))).await;
    assert_eq!((names(&third), &third["items"][0]["data"]["a"]), (vec!["e".into()], &json!("1")));
    assert!(third["metadata"]["continue"].is_null());
    assert_eq!(third["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let (_, now) = get(&admin, maps).await;
    assert_eq!(names(&now), ["a", "b", "c", "cc", "e"]);
}

#[tokio::test]
async fn a_moment_that_is_forgotten_is_gone() {
    let options = StoreOptions { history_events_max: 2, ..StoreOptions::default() };
    let server = Server::with(options, OpenApi::default(), Limits::default()).await;
    let admin = server.admin();
    let maps = server.url("/api/v1/namespaces/default/configmaps");
    for name in ["a", "b", "c", "d"] {
        config_map(&server, &admin, name, json!({})).await;
    }
    let (_, first) = get(&admin, format!("{maps}?limit=1")).await;
    for name in ["e", "f", "g", "h"] {
        config_map(&server, &admin, name, json!({})).await;
    }
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (code, status) = get(&admin, format!("{maps}?limit=1&continue={token}")).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
    let old = first["metadata"]["resourceVersion"].as_str().unwrap();
    let watch = admin.get(format!("{maps}?watch=1&resourceVersion={old}")).send().await.unwrap();
    assert_eq!(watch.status(), 200);
    let event: Value = watch.json().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
}

/// Lines of a watch.
struct Lines(Response, Vec<u8>);

impl Lines {
    async fn open(client: &Client, url: String, accept: &str) -> Self {
        let response = client.get(url).header("accept", accept).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self(response, vec![])
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.1.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            self.1.extend(self.0.chunk().await.unwrap()?);
        }
    }

    async fn event(&mut self) -> (String, String) {
        let event = self.next().await.unwrap();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

fn seen(name: &str, object: &str) -> (String, String) {
    (name.into(), object.into())
}

#[tokio::test]
async fn watches_with_selectors_bookmarks_and_an_end() {
    let server = Server::start().await;
    let admin = server.admin();
    config_map(&server, &admin, "a", json!({"in": "yes"})).await;
    config_map(&server, &admin, "b", json!({})).await;
    let maps = server.url("/api/v1/namespaces/default/configmaps");
    let query = "watch=1&labelSelector=in&allowWatchBookmarks=true&sendInitialEvents=true\
                 &resourceVersionMatch=NotOlderThan&timeoutSeconds=3";
    let mut watch = Lines::open(&admin, format!("{maps}?{query}"), "application/json").await;
    assert_eq!(watch.event().await, seen("ADDED", "a"));
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let label = |value: Value| json!({"metadata": {"labels": {"in": value}}});
    for (name, value) in [("b", json!("yes")), ("b", json!("still")), ("b", Value::Null), ("b", Value::Null)] {
        json_of(&admin, "PATCH", format!("{maps}/{name}"), label(value)).await;
    }
    json_of(&admin, "DELETE", format!("{maps}/a"), Value::Null).await;
    for event in ["ADDED", "MODIFIED", "DELETED"] {
        assert_eq!(watch.event().await, seen(event, "b"));
    }
    assert_eq!(watch.event().await, seen("DELETED", "a"));
    // At the end of its time it says how far it came, and ends in order.
    let last = watch.next().await.unwrap();
    assert_eq!(last["type"], "BOOKMARK");
    let version: u64 = last["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert_eq!(version, server.registry.store().revision());
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn watches_as_tables_have_heads_once() {
    let server = Server::start().await;
    let admin = server.admin();
    config_map(&server, &admin, "a", json!({})).await;
    config_map(&server, &admin, "b", json!({})).await;
    let maps = server.url("/api/v1/namespaces/default/configmaps");
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut watch = Lines::open(&admin, format!("{maps}?watch=1"), accept).await;
    let (first, second) = (watch.next().await.unwrap(), watch.next().await.unwrap());
    assert_eq!(first["object"]["kind"], "Table");
    assert!(first["object"]["columnDefinitions"].is_array());
    assert!(second["object"]["columnDefinitions"].is_null());
    assert_eq!(second["object"]["rows"][0]["object"]["metadata"]["name"], "b");
}

#[tokio::test]
async fn forms_of_answers() {
    let server = Server::start().await;
    let admin = server.admin();
    config_map(&server, &admin, "a", json!({})).await;
    let maps = server.url("/api/v1/namespaces/default/configmaps");
    for (accept, url, kind) in [
        ("application/json;as=Table;v=v1;g=meta.k8s.io", maps.clone(), "Table"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io", format!("{maps}/a"), "Table"),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", maps.clone(), "PartialObjectMetadataList"),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", format!("{maps}/a"), "PartialObjectMetadata"),
        ("application/vnd.kubernetes.protobuf, application/json", maps.clone(), "ConfigMapList"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io", server.url("/apis/metrics.k8s.io/v1beta1/nodes"), "Table"),
    ] {
        let got: Value = admin.get(&url).header("accept", accept).send().await.unwrap().json().await.unwrap();
        assert_eq!(got["kind"], kind, "{accept} {url}");
    }
}

#[tokio::test]
async fn discovery_is_kept_by_its_etag() {
    let server = Server::start().await;
    let admin = server.admin();
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let first = admin.get(server.url("/apis")).header("accept", accept).send().await.unwrap();
    let etag = first.headers()["etag"].clone();
    assert!(first.headers()["content-type"].to_str().unwrap().contains("as=APIGroupDiscoveryList"));
    let again = admin.get(server.url("/apis")).header("accept", accept).header("if-none-match", etag);
    assert_eq!(again.send().await.unwrap().status(), 304);
    assert_eq!(get(&admin, server.url("/apis")).await.1["kind"], "APIGroupList");
    assert_eq!(get(&admin, server.url("/api/v1")).await.1["kind"], "APIResourceList");
}

#[tokio::test]
async fn scale_eviction_and_collections() {
    let server = Server::start().await;
    let admin = server.admin();
    let deployments = server.url("/apis/apps/v1/namespaces/default/deployments");
    let web = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}}});
    json_of(&admin, "POST", deployments.clone(), web).await;
    let scale = format!("{deployments}/web/scale");
    let (_, got) = get(&admin, scale.clone()).await;
    assert_eq!(
        (&got["kind"], &got["spec"]["replicas"], &got["status"]["selector"]),
        (&json!("Scale"), &json!(2), &json!("a=b"))
    );
    let (code, _) = json_of(&admin, "PATCH", scale.clone(), json!({"spec": {"replicas": 5}})).await;
    assert_eq!(code, 200);
    let (code, stale) = json_of(&admin, "PUT", scale.clone(), got).await;
    assert_eq!(code, 409, "{stale}");
    let (code, _) = json_of(&admin, "PATCH", scale, json!({"spec": {"replicas": -1}})).await;
    assert_eq!(code, 422);
    assert_eq!(get(&admin, format!("{deployments}/web")).await.1["spec"]["replicas"], 5);

    let pods = server.url("/api/v1/namespaces/default/pods");
    for name in ["a", "b", "c"] {
        json_of(&admin, "POST", pods.clone(), json!({"metadata": {"name": name, "labels": {"n": name}}})).await;
    }
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"},
        "deleteOptions": {"gracePeriodSeconds": 0}});
    assert_eq!(json_of(&admin, "POST", format!("{pods}/a/eviction"), eviction).await.0, 201);
    assert_eq!(get(&admin, format!("{pods}/a")).await.0, 404);
    let url = format!("{pods}?labelSelector=n%3Db&gracePeriodSeconds=0");
    let (code, deleted) = json_of(&admin, "DELETE", url, Value::Null).await;
    assert_eq!((code, deleted["items"].as_array().map(Vec::len)), (200, Some(1)), "{deleted}");
    assert_eq!(get(&admin, pods).await.1["items"].as_array().map(Vec::len), Some(1));
}
