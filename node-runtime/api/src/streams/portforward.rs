//! Port-forward: SPDY/3.1 in the messages of a WebSocket. For each connection
//! that the client took it opens an `error` stream and a `data` stream with
//! the same `requestID`.
//!
//! A pod that does not take its data holds up the whole WebSocket: the
//! protocol's clients have no windows for single streams.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    http::{Request, Response},
};
use bytes::{Bytes, BytesMut};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use skerry_machinery::ApiError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    spdy::{Decoder, Deflater, Frame, PIECE_BYTES_MAX, SpdyError, encode},
    websocket::{Opening, Socket},
};
use crate::{Api, backend::Duplex};

const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// Streams at a time on one WebSocket, two for each connection.
const STREAMS_MAX: usize = 256;
/// Frames that wait for the client or for a pod.
const QUEUE_FRAMES: usize = 8;
/// RST_STREAM: the stream was refused; too much is asked for (2.6.3).
const REFUSED: u32 = 3;
const PROTOCOL_ERROR: u32 = 1;

/// `…/pods/NAME/portforward`.
///
/// # Errors
/// If the request is no WebSocket of this protocol.
pub fn forward(
    api: Arc<Api>,
    (namespace, pod): (String, String),
    request: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    let (response, socket) = Opening::of(request, &[PROTOCOL])?.accept();
    tokio::spawn(async move {
        let Some(socket) = socket.await else { return };
        let (sink, stream) = socket.split();
        let (out, queue) = mpsc::channel(QUEUE_FRAMES);
        let session = Session { api, namespace, pod, out, errors: HashMap::new(), data: HashMap::new() };
        tokio::select! {
            () = write(sink, queue) => {}
            ended = session.read(stream) => if let Err(error) = ended {
                tracing::debug!(%error, "port-forward ended");
            },
        }
    });
    Ok(response)
}

async fn write(mut sink: SplitSink<Socket, Message>, mut queue: mpsc::Receiver<Frame>) {
    let mut deflater = Deflater::default();
    while let Some(frame) = queue.recv().await {
        let bytes = encode(&frame, &mut deflater);
        if sink.send(Message::Binary(bytes.into())).await.is_err() {
            return;
        }
    }
}

struct Session {
    api: Arc<Api>,
    namespace: String,
    pod: String,
    out: mpsc::Sender<Frame>,
    /// `requestID` to error stream, until its data stream comes.
    errors: HashMap<String, u32>,
    data: HashMap<u32, Stream>,
}

/// Our end of a data stream.
struct Stream {
    /// To the pod; `None`: the client has sent all.
    to_pod: Option<mpsc::Sender<Bytes>>,
    /// Dropped: the connection ends.
    stop: oneshot::Sender<()>,
}

