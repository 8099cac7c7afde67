//! UDP and TCP listeners, with bounds on what clients can make it do.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::Name,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};

use crate::{
    answer::{Verdict, answer, reply_to},
    cache::{Cache, Found},
    upstream,
    zone::Zone,
};

/// Questions in work at the same time; more are answered "try again".
const QUESTIONS_MAX: usize = 64;
/// TCP connections at the same time.
const CONNECTIONS_MAX: usize = 32;
/// A TCP connection that says nothing for this long is closed.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// After a failure the servers are not asked again for this long where a stale
/// answer serves (RFC 8767 section 5, "failure recheck timer").
const RECHECK: Duration = Duration::from_secs(20);
/// Answers over UDP to clients that do not say how much they take.
const UDP_BYTES: u16 = 512;
/// Never send more over UDP than this.
const UDP_BYTES_MAX: u16 = 1232;

/// What the server needs to know; may change while it runs.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Names of the node.
    pub zone: Arc<Zone>,
    /// The node's name servers, in order.
    pub upstream: Vec<SocketAddr>,
}

/// The name server of the pods.
#[derive(Debug, Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    domain: Name,
    settings: Mutex<Settings>,
    cache: Mutex<Cache>,
    failed_at: Mutex<Option<Instant>>,
    questions: Semaphore,
    connections: Arc<Semaphore>,
    started: Instant,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// A server for names below `domain`, such as `cluster.local.`.
    ///
    /// # Errors
    /// If that is no name.
    pub fn new(domain: &str) -> io::Result<Self> {
        let domain = Name::from_ascii(domain).map_err(io::Error::other)?;
        let shared = Shared {
            domain,
            settings: Mutex::default(),
            cache: Mutex::default(),
            failed_at: Mutex::default(),
            questions: Semaphore::new(QUESTIONS_MAX),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            started: Instant::now(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Change what it knows.
    pub fn set(&self, settings: Settings) {
        *locked(&self.shared.settings) = settings;
    }

    /// Answer questions at `address` until the future is dropped.
    ///
    /// # Errors
    /// If the address cannot be listened on, or the sockets break.
    pub async fn serve(&self, address: SocketAddr) -> io::Result<()> {
        let udp = Arc::new(UdpSocket::bind(address).await?);
        let tcp = TcpListener::bind(udp.local_addr()?).await?;
        tokio::try_join!(self.serve_udp(udp), self.serve_tcp(tcp)).map(|_| ())
    }

    /// Answer questions that come over this socket.
    ///
    /// # Errors
    /// If the socket breaks.
    pub async fn serve_udp(&self, socket: Arc<UdpSocket>) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        loop {
            let (size, from) = match socket.recv_from(&mut buffer).await {
                Ok(got) => got,
                // A client that is gone already (ICMP) is no reason to stop.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => continue,
                Err(e) => return Err(e),
            };
            let Ok(request) = Message::from_vec(&buffer[..size]) else { continue };
            let (server, socket) = (self.clone(), socket.clone());
            tokio::spawn(async move {
                let reply = server.reply(&request).await;
                if let Some(bytes) = fitting(&request, &reply)
                    && let Err(error) = socket.send_to(&bytes, from).await
                {
                    tracing::debug!(%error, %from, "answer not sent");
                }
            });
        }
    }

    /// Answer questions of connections to this listener.
    ///
    /// # Errors
    /// If the listener breaks.
    pub async fn serve_tcp(&self, listener: TcpListener) -> io::Result<()> {
        loop {
            let (stream, from) = listener.accept().await?;
            let Ok(permit) = self.shared.connections.clone().try_acquire_owned() else { continue };
            let server = self.clone();
            tokio::spawn(async move {
                if let Err(error) = server.connection(stream).await {
                    tracing::debug!(%error, %from, "connection ended");
                }
                drop(permit);
            });
        }
    }

    async fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let mut length = [0; 2];
            match timeout(IDLE_MAX, stream.read_exact(&mut length)).await {
                Ok(Ok(_)) => {}
                _ => return Ok(()),
            }
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            timeout(IDLE_MAX, stream.read_exact(&mut bytes)).await.map_err(io::Error::other)??;
            let request = Message::from_vec(&bytes).map_err(io::Error::other)?;
            let answer = self.reply(&request).await.to_vec().map_err(io::Error::other)?;
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            let framed = [&length.to_be_bytes(), answer.as_slice()].concat();
            timeout(IDLE_MAX, stream.write_all(&framed)).await.map_err(io::Error::other)??;
        }
    }

    /// The answer to a request.
    pub async fn reply(&self, request: &Message) -> Message {
        let zone = locked(&self.shared.settings).zone.clone();
        match answer(request, &zone, &self.shared.domain) {
            Verdict::Answer(reply) => *reply,
            Verdict::Forward => self.forward(request).await,
        }
    }

    async fn forward(&self, request: &Message) -> Message {
        let Some(query) = request.queries.first() else { return failed(request, ResponseCode::FormErr) };
        let now = self.shared.started.elapsed().as_secs();
        let stale = match locked(&self.shared.cache).get(query.name(), query.query_type(), now) {
            Found::Fresh(m) => return matching(request, m),
            Found::Stale(m) => Some(m),
            Found::Nothing => None,
        };
        let recently = locked(&self.shared.failed_at).is_some_and(|at| at.elapsed() < RECHECK);
        if let (Some(stale), true) = (&stale, recently) {
            return matching(request, stale.clone());
        }
        let Ok(_permit) = self.shared.questions.try_acquire() else { return failed(request, ResponseCode::ServFail) };
        let servers = locked(&self.shared.settings).upstream.clone();
        match upstream::ask(&servers, request).await {
            Ok((answer, bytes)) if useful(&answer, stale.is_some()) => {
                *locked(&self.shared.failed_at) = None;
                locked(&self.shared.cache).put(&answer, bytes, now);
                answer
            }
            other => {
                *locked(&self.shared.failed_at) = Some(Instant::now());
                if let Err(error) = &other {
                    tracing::debug!(%error, name = %query.name(), "name servers do not answer");
                }
                match (stale, other) {
                    (Some(stale), _) => matching(request, stale),
                    (None, Ok((answer, _))) => answer,
                    (None, Err(_)) => failed(request, ResponseCode::ServFail),
                }
            }
        }
    }
}

/// Is it better than a stale answer? A server that fails or refuses is not.
fn useful(answer: &Message, have_stale: bool) -> bool {
    let code = answer.metadata.response_code;
    !have_stale || matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

fn failed(request: &Message, code: ResponseCode) -> Message {
    let mut reply = reply_to(request);
    reply.metadata.response_code = code;
    reply
}

/// A remembered answer as the answer to this request.
fn matching(request: &Message, mut answer: Message) -> Message {
    answer.metadata.id = request.metadata.id;
    answer.metadata.recursion_desired = request.metadata.recursion_desired;
    answer.queries.clone_from(&request.queries);
    answer
}

/// The bytes to send over UDP, cut to what the client takes.
fn fitting(request: &Message, reply: &Message) -> Option<Vec<u8>> {
    let most = request.edns.as_ref().map_or(UDP_BYTES, |e| e.max_payload().clamp(UDP_BYTES, UDP_BYTES_MAX));
    let bytes = reply.to_vec().ok()?;
    if bytes.len() <= usize::from(most) { Some(bytes) } else { reply.truncate().to_vec().ok() }
}
