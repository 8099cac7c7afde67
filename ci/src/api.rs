//! A client of a node's Kubernetes API that takes next to no time itself, for
//! measurements: kubectl takes longer to start than the node to answer.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;

/// Time limit of every read and write; a watch may be silent for as long.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Longest line of a head, and longest piece of a body.
const LINE_BYTES_MAX: u64 = 64 << 10;
const BODY_BYTES_MAX: u64 = 256 << 20;

/// Where the API is, and who asks.
#[derive(Debug, Clone)]
pub struct Api {
    tls: Arc<ClientConfig>,
    address: SocketAddr,
    token: String,
}

impl Api {
    /// The authority comes from a kubeconfig.
    ///
    /// # Errors
    /// If there is no certificate in it.
    pub fn new(address: SocketAddr, kubeconfig: &str, token: &str) -> Result<Self> {
        let line = kubeconfig.lines().find_map(|l| l.trim().strip_prefix("certificate-authority-data:"));
        let pem = STANDARD.decode(line.context("no authority in the kubeconfig")?.trim().trim_matches('"'))?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).context("reading the authority's certificate")?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        Ok(Api { tls, address, token: token.to_owned() })
    }

    /// A connection; it serves one request after the other.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn connect(&self) -> Result<Connection> {
        let tcp = TcpStream::connect_timeout(&self.address, SILENCE_MAX).context("connecting to the API")?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(SILENCE_MAX))?;
        tcp.set_write_timeout(Some(SILENCE_MAX))?;
        let tls = ClientConnection::new(self.tls.clone(), ServerName::IpAddress(self.address.ip().into()))?;
        Ok(Connection { stream: BufReader::new(StreamOwned::new(tls, tcp)), token: self.token.clone() })
    }
}

/// A connection to the API.
pub struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    token: String,
}

/// How the end of an answer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
}

impl Connection {
    /// Ask, and read the whole answer.
    ///
    /// # Errors
    /// If the API refuses, with its own words.
    pub fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Vec<u8>> {
        let (code, kind) = self.begin(method, path, body)?;
        let mut bytes = Vec::new();
        match kind {
            Body::Length(length) => {
                ensure!(length <= BODY_BYTES_MAX, "an answer of {length} bytes");
                bytes.resize(usize::try_from(length)?, 0);
                self.stream.read_exact(&mut bytes).context("reading an answer")?;
            }
            Body::Chunked => while self.chunk(&mut bytes)? {},
        }
        ensure!((200..300).contains(&code), "{method} {path}: {code} {}", String::from_utf8_lossy(&bytes));
        Ok(bytes)
    }

    /// Ask for a watch.
    ///
    /// # Errors
    /// If the API refuses.
    pub fn watch(mut self, path: &str) -> Result<Watch> {
        let (code, kind) = self.begin("GET", path, None)?;
        ensure!(code == 200 && kind == Body::Chunked, "GET {path}: {code}, {kind:?}");
        Ok(Watch { connection: self, bytes: Vec::new() })
    }

    fn begin(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Body)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        // In one piece, so that it is one packet.
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {}\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).context("asking the API")?;
        self.stream.get_mut().flush()?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push_str(&self.line()?);
        }
        parse_head(&head)
    }

    /// Append the next piece; `false`: that was the end.
    fn chunk(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        let line = self.line()?;
        let size = u64::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16);
        let size = size.with_context(|| format!("{line:?} is no size of a piece"))?;
        ensure!(size <= BODY_BYTES_MAX, "a piece of {size} bytes");
        let start = bytes.len();
        bytes.resize(start + usize::try_from(size)?, 0);
        self.stream.read_exact(&mut bytes[start..]).context("reading a piece")?;
        ensure!(self.line()? == "\r\n", "a piece does not end");
        Ok(size > 0)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        (&mut self.stream).take(LINE_BYTES_MAX).read_line(&mut line).context("reading a line")?;
        ensure!(line.ends_with('\n'), "the API closed the connection after {line:?}");
        Ok(line)
    }
}

fn parse_head(head: &str) -> Result<(u16, Body)> {
    let code = head.split(' ').nth(1).and_then(|c| c.parse().ok()).with_context(|| format!("no HTTP: {head:?}"))?;
    let head = head.to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    match (field("transfer-encoding"), field("content-length")) {
        (Some("chunked"), _) => Ok((code, Body::Chunked)),
        (None, Some(length)) => Ok((code, Body::Length(length.parse().context("reading the length")?))),
        other => bail!("an answer without an end: {other:?}"),
    }
}

/// Events, one after the other.
pub struct Watch {
    connection: Connection,
    bytes: Vec<u8>,
}

impl Watch {
    /// Wait for the next one.
    ///
    /// # Errors
    /// If the watch ended.
    pub fn next_event(&mut self) -> Result<Value> {
        loop {
            if let Some(end) = self.bytes.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return serde_json::from_slice(&line).context("reading an event");
            }
            ensure!(self.connection.chunk(&mut self.bytes)?, "the watch ended");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_end_of_an_answer_is_known() {
        let head = "HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(parse_head(head).unwrap(), (201, Body::Length(12)));
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parse_head(head).unwrap(), (200, Body::Chunked));
        assert!(parse_head("HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse_head("").is_err());
    }
}
