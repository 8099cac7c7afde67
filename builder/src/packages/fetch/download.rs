//! One download: resume, retry, verify, reveal.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use reqwest::{Response, StatusCode, header};
use sha2::{Digest as _, Sha256};
use skerry_plan::lock::LockedPackage;

use super::FetchError;
use crate::{
    packages::cache::{Cache, reveal},
    progress::Step,
};

/// How patient downloads are.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Attempts in a row without a new byte.
    pub attempts_max: u32,
    /// Attempts in all, even if each brings something.
    pub attempts_total_max: u32,
    /// Pause after the first failure; doubles with each up to 16 times itself.
    pub first_pause: Duration,
    /// Silence after which a connection counts as dead.
    pub silence_max: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            attempts_total_max: 100,
            first_pause: Duration::from_millis(500),
            silence_max: Duration::from_secs(30),
        }
    }
}

/// How a download ended, if it did not fail.
pub(super) enum Outcome {
    /// The package is in the cache.
    InCache,
    /// The server does not have it.
    Gone,
}

/// Why one attempt ended early.
enum Stop {
    /// Try again.
    Again(String),
    /// Do not.
    Fail(FetchError),
    /// The server does not have the file.
    Gone,
}

/// Fetches packages into a cache.
pub(super) struct Downloader {
    client: reqwest::Client,
    cache: Cache,
    step: Arc<Step>,
    policy: Policy,
}

/// A half file, locked against other builds that use the same cache.
struct Part {
    file: File,
    path: PathBuf,
    have: u64,
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_path_buf();
    move |source| FetchError::Io { operation, path, source }
}

impl Downloader {
    pub(super) fn new(cache: Cache, step: Arc<Step>, policy: Policy) -> Result<Self, FetchError> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("skerry/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(policy.silence_max)
            .read_timeout(policy.silence_max)
            .build()
            .map_err(|e| FetchError::Network { url: "the archive".into(), detail: chain(&e) })?;
        Ok(Self { client, cache, step, policy })
    }

    pub(super) async fn download(&self, package: &LockedPackage, url: &str) -> Result<Outcome, FetchError> {
        let path = self.cache.part(&package.sha256);
        let opened = tokio::task::spawn_blocking(move || open_part(&path)).await;
        let mut part = opened.expect("opening a file does not panic")?;
        if super::is_cached(package, &self.cache) {
            // Another build was faster while this one waited for the lock.
            let _ = std::fs::remove_file(&part.path);
            self.step.advance(package.size);
            return Ok(Outcome::InCache);
        }
        self.step.advance(part.have.min(package.size));
        let mut idle = 0;
        let mut wrong_content = 0;
        for _ in 0..self.policy.attempts_total_max {
            let before = part.have;
            let reason = match self.attempt(&mut part, package, url).await {
                Ok(()) => match self.finish(&mut part, package)? {
                    None => return Ok(Outcome::InCache),
                    // Once more from the start: the beginning may be of an
                    // earlier download that went wrong.
                    Some(detail) if wrong_content == 0 => {
                        wrong_content += 1;
                        part.truncate()?;
                        detail
                    }
                    Some(detail) => {
                        part.truncate()?;
                        return Err(FetchError::Content { url: url.into(), detail });
                    }
                },
                Err(Stop::Again(reason)) => reason,
                Err(Stop::Fail(error)) => return Err(error),
                Err(Stop::Gone) => return Ok(Outcome::Gone),
            };
            idle = if part.have > before { 1 } else { idle + 1 };
            if idle >= self.policy.attempts_max {
                return Err(FetchError::Network { url: url.into(), detail: reason });
            }
            tracing::debug!(url, reason, "trying again");
            tokio::time::sleep(self.policy.first_pause * 2u32.pow((idle - 1).min(4))).await;
        }
        Err(FetchError::Network {
            url: url.into(),
            detail: format!("still not whole after {} attempts", self.policy.attempts_total_max),
        })
    }

