//! The part of `metadata` that every layer looks at.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `metadata` of an object, as far as the machinery itself acts on it
/// (apimachinery `ObjectMeta`). `managedFields` stay in the JSON only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name.
    pub name: String,
    /// Prefix for a name that the server makes.
    pub generate_name: String,
    /// Namespace; empty: none.
    pub namespace: String,
    /// UUID, made by the server.
    pub uid: String,
    /// Opaque to clients; a decimal number here.
    pub resource_version: String,
    /// Counts changes of everything but metadata and status.
    pub generation: i64,
    /// RFC 3339, seconds.
    pub creation_timestamp: Option<String>,
    /// RFC 3339, seconds: when it is to be gone.
    pub deletion_timestamp: Option<String>,
    /// Seconds given to end in good order.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Who it belongs to.
    pub owner_references: Vec<OwnerRef>,
    /// Who must agree before it goes.
    pub finalizers: Vec<String>,
}

/// An owner (apimachinery `OwnerReference`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerRef {
    /// `apps/v1`.
    pub api_version: String,
    /// `ReplicaSet`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// UUID.
    pub uid: String,
    /// Is it the one that manages the object?
    pub controller: Option<bool>,
    /// Must the owner wait for this object?
    pub block_owner_deletion: Option<bool>,
}

impl Meta {
    /// Is it being deleted?
    pub fn terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The owner that manages the object.
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owner_references.iter().find(|o| o.controller == Some(true))
    }
}
