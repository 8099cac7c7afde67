//! What runs now, shared between the copiers of output and those who watch:
//! readers of logs that follow, and attached clients.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe,
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
};

use super::{CHUNK_BYTES, bounds, record::Stream};

/// Pieces that wait for an attached client; one that is further behind is let
/// go.
const PIECES_MAX: usize = 8;
/// Logs are counted again after this part of the bound was written.
const COUNT_AFTER: u64 = 16;

/// What runs now.
pub(crate) struct Live {
    runs: Mutex<BTreeMap<String, Running>>,
    /// What is read goes through here, one for all.
    pub(super) buffer: Mutex<Box<[u8]>>,
    /// Of those that write at full speed.
    pub(super) turn: tokio::sync::Mutex<()>,
    logs_dir: PathBuf,
    node_bytes_max: u64,
    uncounted_bytes: AtomicU64,
}

/// A container whose output is copied.
pub(super) struct Running {
    pub(super) file: PathBuf,
    /// Changes with every write; closed when the run has ended.
    pub(super) progress: watch::Receiver<()>,
    pub(super) stdin: Option<Stdin>,
    pub(super) tty: bool,
    pub(super) taps: Vec<Tap>,
}

/// The input of a container.
#[derive(Clone)]
pub(super) struct Stdin {
    pipe: Arc<tokio::sync::Mutex<pipe::Sender>>,
    once: bool,
}

pub(super) struct Tap {
    out: mpsc::Sender<Vec<u8>>,
    err: Option<mpsc::Sender<Vec<u8>>>,
}

/// The ends of a running container's own process. Its outputs end when the
/// container does, or when this side reads too slowly.
#[derive(Debug)]
pub struct Attached {
    /// To its input, where it has one that is open. Dropping it closes the
    /// input of a container with `stdinOnce`.
    pub stdin: Option<mpsc::Sender<Vec<u8>>>,
    /// Its output from now on.
    pub stdout: mpsc::Receiver<Vec<u8>>,
    /// Its error output from now on; `None`: it has a terminal.
    pub stderr: Option<mpsc::Receiver<Vec<u8>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stdin {
    pub(super) fn new(pipe: pipe::Sender, once: bool) -> Self {
        Self { pipe: Arc::new(tokio::sync::Mutex::new(pipe)), once }
    }
}

impl Tap {
    /// Hand a piece over; false: this client is gone, or too slow. One that
    /// dropped one of its ends still has the other.
    fn give(&self, stream: Stream, data: &[u8]) -> bool {
        let to = if stream == Stream::Out { Some(&self.out) } else { self.err.as_ref() };
        match to.map(|to| to.try_send(data.to_vec())) {
            None | Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_))) => false,
            Some(Err(TrySendError::Closed(_))) => {
                !self.out.is_closed() || self.err.as_ref().is_some_and(|e| !e.is_closed())
            }
        }
    }
}

impl Live {
    pub(crate) fn new(logs_dir: &Path, node_bytes_max: u64) -> Self {
        Self {
            runs: Mutex::default(),
            buffer: Mutex::new(vec![0; CHUNK_BYTES].into()),
            turn: tokio::sync::Mutex::default(),
            logs_dir: logs_dir.into(),
            node_bytes_max,
            uncounted_bytes: AtomicU64::new(u64::MAX / 2),
        }
    }

    pub(super) fn add(&self, id: &str, run: Running) {
        lock(&self.runs).insert(id.into(), run);
    }

    /// The run has ended: whoever watches sees the end.
    pub(super) fn remove(&self, id: &str) {
        lock(&self.runs).remove(id);
    }

    /// Give output to those who are attached.
    pub(super) fn tee(&self, id: &str, stream: Stream, data: &[u8]) {
        let mut runs = lock(&self.runs);
        let Some(run) = runs.get_mut(id) else { return };
        run.taps.retain(|tap| tap.give(stream, data));
    }

    /// Bytes came into a log file; keeps the bound of all logs together.
    pub(super) fn count(&self, bytes: u64) {
        let before = self.uncounted_bytes.fetch_add(bytes, Ordering::Relaxed);
        let step = self.node_bytes_max / COUNT_AFTER;
        if before.saturating_add(bytes) >= step {
            self.uncounted_bytes.store(0, Ordering::Relaxed);
            let in_use: BTreeSet<PathBuf> = lock(&self.runs).values().map(|r| r.file.clone()).collect();
            bounds::trim(&self.logs_dir, self.node_bytes_max - step, &in_use);
        }
    }

    pub(super) fn file_bytes_max(&self) -> u64 {
        bounds::file_bytes_max(self.node_bytes_max, lock(&self.runs).len())
    }

    /// Tells of what is written to this file; `None`: nobody writes it.
    pub(crate) fn progress(&self, file: &Path) -> Option<watch::Receiver<()>> {
        lock(&self.runs).values().find(|r| r.file == file).map(|r| r.progress.clone())
    }

    /// Attach to a container; `None`: it does not run. `close` is called when
    /// the input of a container with `stdinOnce` has come to its end.
    pub(crate) fn attach<F>(self: &Arc<Self>, id: &str, close: F) -> Option<Attached>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut runs = lock(&self.runs);
        let run = runs.get_mut(id)?;
        let (out, stdout) = mpsc::channel(PIECES_MAX);
        let (err, stderr) = if run.tty { (None, None) } else { Some(mpsc::channel(PIECES_MAX)).unzip() };
        run.taps.push(Tap { out, err });
        let stdin = run.stdin.clone().map(|stdin| {
            let (sender, pieces) = mpsc::channel(PIECES_MAX);
            let (live, id, progress) = (self.clone(), id.to_owned(), run.progress.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = feed(&stdin, pieces) => {}
                    () = ended(progress) => return,
                }
                if stdin.once {
                    if let Some(run) = lock(&live.runs).get_mut(&id) {
                        run.stdin = None;
                    }
                    drop(stdin);
                    close.await;
                }
            });
            sender
        });
        Some(Attached { stdin, stdout, stderr })
    }
}

async fn feed(stdin: &Stdin, mut pieces: mpsc::Receiver<Vec<u8>>) {
    while let Some(piece) = pieces.recv().await {
        if let Err(error) = stdin.pipe.lock().await.write_all(&piece).await {
            return tracing::debug!(%error, "input of a container");
        }
    }
}

async fn ended(mut progress: watch::Receiver<()>) {
    while progress.changed().await.is_ok() {}
}
