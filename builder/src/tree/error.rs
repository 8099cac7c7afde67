//! Why an OS tree could not be assembled.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Error of the tree step.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Reading or writing a file failed.
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
    /// The lock's packages do not have what the tree needs; all of it.
    #[error("the packages of the lock do not make a complete tree:\n  {}\nadd the package to `packages.extra` or correct the pattern, then run `skerry lock`", .0.join("\n  "))]
    Selection(Vec<String>),
    /// A program or library is malformed.
    #[error("{path} is a malformed ELF file: {detail}")]
    Elf {
        /// Path in the tree.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// Kernel modules that the board names, or that those need, are not there.
    #[error("kernel modules:\n  {}\ncorrect `modules` of the board or `kernel.modules` of the image spec", .0.join("\n  "))]
    Modules(Vec<String>),
    /// The kernel package is not what it should be.
    #[error("kernel package {package}: {detail}")]
    Kernel {
        /// Package that the board names.
        package: String,
        /// What is wrong.
        detail: String,
    },
    /// A tool of the lock failed.
    #[error("running {tool}: {detail}")]
    Tool {
        /// Name of the tool.
        tool: &'static str,
        /// Its error output, or why it did not start.
        detail: String,
    },
}

impl TreeError {
    /// For `map_err`.
    pub fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }
}
