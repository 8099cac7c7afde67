//! The update server: nginx with plain files and an access log that can be
//! counted.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::http;

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Path.
    pub path: String,
    /// Status code.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub body_bytes: u64,
    /// The whole answer was sent.
    pub complete: bool,
    /// `Range` header of the request.
    pub range: Option<String>,
}

impl Access {
    /// Is it an object?
    pub fn is_object(&self) -> bool {
        self.path.starts_with("/objects/")
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct UpdateServer {
    child: Option<Child>,
    dir: PathBuf,
    port: u16,
    // One server per port at a time, across processes.
    _turn: File,
}

/// How fast the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// As fast as it can.
    Unlimited,
    /// Bytes per second and connection.
    Limited(u32),
}

impl UpdateServer {
    /// Serve `root` on `port` of the loopback; configuration and logs go to
    /// `dir`. Waits for its turn if another test uses the port.
    ///
    /// # Errors
    /// If nginx is missing or the port is taken by something else.
    pub fn start(root: &Path, dir: &Path, port: u16, rate: Rate) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        // Ports are a matter of the network namespace; so are turns.
        let space = std::fs::read_link("/proc/self/ns/net").unwrap_or_default();
        let space: String = space.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let lock = std::env::temp_dir().join(format!("skerry-update-server-{space}-{port}.lock"));
        let turn = File::create(&lock).with_context(|| format!("opening {}", lock.display()))?;
        turn.lock().with_context(|| format!("locking {}", lock.display()))?;
        let config = dir.join("nginx.conf");
        std::fs::write(&config, render(root, dir, port, rate))
            .with_context(|| format!("writing {}", config.display()))?;
        let mut server = UpdateServer { child: None, dir: dir.to_owned(), port, _turn: turn };
        server.resume()?;
        Ok(server)
    }

    /// Port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stop answering; [`resume`](Self::resume) goes on.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Start answering again, as before or with another rate.
    ///
    /// # Errors
    /// If nginx does not answer.
    pub fn resume(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let errors = self.dir.join("error.log");
        let child = Command::new("nginx")
            .arg("-p")
            .arg(&self.dir)
            .arg("-c")
            .arg(self.dir.join("nginx.conf"))
            .arg("-e")
            .arg(&errors)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting nginx; install it with ci/setup")?;
        let child = self.child.insert(child);
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if http::get(self.port, "/skerry-update-server", Duration::from_secs(1)).is_ok_and(|(code, _)| code == 204)
            {
                return Ok(());
            }
            if child.try_wait()?.is_some() || Instant::now() > end {
                let log = std::fs::read_to_string(&errors).unwrap_or_default();
                bail!(
                    "nginx does not answer on port {}: {}",
                    self.port,
                    log.lines().last().unwrap_or("it said nothing")
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All requests so far.
    ///
    /// # Errors
    /// If the access log cannot be read.
    pub fn accesses(&self) -> Result<Vec<Access>> {
        let path = self.dir.join("access.log");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.lines().filter_map(parse_line).collect())
    }

    /// Sum of the bytes sent for bodies.
    ///
    /// # Errors
    /// If the access log cannot be read.
    pub fn bytes_sent(&self) -> Result<u64> {
        Ok(self.accesses()?.iter().map(|a| a.body_bytes).sum())
    }

    /// Objects that were sent as a whole more than once, and how often.
    ///
    /// # Errors
    /// If the access log cannot be read.
    pub fn sent_twice(&self) -> Result<BTreeMap<String, u32>> {
        let mut sent = BTreeMap::new();
        for a in self.accesses()?.iter().filter(|a| a.is_object() && a.status == 200 && a.complete) {
            *sent.entry(a.path.clone()).or_insert(0u32) += 1;
        }
        sent.retain(|_, n| *n > 1);
        Ok(sent)
    }
}

impl Drop for UpdateServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn render(root: &Path, dir: &Path, port: u16, rate: Rate) -> String {
    let (root, dir) = (root.display(), dir.display());
    let rate = match rate {
        Rate::Unlimited => 0,
        Rate::Limited(bytes) => bytes,
    };
    // One process, so that killing it is a server that is gone.
    format!(
        "daemon off;\nmaster_process off;\npid {dir}/nginx.pid;\nerror_log {dir}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n\
           log_format skerry '$status $body_bytes_sent $request_completion- \"$request_uri\" \"$http_range\"';\n\
           access_log {dir}/access.log skerry;\n\
           client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;\n\
           uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;\n\
           types {{ }} default_type application/octet-stream;\n\
           server {{\n\
             listen 127.0.0.1:{port};\n\
             root {root};\n\
             limit_rate {rate};\n\
             location = /skerry-update-server {{ access_log off; return 204; }}\n\
           }}\n\
         }}\n"
    )
}

fn parse_line(line: &str) -> Option<Access> {
    let mut quoted = line.split('"');
    let mut numbers = quoted.next()?.split_whitespace();
    let path = quoted.next()?.to_owned();
    let range = quoted.nth(1).filter(|r| !matches!(*r, "-" | "")).map(str::to_owned);
    Some(Access {
        path,
        status: numbers.next()?.parse().ok()?,
        body_bytes: numbers.next()?.parse().ok()?,
        complete: numbers.next()? == "OK-",
        range,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn serves_counts_stops_and_resumes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("www");
        std::fs::create_dir_all(root.join("objects/ab")).unwrap();
        std::fs::write(root.join("objects/ab/cd.zst"), "0123456789").unwrap();
        let port = http::free_port().unwrap();
        let mut server = UpdateServer::start(&root, &dir.path().join("nginx"), port, Rate::Unlimited).unwrap();
        let get = |p: &str| http::get(port, p, Duration::from_secs(5));
        assert_eq!(get("/objects/ab/cd.zst").unwrap(), (200, "0123456789".into()));
        assert_eq!(get("/objects/ab/none").unwrap().0, 404);
        assert!(server.sent_twice().unwrap().is_empty());
        server.stop();
        assert!(get("/objects/ab/cd.zst").is_err());
        server.resume().unwrap();
        get("/objects/ab/cd.zst").unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        while server.accesses().unwrap().len() < 3 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(server.sent_twice().unwrap(), BTreeMap::from([("/objects/ab/cd.zst".to_owned(), 2)]));
        assert_eq!(server.accesses().unwrap()[1].status, 404);
        assert!(server.bytes_sent().unwrap() >= 20);
    }

    #[test]
    fn log_lines() {
        let a = parse_line("206 17 - \"/objects/ab/c.zst\" \"bytes=3-\"").unwrap();
        assert_eq!((a.status, a.body_bytes, a.complete, a.range.as_deref()), (206, 17, false, Some("bytes=3-")));
        let a = parse_line("200 5 OK- \"/metadata/timestamp.json\" \"-\"").unwrap();
        assert!(a.complete && a.range.is_none() && !a.is_object());
    }
}
