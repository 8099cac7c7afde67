//! `skerry kubeconfig`.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{Ctx, exit::Code};
use crate::connect::{ConnectError, Credentials, Fingerprint, NodeAddress, Trust, fetch, kubeconfig};

const HELP: &str = "\
Every node makes a certificate authority of its own at its first start. Its
fingerprint is what tells the node from an impostor: the node's console shows it
at every boot, and `skerry-node status` shows it too.

Examples:
  skerry kubeconfig 10.0.0.7 --token-file ann.token --fingerprint 3f9c… \\
      --out box.kubeconfig
  kubectl --kubeconfig box.kubeconfig get nodes

  The first time, on a network that you trust:
  skerry kubeconfig box.example --token-file ann.token --insecure-first-use \\
      --out box.kubeconfig";

const USAGE: &str = "\
skerry kubeconfig [OPTIONS] <NODE[:PORT]> <WHO> <TRUST>

WHO is --token-file, or --client-cert with --client-key; TRUST is --fingerprint,
--ca or --insecure-first-use.";

/// Arguments of `skerry kubeconfig`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = HELP,
    override_usage = USAGE,
    group(clap::ArgGroup::new("trust").required(true)),
    group(clap::ArgGroup::new("who").required(true))
)]
pub struct Args {
    /// Name or address of the node; the port is 6443 if none is given
    #[arg(value_name = "NODE[:PORT]")]
    node: NodeAddress,
    /// File with a token, as `skerry keys token` writes it
    #[arg(long, value_name = "FILE", group = "who")]
    token_file: Option<PathBuf>,
    /// File with a client certificate of the node's authority, PEM
    #[arg(long, value_name = "FILE", group = "who", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// File with the key of the client certificate, PEM
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Take the node whose authority has this SHA-256 (64 hex digits, with
    /// colons or without)
    #[arg(long, value_name = "SHA256", group = "trust")]
    fingerprint: Option<Fingerprint>,
    /// Take the node whose authority has the certificate in this file, PEM
    #[arg(long, value_name = "FILE", group = "trust")]
    ca: Option<PathBuf>,
    /// Take whatever node answers, and print the fingerprint of its authority:
    /// compare it with the node's console. From then on it must stay the same
    #[arg(long, group = "trust")]
    insecure_first_use: bool,
    /// What the node is called in the file [default: NODE]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// File to write, mode 0600; an existing file is never overwritten
    /// [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Run the command.
///
/// # Errors
/// Unreadable files, no connection, or a node that is not the one.
pub fn run(args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    if let Some(out) = args.out.as_deref().filter(|out| out.symlink_metadata().is_ok()) {
        bail!("{} exists and is not overwritten; choose another file or remove it yourself", out.display());
    }
    let (who, trust) = (credentials(&args)?, trust(&args)?);
    let authority = fetch(&args.node, &trust).map_err(|e| code_of(&e).wrap(e))?;
    if trust == Trust::FirstUse {
        let found = authority.fingerprint;
        eprintln!("{} has the authority {found}; compare that with the node's console.", args.node);
    }
    let name = args.name.as_deref().unwrap_or(&args.node.host);
    let text = kubeconfig(name, &args.node, &authority, &who);
    let Some(out) = &args.out else {
        return std::io::stdout().write_all(text.as_bytes()).context("writing the file to standard output");
    };
    write_secret(out, text.as_bytes()).with_context(|| format!("writing {}", out.display()))?;
    println!("The kubeconfig is in {}: keep it secret.", out.display());
    println!("Use it with: kubectl --kubeconfig {} get nodes", out.display());
    Ok(())
}

fn code_of(e: &ConnectError) -> Code {
    match e {
        ConnectError::Connect { .. } | ConnectError::Handshake { .. } => Code::Network,
        ConnectError::NotShown | ConnectError::Mismatch { .. } | ConnectError::NotOf { .. } => Code::Verification,
        ConnectError::Setup(_) => Code::Failed,
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn credentials(args: &Args) -> anyhow::Result<Credentials> {
    if let (Some(certificate), Some(key)) = (&args.client_cert, &args.client_key) {
        return Ok(Credentials::Certificate { certificate: read(certificate)?, key: read(key)? });
    }
    let path = args.token_file.as_deref().context("give --token-file or --client-cert")?;
    let token = String::from_utf8(read(path)?).ok().map(|t| t.trim().to_owned());
    let usable = |t: &String| !t.is_empty() && t.chars().all(|c| c.is_ascii_graphic());
    let token = token.filter(usable).with_context(|| format!("{} holds no token", path.display()))?;
    Ok(Credentials::Token(token))
}

fn trust(args: &Args) -> anyhow::Result<Trust> {
    Ok(match (args.fingerprint, &args.ca) {
        (Some(fingerprint), _) => Trust::Fingerprint(fingerprint),
        (None, Some(path)) => {
            let certificate = CertificateDer::from_pem_slice(&read(path)?);
            Trust::Certificate(certificate.with_context(|| format!("{} holds no certificate", path.display()))?)
        }
        (None, None) => Trust::FirstUse,
    })
}

fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
