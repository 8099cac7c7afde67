//! Errors of the commit step.

use std::path::PathBuf;

/// Why a tree could not be committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The content of a file could not be read.
    #[error("reading the content of /{path}")]
    Content {
        /// Path in the tree.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The tree itself is not well-formed.
    #[error("tree entry /{path}: {detail}")]
    Tree {
        /// Path in the tree.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// The composefs writer refused the tree.
    #[error("writing the composefs image: {0}")]
    Composefs(String),
    /// The digest cache could not be stored.
    #[error("storing the digest cache {}", .path.display())]
    Cache {
        /// File of the cache.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// An operation of libostree failed.
    #[error("OSTree repository: {operation}")]
    Ostree {
        /// What was tried, on what.
        operation: String,
        /// What libostree said.
        #[source]
        source: ostree_ext::glib::Error,
    },
    /// Folders of the repository or export could not be written.
    #[error("{operation} {}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The commit is unsigned, or its signature does not fit.
    #[error("OSTree commit {checksum}: {detail}")]
    Signature {
        /// Checksum of the commit.
        checksum: String,
        /// Which check failed.
        detail: String,
    },
    /// The commit could not be exported as an OCI image.
    #[error("exporting commit {checksum} as an OCI image: {detail}")]
    Export {
        /// Checksum of the commit.
        checksum: String,
        /// What ostree-ext said.
        detail: String,
    },
}
