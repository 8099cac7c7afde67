//! Very many clients, and slow ones: what they cost, and that another client is
//! still answered. Left out of the normal suite; `ci/soak` runs it. The server
//! is a process of its own, so that its memory can be looked at.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::BoxStream};
use skerry_api::{Limits, OpenApi};
use skerry_store::StoreOptions;
use support::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

const DIR: &str = "SKERRY_SOAK_DIR";

/// Not a test but the server of the tests below; ends with its input.
#[tokio::test]
#[ignore = "takes long; ci/soak runs it"]
async fn server_process() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let server = Server::with(StoreOptions::default(), OpenApi::of_kinds(), Limits::default()).await;
    let leaf = server.pki.admin(jiff::Timestamp::now()).unwrap();
    let dir = Path::new(&dir);
    std::fs::write(dir.join("ca"), server.pki.ca_pem()).unwrap();
    std::fs::write(dir.join("admin"), format!("{}{}", leaf.certificate_pem, leaf.key_pem)).unwrap();
    std::fs::write(dir.join("port.new"), server.address.port().to_string()).unwrap();
    std::fs::rename(dir.join("port.new"), dir.join("port")).unwrap();
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
}

struct Other {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Other {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "server_process", "--ignored"]).env(DIR, dir.path());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut other = Self { child, dir, port: 0 };
        while other.port == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let port = std::fs::read_to_string(other.dir.path().join("port"));
            other.port = port.map_or(0, |p| p.parse().unwrap());
            assert!(other.child.try_wait().unwrap().is_none(), "the server ended");
        }
        other
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn client(&self) -> reqwest::ClientBuilder {
        let read = |name| std::fs::read(self.dir.path().join(name)).unwrap();
        let ca = reqwest::Certificate::from_pem(&read("ca")).unwrap();
        let admin = reqwest::Identity::from_pem(&read("admin")).unwrap();
        reqwest::Client::builder().tls_certs_only([ca]).identity(admin)
    }

    /// Memory of the server in KiB, without what it shares with files.
    fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    /// Another client, at another address, writes and reads.
    async fn answers(&self, name: &str) -> Duration {
        let client = self.client().local_address(Some([127, 0, 0, 2].into())).build().unwrap();
        let begin = Instant::now();
        let object = serde_json::json!({"metadata": {"name": name}, "data": {"a": "b"}});
        let list = self.url("/api/v1/namespaces/default/configmaps");
        let answer = client.post(&list).json(&object).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        assert!(client.get(&list).send().await.unwrap().text().await.unwrap().contains(name));
        begin.elapsed()
    }
}

type Watch = BoxStream<'static, reqwest::Result<bytes::Bytes>>;

async fn watch(client: &reqwest::Client, url: &str) -> reqwest::Result<Watch> {
    let answer = client.get(url).send().await?;
    assert_eq!(answer.status(), 200);
    Ok(answer.bytes_stream().boxed())
}

async fn all_see(watches: &mut [Watch], name: &str) {
    for watch in watches {
        let line = watch.next().await.unwrap().unwrap();
        assert!(std::str::from_utf8(&line).unwrap().contains(name));
    }
}

const WATCH: &str = "/api/v1/configmaps?watch=1&resourceVersion=1";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "takes long; ci/soak runs it"]
async fn ten_thousand_watches_on_streams() {
    let other = Other::start().await;
    let before = other.memory_kib();
    let streams = Limits::default().streams as usize;
    let mut watches = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..10_000 / streams {
        let client = other.client().build().unwrap();
        for _ in 0..streams {
            watches.push(watch(&client, &other.url(WATCH)).await.unwrap());
        }
        clients.push(client);
    }
    let after = other.memory_kib();
    let each = (after - before) as f64 / watches.len() as f64;
    let took = other.answers("seen").await;
    let begin = Instant::now();
    all_see(&mut watches, "seen").await;
    let (seen, peak) = (begin.elapsed(), other.memory_kib());
    eprintln!(
        "{} watches on {} connections: {before} KiB before, {after} KiB, {each:.1} KiB each;",
        watches.len(),
        clients.len()
    );
    eprintln!("another client took {took:?}; a change was with all after {seen:?}, with {peak} KiB");
    assert!(each < 32.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "takes long; ci/soak runs it"]
async fn as_many_connections_as_one_address_may_have() {
    let other = Other::start().await;
    let before = other.memory_kib();
    let client = other.client().http1_only().build().unwrap();
    let mut watches = Vec::new();
    for _ in 0..Limits::default().of_one {
        watches.push(watch(&client, &other.url(WATCH)).await.unwrap());
    }
    let after = other.memory_kib();
    let each = (after - before) as f64 / watches.len() as f64;
    assert!(watch(&client, &other.url(WATCH)).await.is_err(), "one more is refused");
    let took = other.answers("seen").await;
    all_see(&mut watches, "seen").await;
    eprintln!(
        "{} connections: {before} KiB before, {after} KiB, {each:.1} KiB each; another client took {took:?}",
        watches.len()
    );
    assert!(each < 128.0);
}

/// Large bodies that arrive slowly, by clients that may write.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "takes long; ci/soak runs it"]
async fn slow_and_large_bodies() {
    let other = Other::start().await;
    let before = other.memory_kib();
    let client = other.client().http1_only().build().unwrap();
    let url = other.url("/api/v1/namespaces/default/configmaps");
    let mut senders = Vec::new();
    let mut sent = Vec::new();
    for _ in 0..300 {
        let (to, from) = futures::channel::mpsc::unbounded::<std::io::Result<bytes::Bytes>>();
        to.unbounded_send(Ok(vec![b' '; 1 << 20].into())).unwrap();
        let body = reqwest::Body::wrap_stream(from);
        sent.push(tokio::spawn(client.post(&url).header("content-type", "application/json").body(body).send()));
        senders.push(to);
    }
    // They all had the time to send what is taken.
    let mut most = 0;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        most = most.max(other.memory_kib());
    }
    let mut codes = std::collections::BTreeMap::<String, u32>::new();
    for sent in sent {
        let code = sent.await.unwrap().map_or("connection closed".into(), |a| a.status().as_u16().to_string());
        *codes.entry(code).or_default() += 1;
    }
    drop(senders);
    let took = other.answers("after").await;
    eprintln!(
        "300 bodies of 1 MiB that never end: {before} KiB before, at most {most} KiB; {codes:?}; another client then took {took:?}"
    );
    assert!(most - before < 150 << 10);
}

/// Connections that say nothing or next to nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "takes long; ci/soak runs it"]
async fn slow_handshakes() {
    let other = Other::start().await;
    let before = other.memory_kib();
    let mut slow = Vec::new();
    for i in 0..Limits::default().of_one {
        let mut tcp = tokio::net::TcpStream::connect(("127.0.0.1", other.port)).await.unwrap();
        if i % 2 == 0 {
            tcp.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        }
        slow.push(tcp);
    }
    let took = other.answers("meanwhile").await;
    let held = other.memory_kib();
    // The server ends each of them.
    for tcp in &mut slow {
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    }
    eprintln!(
        "{} silent connections: {before} KiB before, {held} KiB; another client took {took:?}; all were ended",
        slow.len()
    );
}
