//! The puller as a task on a current-thread runtime, and registries that ask for
//! tokens or misbehave, played by a small server.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{Image, Login, Server, layer, noise, options, pull_with};
use skerry_formats::Sha256Digest;
use skerry_images::{ImageState, Keyring, PullPolicy, Puller, PullerHandle, Registry, RegistryOptions, Request, Store};

fn request(key: &str, image: &str, policy: PullPolicy) -> Request {
    Request { key: key.into(), image: image.into(), policy, keyring: Keyring::default() }
}

/// Wait for the state of a request.
async fn wait(handle: &mut PullerHandle, key: &str, want: impl Fn(&ImageState) -> bool) -> ImageState {
    let states = handle.states.wait_for(|s| s.get(key).is_some_and(&want));
    states.await.unwrap()[key].clone()
}

fn failed(reason: &'static str) -> impl Fn(&ImageState) -> bool {
    move |s| matches!(s, ImageState::Failed { reason: r, .. } if *r == reason)
}

#[tokio::test]
async fn requests_are_served_on_one_thread() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let image = Image::of(vec![layer(&[("x", 0o644, &noise(1, 1000))])]);
    server.push(&image, "app:1");
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let registry = Registry::new(&RegistryOptions::default()).unwrap();
    let (puller, mut handle) = Puller::new(store.clone(), registry);
    let task = tokio::spawn(puller.run());
    let name = format!("{}/app:1", server.address);
    let missing = format!("{}/app:2", server.address);
    let requests = vec![
        request("never", &name, PullPolicy::Never),
        request("bad", "No Image", PullPolicy::Always),
        request("missing", &missing, PullPolicy::IfNotPresent),
        request("pod", &name, PullPolicy::IfNotPresent),
    ];
    handle.requests.send(requests.clone()).unwrap();

    let present = |s: &ImageState| matches!(s, ImageState::Present(_));
    let ImageState::Present(pulled) = wait(&mut handle, "pod", present).await else { panic!() };
    assert_eq!(pulled.manifest_digest, image.digest());
    wait(&mut handle, "never", present).await;
    wait(&mut handle, "bad", failed("InvalidImageName")).await;
    wait(&mut handle, "missing", failed("ErrImagePull")).await;
    let ImageState::Failed { message, .. } = wait(&mut handle, "missing", failed("ImagePullBackOff")).await else {
        panic!()
    };
    assert!(
        message.starts_with("Back-off pulling image") && message.contains("is not there, or not for us"),
        "{message}"
    );

    // What a pod has is not collected until nobody wants it.
    drop(pulled);
    let none = Default::default();
    assert_eq!(store.gc(u64::MAX, &none, &none).unwrap().images, []);
    handle.requests.send(vec![]).unwrap();
    handle.states.wait_for(BTreeMap::is_empty).await.unwrap();
    assert_eq!(store.gc(u64::MAX, &none, &none).unwrap().images, [image.digest()]);

    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    while let Ok(event) = handle.events.try_recv() {
        told.entry(event.key).or_default().push(event.reason);
    }
    assert_eq!(told["pod"], ["Pulling", "Pulled"]);
    assert_eq!(told["never"], ["ErrImageNeverPull", "Pulled"]);
    assert_eq!(told["missing"], ["Pulling", "Failed", "Failed", "BackOff", "Failed"]);
    assert_eq!(told["bad"], ["InspectFailed"]);
    drop(handle);
    task.await.unwrap();
}

/// One answer: status line and body; headers come with the status.
type Answer = (String, Vec<u8>);

/// A server that plays a registry.
struct Played {
    address: String,
    /// Lines of requests: path, Range and Authorization.
    asked: Arc<Mutex<Vec<String>>>,
}

/// What a handler sees: path with query, and headers in lower case.
type Handler = dyn Fn(&str, &BTreeMap<String, String>) -> Answer + Send;

impl Played {
    fn start(handler: impl FnOnce(&str) -> Box<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let played = Self { address: address.clone(), asked: Arc::default() };
        let (handler, asked) = (handler(&address), played.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(first) = lines.next() else { continue };
                let headers = lines.take_while(|l| !l.is_empty());
                let headers: BTreeMap<_, _> = headers
                    .filter_map(|l| l.split_once(": ").map(|(k, v)| (k.to_ascii_lowercase(), v.to_string())))
                    .collect();
                let path = first.split(' ').nth(1).unwrap_or_default().to_string();
                let authorization = headers.get("authorization").cloned().unwrap_or_default();
                asked.lock().unwrap().push(format!("{path} {authorization}"));
                let (status, body) = handler(&path, &headers);
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        });
        played
    }
}

/// Documents and layers of an image by path.
fn blobs(image: &Image) -> BTreeMap<String, Vec<u8>> {
    let (config, manifest) = image.documents();
    let mut all: BTreeMap<_, _> = [&config]
        .into_iter()
        .chain(&image.layers)
        .map(|b| (format!("/v2/app/blobs/sha256:{}", Sha256Digest::of(b)), b.clone()))
        .collect();
    all.insert("/v2/app/manifests/1".into(), manifest);
    all
}

fn serve(blobs: &BTreeMap<String, Vec<u8>>, path: &str) -> Answer {
    match blobs.get(path) {
        Some(bytes) => ("200 OK".into(), bytes.clone()),
        None => ("404 Not Found".into(), vec![]),
    }
}

