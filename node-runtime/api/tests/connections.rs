//! What clients can do to connections.
#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use skerry_api::{Limits, OpenApi, pki::Names};
use skerry_store::StoreOptions;
use support::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

async fn connect(server: &Server) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(server.pki.ca_der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("kubernetes.default.svc").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

async fn healthy(server: &Server) {
    let answer = server.anonymous().get(server.url("/livez")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok");
}

#[tokio::test]
async fn garbage_ends_only_its_own_connection() {
    let server = Server::start().await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &[0; 1000], b""] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        let _ = tcp.write_all(bytes).await;
        let _ = tcp.shutdown().await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    }
    for bytes in
        [&b"nonsense\r\n\r\n"[..], b"GET /\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
    {
        let mut tls = connect(&server).await;
        tls.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = tls.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
    }
    // Headers without end are not read without end.
    let mut tls = connect(&server).await;
    tls.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    let line = format!("X: {}\r\n", "x".repeat(1000));
    for _ in 0..200 {
        if tls.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let _ = tls.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{:?}", String::from_utf8_lossy(&answer));
    healthy(&server).await;
}

#[tokio::test]
async fn silent_clients_lose_their_place() {
    let limits = Limits { connections: 2, handshake: Duration::from_millis(200), ..Limits::default() };
    let server = Server::with(StoreOptions::default(), OpenApi::default(), limits).await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let half = connect(&server).await;
    // Both places are taken; this waits until one is free.
    healthy(&server).await;
    drop((silent, half));
}

#[tokio::test]
async fn the_certificate_is_replaced_while_it_runs() {
    let server = Server::start().await;
    let shown = |tls: &TlsStream<TcpStream>| tls.get_ref().1.peer_certificates().unwrap()[0].clone();
    let before = shown(&connect(&server).await);
    let names = Names { node: "box-1".into(), addresses: vec!["10.0.0.7".parse().unwrap()], ..Names::default() };
    server.tls.replace(&server.pki.server(&names, Timestamp::now()).unwrap()).unwrap();
    let after = shown(&connect(&server).await);
    assert_ne!(before, after);
    assert_eq!(shown(&connect(&server).await), after);
}

#[tokio::test]
async fn a_stranger_s_certificate_is_refused() {
    let (server, other) = (Server::start().await, Server::start().await);
    let leaf = other.pki.client("admin", "system:masters", Timestamp::now()).unwrap();
    let identity = format!("{}{}", leaf.certificate_pem, leaf.key_pem);
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(server.pki.ca_pem().as_bytes()).unwrap()])
        .identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap())
        .build()
        .unwrap();
    // Both authorities have the same name, so that only the key differs.
    assert!(client.get(server.url("/api/v1/pods")).send().await.is_err());
    healthy(&server).await;
}
