//! Requests that nobody should send, straight into the API: protobuf bodies,
//! the three patches, server-side apply, addresses of lists and watches. An
//! answer is all that is asked for: no panic, no server error, and not more
//! memory than the limits allow.
//!
//! A few thousand of each in the normal suite; `SKERRY_FUZZ_SECS=300` goes on
//! for that long and says how many there were (`ci/soak` does so).
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    http::{Method, Request},
};
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use skerry_api::{Api, pki::Subject};
use std::sync::Arc;

const ROUNDS: u64 = 3000;
/// A body may become so many times larger as JSON values; beside it, what the
/// program itself needs.
const MEMORY_BYTES_MAX: u64 = 400 << 20;

/// Numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Says which request it was, if there is a panic.
struct Said<'a>(&'a str, &'a [u8]);

impl Drop for Said<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("FAILED WITH {} {:?}", self.0, String::from_utf8_lossy(self.1));
        }
    }
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

/// One after the other, until the rounds or the time are over.
fn fuzz(name: &str, mut one: impl FnMut(&mut Random) -> (Method, String, &'static str, Vec<u8>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let time = std::env::var("SKERRY_FUZZ_SECS").ok().map(|s| Duration::from_secs(s.parse().unwrap()));
    let seed = std::env::var("SKERRY_FUZZ_SEED").map_or(1, |s| s.parse().unwrap());
    let (mut random, begin, mut rounds) = (Random(seed), Instant::now(), 0);
    let (mut api, _dir) = runtime.block_on(fresh());
    while time.map_or(rounds < ROUNDS, |t| begin.elapsed() < t) {
        // What was written piles up, and is not what is looked at.
        if rounds % 1000 == 999 {
            api = runtime.block_on(fresh()).0;
        }
        let (method, uri, form, body) = one(&mut random);
        runtime.block_on(request(&api, method, &uri, form, &body));
        rounds += 1;
    }
    let peak = peak_bytes();
    eprintln!("{name}: {rounds} requests in {} s, at most {} MiB", begin.elapsed().as_secs(), peak >> 20);
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes");
}

async fn fresh() -> (Arc<Api>, tempfile::TempDir) {
    let (api, dir, registry) = support::without_connections();
    for (kind, mut object) in [(("apps", "Deployment"), deployment()), (("", "Pod"), pod())] {
        object["metadata"]["namespace"] = "default".into();
        let kind = skerry_machinery::kind(kind.0, kind.1);
        registry.create(kind, "default", object, &Default::default()).unwrap();
    }
    (api, dir)
}

async fn request(api: &Arc<Api>, method: Method, uri: &str, form: &str, body: &[u8]) {
    let _said = Said(uri, body);
    let request = Request::builder().method(method).uri(uri).header("content-type", form);
    // What no client can put into an address is not tried.
    let Ok(request) = request.body(Body::from(body.to_vec())) else { return };
    let admin = Subject { common_name: "admin".into(), organizations: vec!["system:masters".into()] };
    let response = api.handle(Some(&admin), request).await;
    let code = response.status().as_u16();
    // A watch goes on; its beginning is enough.
    let mut body = response.into_body().into_data_stream();
    let mut said = Vec::new();
    while let Some(Some(piece)) = body.next().now_or_never() {
        said.extend_from_slice(&piece.unwrap());
    }
    // 504: a resource version of the future, as in Kubernetes.
    assert!(code < 500 || code == 504, "{code}: {}", String::from_utf8_lossy(&said));
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"a": "1"}, "finalizers": ["x/a", "x/b"]},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "containers": [{"name": "a", "image": "i:1", "args": ["x"], "env": [{"name": "E", "value": "1"}],
                    "ports": [{"containerPort": 80, "protocol": "TCP"}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "m"}}],
                "tolerations": [{"key": "t"}],
            }},
        },
    })
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"},
        "spec": {"containers": [{"name": "a", "image": "i:1", "resources": {"limits": {"cpu": 1}}}]}})
}

