//! From the FIFOs of running containers into their log files.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use nix::fcntl::{FcntlArg, fcntl};
use tokio::{net::unix::pipe, sync::watch};

use super::{
    CHUNK_BYTES, PIPE_BYTES,
    live::{Live, Running, Stdin},
    record::Stream,
    write::LogFile,
};

/// What is read at most from a FIFO whose container has ended: more cannot be
/// in it.
const DRAIN_BYTES_MAX: usize = 2 * PIPE_BYTES as usize;
/// A piece of this size means that the app writes faster than it is read.
const FULL_SPEED_BYTES: usize = CHUNK_BYTES / 4;
/// So many times the duration of a piece is rested after it.
const RESTS: u32 = 3;

/// One run of a container.
pub(crate) struct Run<'a> {
    /// Container id.
    pub(crate) id: &'a str,
    /// FIFO of its output.
    pub(crate) stdout: &'a Path,
    /// FIFO of its error output.
    pub(crate) stderr: &'a Path,
    /// FIFO of its input, if it starts with one, and whether that ends with the
    /// first client.
    pub(crate) stdin: Option<(PathBuf, bool)>,
    /// Has a terminal?
    pub(crate) tty: bool,
    /// Log file.
    pub(crate) file: PathBuf,
}

/// Copiers of all containers, by container id.
pub(crate) struct Logs {
    copiers: BTreeMap<String, (Arc<Copier>, watch::Sender<bool>)>,
    live: Arc<Live>,
}

impl Logs {
    pub(crate) fn new(live: Arc<Live>) -> Self {
        Self { copiers: BTreeMap::new(), live }
    }

    /// Read the FIFOs of a container into its file, unless that is done already.
    pub(crate) fn follow(&mut self, run: &Run<'_>) {
        if self.copiers.contains_key(run.id) {
            return;
        }
        let copier = match Copier::new(run, self.live.clone()) {
            Ok(copier) => Arc::new(copier),
            Err(e) => return tracing::warn!("cannot copy the output of {} to {}: {e}", run.id, run.file.display()),
        };
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(copy(copier.clone(), stopped));
        self.copiers.insert(run.id.into(), (copier, stop));
    }

    /// Copy now what is there.
    pub(crate) fn drain(&self, id: &str) {
        if let Some((copier, _)) = self.copiers.get(id) {
            copier.drain();
        }
    }

    /// The container is gone: read what is left, then end.
    pub(crate) fn stop(&mut self, id: &str) {
        if let Some((copier, stop)) = self.copiers.remove(id) {
            copier.drain();
            self.live.remove(id);
            let _ = stop.send(true);
        }
    }
}

/// The output of one container.
struct Copier {
    id: String,
    out: pipe::Receiver,
    err: pipe::Receiver,
    log: Mutex<LogFile>,
    live: Arc<Live>,
    progress: watch::Sender<()>,
}

impl Copier {
    fn new(run: &Run<'_>, live: Arc<Live>) -> std::io::Result<Self> {
        let log = Mutex::new(LogFile::open(&run.file)?);
        let (progress, seen) = watch::channel(());
        let stdin = run.stdin.as_ref().and_then(|(fifo, once)| {
            // Read and write: it can be opened before the shim is there.
            let pipe = pipe::OpenOptions::new().read_write(true).open_sender(fifo);
            pipe.map(|p| Stdin::new(p, *once)).inspect_err(|e| tracing::warn!("{}: {e}", fifo.display())).ok()
        });
        let copier = Self { id: run.id.into(), out: open(run.stdout)?, err: open(run.stderr)?, log, live, progress };
        let running = Running { file: run.file.clone(), progress: seen, stdin, tty: run.tty, taps: vec![] };
        copier.live.add(run.id, running);
        copier.live.count(0);
        Ok(copier)
    }

    fn pipe(&self, stream: Stream) -> &pipe::Receiver {
        if stream == Stream::Out { &self.out } else { &self.err }
    }

    /// Read once and write that; nothing of it stays here.
    fn once(&self, stream: Stream, read: impl Fn(&mut [u8]) -> std::io::Result<usize>) -> std::io::Result<usize> {
        let mut buffer = self.live.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let n = read(&mut buffer)?;
        let data = &buffer[..n];
        let time = format!("{:.9}", jiff::Timestamp::now());
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let written = log.append(&time, stream, data, self.live.file_bytes_max());
        self.live.tee(&self.id, stream, data);
        self.progress.send_replace(());
        self.live.count(written);
        Ok(n)
    }

    /// Read until nothing is there, past what the event loop knows of it.
    fn drain(&self) {
        for stream in [Stream::Out, Stream::Err] {
            let mut sum = 0;
            while sum < DRAIN_BYTES_MAX {
                match self.once(stream, |buf| Ok(nix::unistd::read(self.pipe(stream), buf)?)) {
                    Ok(n @ 1..) => sum += n,
                    _ => break,
                }
            }
        }
    }
}

fn open(fifo: &Path) -> std::io::Result<pipe::Receiver> {
    // Read and write: no end of file while the shim is not there yet.
    let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(fifo)?;
    // A smaller pipe works too.
    let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    Ok(pipe)
}

