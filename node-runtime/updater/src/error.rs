//! Why a step of an update did not work, and who is to blame.

use std::{
    io,
    path::{Path, PathBuf},
};

use skerry_formats::{FormatError, ObjectDigest};
use skerry_platform::esp::EspError;
use skerry_update_core::{Cause, Failure};

use crate::source::HttpError;

/// Why a step of an update did not work.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A request failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// TUF metadata was not accepted.
    #[error("update metadata refused")]
    Tuf(#[source] Box<tough::error::Error>),
    /// The server shows metadata older than what was seen before.
    #[error("update metadata refused: {what} version {found} is older than version {known} seen before (rollback)")]
    TufRollback {
        /// `root` or `timestamp`.
        what: &'static str,
        /// Version found.
        found: u64,
        /// Version on record.
        known: u64,
    },
    /// The metadata names no such target.
    #[error("the update repository has no {0}")]
    NoTarget(String),
    /// The channel pointer is not for this node.
    #[error("the channel pointer is not usable: {0}")]
    Channel(String),
    /// The release is correctly published, but not usable.
    #[error("release {sequence} is not usable: {detail}")]
    Release {
        /// Sequence of the release.
        sequence: u32,
        /// What is wrong.
        detail: String,
    },
    /// An object from the server is not what its name says.
    #[error("object {object} from the server refused: {detail}")]
    Object {
        /// Name of the object.
        object: ObjectDigest,
        /// What is wrong.
        detail: String,
    },
    /// The disk has not enough room for the candidate.
    #[error("not enough room on SYSTEM: the update needs {need_bytes} bytes, {free_bytes} are free")]
    NoRoom {
        /// Bytes needed.
        need_bytes: u64,
        /// Bytes free.
        free_bytes: u64,
    },
    /// A local file operation failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// Operation.
        operation: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The boot entries could not be read or changed.
    #[error("boot entries")]
    Esp(#[from] EspError),
    /// What was staged is not there any more.
    #[error("staged files of release {sequence} are not complete: {detail}")]
    Staging {
        /// Sequence of the release.
        sequence: u32,
        /// What is missing.
        detail: String,
    },
    /// A local document cannot be read.
    #[error("{path}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: FormatError,
    },
    /// The server answered, but was not done in time.
    #[error("the update server was not done answering after {secs} s")]
    Slow {
        /// The limit.
        secs: u64,
    },
    /// A worker thread died.
    #[error("a worker thread failed: {0}")]
    Worker(String),
}

/// `map_err` helper for file operations.
pub(crate) fn io<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> UpdateError + 'a {
    move |source| UpdateError::Io { operation, path: path.to_owned(), source }
}

impl UpdateError {
    /// Who is to blame.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Http(e) if e.is_network() => Cause::Network,
            Self::Http(_) | Self::TufRollback { .. } | Self::NoTarget(_) | Self::Channel(_) | Self::Object { .. } => {
                Cause::Server
            }
            Self::Tuf(e) => tuf_cause(e),
            Self::Release { .. } => Cause::Release,
            Self::NoRoom { .. } => Cause::DiskFull,
            Self::Io { source, .. } if is_full(source) => Cause::DiskFull,
            Self::Esp(e) if chain(e).any(|e| e.downcast_ref::<io::Error>().is_some_and(is_full)) => Cause::DiskFull,
            Self::Slow { .. } => Cause::Network,
            Self::Io { .. } | Self::Esp(_) | Self::Staging { .. } | Self::Format { .. } | Self::Worker(_) => {
                Cause::Local
            }
        }
    }

    /// The whole chain on one line.
    pub fn line(&self) -> String {
        let mut out: Vec<String> = vec![];
        for e in chain(self) {
            let text = e.to_string();
            // Some foreign errors repeat their source.
            if !out.last().is_some_and(|last| last.ends_with(&text)) {
                out.push(text);
            }
        }
        out.join(": ")
    }

    /// As the machine wants it.
    pub fn failure(&self, progressed: bool) -> Failure {
        Failure { cause: self.cause(), reason: self.line(), progressed }
    }
}

fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn tuf_cause(e: &tough::error::Error) -> Cause {
    use tough::error::Error as E;
    match e {
        E::DatastoreCreate { .. } | E::DatastoreOpen { .. } | E::DatastoreRemove { .. } => {
            let full = chain(e).any(|e| e.downcast_ref::<io::Error>().is_some_and(is_full));
            if full { Cause::DiskFull } else { Cause::Local }
        }
        _ => match chain(e).find_map(|e| e.downcast_ref::<HttpError>()) {
            Some(http) if http.is_network() => Cause::Network,
            _ => Cause::Server,
        },
    }
}

fn chain<'a>(e: &'a (dyn std::error::Error + 'static)) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(e), |e| e.source())
}