const WORDS: &[&str] = &[
    "",
    "a",
    "web",
    "name",
    "spec",
    "containers",
    "template",
    "$patch",
    "$retainKeys",
    "delete",
    "replace",
    "merge",
    "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers",
    "metadata",
    "labels",
    "managedFields",
    "k:{\"name\":\"a\"}",
    "f:spec",
    "resourceVersion",
    "~0~1",
    "/",
    "-",
    "volumes",
    "\u{0}",
    "é\u{202e}",
    "1e999",
    "finalizers",
    "ownerReferences",
    "9999999999999999999999",
    "emptyDir",
    "configMap",
    "apiVersion",
    "v1",
    ".",
];

fn leaf(random: &mut Random) -> Value {
    match random.below(10) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(random.next() as i64),
        3 => json!(f64::from_bits(random.next())),
        4 => json!([]),
        5 => json!({}),
        6 => json!([*random.pick(WORDS), {"name": *random.pick(WORDS)}]),
        7 => json!({*random.pick(WORDS): *random.pick(WORDS)}),
        8 => (0..random.below(60)).fold(json!("deep"), |v, i| if i % 2 == 0 { json!([v]) } else { json!({"a": v}) }),
        _ => json!(*random.pick(WORDS)),
    }
}

/// Change something somewhere.
fn mutate(value: &mut Value, random: &mut Random) {
    let down = random.below(4) > 0;
    match value {
        Value::Object(map) if down && !map.is_empty() => {
            let key = map.keys().nth(random.below(map.len())).unwrap().clone();
            match random.below(6) {
                0 => drop(map.shift_remove(&key)),
                1 => drop(map.insert((*random.pick(WORDS)).into(), leaf(random))),
                _ => mutate(&mut map[&key], random),
            }
        }
        Value::Array(list) if down && !list.is_empty() => {
            let i = random.below(list.len());
            match random.below(6) {
                0 => drop(list.remove(i)),
                1 => list.push(list[i].clone()),
                _ => mutate(&mut list[i], random),
            }
        }
        value => *value = leaf(random),
    }
}

fn mutated(mut value: Value, random: &mut Random) -> Value {
    for _ in 0..random.below(6) {
        mutate(&mut value, random);
    }
    value
}

/// Change bytes, now and then many.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(5) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 => drop(bytes.splice(at..at, [0xff; 9])),
            3 => {
                let end = (at + random.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, piece.repeat(1 + random.below(50))));
            }
            4 if at < bytes.len() => drop(bytes.remove(at)),
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
}

fn object_path(random: &mut Random) -> (Value, &'static str) {
    match random.below(2) {
        0 => (deployment(), "/apis/apps/v1/namespaces/default/deployments/web"),
        _ => (pod(), "/api/v1/namespaces/default/pods/one"),
    }
}

#[test]
fn json_patches() {
    let ops = ["add", "remove", "replace", "move", "copy", "test", "none"];
    let paths = [
        "",
        "/",
        "/spec",
        "/spec/replicas",
        "/spec/template/spec/containers/0",
        "/spec/template/spec/containers/-",
        "/metadata/labels/a~1b",
        "/metadata",
        "/spec/containers/00",
        "/metadata/finalizers/1",
        "/a/b/c",
        "x",
        "/spec/template/spec/containers/18446744073709551616",
    ];
    fuzz("JSON patch", |r| {
        let mut list = Vec::new();
        for _ in 0..r.below(8) {
            list.push(json!({"op": *r.pick(&ops), "path": *r.pick(&paths), "from": *r.pick(&paths), "value": leaf(r)}));
        }
        let mut body = mutated(list.into(), r).to_string().into_bytes();
        if r.below(4) == 0 {
            spoil(&mut body, r);
        }
        (Method::PATCH, object_path(r).1.into(), "application/json-patch+json", body)
    });
}

#[test]
fn strategic_and_merge_patches() {
    fuzz("strategic and merge patch", |r| {
        let (object, path) = object_path(r);
        let form = *r.pick(&["application/strategic-merge-patch+json", "application/merge-patch+json"]);
        let mut body = mutated(object, r).to_string().into_bytes();
        if r.below(8) == 0 {
            spoil(&mut body, r);
        }
        let sub = *r.pick(&["", "/status", "/scale", "?fieldValidation=Strict", "?dryRun=All"]);
        (Method::PATCH, format!("{path}{sub}"), form, body)
    });
}