fn keyring(address: &str) -> Keyring {
    let login = skerry_images::Login { user: "u".into(), password: "p".into() };
    Keyring::with(address, login)
}

#[tokio::test]
async fn tokens_are_fetched_with_the_password_and_only_there() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::of(vec![layer(&[("x", 0o644, &noise(1, 1000))])]);
    let all = blobs(&image);
    let played = Played::start(|address| {
        let challenge = format!(
            "401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"http://{address}/token\",service=\"s\",scope=\"repository:app:pull\""
        );
        Box::new(move |path, headers| match headers.get("authorization").map(String::as_str) {
            Some("Basic dTpw") if path == "/token?scope=repository%3Aapp%3Apull&service=s" => {
                ("200 OK".into(), br#"{"access_token":"t0ken"}"#.to_vec())
            }
            _ if path.starts_with("/token") => ("401 Unauthorized".into(), vec![]),
            Some("Bearer t0ken") => serve(&all, path),
            _ => (challenge.clone(), vec![]),
        })
    });
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let name = format!("{}/app:1", played.address);
    let line = pull_with(&store, &name, &Keyring::default(), 1).await.0.unwrap_err().line();
    assert!(line.contains("asks for a login"), "{line}");
    pull_with(&store, &name, &keyring(&played.address), 1).await.0.unwrap();
    let asked = played.asked.lock().unwrap().clone();
    let with_password = asked.iter().filter(|a| a.contains("Basic"));
    assert!(with_password.clone().all(|a| a.starts_with("/token?")), "{asked:?}");
    assert_eq!(with_password.count(), 1, "one token for the whole pull");
}

#[tokio::test]
async fn registries_that_lie_are_refused() {
    let image = Image::of(vec![layer(&[("x", 0o644, &noise(1, 100_000))])]);
    let blob = format!("/v2/app/blobs/sha256:{}", Sha256Digest::of(&image.layers[0]));
    let good = blobs(&image);
    let with = |path: &str, bytes: Vec<u8>| {
        let mut all = good.clone();
        all.insert(path.into(), bytes);
        all
    };
    let config = good.keys().find(|k| k.contains("blobs") && **k != blob).unwrap();
    let mut longer = image.layers[0].clone();
    longer.push(0);
    let mut other = image.layers[0].clone();
    other[50_000] ^= 1;
    let huge = format!("/v2/app/manifests/{}", 1);
    for (name, all, want) in [
        ("layer-longer-than-said", with(&blob, longer), "is longer than"),
        ("layer-shorter-than-said", with(&blob, image.layers[0][..500].to_vec()), "broke off after 500 of"),
        ("layer-with-other-content", with(&blob, other), "has other content than its digest says"),
        ("config-with-other-content", with(config, b"{}".to_vec()), "has other content than its digest says"),
        ("manifest-too-large", with(&huge, vec![b' '; 5 << 20]), "is longer than"),
        ("manifest-that-is-none", with(&huge, b"{}".to_vec()), "the manifest cannot be read"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let played = Played::start(|_| Box::new(move |path, _| serve(&all, path)));
        let store = Store::open(&options(&dir.path().join("store"))).unwrap();
        let pulled = pull_with(&store, &format!("{}/app:1", played.address), &Keyring::default(), 1).await.0;
        let line = pulled.expect_err(name).line();
        assert!(line.contains(want), "{name}: {line}");
        assert!(store.list().is_empty() && common::files(store.objects_folder()).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_registry_without_ranges_starts_from_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::of(vec![layer(&[("x", 0o644, &noise(1, 100_000))])]);
    let all = blobs(&image);
    let played = Played::start(|_| Box::new(move |path, _| serve(&all, path)));
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let part = dir.path().join(format!("store/partial/{}.part", Sha256Digest::of(&image.layers[0])));
    std::fs::write(part, &image.layers[0][..40_000]).unwrap();
    let (result, received) = pull_with(&store, &format!("{}/app:1", played.address), &Keyring::default(), 1).await;
    result.unwrap();
    assert_eq!(received, image.layers[0].len() as u64);
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_not_pulled_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, hold) = std::sync::mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let played = Played::start(|_| {
        Box::new(move |_, _| {
            let _ = hold.lock().unwrap().recv();
            ("404 Not Found".into(), vec![])
        })
    });
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let (puller, mut handle) = Puller::new(store, Registry::new(&RegistryOptions::default()).unwrap());
    let task = tokio::spawn(puller.run());
    let wanted = request("a", &format!("{}/app:1", played.address), PullPolicy::Always);
    handle.requests.send(vec![wanted.clone()]).unwrap();
    wait(&mut handle, "a", |s| *s == ImageState::Pulling).await;
    while played.asked.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    handle.requests.send(vec![]).unwrap();
    handle.states.wait_for(BTreeMap::is_empty).await.unwrap();
    // Wanted again: asked again, at once.
    handle.requests.send(vec![wanted]).unwrap();
    wait(&mut handle, "a", |s| *s == ImageState::Pulling).await;
    drop(sender);
    wait(&mut handle, "a", failed("ErrImagePull")).await;
    assert_eq!(played.asked.lock().unwrap().len(), 2);
    drop(handle);
    task.await.unwrap();
}
