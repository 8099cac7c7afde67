//! Fetch: missing objects over HTTP, several at a time, each resumable.
//!
//! A download grows in `staging/DIGEST.zst.part` and is made durable every few
//! MiB, so that a cut link or a cut power costs little. The server's ETag lies
//! beside it; with `If-Range` a server whose file changed sends it whole.
//!
//! How long a file is, the server says: it may have been compressed by another
//! version than the one that the index was made with. The index bounds it.

use std::{fs, sync::Arc};

use futures::{StreamExt as _, stream::FuturesUnordered};
use reqwest::{Response, StatusCode, header};
use skerry_formats::{index::IndexEntry, layout::STAGING_DIR, status::Progress};
use tokio::sync::mpsc;

use crate::{
    Config, UpdateError,
    error::io,
    facilities::{Facilities, OutFile},
    source::{HttpError, Source},
    store::{Store, part_path},
};

/// Downloads in flight.
pub const PARALLEL: usize = 3;
/// Longest ETag that is kept.
const ETAG_BYTES_MAX: usize = 256;
/// First bytes of every zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What a fetch works with.
#[derive(Clone)]
pub struct Fetcher {
    /// Paths.
    pub cfg: Arc<Config>,
    /// The machine.
    pub fac: Arc<dyn Facilities>,
    /// The repository.
    pub source: Source,
}

/// How far one object got.
enum Step {
    Bytes(u64),
    /// Bytes of a download that turned out worthless.
    Lost(u64),
    Landed,
}

impl Fetcher {
    /// Fetch and land all of `missing`, telling `report` how far it is. Stops
    /// starting new downloads at the first error, and returns it.
    ///
    /// # Errors
    /// The first error of any object.
    pub async fn run(
        &self,
        missing: Vec<IndexEntry>,
        report: mpsc::UnboundedSender<Progress>,
    ) -> Result<(), UpdateError> {
        let staging = self.cfg.system(STAGING_DIR);
        self.fac.create_dir_all(&staging).map_err(io("create", &staging))?;
        let mut progress = Progress {
            planned_bytes: missing.iter().map(|e| e.compressed_bytes).sum(),
            objects: missing.len() as u64,
            ..Progress::default()
        };
        let (tx, mut rx) = mpsc::unbounded_channel();
        let mut queue = missing.into_iter();
        let mut running = FuturesUnordered::new();
        let mut first_error = None;
        loop {
            while first_error.is_none() && running.len() < PARALLEL {
                let Some(e) = queue.next() else { break };
                running.push(self.object(e, tx.clone()));
            }
            if running.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                step = rx.recv() => if let Some(step) = step {
                    advance(&mut progress, &step);
                    let _ = report.send(progress);
                },
                done = running.next() => {
                    if let Some(Err(e)) = done { first_error.get_or_insert(e); }
                }
            }
        }
        while let Ok(step) = rx.try_recv() {
            advance(&mut progress, &step);
            let _ = report.send(progress);
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn object(&self, e: IndexEntry, tx: mpsc::UnboundedSender<Step>) -> Result<(), UpdateError> {
        let had = self.part_len(&e);
        let _ = tx.send(Step::Bytes(had));
        match self.once(&e, &tx).await {
            // The bytes of an earlier attempt may be the wrong ones: once more
            // without them before the server is blamed.
            Err(UpdateError::Object { .. }) if had > 0 => {
                let _ = tx.send(Step::Lost(e.compressed_bytes));
                self.once(&e, &tx).await?;
            }
            other => other?,
        }
        let _ = tx.send(Step::Landed);
        Ok(())
    }

    async fn once(&self, e: &IndexEntry, tx: &mpsc::UnboundedSender<Step>) -> Result<(), UpdateError> {
        self.download(e, tx).await?;
        let (this, e) = (self.clone(), e.clone());
        // Unpacking and sealing block for as long as a large object takes.
        tokio::task::spawn_blocking(move || Store { cfg: &this.cfg, fac: &*this.fac }.land(&e))
            .await
            .map_err(|e| UpdateError::Worker(e.to_string()))?
    }

    fn part_len(&self, e: &IndexEntry) -> u64 {
        fs::metadata(part_path(&self.cfg, &e.digest)).map_or(0, |m| m.len())
    }

    fn store(&self) -> Store<'_> {
        Store { cfg: &self.cfg, fac: &*self.fac }
    }

