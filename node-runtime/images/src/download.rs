//! Blobs into `partial/`: `DIGEST.part` grows and survives a cut link or power;
//! `DIGEST.blob` is complete and was compared with its digest.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use reqwest::{Response, StatusCode, header};
use sha2::{Digest as _, Sha256};
use skerry_formats::Sha256Digest;
use tokio::sync::mpsc;

use crate::{
    document::Blob,
    locks::Lease,
    objects::{ObjectError, io_error},
    pull::PullError,
    registry::{RegistryError, Session},
    store::Store,
};

/// Attempts in a row that may bring nothing.
const FRUITLESS_MAX: u32 = 2;
/// Attempts at one blob, however much each brings.
const ATTEMPTS_MAX: u32 = 100;
/// Pieces between the network and the disk.
const QUEUE_PIECES: usize = 8;
/// Bytes after which a download is made durable.
const SYNC_EVERY_BYTES: u64 = 16 << 20;

/// How far a pull is.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    present: AtomicU64,
    received: AtomicU64,
}

impl Progress {
    /// Compressed bytes of all layers; 0 while that is not known.
    pub fn total_bytes(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// How many of them are here.
    pub fn present_bytes(&self) -> u64 {
        self.present.load(Ordering::Relaxed)
    }

    /// Bytes of layers that came over the network.
    pub fn received_bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }
}

/// The right to a blob, and its files.
pub(crate) struct Held {
    pub blob: Blob,
    lease: Arc<Lease<Sha256Digest>>,
    part: PathBuf,
    whole: PathBuf,
}

impl Held {
    /// Wait until nobody else works with the blob.
    pub async fn new(store: &Store, blob: Blob) -> Self {
        let lease = Arc::new(store.blobs.lease(blob.digest).await);
        let file = |extension| store.partial.join(format!("{}.{extension}", blob.digest));
        Self { part: file("part"), whole: file("blob"), blob, lease }
    }

    /// Path of the complete blob.
    pub fn path(&self) -> &Path {
        &self.whole
    }

    /// Bytes that are still to come.
    pub fn missing_bytes(&self) -> u64 {
        let has = |p: &Path| fs::metadata(p).map_or(0, |m| m.len());
        if self.whole.exists() { 0 } else { self.blob.size_bytes.saturating_sub(has(&self.part)) }
    }

    /// Remove the files unless somebody waits for them.
    pub fn remove(&self) {
        if self.lease.is_last() {
            let _ = fs::remove_file(&self.part);
            let _ = fs::remove_file(&self.whole);
        }
    }

    /// Get the blob.
    pub async fn download(
        &self,
        store: &Store,
        session: &Session<'_>,
        progress: &Arc<Progress>,
    ) -> Result<(), PullError> {
        if self.whole.exists() {
            progress.present.fetch_add(self.blob.size_bytes, Ordering::Relaxed);
            return Ok(());
        }
        let mut writer = self.open().await?;
        let resumed = writer.have > 0;
        progress.present.fetch_add(writer.have, Ordering::Relaxed);
        let (mut attempts, mut fruitless, mut best) = (0, 0, writer.have);
        while writer.have < self.blob.size_bytes {
            store.room.check(self.blob.size_bytes - writer.have)?;
            let error;
            (writer, error) = self.attempt(writer, session, progress).await?;
            fruitless = if writer.have > best { 0 } else { fruitless + 1 };
            best = best.max(writer.have);
            attempts += 1;
            if writer.have == self.blob.size_bytes {
                break;
            }
            let error = error.unwrap_or_else(|| self.short(session, writer.have));
            if !error.is_network() || fruitless >= FRUITLESS_MAX || attempts >= ATTEMPTS_MAX {
                return Err(error.into());
            }
            tracing::debug!(%error, have = writer.have, "a download broke; resuming it");
        }
        match blocking(move || writer.finish()).await? {
            Ok(()) => Ok(()),
            // The bytes of an earlier attempt may be the wrong ones: once more
            // without them before the registry is blamed.
            Err(Mismatch) if resumed => {
                progress.present.fetch_sub(self.blob.size_bytes, Ordering::Relaxed);
                Box::pin(self.download(store, session, progress)).await
            }
            Err(Mismatch) => Err(RegistryError::Digest { what: session.blob_name(&self.blob.digest) }.into()),
        }
    }

    fn short(&self, session: &Session<'_>, have: u64) -> RegistryError {
        RegistryError::Short { what: session.blob_name(&self.blob.digest), have, expected: self.blob.size_bytes }
    }

    async fn open(&self) -> Result<Writer, PullError> {
        let (part, whole, blob, lease) = (self.part.clone(), self.whole.clone(), self.blob.clone(), self.lease.clone());
        blocking(move || Writer::open(part, whole, blob, lease)).await?.map_err(PullError::from)
    }

