//! Streams: logs, processes in containers, ports of pods.
//!
//! exec and attach speak Kubernetes' WebSocket channel protocols; port-forward
//! speaks SPDY/3.1 inside a WebSocket, as `kubectl` does since 1.31. The older
//! way, SPDY in place of HTTP, is refused.

mod exec;
mod log;
mod portforward;
mod spdy;
mod websocket;

pub use exec::{attach, exec};
pub use log::log;
pub use portforward::forward;
