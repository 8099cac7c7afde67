//! containerd as the orchestrator sees it: a trait, the real one and one in
//! memory.

mod client;
mod exec;
pub mod fake;
mod labels;

use std::{collections::BTreeMap, time::SystemTime};

pub use client::Client;
pub use exec::{Exec, NewExec, OUTPUT_BYTES_MAX, Outcome};
pub use labels::{from_map, to_map};

use crate::observed::Labels;

/// Why containerd did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// containerd does not answer.
    #[error("containerd does not answer at {socket}: {detail}")]
    Unreachable {
        /// Its socket.
        socket: String,
        /// Why.
        detail: String,
    },
    /// It answers, but refused.
    #[error("{operation} {id}: {detail}")]
    Refused {
        /// `list`, `create container`, `create task`, `start`, `exec`, `settle`, `kill`, `delete`.
        operation: &'static str,
        /// Container id.
        id: String,
        /// What containerd said.
        detail: String,
    },
}

/// A container as containerd lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Id.
    pub id: String,
    /// Labels that could be read.
    pub labels: Labels,
    /// Task.
    pub task: Task,
    /// When the container was made.
    pub created: Option<SystemTime>,
}

/// State of a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// There is none, or it was created and never started.
    None,
    /// It runs as this process.
    Running {
        /// Process id.
        pid: u32,
    },
    /// It has ended.
    Stopped {
        /// Exit status.
        code: u32,
        /// When, as containerd says.
        at: Option<SystemTime>,
    },
}

/// All that is needed to start a container.
#[derive(Debug, Clone, PartialEq)]
pub struct NewContainer {
    /// Id.
    pub id: String,
    /// Image reference, for people.
    pub image: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// OCI runtime spec, JSON.
    pub spec: Vec<u8>,
    /// Options of the one overlay mount that is the root.
    pub rootfs: Rootfs,
    /// Terminal?
    pub terminal: bool,
    /// FIFO for standard input; empty: there is none.
    pub stdin: String,
    /// FIFO for standard output.
    pub stdout: String,
    /// FIFO for standard error.
    pub stderr: String,
}

/// The root file system's mount.
#[derive(Debug, Clone, PartialEq)]
pub struct Rootfs {
    /// `overlay`.
    pub kind: String,
    /// Source.
    pub source: String,
    /// Options.
    pub options: Vec<String>,
}

/// What the orchestrator needs of a container runtime.
#[expect(async_fn_in_trait, reason = "used with static dispatch on one thread")]
pub trait Runtime {
    /// All containers in our namespace.
    async fn list(&self) -> Result<Vec<Listed>, RuntimeError>;
    /// Create and start. If a step fails, the container may be there without a
    /// task.
    async fn start(&self, new: NewContainer) -> Result<u32, RuntimeError>;
    /// The task has ended: write the labels on the container, remove the task
    /// and with it the shim.
    async fn settle(&self, id: &str, labels: BTreeMap<String, String>) -> Result<(), RuntimeError>;
    /// Send a signal; a process that is gone is fine.
    async fn signal(&self, id: &str, signal: u32) -> Result<(), RuntimeError>;
    /// Remove task and container; kills what still runs; missing is fine.
    async fn remove(&self, id: &str) -> Result<(), RuntimeError>;
}
