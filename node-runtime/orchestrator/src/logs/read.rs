//! Reading logs back as the API wants them: the end of them, by time, with new
//! lines as they come. No file is ever held in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{
    CHUNK_BYTES,
    record::{HEAD_BYTES_MAX, Record, Stream, TEXT_BYTES_MAX, parse},
    rotated,
};

/// Size of the pieces that are handed out, about.
const PIECE_BYTES: usize = 32 << 10;
/// Pieces that wait for whoever reads them.
const PIECES_MAX: usize = 4;
/// Parts of a line are put together up to this; longer lines come in pieces.
const LINE_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX;

/// What is wanted of a log; the meanings are those of the API's `pods/log`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Run of the container, its restart count; `None`: the latest.
    pub run: Option<u32>,
    /// The run before that one instead.
    pub previous: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// Only lines written at this time or later.
    pub since: Option<Timestamp>,
    /// Not more bytes than this.
    pub limit_bytes: Option<u64>,
    /// RFC 3339 time in front of each line.
    pub timestamps: bool,
    /// Go on with new lines until the run ends.
    pub follow: bool,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The container has not run, or its log is gone already.
    #[error("there is no log {0}")]
    NotFound(PathBuf),
    /// The file could not be read.
    #[error("reading log {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Read the log of a container whose files are in `dir`: first what was
/// renamed, then what is written now. `progress` tells the log file of a
/// request and gives what tells of its writes; without it the run has ended,
/// and so does `follow`.
///
/// The reader runs as a task of its own, reads no faster than its pieces are
/// taken, and ends when nobody takes them any more.
///
/// # Errors
/// There is no such log, or it cannot be opened.
pub fn read(
    dir: &Path,
    request: &Request,
    progress: impl FnOnce(&Path) -> Option<watch::Receiver<()>>,
) -> Result<mpsc::Receiver<Vec<u8>>, ReadError> {
    let path = file(dir, request)?;
    // Before the files are opened, so that no write in between is missed.
    let progress = progress(&path).filter(|_| request.follow);
    let opened = open(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ReadError::NotFound(path.clone()),
        _ => ReadError::Io { path: path.clone(), source },
    })?;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let out = Out {
        sender,
        piece: vec![],
        timestamps: request.timestamps,
        since: request.since,
        left_bytes: request.limit_bytes.unwrap_or(u64::MAX),
        open: BTreeMap::new(),
    };
    let reader = Reader { path, files: opened, progress, out };
    let tail = request.tail_lines;
    tokio::spawn(async move {
        let path = reader.path.clone();
        if let Err(e) = reader.run(tail).await {
            tracing::warn!("reading log {}: {e}", path.display());
        }
    });
    Ok(receiver)
}

/// Log file of the run that is asked for.
fn file(dir: &Path, request: &Request) -> Result<PathBuf, ReadError> {
    let named = |run: u32| dir.join(format!("{run}.log"));
    let none = || ReadError::NotFound(dir.join("*.log"));
    let latest = || {
        let names = fs::read_dir(dir).into_iter().flatten().flatten();
        names.filter_map(|e| e.file_name().to_str()?.strip_suffix(".log")?.parse::<u32>().ok()).max()
    };
    let run = request.run.or_else(latest).ok_or_else(none)?;
    match request.previous {
        true => run.checked_sub(1).map(named).ok_or_else(none),
        false => Ok(named(run)),
    }
}

/// The renamed file, if there is one, and the present one.
fn open(path: &Path) -> io::Result<VecDeque<File>> {
    let now = File::open(path)?;
    Ok(File::open(rotated(path)).ok().into_iter().chain([now]).collect())
}

struct Reader {
    path: PathBuf,
    /// What is read now, then what follows.
    files: VecDeque<File>,
    progress: Option<watch::Receiver<()>>,
    out: Out,
}

/// Nobody takes it any more, or the limit is reached.
struct Enough;

