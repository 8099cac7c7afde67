//! A cluster of one node: the Kubernetes API, its controllers and the kubelet
//! part in one process.
//!
//! ```text
//! kubectl ─TLS─► api ─► Registry ([`admission`]) ─► Store (memory, SQLite)
//! baked manifests ([`baked`]) ──┘        ▲  │ changed
//!                                        │  ▼
//!                         controllers ([`control`]) ─ pods, services ─► kubelet part
//!                                        ▲                                  │
//!                                        └── statuses, events, deletions ───┘
//! ```
//!
//! Everything runs on one thread: nothing here computes for long, and a thread
//! less is memory less.

pub mod addresses;
pub mod admission;
mod api;
mod backend;
mod baked;
mod capacity;
mod claims;
mod config;
mod control;
mod events;
mod images;
mod metrics;
mod names;
mod node;
pub mod offline;
mod rollback;
mod store;
pub mod view;
pub mod workloads;

pub use config::Config;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use skerry_store::{Registry, SystemEnvironment};
use tokio::sync::{mpsc, watch};

/// Pieces that wait on their way from the kubelet part.
const OUTPUTS_MAX: usize = 256;

/// Run the node until SIGTERM or SIGINT. Containers keep running after that.
///
/// # Errors
/// What makes any work impossible: the baked configuration is unreadable, or
/// folders cannot be made. Everything else is retried and reported in the
/// status document.
pub fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(2))
        .build()
        .context("starting the asynchronous runtime")?;
    runtime.block_on(serve(config))
}

/// The same as a future.
///
/// # Errors
/// As [`run`].
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let baked = Arc::new(baked::Baked::read(&config.kubelet)?);
    let name = config.node_name();
    let handle = skerry_orchestrator::Handle::new(&config.kubelet);
    let store = store::open(&config)?;
    let ipv6 = config.kubelet.ipv6();
    let admission = Arc::new(admission::NodeAdmission { ipv6, ..admission::NodeAdmission::default() });
    let registry = Registry::new(store.clone(), admission, Arc::new(SystemEnvironment));
    let (outputs, from_kubelet) = mpsc::channel(OUTPUTS_MAX);
    let mut control = control::Control::new(&config, &name, registry.clone(), baked.clone());
    control.begin();
    let app_roots = control.app_roots();
    let (to_kubelet, inputs) = watch::channel(Arc::new(control.input()));
    let api = api::start(&config, &name, registry, &baked, handle.clone());
    if let Err(e) = api.await {
        // Workloads run without it, and the node must come up.
        tracing::error!("the Kubernetes API is not served: {e:#}");
    }
    let controlling = tokio::spawn(control.run(from_kubelet, to_kubelet));
    let naming = tokio::spawn(names::serve(config.kubelet.gateway(), store.clone()));
    let kubelet =
        skerry_orchestrator::Config { cluster_dns: Some(config.kubelet.gateway()), app_roots, ..config.kubelet };
    let ended = skerry_orchestrator::serve_with(kubelet, inputs, Some(outputs), handle).await;
    naming.abort();
    controlling.abort();
    store.close();
    ended
}
