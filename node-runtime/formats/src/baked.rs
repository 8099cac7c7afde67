//! Node configuration that the builder bakes into the OS tree
//! (`/usr/lib/skerry/node.json`). Covered by the composefs digest, so it needs
//! no signature of its own.

use serde::{Deserialize, Serialize};

use crate::{
    ObjectDigest, Sequence, Sha256Digest,
    versioned::{Document, Header},
};

/// The baked configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// Name `skerry-node-config`.
    pub format: Header,
    /// Product name.
    pub product: String,
    /// Board name.
    pub board: String,
    /// Version of the release this tree belongs to, for people.
    pub version: String,
    /// Sequence of the release this tree belongs to.
    pub sequence: Sequence,
    /// Where updates come from; `None`: this image never updates itself.
    pub update: Option<UpdateConfig>,
    /// What must hold before a release is blessed.
    pub health: HealthConfig,
    /// Address and port for the read-only status page, such as
    /// `0.0.0.0:9180`; `None`: not served.
    pub status_listen: Option<String>,
    /// The Kubernetes API; `None`: not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiConfig>,
    /// Images that are not baked in.
    #[serde(default, skip_serializing_if = "ImagesConfig::is_default")]
    pub images: ImagesConfig,
    /// Node resources that workloads may not use.
    pub reserved: Reserved,
    /// Baked app images.
    pub apps: Vec<BakedApp>,
}

impl Document for NodeConfig {
    const NAME: &'static str = "skerry-node-config";
    const VERSION: u32 = 1;
}

/// The Kubernetes API of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiConfig {
    /// Address and port, such as `0.0.0.0:6443`.
    pub listen: String,
    /// Bearer tokens that the node takes.
    #[serde(default)]
    pub tokens: Vec<ApiToken>,
}

/// A bearer token, by its hash: whoever reads the image learns nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Whose it is, for logs.
    pub user: String,
    /// `admin`, `deploy` or `view`.
    pub role: String,
    /// SHA-256 of the token, hex.
    pub sha256: String,
}

/// How images that are not baked in are pulled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesConfig {
    /// Registries beside those on the node itself that are spoken to without
    /// TLS, `HOST[:PORT]`.
    #[serde(default)]
    pub plain_http: Vec<String>,
}

impl ImagesConfig {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Update source and rhythm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateConfig {
    /// Base URL of the update repository (`metadata/`, `targets/`, `objects/`).
    pub url: String,
    /// Channel to follow.
    pub channel: String,
    /// Mean time between checks.
    pub check_interval_secs: u64,
}

/// The health gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthConfig {
    /// Time after boot in which the gate must pass, or the node rolls back.
    pub timeout_secs: u64,
    /// Time for which everything must hold without a break.
    pub stable_secs: u64,
    /// Checks beside "containerd up" and "every baked workload Ready".
    pub checks: Vec<HealthCheck>,
}

/// One user check: an HTTP GET from the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Name in messages.
    pub name: String,
    /// URL, `http://…`.
    pub url: String,
    /// Expected status code.
    pub expect_status: u16,
    /// Time for one attempt.
    pub timeout_secs: u64,
}

/// Share of the node kept for the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// CPU in thousandths of a core.
    pub cpu_millis: u64,
}

/// An app image that is present the moment the disk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BakedApp {
    /// Name from the image spec.
    pub name: String,
    /// Reference that manifests use in `image:`.
    pub image: String,
    /// OCI manifest digest.
    pub manifest_digest: Sha256Digest,
    /// fs-verity digest of the app's EROFS image.
    pub composefs: ObjectDigest,
    /// What the OCI image config says about running it.
    pub config: AppConfig,
}

/// The part of the OCI image config that a runtime needs
/// (OCI image-spec v1.1, `config`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppConfig {
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// `Env`, `KEY=value`.
    pub env: Vec<String>,
    /// `WorkingDir`; empty means `/`.
    pub working_dir: String,
    /// `User`: `uid[:gid]` or a name; empty means root.
    pub user: String,
}
