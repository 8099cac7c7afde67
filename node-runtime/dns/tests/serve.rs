//! The server on loopback, in front of another one as the world.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{net::SocketAddr, sync::Arc};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use skerry_dns::{Endpoint, Server, Service, Settings, Zone};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
};

fn zone(name: &str, ip: &str) -> Arc<Zone> {
    let service = Service { cluster_ips: vec![ip.parse().unwrap()], ..Service::default() };
    Arc::new(Zone {
        services: [(("default".to_owned(), name.to_owned()), service)].into(),
        namespaces: ["default".to_owned()].into(),
    })
}

/// A running server and where it listens.
async fn start(domain: &str, settings: Settings) -> (Server, SocketAddr, JoinHandle<()>) {
    let server = Server::new(domain).unwrap();
    server.set(settings);
    let (udp, tcp, at) = sockets().await;
    let (s, udp) = (server.clone(), Arc::new(udp));
    let task = tokio::spawn(async move {
        let _ = tokio::join!(s.serve_udp(udp), s.serve_tcp(tcp));
    });
    (server, at, task)
}

/// Two sockets with the same number; that of TCP may be somebody else's.
async fn sockets() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = udp.local_addr().unwrap();
        if let Ok(tcp) = TcpListener::bind(at).await {
            return (udp, tcp, at);
        }
    }
}

fn question(name: &str) -> Message {
    let mut m = Message::new(4711, MessageType::Query, OpCode::Query);
    m.metadata.recursion_desired = true;
    m.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    m
}

async fn ask(at: SocketAddr, name: &str) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&question(name).to_vec().unwrap(), at).await.unwrap();
    let mut buffer = vec![0; 4096];
    let size = socket.recv(&mut buffer).await.unwrap();
    Message::from_vec(&buffer[..size]).unwrap()
}

async fn ask_tcp(at: SocketAddr, name: &str) -> Message {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let bytes = question(name).to_vec().unwrap();
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let size = stream.read_u16().await.unwrap();
    let mut buffer = vec![0; usize::from(size)];
    stream.read_exact(&mut buffer).await.unwrap();
    Message::from_vec(&buffer).unwrap()
}

fn addresses(m: &Message) -> Vec<String> {
    m.answers.iter().map(|r| r.data.to_string()).collect()
}

#[tokio::test]
async fn own_names_and_the_worlds() {
    let (_, world, _) = start("example.", Settings { zone: zone("www", "192.0.2.1"), upstream: vec![] }).await;
    let settings = Settings { zone: zone("web", "10.96.0.7"), upstream: vec![world] };
    let (_, at, _) = start("cluster.local.", settings).await;
    assert_eq!(addresses(&ask(at, "web.default.svc.cluster.local.").await), ["10.96.0.7"]);
    assert_eq!(addresses(&ask(at, "www.default.svc.example.").await), ["192.0.2.1"]);
    assert_eq!(addresses(&ask_tcp(at, "www.default.svc.example.").await), ["192.0.2.1"]);
    let gone = ask(at, "nobody.default.svc.example.").await;
    assert_eq!((gone.metadata.response_code, gone.metadata.id), (ResponseCode::NXDomain, 4711));
}

#[tokio::test]
async fn stale_answers_while_the_world_is_away() {
    let (_, world, task) = start("example.", Settings { zone: zone("www", "192.0.2.1"), upstream: vec![] }).await;
    let (_, at, _) = start("cluster.local.", Settings { zone: Arc::default(), upstream: vec![world] }).await;
    assert_eq!(addresses(&ask(at, "www.default.svc.example.").await), ["192.0.2.1"]);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    // The time to live of that answer, 5 s, goes by; what was never asked
    // cannot be known.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    let stale = ask(at, "www.default.svc.example.").await;
    assert_eq!((addresses(&stale), stale.answers[0].ttl), (vec!["192.0.2.1".to_owned()], 30));
    let unknown = ask(at, "other.default.svc.example.").await;
    assert_eq!(unknown.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn without_name_servers_the_own_names_work() {
    let settings = Settings { zone: zone("web", "10.96.0.7"), upstream: vec![] };
    let (_, at, _) = start("cluster.local.", settings).await;
    assert_eq!(addresses(&ask(at, "web.default.svc.cluster.local.").await), ["10.96.0.7"]);
    assert_eq!(ask(at, "example.com.").await.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    let endpoint = |n: u8| Endpoint {
        addresses: vec![std::net::Ipv4Addr::new(10, 244, 0, n).into()],
        hostname: None,
        ports: vec![],
    };
    let many = Service { endpoints: (0..100).map(endpoint).collect(), ..Service::default() };
    let zone = Zone {
        services: [(("default".to_owned(), "many".to_owned()), many)].into(),
        namespaces: ["default".to_owned()].into(),
    };
    let (_, at, _) = start("cluster.local.", Settings { zone: Arc::new(zone), upstream: vec![] }).await;
    let cut = ask(at, "many.default.svc.cluster.local.").await;
    assert!(cut.metadata.truncation && cut.answers.len() < 100);
    assert_eq!(ask_tcp(at, "many.default.svc.cluster.local.").await.answers.len(), 100);
}

#[tokio::test]
async fn garbage_is_no_reason_to_stop() {
    let (_, at, _) = start("cluster.local.", Settings { zone: zone("web", "10.96.0.7"), upstream: vec![] }).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for bytes in [&b""[..], b"x", &[0xff; 600], &[0; 12]] {
        socket.send_to(bytes, at).await.unwrap();
    }
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
    assert_eq!(addresses(&ask(at, "web.default.svc.cluster.local.").await), ["10.96.0.7"]);
}