    /// Ask for what is missing and append it.
    async fn attempt(&self, part: &mut Part, package: &LockedPackage, url: &str) -> Result<(), Stop> {
        if part.have > package.size {
            part.truncate().map_err(Stop::Fail)?;
        }
        if part.have == package.size {
            return Ok(());
        }
        let mut request = self.client.get(url).header(header::ACCEPT_ENCODING, "identity");
        if part.have > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", part.have));
        }
        let response = request.send().await.map_err(|e| Stop::Again(chain(&e)))?;
        judge_status(&response, part)?;
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|e| Stop::Again(chain(&e)))?;
            if part.have + chunk.len() as u64 > package.size {
                part.truncate().map_err(Stop::Fail)?;
                let detail = format!("longer than the {} bytes of the lock", package.size);
                return Err(Stop::Fail(FetchError::Content { url: url.into(), detail }));
            }
            part.append(&chunk).map_err(Stop::Fail)?;
            self.step.advance(chunk.len() as u64);
        }
        if part.have < package.size {
            return Err(Stop::Again(format!("the connection ended after {} of {} bytes", part.have, package.size)));
        }
        Ok(())
    }

    /// Verify and reveal a whole file; says what is wrong with its content.
    fn finish(&self, part: &mut Part, package: &LockedPackage) -> Result<Option<String>, FetchError> {
        part.file.seek(SeekFrom::Start(0)).map_err(io_error("reading", &part.path))?;
        let mut hasher = Sha256::new();
        io::copy(&mut part.file, &mut hasher).map_err(io_error("reading", &part.path))?;
        let found = hex::encode(hasher.finalize());
        if found != package.sha256.to_hex() {
            return Ok(Some(format!("its SHA-256 is {found}, the lock has {}", package.sha256)));
        }
        part.file.sync_all().map_err(io_error("writing", &part.path))?;
        let target = self.cache.deb(&package.sha256);
        reveal(&part.path, &target).map_err(io_error("renaming to", &target))?;
        Ok(None)
    }
}

/// Decide by the status where the body's first byte belongs.
fn judge_status(response: &Response, part: &mut Part) -> Result<(), Stop> {
    let status = response.status();
    match status {
        StatusCode::PARTIAL_CONTENT if starts_at(response, part.have) => Ok(()),
        // Another range than asked for, or one beyond the end: from the start.
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            part.truncate().map_err(Stop::Fail)?;
            Err(Stop::Again(format!("the server answered {status} to a range")))
        }
        // The whole file, because the server does not do ranges.
        StatusCode::OK => part.truncate().map_err(Stop::Fail),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Stop::Gone),
        s if s.is_server_error() || matches!(s, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) => {
            Err(Stop::Again(format!("the server answered {s}")))
        }
        s => Err(Stop::Fail(FetchError::Network {
            url: response.url().to_string(),
            detail: format!("the server answered {s}"),
        })),
    }
}

fn starts_at(response: &Response, offset: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
    range.is_some_and(|r| r.strip_prefix("bytes ").is_some_and(|r| r.starts_with(&format!("{offset}-"))))
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        out = format!("{out}: {cause}");
        at = cause.source();
    }
    out
}

fn open_part(path: &Path) -> Result<Part, FetchError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io_error("creating", folder))?;
    }
    loop {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(io_error("opening", path))?;
        file.lock().map_err(io_error("locking", path))?;
        // The one who had the lock may have renamed the file meanwhile.
        if same_file(&file, path) {
            let have = file.seek(SeekFrom::End(0)).map_err(io_error("reading", path))?;
            return Ok(Part { file, path: path.into(), have });
        }
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

impl Part {
    fn truncate(&mut self) -> Result<(), FetchError> {
        self.have = 0;
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(io_error("truncating", &self.path))?;
        Ok(())
    }

    fn append(&mut self, data: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(data).map_err(io_error("writing", &self.path))?;
        self.have += data.len() as u64;
        Ok(())
    }
}
