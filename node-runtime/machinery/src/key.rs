//! What names an object, and an object as it is stored.

use std::{fmt, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{ApiError, Kind, Meta};

/// Kind, namespace and name. Orders by kind first, so that one kind is one
/// range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Kind.
    pub kind: &'static Kind,
    /// Namespace; empty for kinds without.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key; the namespace is dropped for kinds that have none.
    pub fn new(kind: &'static Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        let namespace = if kind.namespaced { namespace.into() } else { String::new() };
        Self { kind, namespace, name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// An object as it is stored: its JSON as it is sent to clients, and the
/// metadata read out of it once. Kept as text because text is several times
/// smaller than a tree of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What names it.
    pub key: Key,
    /// Metadata.
    pub meta: Meta,
    /// Revision of the last change; the same number as
    /// `meta.resource_version`.
    pub revision: u64,
    /// The whole object, JSON, with `apiVersion` and `kind`.
    pub json: Arc<str>,
}

impl Stored {
    /// From JSON whose metadata is complete.
    ///
    /// # Errors
    /// If it is not JSON, has no known kind, no name or no numeric
    /// resourceVersion.
    pub fn from_json(json: impl Into<Arc<str>>) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            api_version: String,
            kind: String,
            metadata: Meta,
        }
        let json = json.into();
        let head: Head = serde_json::from_str(&json).map_err(|e| ApiError::bad_request(format!("object: {e}")))?;
        let kind = crate::by_kind(&head.api_version, &head.kind).ok_or_else(|| {
            ApiError::bad_request(format!("{:?} {:?} is not a kind of this node", head.api_version, head.kind))
        })?;
        let revision = head.metadata.resource_version.parse().map_err(|_| {
            ApiError::bad_request(format!("resourceVersion {:?} is not a number", head.metadata.resource_version))
        })?;
        let key = Key::new(kind, head.metadata.namespace.clone(), head.metadata.name.clone());
        Ok(Self { key, meta: head.metadata, revision, json })
    }

    /// The object as a tree of values.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.json).expect("stored JSON was written by us and is valid")
    }

    /// The object as its type from `k8s-openapi`.
    ///
    /// # Errors
    /// If a field has another form than the type wants; admission prevents it.
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_str(&self.json).map_err(|e| ApiError::internal(format!("{}: {e}", self.key)))
    }
}