    /// One request; the writer and what went wrong on the way.
    async fn attempt(
        &self,
        writer: Writer,
        session: &Session<'_>,
        progress: &Arc<Progress>,
    ) -> Result<(Writer, Option<RegistryError>), PullError> {
        let from = writer.have;
        let mut response = match session.blob(&self.blob.digest, from).await {
            Ok(response) => response,
            Err(e) => return Ok((writer, Some(e))),
        };
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(self.short(session, from).into());
        }
        let range = response.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
        let continues = response.status() == StatusCode::PARTIAL_CONTENT && range.is_some_and(|r| starts_at(r, from));
        let at_start = response.status() == StatusCode::OK;
        if !continues {
            progress.present.fetch_sub(from, Ordering::Relaxed);
        }
        let (sender, receiver) = mpsc::channel(QUEUE_PIECES);
        let counter = progress.clone();
        // A part that cannot be continued is begun anew.
        let writing = tokio::task::spawn_blocking(move || writer.receive(receiver, !continues, &counter));
        let error = if continues || at_start { forward(&mut response, &sender, session).await } else { None };
        drop(sender);
        let writer = writing.await.map_err(|e| PullError::Worker(e.to_string()))??;
        if writer.too_long {
            let what = session.blob_name(&self.blob.digest);
            return Err(RegistryError::TooLarge { what, allowed: self.blob.size_bytes }.into());
        }
        Ok((writer, error))
    }
}

/// Hand the pieces of an answer on, until its end or that of the receiver.
async fn forward(
    response: &mut Response,
    sender: &mpsc::Sender<Bytes>,
    session: &Session<'_>,
) -> Option<RegistryError> {
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => sender.send(chunk).await.ok()?,
            Ok(None) => return None,
            Err(e) => return Some(session.broken(e)),
        }
    }
}

/// Run something that waits for the disk.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PullError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| PullError::Worker(e.to_string()))
}

/// Does `bytes FIRST-LAST/TOTAL` begin at a place (RFC 9110, 14.4)?
fn starts_at(range: &str, from: u64) -> bool {
    let first = range.strip_prefix("bytes ").and_then(|r| r.split_once('-')).map(|(first, _)| first);
    first.and_then(|f| f.parse().ok()) == Some(from)
}

/// The content is not what the digest says.
struct Mismatch;

/// A part that grows. Keeps the right to the blob: it may outlive a pull that
/// was given up.
struct Writer {
    part: PathBuf,
    whole: PathBuf,
    blob: Blob,
    file: File,
    hasher: Sha256,
    have: u64,
    too_long: bool,
    _lease: Arc<Lease<Sha256Digest>>,
}

impl Writer {
    /// Open a part and hash what is there.
    fn open(part: PathBuf, whole: PathBuf, blob: Blob, lease: Arc<Lease<Sha256Digest>>) -> Result<Self, ObjectError> {
        let open = OpenOptions::new().read(true).append(true).create(true).open(&part);
        let mut file = open.map_err(io_error("open", &part))?;
        let (mut hasher, mut have, mut buffer) = (Sha256::new(), 0, vec![0; 64 << 10]);
        loop {
            match file.read(&mut buffer).map_err(io_error("read", &part))? {
                0 => break,
                n => {
                    hasher.update(&buffer[..n]);
                    have += n as u64;
                }
            }
        }
        let too_long = have > blob.size_bytes;
        let mut writer = Self { part, whole, blob, file, hasher, have, too_long: false, _lease: lease };
        if too_long {
            writer.begin()?;
        }
        Ok(writer)
    }

    fn begin(&mut self) -> Result<(), ObjectError> {
        self.file.set_len(0).map_err(io_error("truncate", &self.part))?;
        (self.hasher, self.have) = (Sha256::new(), 0);
        Ok(())
    }

    /// Write what arrives. On a full disk the part is removed.
    fn receive(
        mut self,
        mut pieces: mpsc::Receiver<Bytes>,
        anew: bool,
        progress: &Progress,
    ) -> Result<Self, ObjectError> {
        if anew {
            self.begin()?;
        }
        let mut unsynced = 0;
        while let Some(piece) = pieces.blocking_recv() {
            if self.have + piece.len() as u64 > self.blob.size_bytes {
                self.too_long = true;
                break;
            }
            let written = self.file.write_all(&piece).map_err(io_error("write", &self.part));
            written.inspect_err(|_| drop(fs::remove_file(&self.part)))?;
            self.hasher.update(&piece);
            self.have += piece.len() as u64;
            unsynced += piece.len() as u64;
            progress.present.fetch_add(piece.len() as u64, Ordering::Relaxed);
            progress.received.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if unsynced >= SYNC_EVERY_BYTES {
                self.sync()?;
                unsynced = 0;
            }
        }
        self.sync()?;
        Ok(self)
    }

    fn sync(&self) -> Result<(), ObjectError> {
        self.file.sync_data().map_err(io_error("fsync", &self.part))
    }

    /// Compare with the digest and give the blob its name.
    fn finish(self) -> Result<(), Mismatch> {
        let good = self.hasher.finalize().as_slice() == self.blob.digest.0;
        // A part that cannot be renamed is as good as a wrong one: it is got
        // again, and the reason comes up when it is written.
        if good && fs::rename(&self.part, &self.whole).is_ok() {
            return Ok(());
        }
        let _ = fs::remove_file(&self.part);
        Err(Mismatch)
    }
}

/// Open a complete blob.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_place_continues_a_download() {
        for (range, from, want) in [
            ("bytes 5-9/10", 5, true),
            ("bytes 5-9/*", 5, true),
            ("bytes 4-9/10", 5, false),
            ("bytes */10", 5, false),
            ("5-9/10", 5, false),
            ("bytes -9/10", 5, false),
            ("", 0, false),
        ] {
            assert_eq!(starts_at(range, from), want, "{range:?} at {from}");
        }
    }
}
