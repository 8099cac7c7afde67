//! exec and attach: a process' ends over one WebSocket. Every binary message
//! starts with the number of its channel.
//!
//! ```text
//! 0 input  1 output  2 error output  3 status at the end  4 terminal size
//! 255 one byte: this channel is at its end (v5 only)
//! ```

use std::{collections::VecDeque, future::pending, time::Duration};

use axum::{
    body::Body,
    http::{Request, Response},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use skerry_machinery::ApiError;
use tokio::{sync::mpsc, time::timeout};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::websocket::{Opening, Socket};
use crate::{Api, ExecRequest, Streams, http::Query};

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// Input that waits for the process; then the client must wait.
const INPUT_BYTES_MAX: usize = 1024 * 1024;
/// How long output is still awaited when the process has ended; a child may
/// hold it open for ever.
const DRAIN: Duration = Duration::from_secs(5);
/// Longest command line.
const ARGUMENTS_MAX: usize = 1000;

/// `…/pods/NAME/exec`.
///
/// # Errors
/// If the request is no WebSocket or has no command.
pub async fn exec(
    api: std::sync::Arc<Api>,
    (namespace, pod): (String, String),
    query: Query,
    request: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    let wanted = wanted(namespace, pod, &query, query.all("command").map(str::to_string).collect())?;
    if wanted.command.is_empty() {
        return Err(ApiError::bad_request("you must specify at least one command for the container"));
    }
    open(api, wanted, request)
}

/// `…/pods/NAME/attach`.
///
/// # Errors
/// If the request is no WebSocket.
pub async fn attach(
    api: std::sync::Arc<Api>,
    (namespace, pod): (String, String),
    query: Query,
    request: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    let wanted = wanted(namespace, pod, &query, vec![])?;
    open(api, wanted, request)
}

fn wanted(namespace: String, pod: String, query: &Query, command: Vec<String>) -> Result<ExecRequest, ApiError> {
    if command.len() > ARGUMENTS_MAX {
        return Err(ApiError::bad_request(format!("the command has more than {ARGUMENTS_MAX} arguments")));
    }
    let flag = |name| query.flag(name).map(|f| f.unwrap_or(false));
    let container = query.get("container").map(str::to_string);
    let (stdin, stdout, stderr, tty) = (flag("stdin")?, flag("stdout")?, flag("stderr")?, flag("tty")?);
    if !(stdin || stdout || stderr) {
        return Err(ApiError::bad_request("you must specify at least one of stdin, stdout, stderr"));
    }
    if tty && stderr {
        return Err(ApiError::bad_request("tty and stderr cannot both be true"));
    }
    Ok(ExecRequest { namespace, pod, container, command, tty, stdin, stdout, stderr })
}

fn open(api: std::sync::Arc<Api>, wanted: ExecRequest, request: Request<Body>) -> Result<Response<Body>, ApiError> {
    let opening = Opening::of(request, &[V5, V4])?;
    let half_close = opening.protocol == V5;
    let (response, socket) = opening.accept();
    tokio::spawn(async move {
        let Some(socket) = socket.await else { return };
        let first = if wanted.stdout {
            STDOUT
        } else if wanted.stderr {
            STDERR
        } else {
            STATUS
        };
        let backend = api.backend();
        let streams = if wanted.command.is_empty() { backend.attach(wanted) } else { backend.exec(wanted) };
        let streams = streams.await;
        Session::new(socket, half_close).run(first, streams).await;
    });
    Ok(response)
}

struct Session {
    socket: Socket,
    half_close: bool,
    input: VecDeque<Bytes>,
    input_bytes: usize,
    input_ended: bool,
}

/// The client has gone.
struct Gone;

impl Session {
    fn new(socket: Socket, half_close: bool) -> Self {
        Self { socket, half_close, input: VecDeque::new(), input_bytes: 0, input_ended: false }
    }

    async fn run(mut self, first: u8, streams: Result<Streams, ApiError>) {
        // An empty message tells the client that it is connected.
        if self.send(first, &[]).await.is_err() {
            return;
        }
        let status = match streams {
            Err(error) => error.to_status(),
            // The client went; dropping the streams ends the process.
            Ok(streams) => match self.copy(streams).await {
                Err(Gone) => return,
                Ok(status) => status,
            },
        };
        if self.send(STATUS, status.to_string().as_bytes()).await.is_ok() {
            // The close handshake, for a client that takes part in it.
            let frame = CloseFrame { code: CloseCode::Normal, reason: Default::default() };
            let _ = self.socket.close(Some(frame)).await;
            let _ = timeout(DRAIN, async { while let Some(Ok(_)) = self.socket.next().await {} }).await;
        }
    }

    async fn copy(&mut self, mut streams: Streams) -> Result<Value, Gone> {
        let ended = loop {
            if self.input_ended && self.input.is_empty() {
                streams.stdin = None;
            }
            let room = self.input_bytes < INPUT_BYTES_MAX;
            tokio::select! {
                message = self.socket.next(), if room => self.received(message, &streams)?,
                place = reserve(streams.stdin.as_ref()), if !self.input.is_empty() => self.pass_on(place),
                piece = receive(&mut streams.stdout) => self.output(STDOUT, piece, &mut streams.stdout).await?,
                piece = receive(&mut streams.stderr) => self.output(STDERR, piece, &mut streams.stderr).await?,
                ended = &mut streams.exit => break ended,
            }
        };
        let drained = timeout(DRAIN, async {
            while streams.stdout.is_some() || streams.stderr.is_some() {
                tokio::select! {
                    piece = receive(&mut streams.stdout) => self.output(STDOUT, piece, &mut streams.stdout).await?,
                    piece = receive(&mut streams.stderr) => self.output(STDERR, piece, &mut streams.stderr).await?,
                }
            }
            Ok::<(), Gone>(())
        });
        drained.await.unwrap_or(Ok(()))?;
        Ok(match ended {
            Ok(Ok(code)) => exit_status(code),
            Ok(Err(error)) => error.to_status(),
            Err(_) => ApiError::internal("the end of the process was not seen").to_status(),
        })
    }

    fn received(
        &mut self,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
        streams: &Streams,
    ) -> Result<(), Gone> {
        let data = match message {
            Some(Ok(Message::Binary(data))) => data,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
            Some(Ok(_)) => return Ok(()),
        };
        let Some((&channel, rest)) = data.split_first() else { return Ok(()) };
        match channel {
            STDIN if streams.stdin.is_some() && !self.input_ended && !rest.is_empty() => {
                self.input_bytes += rest.len();
                self.input.push_back(data.slice(1..));
            }
            RESIZE => {
                if let (Some(resize), Some(size)) = (&streams.resize, size(rest)) {
                    // A full queue has a newer size than the process has seen.
                    let _ = resize.try_send(size);
                }
            }
            CLOSE if self.half_close && rest == [STDIN] => self.input_ended = true,
            _ => {}
        }
        Ok(())
    }

    fn pass_on(&mut self, place: Option<mpsc::Permit<'_, Vec<u8>>>) {
        match (place, self.input.pop_front()) {
            (Some(place), Some(piece)) => {
                self.input_bytes -= piece.len();
                place.send(piece.to_vec());
            }
            // The process reads no more.
            _ => {
                self.input.clear();
                self.input_bytes = 0;
                self.input_ended = true;
            }
        }
    }

    async fn output(
        &mut self,
        channel: u8,
        piece: Option<Vec<u8>>,
        from: &mut Option<mpsc::Receiver<Vec<u8>>>,
    ) -> Result<(), Gone> {
        match piece {
            Some(piece) if piece.is_empty() => Ok(()),
            Some(piece) => self.send(channel, &piece).await,
            None => {
                *from = None;
                Ok(())
            }
        }
    }

    async fn send(&mut self, channel: u8, data: &[u8]) -> Result<(), Gone> {
        let mut message = Vec::with_capacity(data.len() + 1);
        message.push(channel);
        message.extend_from_slice(data);
        self.socket.send(Message::Binary(message.into())).await.map_err(|_| Gone)
    }
}

async fn receive(from: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match from {
        Some(from) => from.recv().await,
        None => pending().await,
    }
}

/// A place in the queue to the process; `None`: it reads no more.
async fn reserve(to: Option<&mpsc::Sender<Vec<u8>>>) -> Option<mpsc::Permit<'_, Vec<u8>>> {
    to?.reserve().await.ok()
}

fn size(json: &[u8]) -> Option<(u16, u16)> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Size {
        width: u16,
        height: u16,
    }
    let Size { width, height } = serde_json::from_slice(json).ok()?;
    Some((width, height))
}

/// The end of a process as Kubernetes reports it (`v4.channel.k8s.io`).
fn exit_status(code: u32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let parse = |q: &str| {
            let query = Query::parse(Some(q));
            wanted("n".into(), "p".into(), &query, query.all("command").map(str::to_string).collect())
        };
        let got = parse("command=sh&command=-c&command=&container=c&stdin=true&stdout=1&tty=true").unwrap();
        assert_eq!((got.command, got.container.as_deref()), (vec!["sh".into(), "-c".into(), String::new()], Some("c")));
        assert!(got.tty && got.stdin && got.stdout && !got.stderr);
        assert!(parse("command=sh").is_err());
        assert!(parse("command=sh&stdout=1&stderr=1&tty=1").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(size(br#"{"Width":80,"Height":24}"#), Some((80, 24)));
        assert_eq!(size(br#"{"Width":-1,"Height":24}"#), None);
        assert_eq!(size(b""), None);
    }
}