    async fn download(&self, e: &IndexEntry, tx: &mpsc::UnboundedSender<Step>) -> Result<(), UpdateError> {
        let part = part_path(&self.cfg, &e.digest);
        let mut have = self.part_len(e);
        if have == e.compressed_bytes {
            return Ok(());
        }
        if have > e.file_bytes_max() {
            have = self.start_again(e, have, tx)?;
        }
        let url = self.source.url(&format!("objects/{}.zst", e.digest.object_path()))?;
        let etag_path = part.with_extension("etag");
        let mut request = self.source.get(&url);
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
            if let Ok(etag) = fs::read_to_string(&etag_path) {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let mut response = self.source.send(&url, request).await?;
        let total = match Answer::of(&response, have) {
            Answer::Nothing => return Ok(()),
            Answer::Rest { total } => total,
            answer => {
                have = self.start_again(e, have, tx)?;
                if answer == Answer::Useless {
                    response = self.source.send(&url, self.source.get(&url)).await?;
                }
                // Without a word from the server the index has to do.
                response.content_length().unwrap_or(e.compressed_bytes)
            }
        };
        if total > e.file_bytes_max() {
            let detail = format!("the server has {total} bytes, it can have {} at most", e.file_bytes_max());
            return Err(UpdateError::Object { object: e.digest, detail });
        }
        if have == 0 && total >= self.cfg.sync_every_bytes {
            self.keep_etag(&etag_path, &response)?;
        }
        self.body(e, have, total, &url, response, tx).await
    }

    /// Forget what was downloaded; returns what is there then.
    fn start_again(&self, e: &IndexEntry, have: u64, tx: &mpsc::UnboundedSender<Step>) -> Result<u64, UpdateError> {
        if have > 0 {
            self.store().drop_part(&e.digest)?;
            let _ = tx.send(Step::Lost(have));
        }
        Ok(0)
    }

    fn keep_etag(&self, path: &std::path::Path, response: &Response) -> Result<(), UpdateError> {
        let etag = response.headers().get(header::ETAG).and_then(|v| v.to_str().ok());
        // Weak tags are not allowed in If-Range (RFC 9110, 13.1.5).
        match etag.filter(|t| !t.starts_with("W/") && t.len() <= ETAG_BYTES_MAX) {
            Some(tag) => self.fac.write_file(path, tag.as_bytes()).map_err(io("write", path)),
            None => Ok(()),
        }
    }

    async fn body(
        &self,
        e: &IndexEntry,
        mut have: u64,
        total: u64,
        url: &url::Url,
        mut response: Response,
        tx: &mpsc::UnboundedSender<Step>,
    ) -> Result<(), UpdateError> {
        let part = part_path(&self.cfg, &e.digest);
        let mut file = self.fac.append(&part).map_err(io("open", &part))?;
        let mut unsynced = 0;
        let result = loop {
            let chunk = match self.source.chunk(url, &mut response).await {
                Ok(None) => break Ok(()),
                Ok(Some(c)) => c,
                Err(err) => break Err(err.into()),
            };
            if have == 0 && !chunk.starts_with(&ZSTD_MAGIC[..chunk.len().min(4)]) {
                break Err(UpdateError::Object { object: e.digest, detail: "it is not a zstd file".into() });
            }
            if have + chunk.len() as u64 > total {
                break Err(HttpError::TooLarge(url.to_string()).into());
            }
            file.write_all(&chunk).map_err(io("write", &part))?;
            have += chunk.len() as u64;
            unsynced += chunk.len() as u64;
            let _ = tx.send(Step::Bytes(chunk.len() as u64));
            if unsynced >= self.cfg.sync_every_bytes {
                self.sync_part(&mut *file, &part)?;
                unsynced = 0;
            }
        };
        // A small object that is whole lands at once; its download is not worth
        // the wear of making it durable first.
        if result.is_err() || have >= self.cfg.sync_every_bytes {
            self.sync_part(&mut *file, &part)?;
        }
        result?;
        if have < total {
            return Err(HttpError::Short { url: url.to_string(), expected: total, found: have }.into());
        }
        Ok(())
    }
}

impl Fetcher {
    fn sync_part(&self, file: &mut dyn OutFile, part: &std::path::Path) -> Result<(), UpdateError> {
        file.sync().map_err(io("fsync", part))?;
        let dir = self.cfg.system(STAGING_DIR);
        self.fac.sync_dir(&dir).map_err(io("fsync", &dir))
    }
}

fn advance(p: &mut Progress, step: &Step) {
    match step {
        Step::Bytes(n) => p.done_bytes += n,
        Step::Lost(n) => p.done_bytes = p.done_bytes.saturating_sub(*n),
        Step::Landed => p.objects_done += 1,
    }
}

/// What the server sends, seen from a download that has some bytes already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The rest of a file of `total` bytes.
    Rest { total: u64 },
    /// The file from its start.
    Whole,
    /// Nothing: the download has all of it.
    Nothing,
    /// Something that fits nowhere.
    Useless,
}

