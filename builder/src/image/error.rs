//! Errors of the image step.

use std::path::{Path, PathBuf};

/// Why an image could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Reading or writing a file failed.
    #[error("{operation} {}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// Compression failed.
    #[error("compressing {what}")]
    Compress {
        /// What was to be compressed.
        what: String,
        /// What zstd said.
        #[source]
        source: std::io::Error,
    },
    /// The EFI stub or a UKI is not a PE file of the expected form.
    #[error("{what}: {detail}")]
    Pe {
        /// Which file.
        what: &'static str,
        /// What is wrong and where.
        detail: String,
    },
    /// Something does not fit into its partition.
    #[error(
        "{what} needs {need_mib} MiB, the board's `{key}` gives it {have_mib} MiB; raise `partitions.{key}` in the board file"
    )]
    TooSmall {
        /// What does not fit.
        what: &'static str,
        /// Key of the board file.
        key: &'static str,
        /// Needed size.
        need_mib: u64,
        /// Given size.
        have_mib: u64,
    },
    /// A program of the toolbox failed.
    #[error("{program} failed on {}: {detail}", .path.display())]
    Tool {
        /// Name of the program.
        program: &'static str,
        /// Image that it worked on.
        path: PathBuf,
        /// The end of what it printed.
        detail: String,
    },
    /// An object's content does not have the digest it is named by.
    #[error(
        "object {named} has the digest {measured}; its file in the cache was changed, remove the cache and build again"
    )]
    Digest {
        /// Digest it is named by.
        named: String,
        /// Digest of its content.
        measured: String,
    },
    /// A disk image, partition table or file system could not be read.
    #[error("{what}: {detail}")]
    Unreadable {
        /// Which part.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
}

impl ImageError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn unreadable(what: &'static str, detail: impl ToString) -> Self {
        Self::Unreadable { what, detail: detail.to_string() }
    }
}
