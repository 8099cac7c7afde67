//! `skerry kubeconfig` against the TLS of a node's API.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    sync::Arc,
    thread,
};

use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use skerry::connect::{Authority, ConnectError, Fingerprint, Trust, fetch};
use skerry_api::{
    Tls,
    pki::{Names, Pki},
};

/// A node's API until the handshake is over, for as long as the test lives.
struct Node {
    pki: Pki,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Node {
    fn at(address: &str) -> Self {
        Self::with(address, |pki| {
            let names = Names { node: "box-1".into(), ..Names::default() };
            Tls::new(pki, &pki.server(&names, jiff::Timestamp::now()).unwrap()).unwrap().config()
        })
    }

    fn with(address: &str, tls: impl FnOnce(&Pki) -> Arc<ServerConfig>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(&dir.path().join("pki")).unwrap();
        let (tls, listener) = (tls(&pki), TcpListener::bind((address, 0)).unwrap());
        let node = Self { pki, address: listener.local_addr().unwrap(), dir };
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let mut tcp = tcp.unwrap();
                let mut connection = ServerConnection::new(tls.clone()).unwrap();
                while connection.is_handshaking() && connection.complete_io(&mut tcp).is_ok() {}
            }
        });
        node
    }

    fn fetch(&self, trust: &Trust) -> Result<Authority, ConnectError> {
        fetch(&self.address.to_string().parse().unwrap(), trust)
    }

    fn fingerprint(&self) -> Fingerprint {
        let found = self.fetch(&Trust::FirstUse).unwrap();
        assert_eq!(CertificateDer::from_pem_slice(found.certificate_pem.as_bytes()).unwrap(), *self.pki.ca_der());
        found.fingerprint
    }
}

#[test]
fn the_right_node_and_another_one() {
    let (node, other) = (Node::at("127.0.0.1"), Node::at("127.0.0.1"));
    let wanted = node.fingerprint();
    assert_ne!(wanted, other.fingerprint());
    assert_eq!(node.fetch(&Trust::Fingerprint(wanted)).unwrap().server_name, None);
    let refused = other.fetch(&Trust::Fingerprint(wanted)).unwrap_err();
    assert!(matches!(refused, ConnectError::Mismatch { found, .. } if found == other.fingerprint()), "{refused}");
    let known = Trust::Certificate(node.pki.ca_der().clone());
    assert_eq!(node.fetch(&known).unwrap().fingerprint, wanted);
    assert!(matches!(other.fetch(&known).unwrap_err(), ConnectError::NotOf { .. }));
}

/// Behind an address that the node does not know as its own, kubectl is told
/// which name to look for.
#[test]
fn a_node_behind_another_address() {
    let node = Node::at("127.0.0.2");
    let found = node.fetch(&Trust::Fingerprint(node.fingerprint())).unwrap();
    assert_eq!(found.server_name.as_deref(), Some("kubernetes"));
}

/// Somebody who shows the authority of another and has no certificate of it.
#[test]
fn a_borrowed_authority() {
    let victim = Node::at("127.0.0.1");
    let stolen = victim.pki.ca_der().clone();
    let liar = Node::with("127.0.0.1", |pki| single(pki, vec![stolen]));
    let refused = liar.fetch(&Trust::Fingerprint(victim.fingerprint())).unwrap_err();
    assert!(matches!(refused, ConnectError::NotOf { .. }), "{refused}");
}

#[test]
fn a_node_that_shows_no_authority() {
    let node = Node::with("127.0.0.1", |pki| single(pki, vec![]));
    assert!(matches!(node.fetch(&Trust::FirstUse).unwrap_err(), ConnectError::NotShown));
    assert!(node.fetch(&Trust::Certificate(node.pki.ca_der().clone())).is_ok());
}

/// A server with a certificate of this authority, and these behind it.
fn single(pki: &Pki, more: Vec<CertificateDer<'static>>) -> Arc<ServerConfig> {
    let leaf = pki.server(&Names::default(), jiff::Timestamp::now()).unwrap();
    let own = CertificateDer::from_pem_slice(leaf.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = std::iter::once(own).chain(more).collect();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn skerry(node: &str, more: &[&str], dir: &Path) -> Output {
    fs::write(dir.join("token"), "secret-token\n").unwrap();
    let command = &mut Command::new(env!("CARGO_BIN_EXE_skerry"));
    let command = command.current_dir(dir).args(["kubeconfig", node, "--token-file", "token"]).args(more);
    command.output().unwrap()
}

#[test]
fn the_command_writes_a_private_file() {
    let node = Node::at("127.0.0.1");
    let (dir, at, fingerprint) = (node.dir.path(), node.address.to_string(), node.fingerprint().to_string());
    let out = skerry(&at, &["--fingerprint", &fingerprint, "--name", "box", "--out", "k"], dir);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(fs::metadata(dir.join("k")).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(dir.join("k")).unwrap();
    let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(value["clusters"][0]["cluster"]["server"], format!("https://{at}"));
    assert_eq!(value["users"][0]["user"]["token"], "secret-token");
    // Never over a file that is there.
    let again = skerry(&at, &["--insecure-first-use", "--out", "k"], dir);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(fs::read_to_string(dir.join("k")).unwrap(), text);
    // Standard output, and the fingerprint to compare beside it.
    let shown = skerry(&at, &["--insecure-first-use", "--name", "box"], dir);
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), text);
    assert!(String::from_utf8(shown.stderr).unwrap().contains(&fingerprint));
}

#[test]
fn exit_codes() {
    let node = Node::at("127.0.0.1");
    let (dir, at) = (node.dir.path(), node.address.to_string());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (at, more, code) in [
        (&at, vec!["--fingerprint", &"00".repeat(32), "--out", "k"], 5),
        (&nobody, vec!["--insecure-first-use", "--out", "k"], 4),
        (&at, vec!["--out", "k"], 2),
        (&at, vec!["--fingerprint", "x", "--out", "k"], 2),
        (&at, vec!["--insecure-first-use", "--client-cert", "c", "--client-key", "c", "--out", "k"], 2),
    ] {
        assert_eq!(skerry(at, &more, dir).status.code(), Some(code), "{more:?}");
        assert!(!dir.join("k").exists(), "{more:?}");
    }
}
