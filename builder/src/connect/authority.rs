//! The certificate authority of a node, as the node itself shows it.
//!
//! A node makes its authority at its first start, so nobody can vouch for it
//! beforehand: somebody compares its fingerprint with what the node's console
//! or `skerry-node status` says, has its certificate already, or trusts the
//! network once. The node sends the authority's certificate after its own;
//! [`fetch`] ends the connection after the handshake, before anything secret
//! is said.

use std::{
    fmt, io,
    net::{TcpStream, ToSocketAddrs as _},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest as _, Sha256};

use super::NodeAddress;

/// A name that every node's certificate has.
const COMMON_NAME: &str = "kubernetes";
/// Longest wait for the node, for each step.
const PATIENCE: Duration = Duration::from_secs(20);

/// SHA-256 of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// 64 hex digits, with colons or without.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let mut bytes = [0; 32];
        match hex::decode_to_slice(&digits, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err("a fingerprint is SHA-256 in 64 hex digits, as `skerry-node status` shows it".into()),
        }
    }
}

/// What makes an authority the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// It has this fingerprint.
    Fingerprint(Fingerprint),
    /// It is this one.
    Certificate(CertificateDer<'static>),
    /// Whatever the node shows.
    FirstUse,
}

/// The authority of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Certificate.
    pub certificate_pem: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The name to look for in the node's certificate, where that has not the
    /// one that it was reached by.
    pub server_name: Option<String>,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection.
    #[error("cannot connect to {node}; is it on, and has its image spec an [api]?")]
    Connect {
        /// Node.
        node: NodeAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No TLS.
    #[error("{node} does not speak TLS as a node does")]
    Handshake {
        /// Node.
        node: NodeAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node did not send its authority.
    #[error("the node shows no certificate authority; give its certificate with --ca")]
    NotShown,
    /// The node is another one.
    #[error("the node's authority has the fingerprint {found}, not {wanted}: it is another node, or somebody between")]
    Mismatch {
        /// Fingerprint that was asked for.
        wanted: Fingerprint,
        /// Fingerprint of what the node shows.
        found: Fingerprint,
    },
    /// The node's certificate is not this authority's.
    #[error("the node's certificate is not of the authority {authority}: it is another node, or somebody between")]
    NotOf {
        /// Fingerprint.
        authority: Fingerprint,
        /// Why.
        #[source]
        source: Error,
    },
    /// TLS cannot be set up.
    #[error("cannot set TLS up")]
    Setup(#[source] Error),
}

/// Ask a node for its authority and hold it against what is trusted.
///
/// # Errors
/// [`ConnectError`].
pub fn fetch(node: &NodeAddress, trust: &Trust) -> Result<Authority, ConnectError> {
    let name = ServerName::try_from(node.host.clone())
        .map_err(|e| ConnectError::Connect { node: node.clone(), source: io::Error::other(e) })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let seen = Arc::new(Seen { provider: provider.clone(), chain: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ConnectError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), name.clone()).map_err(ConnectError::Setup)?;
    let mut tcp = connect(node).map_err(|source| ConnectError::Connect { node: node.clone(), source })?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).map_err(|source| ConnectError::Handshake { node: node.clone(), source })?;
    }
    let chain = std::mem::take(&mut *seen.chain.lock().unwrap_or_else(PoisonError::into_inner));
    judge(&chain, trust, &name, UnixTime::now())
}

fn connect(node: &NodeAddress) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (node.host.as_str(), node.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(tcp) => {
                tcp.set_read_timeout(Some(PATIENCE))?;
                tcp.set_write_timeout(Some(PATIENCE))?;
                return Ok(tcp);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Which of the certificates that a node showed is its authority, and may it
/// be trusted? Pure.
fn judge(
    chain: &[CertificateDer<'static>],
    trust: &Trust,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<Authority, ConnectError> {
    let (Some(own), shown) = (chain.first(), chain.get(1..).unwrap_or_default()) else {
        return Err(ConnectError::NotShown);
    };
    let last = || shown.last().ok_or(ConnectError::NotShown);
    let authority = match trust {
        Trust::Certificate(known) => known,
        Trust::FirstUse => last()?,
        Trust::Fingerprint(wanted) => match shown.iter().find(|c| Fingerprint::of(c) == *wanted) {
            Some(found) => found,
            None => return Err(ConnectError::Mismatch { wanted: *wanted, found: Fingerprint::of(last()?) }),
        },
    };
    let fingerprint = Fingerprint::of(authority);
    let server_name =
        signed(own, authority, name, now).map_err(|source| ConnectError::NotOf { authority: fingerprint, source })?;
    Ok(Authority { certificate_pem: pem(authority), fingerprint, server_name })
}

/// Is the node's own certificate of this authority? The name to look for in
/// it, if that is not `name`: an authority has one node only, so any of the
/// node's names will do.
fn signed(
    own: &CertificateDer<'_>,
    authority: &CertificateDer<'static>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<Option<String>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|e| Error::General(e.to_string()))?;
    match verifier.verify_server_cert(own, &[], name, &[], now) {
        Ok(_) => Ok(None),
        Err(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => {
            let common = ServerName::try_from(COMMON_NAME).map_err(|e| Error::General(e.to_string()))?;
            verifier.verify_server_cert(own, &[], &common, &[], now).map(|_| Some(COMMON_NAME.to_owned()))
        }
        Err(e) => Err(e),
    }
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

/// Notes what the other side shows and that it has the key to it; [`judge`]
/// decides afterwards.
#[derive(Debug)]
struct Seen {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(own).chain(others).map(|c| c.clone().into_owned());
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = all.collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fingerprints() {
        let hex = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(hex.parse::<Fingerprint>().unwrap(), colons.parse().unwrap());
        assert_eq!(colons.parse::<Fingerprint>().unwrap().to_string(), hex);
        for bad in ["", "ab", &"ab".repeat(33), &"zz".repeat(32)] {
            assert!(bad.parse::<Fingerprint>().unwrap_err().contains("64 hex digits"));
        }
    }
}
