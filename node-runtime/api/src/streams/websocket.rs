//! Opening a WebSocket (RFC 6455) with one of Kubernetes' subprotocols.

use aws_lc_rs::digest;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use skerry_machinery::{ApiError, Reason};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};

/// A WebSocket to a client.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Largest message that is taken; kubectl sends pieces of 32 KiB.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// What waits to be sent, at most.
const SEND_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
const BUFFER_BYTES: usize = 16 * 1024;

/// A request for a WebSocket that was found in order.
pub struct Opening {
    /// Subprotocol that both sides speak.
    pub protocol: &'static str,
    response: Response<Body>,
    upgrade: OnUpgrade,
}

impl Opening {
    /// Look at a request; `protocols` in our order of preference.
    ///
    /// # Errors
    /// 400 with a hint for what is no WebSocket, or speaks no known protocol.
    pub fn of(mut request: Request<Body>, protocols: &[&'static str]) -> Result<Self, ApiError> {
        let headers = request.headers();
        if has(headers, header::UPGRADE, "spdy/3.1") {
            let why = "streams over SPDY are not served; use a client that streams over WebSockets, \
                       such as kubectl 1.31 or later";
            return Err(ApiError::bad_request(why));
        }
        let websocket = request.method() == Method::GET && has(headers, header::UPGRADE, "websocket");
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| websocket);
        let Some(key) = key else {
            return Err(ApiError::bad_request("an upgrade to a WebSocket is required"));
        };
        let accept = accept(key.as_bytes());
        let found = protocols.iter().find(|p| has(headers, header::SEC_WEBSOCKET_PROTOCOL, p));
        let Some(protocol) = found else {
            let why = format!("none of the WebSocket protocols that are served was offered: {}", protocols.join(", "));
            return Err(ApiError::bad_request(why));
        };
        let upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let upgrade = upgrade.ok_or_else(|| ApiError::new(Reason::BadRequest, "this connection cannot be upgraded"))?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        Ok(Self { protocol, response, upgrade })
    }

    /// The answer to send now, and the socket that is there after it.
    pub fn accept(self) -> (Response<Body>, impl Future<Output = Option<Socket>>) {
        let upgrade = self.upgrade;
        let socket = async move {
            let io = TokioIo::new(upgrade.await.ok()?);
            let config = WebSocketConfig::default()
                .read_buffer_size(BUFFER_BYTES)
                .write_buffer_size(BUFFER_BYTES)
                .max_write_buffer_size(SEND_BYTES_MAX)
                .max_message_size(Some(MESSAGE_BYTES_MAX))
                .max_frame_size(Some(MESSAGE_BYTES_MAX));
            Some(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
        };
        (self.response, socket)
    }
}

fn accept(key: &[u8]) -> HeaderValue {
    // RFC 6455 4.2.2; SHA-1 is no protection here, just the protocol.
    let salted = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &salted);
    HeaderValue::from_str(&STANDARD.encode(hash)).expect("base64 is ASCII")
}

/// Does a header with a comma-separated list have this word?
fn has(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|w| w.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let refused = |name: &str, value: &str| {
            let request = Request::builder().header(name, value).body(Body::empty()).unwrap();
            Opening::of(request, &["v5.channel.k8s.io"]).map(|_| ()).unwrap_err()
        };
        let spdy = refused("upgrade", "SPDY/3.1");
        assert_eq!(spdy.code(), 400);
        assert!(spdy.message.contains("WebSockets"), "{spdy}");
        assert_eq!(refused("accept", "*/*").code(), 400);
    }
}
