//! Connections: TCP, TLS, HTTP/1.1 and HTTP/2, with a limit on everything that
//! a client can make large or slow.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

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
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// Time for TLS, and for a request's headers.
    pub handshake: Duration,
    /// How often a silent HTTP/2 client is asked whether it is there.
    pub ping: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1024, streams: 100, handshake: Duration::from_secs(10), ping: Duration::from_secs(30) }
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
        let tcp = match accepted {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, api, limits) = (TlsAcceptor::from(tls.config()), api.clone(), limits.clone());
        tokio::spawn(async move {
            let Some(stream) = handshake(tcp, acceptor, limits.handshake).await else { return };
            connection(stream, api, &limits).await;
            drop(place);
        });
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
