//! Why a build failed, by step.

use std::{io, path::PathBuf};

use skerry_plan::Problems;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The plan has problems.
    #[error("{0}")]
    Invalid(Problems),
    /// A file of the inputs or the output.
    #[error("{operation} {}", .path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A file that must be there.
    #[error("{what} {} does not exist; {advice}", .path.display())]
    Missing {
        /// What it is.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What to do.
        advice: String,
    },
    /// The output folder holds something that is not a build's output.
    #[error("{} is not empty and holds no release; choose another --out or empty it yourself", .0.display())]
    OutputTaken(PathBuf),
    /// The finished tree breaks a rule.
    #[error("{} problem(s) in the finished tree:\n  {}", .0.len(), .0.join("\n  "))]
    Lint(Vec<String>),
    /// A size limit of the spec.
    #[error(
        "{what} is {have} bytes, above the spec's limits.{key} = {limit_mib} MiB; `skerry inspect` shows what is large"
    )]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        have: u64,
        /// Key of the limit.
        key: &'static str,
        /// The limit in MiB.
        limit_mib: u64,
    },
    /// Keys.
    #[error(transparent)]
    Keys(#[from] crate::release::keys::KeysError),
    /// Packages.
    #[error(transparent)]
    Fetch(#[from] crate::packages::FetchError),
    /// Packages.
    #[error(transparent)]
    Unpack(#[from] crate::packages::unpack::UnpackError),
    /// Tools of the lock.
    #[error(transparent)]
    Tools(#[from] crate::host::tools::ToolError),
    /// Trees.
    #[error(transparent)]
    Tree(#[from] crate::tree::error::TreeError),
    /// App images.
    #[error(transparent)]
    App(#[from] crate::tree::app::AppError),
    /// Commits.
    #[error(transparent)]
    Commit(#[from] crate::commit::CommitError),
    /// Images.
    #[error(transparent)]
    Image(#[from] crate::image::ImageError),
    /// The release folder.
    #[error(transparent)]
    Write(#[from] crate::release::write::WriteError),
    /// Sums of the release folder.
    #[error(transparent)]
    Sums(#[from] crate::release::sums::SumsError),
}

impl BuildError {
    /// For `map_err` on file operations.
    pub fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}
