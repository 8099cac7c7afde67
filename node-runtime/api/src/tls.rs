//! TLS of the server: our certificate, which can be replaced while it runs,
//! and client certificates of the node's authority. The authority is shown
//! after our certificate, so that a client can compare its fingerprint and keep
//! it.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::CertificateDer,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use crate::pki::{Leaf, Pki};

/// TLS settings of the server. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    authority: CertificateDer<'static>,
}

/// Settings that rustls does not take.
#[derive(Debug, thiserror::Error)]
#[error("cannot set TLS up: {0}")]
pub struct TlsError(String);

impl Tls {
    /// With this authority's clients and this certificate.
    ///
    /// # Errors
    /// If certificate and key do not fit.
    pub fn new(pki: &Pki, leaf: &Leaf) -> Result<Self, TlsError> {
        Self::with(pki.ca_der().clone(), leaf)
    }

    fn with(authority: CertificateDer<'static>, leaf: &Leaf) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).map_err(|e| TlsError(e.to_string()))?;
        // Without certificate a token may say who it is.
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|e| TlsError(e.to_string()))?;
        let current = Arc::new(Current(RwLock::new(certified(leaf, &authority)?)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError(e.to_string()))?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(current.clone());
        // WebSockets need HTTP/1.1; clients that want them offer only that.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), current, authority })
    }

    /// Use another certificate for new connections.
    ///
    /// # Errors
    /// If certificate and key do not fit; the old one stays.
    pub fn replace(&self, leaf: &Leaf) -> Result<(), TlsError> {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = certified(leaf, &self.authority)?;
        Ok(())
    }

    /// The settings for rustls.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

fn certified(leaf: &Leaf, authority: &CertificateDer<'static>) -> Result<Arc<CertifiedKey>, TlsError> {
    let own = leaf.certified().map_err(|e| TlsError(e.to_string()))?;
    let mut shown = CertifiedKey::clone(&own);
    shown.cert.push(authority.clone());
    Ok(Arc::new(shown))
}

struct Current(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
