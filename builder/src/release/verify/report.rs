//! What verify found.

use serde::Serialize;
use skerry_formats::Sequence;

/// Result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Folder or image that was looked at.
    pub subject: String,
    /// Product of the release, once its statement could be read.
    pub product: Option<String>,
    /// Board of the release.
    pub board: Option<String>,
    /// Version of the release.
    pub version: Option<String>,
    /// Sequence of the release.
    pub sequence: Option<Sequence>,
    /// What was checked.
    pub checked: Checked,
    /// What does not hold; empty: all is well.
    pub failures: Vec<Failure>,
    /// What was left out and why.
    pub notes: Vec<String>,
}

/// Amount of work done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Signatures that hold.
    pub signatures: u64,
    /// Files compared with their SHA-256.
    pub files: u64,
    /// Compressed objects compared with their name.
    pub objects: u64,
    /// Trees whose references were followed.
    pub trees: u64,
    /// Objects inside the disk image compared with their name.
    pub disk_objects: u64,
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// File, object or part.
    pub part: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Report {
    pub(super) fn new(subject: String) -> Self {
        Self { subject, ..Self::default() }
    }

    /// Nothing failed.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    pub(super) fn fail(&mut self, part: impl Into<String>, detail: impl Into<String>) {
        self.failures.push(Failure { part: part.into(), detail: detail.into() });
    }

    /// Record a failure and go on without the value.
    pub(super) fn take<T, E: std::fmt::Display>(&mut self, part: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.fail(part, e.to_string())).ok()
    }
}
