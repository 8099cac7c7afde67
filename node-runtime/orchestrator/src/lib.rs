//! The orchestrator: runs the baked workloads and keeps them running.
//!
//! [`desired`] (manifests) and [`observed`] (containerd, probes) go into
//! [`plan`], a pure function that returns actions; [`reconcile`] carries them
//! out and starts over until nothing is left to do. Whatever changed the state
//! — a crash, a person, a kill of containerd or of this process — the next
//! round sees it and converges.
//!
//! Containers are containerd's; they live on when this process or containerd
//! restarts, and are found again by their labels. Nothing is remembered that
//! cannot be read back, except what may be forgotten.

pub mod config;
pub mod containerd;
pub mod desired;
mod executor;
mod host;
mod logs;
pub mod network;
pub mod observed;
pub mod plan;
mod probes;
mod reconcile;
mod rootfs;
pub mod spec;
mod status;
#[cfg(test)]
mod testing;

pub use config::{AppRoots, Config};

use anyhow::Context;

/// Run until SIGTERM or SIGINT. Containers keep running after that.
///
/// # Errors
/// What makes any work impossible: the baked configuration is unreadable, or
/// the runtime folders cannot be made. Everything else is retried and reported
/// in the status document.
pub fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .build()
        .context("starting the asynchronous runtime")?;
    runtime.block_on(reconcile::run(config))
}