impl Answer {
    fn of(response: &Response, have: u64) -> Self {
        let range = response.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
        Self::read(response.status(), range, have)
    }

    fn read(status: StatusCode, content_range: Option<&str>, have: u64) -> Self {
        match (status, content_range.and_then(ContentRange::parse)) {
            (StatusCode::OK, _) => Self::Whole,
            (StatusCode::PARTIAL_CONTENT, Some(ContentRange { span: Some((first, last)), total }))
                if first == have && last.checked_add(1) == Some(total) && have < total =>
            {
                Self::Rest { total }
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(ContentRange { span: None, total }))
                if have == total && have > 0 =>
            {
                Self::Nothing
            }
            _ => Self::Useless,
        }
    }
}

/// `bytes FIRST-LAST/TOTAL` or `bytes */TOTAL` (RFC 9110, 14.4).
struct ContentRange {
    span: Option<(u64, u64)>,
    total: u64,
}

impl ContentRange {
    fn parse(value: &str) -> Option<Self> {
        let (span, total) = value.strip_prefix("bytes ")?.split_once('/')?;
        let total = total.parse().ok()?;
        if span == "*" {
            return Some(Self { span: None, total });
        }
        let (first, last) = span.split_once('-')?;
        Some(Self { span: Some((first.parse().ok()?, last.parse().ok()?)), total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_rest_continues_a_download() {
        let (ok, partial, no) = (StatusCode::OK, StatusCode::PARTIAL_CONTENT, StatusCode::RANGE_NOT_SATISFIABLE);
        let rest = Answer::Rest { total: 10 };
        let cases = [
            (partial, Some("bytes 5-9/10"), 5, rest),
            (partial, Some("bytes 4-9/10"), 5, Answer::Useless),
            (partial, Some("bytes 5-8/10"), 5, Answer::Useless),
            (partial, Some("bytes 5-9/11"), 5, Answer::Useless),
            (partial, Some("bytes 5-9/*"), 5, Answer::Useless),
            (partial, Some("bytes 5-18446744073709551615/0"), 5, Answer::Useless),
            (partial, Some("bytes 5-4/5"), 5, Answer::Useless),
            (partial, Some("5-9/10"), 5, Answer::Useless),
            (partial, Some("bytes */10"), 5, Answer::Useless),
            (partial, None, 5, Answer::Useless),
            (ok, None, 5, Answer::Whole),
            (ok, Some("bytes 5-9/10"), 5, Answer::Whole),
            (no, Some("bytes */5"), 5, Answer::Nothing),
            (no, Some("bytes */4"), 5, Answer::Useless),
            (no, Some("bytes */0"), 0, Answer::Useless),
            (no, None, 5, Answer::Useless),
        ];
        for (status, range, have, want) in cases {
            assert_eq!(Answer::read(status, range, have), want, "{status} {range:?} at {have}");
        }
    }
}
