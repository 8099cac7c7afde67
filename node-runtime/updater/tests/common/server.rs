//! Web servers: nginx as the usual one, a small bad one for its faults.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// nginx on a free loopback port, with an access log of bytes.
pub struct Nginx {
    child: Child,
    pub port: u16,
    log: PathBuf,
}

impl Nginx {
    #[expect(clippy::zombie_processes, reason = "drop waits for it; a panic here ends the test")]
    pub fn start(dir: &Path, repo: &Path) -> Self {
        let program =
            ["/usr/sbin/nginx", "/usr/bin/nginx"].iter().find(|p| Path::new(p).exists()).expect("nginx is needed");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let d = dir.join("nginx");
        fs::create_dir_all(&d).unwrap();
        let p = d.display();
        let config = format!(
            "daemon off; master_process off; pid {p}/pid; error_log {p}/error.log;
             events {{ worker_connections 64; }}
             http {{
               log_format b '$status $request_uri $body_bytes_sent';
               access_log {p}/access.log b;
               client_body_temp_path {p}/b; proxy_temp_path {p}/p; fastcgi_temp_path {p}/f;
               uwsgi_temp_path {p}/u; scgi_temp_path {p}/s;
               server {{ listen 127.0.0.1:{port}; root {}; default_type application/octet-stream;
                 rewrite ^/life[0-9]+/(.*)$ /$1 break; }}
             }}",
            repo.display()
        );
        fs::write(d.join("conf"), config).unwrap();
        let mut command = Command::new(program);
        command.args(["-e", &format!("{p}/error.log"), "-p", &p.to_string(), "-c", &format!("{p}/conf")]);
        let child = command.spawn().unwrap();
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Self { child, port, log: d.join("access.log") };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("nginx does not listen: {}", fs::read_to_string(d.join("error.log")).unwrap_or_default());
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same repository under a name of its own, to tell requests apart.
    pub fn url_of_life(&self, life: u64) -> String {
        format!("{}/life{life}", self.url())
    }

    /// Requests so far: status, path, body bytes. A request of our own at the
    /// end of the log tells that everything answered before is in it.
    pub fn requests(&self) -> Vec<(u16, String, u64)> {
        static MARKS: AtomicU64 = AtomicU64::new(0);
        let mark = format!("/mark-{}", MARKS.fetch_add(1, Ordering::SeqCst));
        let mut s = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(s, "GET {mark} HTTP/1.0\r\n\r\n").unwrap();
        while !fs::read_to_string(&self.log).unwrap_or_default().contains(&format!("{mark} ")) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines()
            .filter(|l| !l.contains("/mark-"))
            .map(|l| {
                let mut w = l.split(' ');
                let (s, p, b) = (w.next().unwrap(), w.next().unwrap(), w.next().unwrap());
                (s.parse().unwrap(), p.to_owned(), b.parse().unwrap())
            })
            .collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the bad server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every answer is a web page.
    Html,
    /// A web page that claims to be the file.
    HtmlAsBinary,
    /// Ranges are ignored.
    NoRange,
    /// The connection breaks after so many object bytes in all.
    GoneAfter(u64),
    /// Status 503.
    Busy,
}

/// A server with a fault.
pub struct BadServer {
    pub port: u16,
    pub fault: Arc<Mutex<Fault>>,
    pub object_bytes: Arc<AtomicU64>,
}

impl BadServer {
    pub fn start(repo: &Path, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Arc::new(Mutex::new(fault));
        let object_bytes = Arc::new(AtomicU64::new(0));
        let (f, n, repo) = (fault.clone(), object_bytes.clone(), repo.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (f, n, repo) = (f.clone(), n.clone(), repo.clone());
                std::thread::spawn(move || {
                    let _ = answer(stream, &repo, &f, &n);
                });
            }
        });
        Self { port, fault, object_bytes }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

fn answer(mut stream: TcpStream, repo: &Path, fault: &Mutex<Fault>, sent: &AtomicU64) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let mut from = 0usize;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if let Some(v) = line.strip_prefix("range: bytes=") {
            from = v.trim_end_matches('-').parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    let fault = *fault.lock().unwrap();
    let page = b"<!DOCTYPE html><html>please log in</html>";
    let mut head = |status: &str, kind: &str, len: usize, more: &str| {
        let h = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len}\r\nconnection: close\r\n{more}\r\n"
        );
        stream.write_all(h.as_bytes())
    };
    let object = path.starts_with("objects/");
    let Ok(body) = fs::read(repo.join(&path)) else {
        return head("404 Not Found", "text/plain", 0, "");
    };
    match fault {
        Fault::Html => {
            head("200 OK", "text/html; charset=utf-8", page.len(), "")?;
            return stream.write_all(page);
        }
        Fault::HtmlAsBinary if object => {
            head("200 OK", "application/octet-stream", body.len(), "")?;
            return stream.write_all(&page.iter().copied().cycle().take(body.len()).collect::<Vec<_>>());
        }
        Fault::Busy => return head("503 Service Unavailable", "text/plain", 0, ""),
        Fault::NoRange => from = 0,
        _ => {}
    }
    let total = body.len();
    let rest = &body[from.min(total)..];
    if from > 0 {
        let range = format!("content-range: bytes {from}-{}/{total}\r\n", total - 1);
        head("206 Partial Content", "application/octet-stream", rest.len(), &range)?;
    } else {
        head("200 OK", "application/octet-stream", rest.len(), "")?;
    }
    for piece in rest.chunks(4096) {
        if object {
            let before = sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
            if matches!(fault, Fault::GoneAfter(limit) if before >= limit) {
                return Ok(());
            }
        }
        stream.write_all(piece)?;
    }
    Ok(())
}
