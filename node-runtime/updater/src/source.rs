//! HTTP: one client for metadata and objects, every received byte counted.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode, header};
use tough::{Transport, TransportError, TransportErrorKind, TransportStream};
use url::Url;

/// Time to get a connection.
pub const CONNECT_SECS_MAX: u64 = 20;
/// Time without a single byte after which an answer counts as lost.
pub const SILENCE_SECS_MAX: u64 = 30;
/// Redirects that are followed.
pub const REDIRECTS_MAX: usize = 3;
/// Largest metadata file, a second line behind the limits of the TUF client.
pub const METADATA_BYTES_MAX: u64 = 16 << 20;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, a broken one or a silent one.
    #[error("cannot fetch {url}")]
    Network {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Some other status.
    #[error("the server answered {status} for {url}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// A web page instead of the file.
    #[error("the server answered with a web page instead of {0}; is there a captive portal in between?")]
    Html(String),
    /// More bytes than the file can have.
    #[error("the answer for {0} is too large")]
    TooLarge(String),
    /// The answer ended early without an error.
    #[error("the answer for {url} ended after {found} of {expected} bytes")]
    Short {
        /// What was asked for.
        url: String,
        /// Bytes expected.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// The URL in the configuration is none.
    #[error("{0:?} is not a usable URL")]
    Url(String),
}

impl HttpError {
    /// Is the link or the server away, rather than its content wrong?
    pub fn is_network(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Short { .. } | Self::Html(_) => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge(_) | Self::Url(_) => false,
        }
    }
}

/// The update repository as a web server.
#[derive(Debug, Clone)]
pub struct Source {
    base: Url,
    client: Client,
    received: Arc<AtomicU64>,
}

impl Source {
    /// A repository at `base` (with `metadata/`, `targets/` and `objects/`
    /// below it).
    ///
    /// # Errors
    /// [`HttpError::Url`]; [`HttpError::Network`] if no client can be made.
    pub fn new(base: &str) -> Result<Self, HttpError> {
        let text = format!("{}/", base.trim_end_matches('/'));
        let base = Url::parse(&text).map_err(|_| HttpError::Url(text.clone()))?;
        let client = Client::builder()
            .user_agent(concat!("skerry/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(CONNECT_SECS_MAX))
            .read_timeout(Duration::from_secs(SILENCE_SECS_MAX))
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            .build()
            .map_err(|source| HttpError::Network { url: text, source })?;
        Ok(Self { base, client, received: Arc::default() })
    }

    /// URL of something below the base.
    ///
    /// # Errors
    /// [`HttpError::Url`].
    pub fn url(&self, path: &str) -> Result<Url, HttpError> {
        self.base.join(path).map_err(|_| HttpError::Url(path.into()))
    }

    /// Start a GET.
    pub fn get(&self, url: &Url) -> RequestBuilder {
        self.client.get(url.clone())
    }

    /// Send a request; statuses other than 2xx and 416 and web pages are errors.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Response, HttpError> {
        let response = request.send().await.map_err(|source| network(url, source))?;
        let status = response.status();
        if !status.is_success() && status != StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(HttpError::Status { url: url.to_string(), status });
        }
        if is_html(&response) {
            return Err(HttpError::Html(url.to_string()));
        }
        Ok(response)
    }

    /// Next piece of a body; counted.
    ///
    /// # Errors
    /// [`HttpError::Network`].
    pub async fn chunk(&self, url: &Url, response: &mut Response) -> Result<Option<Bytes>, HttpError> {
        let chunk = response.chunk().await.map_err(|source| network(url, source))?;
        if let Some(c) = &chunk {
            self.received.fetch_add(c.len() as u64, Ordering::Relaxed);
        }
        Ok(chunk)
    }

    /// Bytes received since this was last asked.
    pub fn take_received(&self) -> u64 {
        self.received.swap(0, Ordering::Relaxed)
    }
}

fn network(url: &Url, source: reqwest::Error) -> HttpError {
    HttpError::Network { url: url.to_string(), source: source.without_url() }
}

fn is_html(r: &Response) -> bool {
    let kind = r.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/html")
}

#[async_trait]
impl Transport for Source {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let response = self.send(&url, self.get(&url)).await.map_err(|e| transport_error(&url, e))?;
        if response.content_length().is_some_and(|n| n > METADATA_BYTES_MAX) {
            return Err(transport_error(&url, HttpError::TooLarge(url.to_string())));
        }
        let received = self.received.clone();
        let stream = futures::stream::unfold((response, url, 0u64), move |(mut response, url, seen)| {
            let received = received.clone();
            async move {
                let chunk = match response.chunk().await {
                    Ok(None) => return None,
                    Ok(Some(c)) => c,
                    Err(e) => return Some((Err(transport_error(&url, network(&url, e))), (response, url, seen))),
                };
                received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                let seen = seen + chunk.len() as u64;
                let item = if seen > METADATA_BYTES_MAX {
                    Err(transport_error(&url, HttpError::TooLarge(url.to_string())))
                } else {
                    Ok(chunk)
                };
                Some((item, (response, url, seen)))
            }
        });
        Ok(Box::pin(SyncStream(stream.boxed().into())))
    }
}

fn transport_error(url: &Url, e: HttpError) -> TransportError {
    let kind = match &e {
        HttpError::Status { status, .. } if *status == StatusCode::NOT_FOUND || *status == StatusCode::FORBIDDEN => {
            TransportErrorKind::FileNotFound
        }
        _ => TransportErrorKind::Other,
    };
    TransportError::new_with_cause(kind, url.as_str(), e)
}

/// Makes a stream `Sync`, which the TUF client asks for. The lock is never
/// taken: polling has `&mut`.
struct SyncStream(std::sync::Mutex<futures::stream::BoxStream<'static, Result<Bytes, TransportError>>>);

impl futures::Stream for SyncStream {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.get_mut() {
            Ok(stream) => stream.poll_next_unpin(cx),
            Err(_) => Poll::Ready(None),
        }
    }
}