impl Reader {
    async fn run(mut self, tail: Option<u64>) -> io::Result<()> {
        if let Some(lines) = tail {
            self.skip_to_tail(lines).await?;
        }
        let mut rest: Vec<u8> = vec![];
        let mut buf = vec![0; CHUNK_BYTES];
        while let Some(file) = self.files.front_mut() {
            let n = file.read(&mut buf)?;
            if n == 0 {
                match self.next().await? {
                    true => continue,
                    false => break,
                }
            }
            if self.take(&mut rest, &buf[..n]).await.is_err() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        self.out.end().await;
        Ok(())
    }

    /// Lines of a piece of a file; what is not whole stays in `rest`.
    async fn take(&mut self, rest: &mut Vec<u8>, data: &[u8]) -> Result<(), Enough> {
        for piece in data.split_inclusive(|b| *b == b'\n') {
            if !piece.ends_with(b"\n") {
                // Longer than any record of ours: not a log.
                if rest.len() < 2 * LINE_BYTES_MAX {
                    rest.extend_from_slice(piece);
                }
                break;
            }
            let whole = if rest.is_empty() {
                piece
            } else {
                rest.extend_from_slice(piece);
                rest.as_slice()
            };
            if let Some(record) = parse(whole.strip_suffix(b"\n").unwrap_or(whole)) {
                self.out.record(&record).await?;
            }
            rest.clear();
        }
        Ok(())
    }

    /// At the end of a file: go on with the next, or wait for more. False: that
    /// was all.
    async fn next(&mut self) -> io::Result<bool> {
        if self.files.len() > 1 {
            self.files.pop_front();
            return Ok(true);
        }
        // Found before the last look at the old file, which the loop takes now.
        if self.follow_rename()? {
            return Ok(true);
        }
        if self.out.flush().await.is_err() {
            return Ok(false);
        }
        let Some(progress) = &mut self.progress else { return Ok(false) };
        tokio::select! {
            more = progress.changed() => if more.is_err() {
                // The run has ended; what it wrote last is read, then all is.
                self.progress = None;
            },
            () = self.out.sender.closed() => return Ok(false),
        }
        Ok(true)
    }

    /// Was the file renamed under us? What came after it is opened.
    fn follow_rename(&mut self) -> io::Result<bool> {
        let Some(ours) = self.files.front() else { return Ok(false) };
        let id = |f: &File| f.metadata().map(|m| (m.dev(), m.ino()));
        let Ok(now) = File::open(&self.path) else { return Ok(false) };
        let ours = id(ours)?;
        if id(&now)? == ours {
            return Ok(false);
        }
        // Renamed more than once: one file lies between.
        let between = File::open(rotated(&self.path)).ok();
        let between = between.filter(|f| id(f).is_ok_and(|other| other != ours));
        self.files.extend(between.into_iter().chain([now]));
        Ok(true)
    }

    /// Skip what comes before the last lines.
    async fn skip_to_tail(&mut self, lines: u64) -> io::Result<()> {
        if lines == 0 {
            self.files.drain(..self.files.len() - 1);
            self.files[0].seek(SeekFrom::End(0))?;
            return Ok(());
        }
        let mut found = Tail { wanted: lines, seen: 0, begin: 0, after: vec![] };
        for i in (0..self.files.len()).rev() {
            let mut end = self.files[i].metadata()?.len();
            found.after.clear();
            found.begin = end;
            while end > 0 {
                let start = end.saturating_sub(CHUNK_BYTES as u64);
                let mut block = vec![0; (end - start) as usize];
                self.files[i].read_exact_at(&mut block, start)?;
                if found.block(block, start) {
                    self.files.drain(..i);
                    self.files[0].seek(SeekFrom::Start(found.begin))?;
                    return Ok(());
                }
                end = start;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

/// Looks for the beginning of the last lines, from the end of a log.
struct Tail {
    wanted: u64,
    /// Lines seen.
    seen: u64,
    /// Where the record behind the one that is looked at begins.
    begin: u64,
    /// The beginning of what comes after the next block: the head of a record
    /// may lie there.
    after: Vec<u8>,
}

impl Tail {
    /// Look at one more block, which begins at `start`; true once all lines
    /// that are wanted lie behind `begin`.
    fn block(&mut self, mut block: Vec<u8>, start: u64) -> bool {
        let own = block.len();
        block.extend_from_slice(&self.after);
        let mut end = block.len();
        let breaks = (0..own).rev().filter(|i| block[*i] == b'\n').map(|i| i + 1);
        // The first record of the file has no line feed before it.
        for at in breaks.chain((start == 0).then_some(0)) {
            let record = parse(&block[at..end.min(at + HEAD_BYTES_MAX).max(at)]);
            end = at.saturating_sub(1);
            let Some(record) = record else { continue };
            // An open line at the end counts too.
            let counts = record.full || self.seen == 0;
            if record.full && self.seen == self.wanted {
                // This one ends the line before; ours begins behind it.
                return true;
            }
            self.seen += u64::from(counts);
            self.begin = start + at as u64;
        }
        block.truncate(own.min(HEAD_BYTES_MAX));
        self.after = block;
        false
    }
}

/// Where lines go.
struct Out {
    sender: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
    timestamps: bool,
    since: Option<Timestamp>,
    left_bytes: u64,
    /// Lines whose end has not come, with the time of their beginning.
    open: BTreeMap<Stream, (String, Vec<u8>)>,
}

impl Out {
    async fn record(&mut self, r: &Record<'_>) -> Result<(), Enough> {
        if let Some(since) = self.since {
            let early = r.time.parse::<Timestamp>().is_ok_and(|t| t < since);
            if early {
                return Ok(());
            }
        }
        if r.full && !self.open.contains_key(&r.stream) {
            self.put(r.time, &[r.text, b"\n"]);
        } else {
            let (time, text) = self.open.entry(r.stream).or_insert_with(|| (r.time.to_owned(), vec![]));
            text.extend_from_slice(r.text);
            if r.full || text.len() >= LINE_BYTES_MAX {
                let (time, text) = (std::mem::take(time), std::mem::take(text));
                self.open.remove(&r.stream);
                self.put(&time, &[&text, if r.full { b"\n" } else { b"" }]);
            }
        }
        if self.piece.len() >= PIECE_BYTES || self.left_bytes == 0 {
            self.flush().await?;
        }
        if self.left_bytes == 0 { Err(Enough) } else { Ok(()) }
    }

    fn put(&mut self, time: &str, text: &[&[u8]]) {
        let head: [&[u8]; 2] = if self.timestamps { [time.as_bytes(), b" "] } else { [b"", b""] };
        for part in head.iter().chain(text) {
            let n = self.left_bytes.min(part.len() as u64);
            self.piece.extend_from_slice(&part[..n as usize]);
            self.left_bytes -= n;
        }
    }

    async fn flush(&mut self) -> Result<(), Enough> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.sender.send(std::mem::take(&mut self.piece)).await.map_err(|_| Enough)
    }

    /// That was all; lines without an end come as they are.
    async fn end(&mut self) {
        for (_, (time, text)) in std::mem::take(&mut self.open) {
            self.put(&time, &[&text]);
        }
        let _ = self.flush().await;
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
