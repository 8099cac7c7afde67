//! Accepts connections and hands them to a fixed number of threads.
//!
//! Everything is bounded: threads, waiting connections, bytes of a request and
//! the time that one connection may take.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    answers::App,
    http::{HEAD_BYTES_MAX, Status},
};

/// Threads that answer.
const WORKERS: usize = 8;
/// Connections that may wait for one of them.
const WAITING_MAX: usize = 64;
/// Longest time of one connection, whatever the peer does.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// Threads need little stack; the container's memory limit is small.
const STACK_BYTES: usize = 128 * 1024;

/// A running server.
pub struct Server {
    stopping: Arc<AtomicBool>,
    busy: Arc<AtomicUsize>,
}

impl Server {
    /// Start accepting on `listener`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(listener: TcpListener, app: Arc<App>) -> std::io::Result<Self> {
        let server = Server { stopping: Arc::default(), busy: Arc::default() };
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..WORKERS {
            let (receiver, app, busy) = (receiver.clone(), app.clone(), server.busy.clone());
            thread::Builder::new().stack_size(STACK_BYTES).spawn(move || work(&receiver, &app, &busy))?;
        }
        let (stopping, busy) = (server.stopping.clone(), server.busy.clone());
        thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || accept(&listener, &sender, &app, &stopping, &busy))?;
        Ok(server)
    }

    /// Take no new connections and wait until those in flight are answered, at
    /// most `max`.
    pub fn drain(&self, max: Duration) {
        self.stopping.store(true, Ordering::SeqCst);
        let end = Instant::now() + max;
        while self.busy.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn accept(
    listener: &TcpListener,
    sender: &SyncSender<TcpStream>,
    app: &App,
    stopping: &AtomicBool,
    busy: &AtomicUsize,
) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of file descriptors, most likely: wait for some to close.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        busy.fetch_add(1, Ordering::SeqCst);
        match sender.try_send(stream) {
            Ok(()) => {}
            Err(TrySendError::Full(mut stream)) => {
                let _ = stream.set_write_timeout(Some(Duration::from_millis(100)));
                let _ = stream.write_all(&app.refuse(Status::Unavailable));
                busy.fetch_sub(1, Ordering::SeqCst);
            }
            Err(TrySendError::Disconnected(_)) => return,
        }
    }
}

fn work(receiver: &Mutex<Receiver<TcpStream>>, app: &App, busy: &AtomicUsize) {
    loop {
        let next = match receiver.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(stream) = next else { return };
        // A peer that goes away is its own business.
        let _ = serve(stream, app);
        busy.fetch_sub(1, Ordering::SeqCst);
    }
}

fn serve(mut stream: TcpStream, app: &App) -> std::io::Result<()> {
    let end = Instant::now() + CONNECTION_MAX;
    stream.set_write_timeout(Some(CONNECTION_MAX))?;
    let mut head = Vec::with_capacity(1024);
    let mut piece = [0u8; 1024];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return stream.write_all(&app.refuse(Status::Timeout));
        }
        stream.set_read_timeout(Some(left))?;
        let n = match stream.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => continue,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        head.extend_from_slice(&piece[..n.min(HEAD_BYTES_MAX.saturating_sub(head.len()))]);
        if let Some(answer) = app.answer(&head, Instant::now()) {
            return stream.write_all(&answer);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn start() -> (Server, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let app = Arc::new(App::from_env(std::iter::empty(), "box".into(), Instant::now()));
        (Server::start(listener, app).unwrap(), addr)
    }

    fn ask(addr: std::net::SocketAddr, pieces: &[&[u8]]) -> String {
        let mut s = TcpStream::connect(addr).unwrap();
        for p in pieces {
            s.write_all(p).unwrap();
            s.flush().unwrap();
        }
        let mut out = String::new();
        s.read_to_string(&mut out).unwrap();
        out
    }

    #[test]
    fn requests_in_pieces_and_garbage_over_a_real_socket() {
        let (_server, addr) = start();
        assert!(ask(addr, &[b"GET /hea", b"lth HTTP/1.1\r\nHost: a\r\n", b"\r\n"]).starts_with("HTTP/1.1 200 "));
        assert!(ask(addr, &[b"\x16\x03\x01\r\n\r\n"]).starts_with("HTTP/1.1 400 "));
        let head = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; HEAD_BYTES_MAX - 19]].concat();
        assert!(ask(addr, &[&head]).starts_with("HTTP/1.1 431 "));
    }

    #[test]
    fn silent_peers_do_not_block_others_and_drain_ends() {
        let (server, addr) = start();
        let idle: Vec<_> = (0..WORKERS - 1).map(|_| TcpStream::connect(addr).unwrap()).collect();
        assert!(ask(addr, &[b"GET / HTTP/1.1\r\n\r\n"]).contains("\"app\":\"hello\""));
        drop(idle);
        server.drain(CONNECTION_MAX);
        assert_eq!(server.busy.load(Ordering::SeqCst), 0);
    }
}
