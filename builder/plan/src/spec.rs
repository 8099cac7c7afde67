//! Image spec: what to build (TOML written by people).

use serde::{Deserialize, Serialize};

pub use crate::read::{Found, check_files, parse_spec as parse};

/// The image spec, `*.toml`. Paths are relative to the spec's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Product name, `[a-z0-9-]{1,40}`.
    pub product: String,
    /// Version for people.
    pub version: String,
    /// Monotonic release number; raise it with every release.
    pub sequence: u32,
    /// Debian suite the packages come from, such as `trixie`.
    #[serde(default = "default_base")]
    pub base: String,
    /// Boards to lock for: names of built-in boards or paths ending in `.toml`.
    pub boards: Vec<String>,
    /// Folder of Kubernetes manifests.
    #[serde(default)]
    pub manifests: Option<String>,
    /// Extra Debian packages.
    #[serde(default)]
    pub packages: Packages,
    /// App images.
    #[serde(default, rename = "app")]
    pub apps: Vec<AppSpec>,
    /// Update source; without it the node never updates itself.
    #[serde(default)]
    pub update: Option<UpdateSpec>,
    /// Health gate.
    #[serde(default)]
    pub health: HealthSpec,
    /// Node settings.
    #[serde(default)]
    pub node: NodeSpec,
    /// The Kubernetes API of the node; not served if absent.
    #[serde(default)]
    pub api: Option<ApiSpec>,
    /// Images that are not baked in.
    #[serde(default)]
    pub images: ImagesSpec,
    /// Sizes above which the build fails.
    #[serde(default)]
    pub limits: Limits,
    /// Kernel settings.
    #[serde(default)]
    pub kernel: KernelSpec,
}

fn default_base() -> String {
    "trixie".into()
}

/// `[packages]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Packages beside the base set. Only files named in `files`, and the
    /// libraries they need, enter the tree.
    #[serde(default)]
    pub extra: Vec<String>,
    /// Globs over paths of the extra packages' files to take into the tree,
    /// such as `usr/bin/ethtool`.
    #[serde(default)]
    pub files: Vec<String>,
    /// Packages taken from another suite: `from.forky = ["containerd"]`.
    #[serde(default)]
    pub from: std::collections::BTreeMap<String, Vec<String>>,
}

/// `[[app]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSpec {
    /// Name, `[a-z0-9-]{1,63}`.
    pub name: String,
    /// Reference that manifests use in `image:`. With neither `layout` nor
    /// `archive` it is pulled from its registry and must carry `@sha256:…`.
    pub image: String,
    /// OCI image layout folder.
    #[serde(default)]
    pub layout: Option<String>,
    /// OCI archive (tar of a layout), plain or gzip.
    #[serde(default)]
    pub archive: Option<String>,
}

/// `[update]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateSpec {
    /// Base URL of the update repository.
    pub url: String,
    /// Channel to follow.
    pub channel: String,
    /// TUF root metadata (`keys init` writes it as `root.json`).
    pub root: String,
    /// Mean time between checks in seconds.
    #[serde(default = "default_check_interval")]
    pub check_interval_secs: u64,
}

fn default_check_interval() -> u64 {
    3600
}

/// `[health]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSpec {
    /// Seconds after boot in which the gate must pass.
    #[serde(default = "default_health_timeout")]
    pub timeout_secs: u64,
    /// Seconds for which all must hold without a break.
    #[serde(default = "default_health_stable")]
    pub stable_secs: u64,
    /// `[[health.check]]`: HTTP checks by the operator.
    #[serde(default, rename = "check")]
    pub checks: Vec<CheckSpec>,
}

fn default_health_timeout() -> u64 {
    300
}

fn default_health_stable() -> u64 {
    10
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self { timeout_secs: default_health_timeout(), stable_secs: default_health_stable(), checks: vec![] }
    }
}

/// `[[health.check]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    /// Name in messages.
    pub name: String,
    /// `http://…` URL, asked from the node.
    pub url: String,
    /// Expected status code.
    #[serde(default = "default_status")]
    pub expect_status: u16,
    /// Seconds for one attempt.
    #[serde(default = "default_check_timeout")]
    pub timeout_secs: u64,
}

fn default_status() -> u16 {
    200
}

fn default_check_timeout() -> u64 {
    5
}

/// `[node]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Address and port of the read-only status page; not served if absent.
    #[serde(default)]
    pub status_listen: Option<String>,
    /// Memory that workloads may not use, in MiB.
    #[serde(default = "default_reserved_memory")]
    pub reserved_memory_mib: u64,
    /// CPU that workloads may not use, in thousandths of a core.
    #[serde(default = "default_reserved_cpu")]
    pub reserved_cpu_millis: u64,
}

fn default_reserved_memory() -> u64 {
    160
}

fn default_reserved_cpu() -> u64 {
    100
}

impl Default for NodeSpec {
    fn default() -> Self {
        Self {
            status_listen: None,
            reserved_memory_mib: default_reserved_memory(),
            reserved_cpu_millis: default_reserved_cpu(),
        }
    }
}

/// `[api]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSpec {
    /// Address and port.
    pub listen: String,
    /// `[[api.token]]`: who may use it.
    #[serde(default, rename = "token")]
    pub tokens: Vec<TokenSpec>,
}

/// `[[api.token]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// Whose it is.
    pub user: String,
    /// `admin`, `deploy` or `view`.
    pub role: String,
    /// SHA-256 of the token, hex (`skerry keys token` makes both).
    pub sha256: String,
}

/// `[images]`: how the node pulls images that are not baked in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagesSpec {
    /// Registries without TLS, `HOST[:PORT]`. They never get a password.
    #[serde(default)]
    pub plain_http: Vec<String>,
}

/// `[limits]`: the build fails above these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest `disk.img.zst` in MiB.
    #[serde(default)]
    pub image_mib_max: Option<u64>,
    /// Largest sum of objects in MiB.
    #[serde(default)]
    pub installed_mib_max: Option<u64>,
}

/// `[kernel]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelSpec {
    /// Arguments after the board's own.
    #[serde(default)]
    pub args: Vec<String>,
    /// Kernel module patterns beside the board's, such as `drivers/net/wireguard/*`.
    #[serde(default)]
    pub modules: Vec<String>,
}
