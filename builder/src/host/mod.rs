//! The host: programs that are started, and the terminal that is drawn on.

pub mod render;
mod run;
pub mod tools;

pub use run::{HostError, run};
