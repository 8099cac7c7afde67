//! The one error type of the format parsers.

/// Why bytes were not accepted as the format they claim to be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FormatError {
    /// The JSON is malformed or does not have the fields of the format.
    #[error("{format}: {detail}")]
    Json {
        /// Name of the format, such as `skerry-release`.
        format: &'static str,
        /// What serde reported, with line and column.
        detail: String,
    },
    /// The document says that it is something else.
    #[error("expected a {expected} document, found {found:?}")]
    WrongFormat {
        /// Name that was asked for.
        expected: &'static str,
        /// Name that the document carries.
        found: String,
    },
    /// The document needs a reader newer than this one.
    #[error("{format} needs features that this reader does not know: {}", .features.join(", "))]
    Incompatible {
        /// Name of the format.
        format: &'static str,
        /// Feature names from the document's `incompatible` list.
        features: Vec<String>,
    },
    /// The document's major version is not one this reader knows.
    #[error("{format} version {version} is not supported by this reader (known: {known})")]
    Version {
        /// Name of the format.
        format: &'static str,
        /// Version found.
        version: u32,
        /// Newest version known here.
        known: u32,
    },
    /// A binary document is cut short, too long or inconsistent.
    #[error("{format}: {detail}")]
    Malformed {
        /// Name of the format.
        format: &'static str,
        /// What is wrong and where.
        detail: String,
    },
    /// A hex digest has the wrong length or characters.
    #[error("not a SHA-256 digest of 64 lower-case hex characters: {0:?}")]
    Digest(String),
    /// No known key made this signature over these bytes.
    #[error("signature not valid for {what}: {detail}")]
    Signature {
        /// What the signature should cover.
        what: &'static str,
        /// Which check failed.
        detail: String,
    },
}
