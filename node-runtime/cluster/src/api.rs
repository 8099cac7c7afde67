//! Serving the API: certificates, tokens, the socket.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::Context;
use jiff::Timestamp;
use serde_json::json;
use skerry_api::{
    Api, Limits, OpenApi, Parts, Tls,
    auth::tokens::Tokens,
    pki::{Names, Pki, kubeconfig},
    serve,
};
use skerry_formats::{baked::ApiConfig, status::ApiStatus, versioned::Document as _};
use skerry_orchestrator::Handle;
use skerry_platform::{console, durable};
use skerry_store::Registry;
use tokio::net::TcpListener;

use crate::{Config, backend::NodeBackend, baked::Baked, node};

/// How often certificates are looked at: addresses change, years pass.
const RENEWAL: Duration = Duration::from_secs(3600);
/// Where the API is, for `skerry-node status`.
const STATUS: &str = "api.json";
/// Mark in the folder that is gone after a reboot.
const STARTED: &str = "started";

/// Begin to serve, if the image says so.
///
/// # Errors
/// No certificates, or no socket.
pub(crate) async fn start(
    config: &Config,
    name: &str,
    registry: Registry,
    baked: &Baked,
    handle: Handle,
) -> anyhow::Result<()> {
    let Some(api) = &baked.node.api else { return Ok(()) };
    let listen: SocketAddr = api.listen.parse().with_context(|| format!("api.listen = {:?}", api.listen))?;
    let dir = config.state_dir.join("pki");
    let pki = Pki::open(&dir).with_context(|| format!("opening {}", dir.display()))?;
    let now = Timestamp::now();
    let tls = Tls::new(&pki, &pki.server(&names(name), now)?)?;
    let tokens = config.run_dir.join("tokens.json");
    durable::create_dir_all(&config.run_dir)?;
    durable::write_file_atomic_mode(&tokens, &token_file(api), 0o600)?;
    admin(config, name, &pki, listen.port(), now)?;
    let backend = NodeBackend::new(config, name, registry.store().clone(), handle);
    let api = Api::new(Parts {
        registry,
        backend,
        tokens: Tokens::new(tokens),
        openapi: OpenApi::of_kinds(),
        version: env!("CARGO_PKG_VERSION").into(),
        now: Timestamp::now,
    });
    tell(config, listen, &pki);
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    tracing::info!("the Kubernetes API is served on {listen}");
    tokio::spawn(serve(listener, tls.clone(), api, Limits::default(), std::future::pending()));
    tokio::spawn(renew(pki, tls, name.to_owned()));
    Ok(())
}

/// Say where the API is and by which fingerprint to know the node: to whoever
/// asks, and to people in front of the box once per boot.
fn tell(config: &Config, listen: SocketAddr, pki: &Pki) {
    let sha256 = pki.fingerprint();
    tracing::info!("the authority of this node has the SHA-256 {sha256}");
    let path = config.run_dir.join(STATUS);
    if config.console && !path.exists() {
        console::console_line(&format!("skerry: Kubernetes API on {listen}, authority SHA-256 {sha256}"));
    }
    let Ok(authority_sha256) = sha256.parse() else { return };
    let status = ApiStatus { format: ApiStatus::header(), listen: listen.to_string(), authority_sha256 };
    if let Err(e) = durable::write_file_atomic_mode(&path, &status.to_bytes(), 0o644) {
        tracing::warn!("{}: {e}", path.display());
    }
}

fn names(node: &str) -> Names {
    Names { node: node.into(), dns: vec![], addresses: node::addresses() }
}

/// The administrator's kubeconfig, for programs on the node itself.
fn admin(config: &Config, name: &str, pki: &Pki, port: u16, now: Timestamp) -> anyhow::Result<()> {
    let text = kubeconfig(name, &format!("https://127.0.0.1:{port}"), pki.ca_pem(), "admin", &pki.admin(now)?);
    let path = config.run_dir.join("admin.kubeconfig");
    Ok(durable::write_file_atomic_mode(&path, text.as_bytes(), 0o600)?)
}

/// The tokens that the image brings, as the server reads them.
fn token_file(api: &ApiConfig) -> Vec<u8> {
    let one = |t: &skerry_formats::baked::ApiToken| json!({"user": t.user, "role": t.role, "sha256": t.sha256});
    let tokens: Vec<_> = api.tokens.iter().map(one).collect();
    json!({"version": 1, "tokens": tokens}).to_string().into_bytes()
}

async fn renew(pki: Pki, tls: Tls, name: String) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let renewed = pki.server(&names(&name), Timestamp::now());
        let replaced = renewed.map_err(anyhow::Error::from).and_then(|leaf| Ok(tls.replace(&leaf)?));
        if let Err(e) = replaced {
            tracing::error!("the server's certificate stays as it is: {e:#}");
        }
    }
}

/// Was the node booted since the last start of this process? Until
/// [`note_start`] is called.
pub(crate) fn first_since_boot(run_dir: &Path) -> bool {
    !run_dir.join(STARTED).exists()
}

/// From now on, starts are no longer the first.
pub(crate) fn note_start(run_dir: &Path) {
    let made = fs::create_dir_all(run_dir).and_then(|()| fs::write(run_dir.join(STARTED), b""));
    if let Err(e) = made {
        tracing::warn!("{}: {e}", run_dir.join(STARTED).display());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use skerry_api::auth::tokens;
    use skerry_formats::baked::ApiToken;

    use super::*;

    #[test]
    fn the_server_reads_the_tokens_of_the_image() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("t.json");
        let token = ApiToken { user: "ann".into(), role: "view".into(), sha256: "00".repeat(32) };
        let api = ApiConfig { listen: "0.0.0.0:6443".into(), tokens: vec![token] };
        fs::write(&path, token_file(&api)).unwrap();
        let read = tokens::list(&path).unwrap();
        assert_eq!((read[0].user.as_str(), read[0].role), ("ann", skerry_api::auth::Role::View));
    }

    #[test]
    fn only_the_first_start_is_the_first() {
        let d = tempfile::tempdir().unwrap();
        assert!(first_since_boot(d.path()));
        note_start(d.path());
        assert!(!first_since_boot(d.path()));
    }
}
