//! Version and feature flags of machine-written JSON documents.
//!
//! Every document starts with a [`Header`]: a name, a version and two feature
//! lists. A reader refuses unknown `incompatible` features and ignores unknown
//! `compatible` ones, so that old nodes can read newer releases when they may.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::FormatError;

/// First field of every machine-written JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Name of the format, such as `skerry-release`.
    pub name: String,
    /// Major version; readers accept versions up to their own.
    pub version: u32,
    /// Features without which the document must not be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incompatible: Vec<String>,
    /// Features that a reader may ignore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compatible: Vec<String>,
}

/// A document type with a header: name and newest version known here.
pub trait Document: Serialize + DeserializeOwned {
    /// Name that the header must carry.
    const NAME: &'static str;
    /// Newest version this code reads and the one it writes.
    const VERSION: u32;

    /// Header for a new document.
    fn header() -> Header {
        Header { name: Self::NAME.into(), version: Self::VERSION, incompatible: vec![], compatible: vec![] }
    }

    /// Parse and check the header, then the body.
    ///
    /// # Errors
    /// Wrong name, unknown version or incompatible feature, malformed body.
    fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        #[derive(Deserialize)]
        struct Probe {
            format: Header,
        }
        let json = |e: serde_json::Error| FormatError::Json { format: Self::NAME, detail: e.to_string() };
        let probe: Probe = serde_json::from_slice(bytes).map_err(json)?;
        let h = probe.format;
        if h.name != Self::NAME {
            return Err(FormatError::WrongFormat { expected: Self::NAME, found: h.name });
        }
        if !h.incompatible.is_empty() {
            return Err(FormatError::Incompatible { format: Self::NAME, features: h.incompatible });
        }
        if h.version == 0 || h.version > Self::VERSION {
            return Err(FormatError::Version { format: Self::NAME, version: h.version, known: Self::VERSION });
        }
        serde_json::from_slice(bytes).map_err(json)
    }

    /// Canonical bytes: two-space indented JSON in field order, final newline.
    /// Sign and store these; never re-serialize what was received.
    fn to_bytes(&self) -> Vec<u8> {
        let mut v = serde_json::to_vec_pretty(self).expect("documents contain only string-keyed maps");
        v.push(b'\n');
        v
    }
}
