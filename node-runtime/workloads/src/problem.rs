//! What is wrong with a manifest, and where.

use std::fmt;

/// Where an object was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// File name as the caller gave it.
    pub file: String,
    /// Number of the YAML document in the file, from 1; empty documents do not
    /// count.
    pub document: usize,
}

/// One problem with one manifest. Problems are collected, not returned one by
/// one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// File name as the caller gave it.
    pub file: String,
    /// Number of the YAML document in the file, from 1; 0: the whole file.
    pub document: usize,
    /// `Kind namespace/name` as far as known, else empty.
    pub object: String,
    /// Path of the field, such as `spec.template.spec.containers[0].image`;
    /// empty: the whole document.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.document > 0 {
            write!(f, ", document {}", self.document)?;
        }
        if !self.object.is_empty() {
            write!(f, " ({})", self.object)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}