#[test]
fn server_side_apply() {
    fuzz("server-side apply", |r| {
        let (object, path) = object_path(r);
        let mut body = mutated(object, r).to_string().into_bytes();
        if r.below(8) == 0 {
            spoil(&mut body, r);
        }
        let manager = *r.pick(&["a", "b", "kubectl", "", "%00"]);
        let force = *r.pick(&["&force=true", "&force=false", "", "&force=x"]);
        (Method::PATCH, format!("{path}?fieldManager={manager}{force}"), "application/apply-patch+yaml", body)
    });
}

fn tagged(tag: u8, inner: &[u8]) -> Vec<u8> {
    assert!(inner.len() < 128 && tag < 16);
    [&[tag << 3 | 2, inner.len() as u8], inner].concat()
}

/// A small pod in protobuf.
fn protobuf_pod(name: &str) -> Vec<u8> {
    let label = [tagged(1, b"app"), tagged(2, b"x")].concat();
    let meta = [tagged(1, name.as_bytes()), tagged(11, &label), tagged(8, &[8, 1, 16, 2])].concat();
    let container = [tagged(1, b"main"), tagged(2, b"i:1"), tagged(6, &[8, 80, 24, 80])].concat();
    let spec = [tagged(2, &container), tagged(3, b"Always"), vec![4 << 3, 30]].concat();
    let object = [tagged(1, &meta), tagged(2, &spec)].concat();
    let kind = [tagged(1, b"v1"), tagged(2, b"Pod")].concat();
    [b"k8s\0".to_vec(), tagged(1, &kind), tagged(2, &object)].concat()
}

#[test]
fn protobuf_bodies() {
    fuzz("protobuf", |r| {
        let name: &&str = r.pick(&["a", "b", "c", ""]);
        let mut body = protobuf_pod(name);
        spoil(&mut body, r);
        let path = *r.pick(&[
            "/api/v1/namespaces/default/pods",
            "/api/v1/namespaces/default/pods/one/eviction",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        ]);
        (Method::POST, path.into(), "application/vnd.kubernetes.protobuf", body)
    });
}

#[test]
fn addresses_of_lists_and_watches() {
    const KEYS: &[&str] = &[
        "watch",
        "labelSelector",
        "fieldSelector",
        "limit",
        "continue",
        "resourceVersion",
        "resourceVersionMatch",
        "sendInitialEvents",
        "allowWatchBookmarks",
        "timeoutSeconds",
        "pretty",
    ];
    const VALUES: &[&str] = &[
        "",
        "1",
        "0",
        "true",
        "false",
        "Exact",
        "NotOlderThan",
        "app=x",
        "app in (a,b",
        "!x,y!=z",
        "metadata.name=one",
        "spec.nodeName!=",
        "%00",
        "%ff%fe",
        "18446744073709551615",
        "-1",
        "eyJ2IjoxfQ",
        "a%3Db%2Cc",
        "status.phase=Running,",
        "18446744073709551616",
        "99999999999999999999999",
        "((((",
        "x%20notin%20()",
        "9223372036854775807",
    ];
    const PATHS: &[&str] = &[
        "/api/v1/pods",
        "/api/v1/namespaces/default/pods",
        "/apis/apps/v1/deployments",
        "/api/v1/nodes",
        "/openapi/v3",
        "/apis",
    ];
    fuzz("lists and watches", |r| {
        let mut uri = r.pick(PATHS).to_string().into_bytes();
        for i in 0..r.below(7) {
            let pair = format!("{}{}={}", if i == 0 { '?' } else { '&' }, r.pick(KEYS), r.pick(VALUES));
            uri.extend_from_slice(pair.as_bytes());
        }
        if r.below(3) == 0 {
            spoil(&mut uri, r);
            uri.truncate(4000);
        }
        (Method::GET, String::from_utf8_lossy(&uri).into_owned(), "application/json", vec![])
    });
}