impl Session {
    async fn read(mut self, mut stream: SplitStream<Socket>) -> Result<(), SpdyError> {
        let mut decoder = Decoder::default();
        while let Some(Ok(message)) = stream.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Close(_) => break,
                _ => continue,
            };
            decoder.push(&bytes);
            while let Some(frame) = decoder.next()? {
                if self.take(frame).await.is_none() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// `None`: the connection is over.
    async fn take(&mut self, frame: Frame) -> Option<()> {
        match frame {
            Frame::Open { id, headers, .. } => self.open(id, &headers).await?,
            Frame::Data { id, fin, data } => self.data(id, fin, data).await,
            Frame::Reset { id, .. } => {
                self.data.remove(&id);
            }
            Frame::Ping(id) => self.send(Frame::Ping(id)).await?,
            Frame::GoAway => return None,
            Frame::Reply { .. } | Frame::Ignored => {}
        }
        Some(())
    }

    async fn send(&self, frame: Frame) -> Option<()> {
        self.out.send(frame).await.ok()
    }

    async fn open(&mut self, id: u32, headers: &[(String, String)]) -> Option<()> {
        let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let port = header("port").and_then(|p| p.parse::<u16>().ok()).filter(|p| *p != 0);
        // Older clients number their streams instead of naming requests.
        let request = match header("requestid") {
            Some(request) => request.to_string(),
            None => (if header("streamtype") == Some("error") { id } else { id.saturating_sub(2) }).to_string(),
        };
        self.data.retain(|_, stream| !stream.stop.is_closed());
        let refusal = match (header("streamtype"), port) {
            _ if self.errors.len() + self.data.len() >= STREAMS_MAX => Some(REFUSED),
            (Some("error"), Some(_)) if !self.errors.contains_key(&request) => {
                self.errors.insert(request, id);
                None
            }
            (Some("data"), Some(port)) if !self.data.contains_key(&id) => match self.errors.remove(&request) {
                Some(errors) => {
                    self.connect(id, errors, port);
                    None
                }
                None => Some(PROTOCOL_ERROR),
            },
            _ => Some(PROTOCOL_ERROR),
        };
        match refusal {
            Some(status) => self.send(Frame::Reset { id, status }).await,
            None => self.send(Frame::Reply { id, fin: false, headers: vec![] }).await,
        }
    }

    fn connect(&mut self, id: u32, errors: u32, port: u16) {
        let (to_pod, from_client) = mpsc::channel(QUEUE_FRAMES);
        let (stop, stopped) = oneshot::channel();
        self.data.insert(id, Stream { to_pod: Some(to_pod), stop });
        let (api, namespace, pod, out) = (self.api.clone(), self.namespace.clone(), self.pod.clone(), self.out.clone());
        tokio::spawn(async move {
            let problem = tokio::select! {
                problem = connection(&api, (&namespace, &pod, port), from_client, &out, id) => problem,
                _ = stopped => None,
            };
            if let Some(problem) = &problem {
                // The client is told on the error stream; its own data stream
                // is at an end.
                let _ = out.send(Frame::Data { id, fin: true, data: Bytes::new() }).await;
                let text = format!("error forwarding port {port} to pod {pod}: {problem}");
                let _ = out.send(Frame::Data { id: errors, fin: true, data: text.into() }).await;
            } else {
                let _ = out.send(Frame::Data { id: errors, fin: true, data: Bytes::new() }).await;
            }
        });
    }

    async fn data(&mut self, id: u32, fin: bool, data: Bytes) {
        let Some(stream) = self.data.get_mut(&id) else { return };
        if let (Some(to_pod), false) = (&stream.to_pod, data.is_empty()) {
            // A pod that reads no more: what comes is dropped.
            let _ = to_pod.send(data).await;
        }
        if fin {
            stream.to_pod = None;
        }
    }
}

/// One connection to the pod, to its end; what went wrong at its beginning.
async fn connection(
    api: &Api,
    (namespace, pod, port): (&str, &str, u16),
    from_client: mpsc::Receiver<Bytes>,
    out: &mpsc::Sender<Frame>,
    id: u32,
) -> Option<String> {
    match api.backend().connect(namespace, pod, port).await {
        Err(error) => Some(error.message),
        Ok(pod) => {
            copy(pod, from_client, out, id).await;
            None
        }
    }
}

async fn copy(pod: Box<dyn Duplex>, mut from_client: mpsc::Receiver<Bytes>, out: &mpsc::Sender<Frame>, id: u32) {
    let (mut read, mut write) = tokio::io::split(pod);
    let up = async {
        while let Some(piece) = from_client.recv().await {
            if write.write_all(&piece).await.is_err() {
                break;
            }
        }
        let _ = write.shutdown().await;
        drop(from_client);
    };
    let down = async {
        loop {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES_MAX);
            let read = read.read_buf(&mut piece).await;
            if !matches!(read, Ok(n) if n > 0) {
                break;
            }
            if out.send(Frame::Data { id, fin: false, data: piece.freeze() }).await.is_err() {
                break;
            }
        }
        let _ = out.send(Frame::Data { id, fin: true, data: Bytes::new() }).await;
    };
    tokio::join!(up, down);
}
