//! The orchestrator: runs pods and keeps them running, as the kubelet does.
//!
//! [`input::Input`] (objects) becomes [`desired`]; that and [`observed`]
//! (containerd, probes) go into [`plan`], a pure function that returns actions;
//! `reconcile` carries them out and starts over until nothing is left to do.
//! Whatever changed the state — a crash, a person, a kill of containerd or of
//! this process — the next round sees it and converges. What was seen goes out
//! as [`input::Output`]: statuses of pods, events, deletions that are done.
//!
//! Containers are containerd's; they live on when this process or containerd
//! restarts, and are found again by their labels. Nothing is remembered that
//! cannot be read back, except what may be forgotten.

mod apparmor;
pub mod attach;
mod cgroup;
pub mod config;
pub mod containerd;
pub mod desired;
mod drain;
mod executor;
mod host;
pub mod input;
pub mod logs;
pub mod network;
pub mod observed;
pub mod plan;
pub mod pod_status;
mod probes;
mod reconcile;
mod rootfs;
pub mod spec;
mod status;
mod storage;
#[cfg(test)]
mod testing;

use std::sync::Arc;

pub use attach::Handle;
pub use config::{AppRoots, Config};

use anyhow::Context;

/// Run the baked workloads until SIGTERM or SIGINT. Containers keep running
/// after that, unless the whole system goes down: then they are ended first.
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
    // Never changes; the sender lives as long as the loop.
    let (_sender, input) = tokio::sync::watch::channel(Arc::new(baked_input(&config)?));
    runtime.block_on(serve(config, input, None))
}

/// The same as a future, with objects from elsewhere and somebody who takes
/// what comes out. Begin with [`baked_input`] or what the store holds.
///
/// # Errors
/// As [`run`].
pub async fn serve(
    config: Config,
    input: tokio::sync::watch::Receiver<Arc<input::Input>>,
    output: Option<tokio::sync::mpsc::Sender<input::Output>>,
) -> anyhow::Result<()> {
    let handle = Handle::new(&config);
    serve_with(config, input, output, handle).await
}

/// The same with a [`Handle`] that was made before, for whoever reads logs of
/// what runs here or attaches to it.
///
/// # Errors
/// As [`run`].
pub async fn serve_with(
    config: Config,
    input: tokio::sync::watch::Receiver<Arc<input::Input>>,
    output: Option<tokio::sync::mpsc::Sender<input::Output>>,
    handle: Handle,
) -> anyhow::Result<()> {
    reconcile::run(config, input, output, handle.live()).await
}

/// What the image brings: images, and its Deployments as pods.
///
/// # Errors
/// The node's configuration is unreadable.
pub fn baked_input(config: &Config) -> anyhow::Result<input::Input> {
    reconcile::baked(config)
}

/// The containerd of this configuration, for `exec` by the API. The id of a
/// container is in `status.containerStatuses[].containerID`.
pub fn containerd_client(config: &Config) -> containerd::Client {
    containerd::Client::new(
        &config.containerd_socket,
        &config.containerd_namespace,
        &config.runtime_name,
        &config.oci_runtime,
        &config.run_dir,
    )
}

/// Log file of one run of a container; `run` is its restart count.
pub fn log_path(
    config: &Config,
    namespace: &str,
    pod: &str,
    uid: &str,
    container: &str,
    run: u32,
) -> std::path::PathBuf {
    host::log_file(config, namespace, pod, uid, container, run)
}
