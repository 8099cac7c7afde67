//! What the API needs of the node beside objects: logs, processes in
//! containers, ports of pods, figures. Implemented by the orchestrator.

use std::{future::Future, pin::Pin};

use serde_json::Value;
use skerry_machinery::{ApiError, Kind};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};

/// A future that is sent between tasks.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// `GET …/pods/NAME/log`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// Namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// Container; `None`: the only one, or the default one.
    pub container: Option<String>,
    /// The ended run before this one.
    pub previous: bool,
    /// Go on with new lines.
    pub follow: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// Not more bytes than this.
    pub limit_bytes: Option<u64>,
    /// Only lines of the last seconds.
    pub since_seconds: Option<u64>,
    /// Only lines after this time, RFC 3339.
    pub since_time: Option<String>,
    /// RFC 3339 time in front of each line.
    pub timestamps: bool,
}

/// `exec` and `attach`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// Namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// Container; `None`: the only one, or the default one.
    pub container: Option<String>,
    /// Program and arguments; empty: attach.
    pub command: Vec<String>,
    /// Terminal?
    pub tty: bool,
    /// Is there an input?
    pub stdin: bool,
    /// Is the output wanted?
    pub stdout: bool,
    /// Is the error output wanted (never with a terminal)?
    pub stderr: bool,
}

/// The ends of a process in a container, bounded channels of pieces.
#[derive(Debug)]
pub struct Streams {
    /// To its input; dropping it closes the input.
    pub stdin: Option<mpsc::Sender<Vec<u8>>>,
    /// Its output.
    pub stdout: Option<mpsc::Receiver<Vec<u8>>>,
    /// Its error output.
    pub stderr: Option<mpsc::Receiver<Vec<u8>>>,
    /// To its terminal: columns and rows.
    pub resize: Option<mpsc::Sender<(u16, u16)>>,
    /// Its exit status. Dropping the receiver ends an exec'ed process.
    pub exit: oneshot::Receiver<Result<u32, ApiError>>,
}

/// A connection to a pod's port.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What the node does for the API.
pub trait Backend: Send + Sync {
    /// Lines of a container's log, in pieces.
    fn logs(&self, request: LogRequest) -> Answer<'_, mpsc::Receiver<Vec<u8>>>;
    /// Run a program in a container.
    fn exec(&self, request: ExecRequest) -> Answer<'_, Streams>;
    /// The ends of a container's own process.
    fn attach(&self, request: ExecRequest) -> Answer<'_, Streams>;
    /// Connect to a port of a pod.
    fn connect<'a>(&'a self, namespace: &'a str, pod: &'a str, port: u16) -> Answer<'a, Box<dyn Duplex>>;
    /// Objects of a kind that is made when asked for ([`Source::View`]
    /// (skerry_machinery::Source::View)): `NodeMetrics`, `PodMetrics`,
    /// `Release`. Complete with `metadata`.
    fn view<'a>(&'a self, kind: &'static Kind, namespace: Option<&'a str>) -> Answer<'a, Vec<Value>>;
    /// Why the node is not ready; `None`: it is (`/readyz`).
    fn not_ready(&self) -> Option<String>;
}
