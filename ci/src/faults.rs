//! A web server that fails on purpose: at an exact byte, not at a moment, so
//! that a failure can be repeated.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};

/// What goes wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Answer 404 for paths that contain this.
    pub missing: Option<String>,
    /// For paths that contain the text: only this many bytes, told as the whole
    /// file.
    pub truncated: Option<(String, u64)>,
    /// After this many bytes of objects, over all connections, every connection
    /// is cut and every new one closed without an answer.
    pub gone_after_bytes: Option<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    faults: Faults,
    object_bytes: u64,
    whole: Vec<String>,
}

/// A running server. It ends with the process.
#[derive(Debug, Clone)]
pub struct FaultServer {
    shared: Arc<Mutex<Shared>>,
    port: u16,
}

impl FaultServer {
    /// Serve the files below `root` on `port` of the loopback.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn start(root: &Path, port: u16, faults: Faults) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("listening on port {port}"))?;
        let shared = Arc::new(Mutex::new(Shared { faults, ..Shared::default() }));
        let server = FaultServer { shared: shared.clone(), port: listener.local_addr()?.port() };
        let root = root.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, root) = (shared.clone(), root.clone());
                std::thread::spawn(move || {
                    // A peer that goes away is part of the game.
                    let _ = serve(stream, &root, &shared);
                });
            }
        });
        Ok(server)
    }

    /// Port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Change what goes wrong.
    pub fn set(&self, faults: Faults) {
        lock(&self.shared).faults = faults;
    }

    /// Bytes of objects sent so far.
    pub fn object_bytes(&self) -> u64 {
        lock(&self.shared).object_bytes
    }

    /// Paths that were sent from the first byte to the last, in order.
    pub fn sent_whole(&self) -> Vec<String> {
        lock(&self.shared).whole.clone()
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Request {
    path: String,
    from: Option<u64>,
    close: bool,
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut request: Option<Request> = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        match &mut request {
            None => {
                let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
                request = Some(Request { path, from: None, close: line.ends_with("HTTP/1.0") });
            }
            Some(_) if line.is_empty() => return Ok(request),
            Some(r) => {
                if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                    r.from = range.split('-').next().and_then(|n| n.parse().ok());
                }
                r.close |= line.eq_ignore_ascii_case("connection: close");
            }
        }
    }
}

fn serve(stream: TcpStream, root: &Path, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader)? {
        let faults = lock(shared).faults.clone();
        if gone(shared) {
            return Ok(());
        }
        let file = file_below(root, &request.path)
            .filter(|_| !faults.missing.as_ref().is_some_and(|m| request.path.contains(m.as_str())));
        let Some(mut data) = file.and_then(|f| std::fs::read(f).ok()) else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            if request.close {
                return Ok(());
            }
            continue;
        };
        if let Some((_, keep)) = faults.truncated.as_ref().filter(|(p, _)| request.path.contains(p.as_str())) {
            data.truncate(*keep as usize);
        }
        if !send(&mut stream, &request, &data, shared)? || request.close {
            return Ok(());
        }
    }
    Ok(())
}

fn gone(shared: &Mutex<Shared>) -> bool {
    let shared = lock(shared);
    shared.faults.gone_after_bytes.is_some_and(|max| shared.object_bytes >= max)
}

/// `false`: the connection was cut.
fn send(stream: &mut TcpStream, request: &Request, data: &[u8], shared: &Mutex<Shared>) -> std::io::Result<bool> {
    let total = data.len();
    let from = request.from.unwrap_or(0) as usize;
    if from > total || (from == total && request.from.is_some()) {
        write!(
            stream,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\n\r\n"
        )?;
        return Ok(true);
    }
    let body = &data[from..];
    match request.from {
        None => write!(stream, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: {total}\r\n\r\n")?,
        Some(_) => write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}\r\nContent-Length: {}\r\n\r\n",
            total - 1,
            body.len()
        )?,
    }
    for piece in body.chunks(4096) {
        if request.path.starts_with("/objects/") {
            if gone(shared) {
                return Ok(false);
            }
            lock(shared).object_bytes += piece.len() as u64;
        }
        stream.write_all(piece)?;
    }
    if from == 0 {
        lock(shared).whole.push(request.path.clone());
    }
    Ok(true)
}

fn file_below(root: &Path, path: &str) -> Option<PathBuf> {
    let path = path.split('?').next()?.trim_start_matches('/');
    let plain = Path::new(path).components().all(|c| matches!(c, std::path::Component::Normal(_)));
    plain.then(|| root.join(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::http;

    fn www() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("objects")).unwrap();
        std::fs::write(dir.path().join("objects/a"), vec![b'a'; 100_000]).unwrap();
        std::fs::write(dir.path().join("meta"), "meta").unwrap();
        dir
    }

    fn get(server: &FaultServer, path: &str) -> Result<(u16, String)> {
        http::get(server.port(), path, Duration::from_secs(5))
    }

    #[test]
    fn without_faults_it_is_a_web_server() {
        let dir = www();
        let server = FaultServer::start(dir.path(), 0, Faults::default()).unwrap();
        assert_eq!(get(&server, "/meta").unwrap(), (200, "meta".into()));
        assert_eq!(get(&server, "/../etc/passwd").unwrap().0, 404);
        assert_eq!(get(&server, "/objects/a").unwrap().1.len(), 100_000);
        assert_eq!(server.sent_whole(), ["/meta", "/objects/a"]);
        assert_eq!(server.object_bytes(), 100_000);
    }

    #[test]
    fn faults_hit_what_they_name() {
        let dir = www();
        let server =
            FaultServer::start(dir.path(), 0, Faults { missing: Some("meta".into()), ..Faults::default() }).unwrap();
        assert_eq!(get(&server, "/meta").unwrap().0, 404);
        server.set(Faults { truncated: Some(("objects/a".into(), 10)), ..Faults::default() });
        assert_eq!(get(&server, "/objects/a").unwrap().1.len(), 10);
        server.set(Faults { gone_after_bytes: Some(50_000), ..Faults::default() });
        assert!(get(&server, "/objects/a").is_err());
        assert!(get(&server, "/meta").is_err());
        server.set(Faults::default());
        assert_eq!(get(&server, "/meta").unwrap().0, 200);
    }
}
