//! Why an app image could not be loaded.

use std::{io, path::PathBuf};

use skerry_formats::Sha256Digest;

/// Error of loading an app image.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Reading or writing a file failed.
    #[error("app {app}: {operation} {}", .path.display())]
    Io {
        /// App name.
        app: String,
        /// What was being done.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A blob's content is not what its digest says.
    #[error("app {app}: blob sha256:{digest} has other content than its digest says; fetch the image again")]
    Digest {
        /// App name.
        app: String,
        /// Digest that was asked for.
        digest: Sha256Digest,
    },
    /// The image has no such blob.
    #[error("app {app}: the image has no blob sha256:{digest}; export it again with all its layers")]
    MissingBlob {
        /// App name.
        app: String,
        /// Digest that was asked for.
        digest: Sha256Digest,
    },
    /// JSON or tar that cannot be understood.
    #[error("app {app}: the image's {what} cannot be read: {detail}")]
    Malformed {
        /// App name.
        app: String,
        /// Which part.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The image is not for the board's architecture.
    #[error("app {app}: no image for {wanted} (found: {found}); build or pull it for the board's architecture")]
    Platform {
        /// App name.
        app: String,
        /// Architecture of the board.
        wanted: &'static str,
        /// What the image offers.
        found: String,
    },
    /// The reference and the image disagree, or the reference has no digest.
    #[error("app {app}: {detail}")]
    Reference {
        /// App name.
        app: String,
        /// What is wrong and what to write.
        detail: String,
    },
    /// A layer holds what no tree may contain.
    #[error("app {app}: layer {layer}: {detail}")]
    Layer {
        /// App name.
        app: String,
        /// Number of the layer, from 1.
        layer: usize,
        /// Which entry, and what is wrong with it.
        detail: String,
    },
    /// A file of credentials cannot be used.
    #[error("app {app}: credentials for {image}: {detail}")]
    Credentials {
        /// App name.
        app: String,
        /// Image reference.
        image: String,
        /// Which file, what is wrong, what to do.
        detail: String,
    },
    /// The registry did not give the image.
    #[error("app {app}: fetching {image}: {detail}")]
    Registry {
        /// App name.
        app: String,
        /// Image reference.
        image: String,
        /// What the registry or the network said.
        detail: String,
    },
}
