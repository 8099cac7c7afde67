//! Connections: TCP, TLS, HTTP/1.1 and HTTP/2, with a limit on everything that
//! a client can make large or slow.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Body;
use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{Api, pki, pki::Subject, tls::Tls};

/// What connections may cost. An idle one, a watch for example, costs about
/// 30 KiB: TLS state, one read buffer, one task.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// Connections of one address; more are closed at once, so that nobody
    /// takes all places.
    pub of_one: usize,
    /// Requests at a time on one HTTP/2 connection; client-go opens another
    /// connection for more, as it does with Kubernetes, which has the same
    /// limit.
    pub streams: u32,
    /// Time for TLS, and for a request's headers.
    pub handshake: Duration,
    /// How often a silent HTTP/2 client is asked whether it is there.
    pub ping: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            of_one: 768,
            streams: 100,
            handshake: Duration::from_secs(10),
            ping: Duration::from_secs(30),
        }
    }
}

/// Read buffer of an HTTP/1.1 connection; also the limit of headers.
const HTTP1_BUFFER_BYTES: usize = 32 * 1024;
/// Limit of headers, and of what waits to be sent on a stream, with HTTP/2.
const HTTP2_BUFFER_BYTES: u32 = 32 * 1024;
/// Window of one HTTP/2 stream and of a connection: what a client may send
/// before we took it.
const HTTP2_WINDOW_BYTES: u32 = 256 * 1024;
/// Pause after a failed accept, which is mostly "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serve until `stop` is ready. Errors of single connections end just those;
/// connections that are open then are left to their clients and the process.
pub async fn serve(listener: TcpListener, tls: Tls, api: Arc<Api>, limits: Limits, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let limits = Arc::new(limits);
    let callers = Callers::default();
    tokio::pin!(stop);
    loop {
        let accept = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = &mut stop => return,
            next = accept => next,
        };
        let (tcp, address) = match accepted {
            Ok((tcp, address)) => (tcp, address.ip()),
            Err(error) => {
                tracing::warn!(%error, "accepting a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(caller) = callers.one_more(address, limits.of_one) else {
            tracing::debug!(%address, "too many connections");
            continue;
        };
        let (acceptor, api, limits) = (TlsAcceptor::from(tls.config()), api.clone(), limits.clone());
        tokio::spawn(async move {
            let _held = (place, caller);
            let Some(stream) = handshake(tcp, acceptor, limits.handshake).await else { return };
            connection(stream, api, &limits).await;
        });
    }
}

/// Connections by address.
#[derive(Clone, Default)]
struct Callers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// Counts a connection for as long as it lives.
struct Caller(Callers, IpAddr);

impl Callers {
    fn one_more(&self, address: IpAddr, most: usize) -> Option<Caller> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Caller(self.clone(), address))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

async fn handshake(tcp: TcpStream, acceptor: TlsAcceptor, limit: Duration) -> Option<TlsStream<TcpStream>> {
    // Small answers leave at once; failing costs only time.
    let _ = tcp.set_nodelay(true);
    match timeout(limit, acceptor.accept(tcp)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake");
            None
        }
        Err(_) => None,
    }
}

async fn connection(stream: TlsStream<TcpStream>, api: Arc<Api>, limits: &Limits) {
    let (_, tls) = stream.get_ref();
    let http2 = tls.alpn_protocol() == Some(b"h2");
    let certificate = tls.peer_certificates().and_then(|c| c.first());
    let peer: Option<Arc<Subject>> = certificate.and_then(|c| pki::subject(c)).map(Arc::new);
    let service = service_fn(move |request: Request<Incoming>| {
        let (api, peer) = (api.clone(), peer.clone());
        async move { Ok::<_, Infallible>(api.handle(peer.as_deref(), request.map(Body::new)).await) }
    });
    let io = TokioIo::new(stream);
    let served = if http2 {
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(HTTP2_BUFFER_BYTES)
            .max_send_buf_size(HTTP2_BUFFER_BYTES as usize)
            .initial_stream_window_size(HTTP2_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_WINDOW_BYTES)
            .keep_alive_interval(limits.ping)
            .keep_alive_timeout(limits.ping)
            .serve_connection(io, service)
            .await
    } else {
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.handshake)
            .max_buf_size(HTTP1_BUFFER_BYTES)
            .serve_connection(io, service)
            .with_upgrades()
            .await
    };
    if let Err(error) = served {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
    }
}
