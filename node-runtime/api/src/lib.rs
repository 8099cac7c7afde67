//! The Kubernetes API over HTTPS: what `kubectl` and other clients talk to.
//!
//! It turns requests into reads and writes of the registry (`store`) and
//! streams of the node ([`Backend`]); it keeps no state but certificates.

mod backend;

pub use backend::{Backend, ExecRequest, LogRequest, Streams};
