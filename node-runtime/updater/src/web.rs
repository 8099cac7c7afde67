//! The status page: read-only, plain HTTP.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use skerry_formats::{status::NodeStatus, versioned::Document as _};

use crate::{Config, health, status};

/// Serve until the process ends.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(cfg: Arc<Config>, listen: String) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let listener = tokio::net::TcpListener::bind(&listen).await.with_context(|| format!("listening on {listen}"))?;
    Ok(axum::serve(listener, router(cfg)).await?)
}

/// The routes.
pub fn router(cfg: Arc<Config>) -> Router {
    Router::new().route("/status", get(page)).route("/healthz", get(healthz)).with_state(cfg)
}

async fn page(State(cfg): State<Arc<Config>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], status::node_status(&cfg).to_bytes())
}

async fn healthz(State(cfg): State<Arc<Config>>) -> impl IntoResponse {
    verdict(&status::node_status(&cfg))
}

fn verdict(s: &NodeStatus) -> (StatusCode, String) {
    match health::judge(s.orchestrator.as_ref(), s.uptime_secs as u64) {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(p) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}: {}\n", p.what, p.why)),
    }
}