/// Copy until told to stop, in pieces, with everybody else in between. Apps at
/// full speed take turns, and after each piece they all rest: together they get
/// no more than their share of this thread, and wait at their pipes.
async fn copy(copier: Arc<Copier>, mut stopped: watch::Receiver<bool>) {
    let mut full_speed = false;
    loop {
        let stream = tokio::select! {
            r = copier.out.readable() => r.map(|()| Stream::Out),
            r = copier.err.readable() => r.map(|()| Stream::Err),
            _ = stopped.wait_for(|s| *s) => return,
        };
        let Ok(stream) = stream else { return };
        let turn = if full_speed { Some(copier.live.turn.lock().await) } else { None };
        let began = Instant::now();
        match copier.once(stream, |buf| copier.pipe(stream).try_read(buf)) {
            Ok(n) => full_speed = n >= FULL_SPEED_BYTES,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return tracing::warn!("output of {}: {e}", copier.id),
        }
        match turn {
            Some(_turn) => tokio::time::sleep(began.elapsed() * RESTS).await,
            None => tokio::task::yield_now().await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{fs, io::Write};

    use super::*;
    use crate::logs::make_fifo;

    struct Bench {
        dir: tempfile::TempDir,
        live: Arc<Live>,
        logs: Logs,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for fifo in ["out", "err", "in"] {
                make_fifo(&dir.path().join(fifo)).unwrap();
            }
            let live = Arc::new(Live::new(&dir.path().join("logs"), 256 << 20));
            Self { logs: Logs::new(live.clone()), live, dir }
        }

        fn follow(&mut self, stdin: bool) {
            let at = |n: &str| self.dir.path().join(n);
            let stdin = stdin.then(|| (at("in"), true));
            let (stdout, stderr, file) = (at("out"), at("err"), at("logs/p/c/0.log"));
            self.logs.follow(&Run { id: "x", stdout: &stdout, stderr: &stderr, stdin, tty: false, file });
        }

        /// Both ends, as the shim has them.
        fn app(&self, fifo: &str) -> fs::File {
            fs::File::options().read(true).write(true).open(self.dir.path().join(fifo)).unwrap()
        }

        fn text(&self) -> String {
            let file = fs::read_to_string(self.dir.path().join("logs/p/c/0.log")).unwrap();
            file.lines().map(|l| l.split_once(' ').unwrap().1.to_owned() + "\n").collect()
        }
    }

    #[tokio::test]
    async fn parts_of_lines_outlive_a_restart() {
        let mut b = Bench::new();
        let mut app = b.app("out");
        b.follow(false);
        app.write_all(b"one\ntw").unwrap();
        b.logs.drain("x");
        assert_eq!(b.text(), "stdout F one\nstdout P tw\n");
        // This process ends without a word, the app writes on.
        b.logs = Logs::new(Arc::new(Live::new(&b.dir.path().join("logs"), 256 << 20)));
        app.write_all(b"o\nthree\n").unwrap();
        b.follow(false);
        b.logs.stop("x");
        assert_eq!(b.text(), "stdout F one\nstdout P tw\nstdout F o\nstdout F three\n");
    }

    #[tokio::test]
    async fn attached_clients_get_what_comes_and_slow_ones_go() {
        let mut b = Bench::new();
        let (mut out, mut err) = (b.app("out"), b.app("err"));
        b.follow(false);
        let mut attached = b.live.attach("x", async {}).unwrap();
        let mut slow = b.live.attach("x", async {}).unwrap();
        assert!(attached.stdin.is_none() && b.live.attach("y", async {}).is_none());
        for i in 0..20 {
            writeln!(out, "{i}").unwrap();
            assert_eq!(attached.stdout.recv().await.unwrap(), format!("{i}\n").into_bytes());
        }
        err.write_all(b"bad\n").unwrap();
        assert_eq!(attached.stderr.as_mut().unwrap().recv().await.unwrap(), b"bad\n");
        // Who wants the error output only keeps it.
        let mut half = b.live.attach("x", async {}).unwrap();
        half.stdout.close();
        writeln!(out, "20").unwrap();
        assert_eq!(attached.stdout.recv().await.unwrap(), b"20\n");
        err.write_all(b"worse\n").unwrap();
        assert_eq!(half.stderr.as_mut().unwrap().recv().await.unwrap(), b"worse\n");
        b.logs.stop("x");
        assert_eq!(attached.stdout.recv().await, None);
        let mut got = vec![];
        while let Some(piece) = slow.stdout.recv().await {
            got.extend(piece);
        }
        assert_eq!(got, b"0\n1\n2\n3\n4\n5\n6\n7\n");
        assert_eq!(b.text().lines().count(), 23, "the log has everything");
    }

    #[tokio::test]
    async fn input_ends_with_the_first_client_where_it_shall() {
        let mut b = Bench::new();
        let app = fs::File::options().read(true).write(true).open(b.dir.path().join("in")).unwrap();
        b.follow(true);
        let (closed, told) = tokio::sync::oneshot::channel();
        let attached = b.live.attach("x", async move { closed.send(()).unwrap() }).unwrap();
        attached.stdin.as_ref().unwrap().send(b"hello".to_vec()).await.unwrap();
        drop(attached);
        told.await.unwrap();
        let mut buf = [0; 9];
        assert_eq!(nix::unistd::read(&app, &mut buf).unwrap(), 5);
        assert!(b.live.attach("x", async {}).unwrap().stdin.is_none());
        b.logs.stop("x");
    }

    #[tokio::test]
    async fn an_app_at_full_speed_leaves_time_for_others() {
        let mut b = Bench::new();
        let mut app = b.app("out");
        b.follow(false);
        let writer = std::thread::spawn(move || {
            let chunk = [b"0123456789".repeat(99), vec![b'\n']].concat();
            (0..20_000).for_each(|_| app.write_all(&chunk).unwrap());
        });
        let mut turns = 0;
        while !writer.is_finished() {
            tokio::task::yield_now().await;
            turns += 1;
        }
        writer.join().unwrap();
        b.logs.stop("x");
        assert!(turns > 100, "{turns} turns during 20 MB");
        assert!(fs::metadata(b.dir.path().join("logs/p/c/0.log.1")).unwrap().len() >= 10 << 20);
    }
}
