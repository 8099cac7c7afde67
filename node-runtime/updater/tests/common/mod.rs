//! Test bench: a publisher, web servers, a machine with power, a boot loader.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

pub mod bench;
pub mod machine;
pub mod publisher;
pub mod server;
