//! The Kubernetes API over HTTPS: what `kubectl` and other clients talk to.
//!
//! It turns requests into reads and writes of the registry (`store`) and
//! streams of the node ([`Backend`]); it keeps no state but certificates and
//! tokens.
//!
//! ```text
//! server   TCP, TLS, HTTP         → one request
//! http     address, query, body   → what is wanted
//! auth     certificate or token   → who, and may they
//! rest     verbs on objects       → registry
//! streams  logs, exec, ports      → backend
//! ```

mod api;
pub mod auth;
mod backend;
mod discovery;
mod http;
mod metrics;
mod openapi;
pub mod pki;
mod rest;
mod server;
mod streams;
mod tls;

pub use api::{Api, KUBERNETES, Parts};
pub use backend::{Answer, Backend, Duplex, ExecRequest, LogRequest, Streams};
pub use openapi::OpenApi;
pub use server::{Limits, serve};
pub use tls::{Tls, TlsError};
