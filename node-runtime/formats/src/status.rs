//! Status documents that the node's processes publish and `skerry-node status`
//! and the status page show.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Sequence, Sha256Digest,
    versioned::{Document, Header},
};

/// A release as status shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRef {
    /// Sequence.
    pub sequence: Sequence,
    /// Version for people.
    pub version: String,
}

/// A release that failed here and is not tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRelease {
    /// Which release.
    pub release: ReleaseRef,
    /// One line: why.
    pub reason: String,
    /// Unix seconds by the node's clock.
    pub at: u64,
}

/// What the updater says (`/run/skerry/updater/status.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdaterStatus {
    /// Name `skerry-updater-status`.
    pub format: Header,
    /// Product name.
    pub product: String,
    /// Board name.
    pub board: String,
    /// Release that runs.
    pub running: ReleaseRef,
    /// Is the running release blessed?
    pub blessed: bool,
    /// Release to fall back to, if one is on the disk.
    pub previous: Option<ReleaseRef>,
    /// Release being fetched, staged or waiting for the reboot.
    pub candidate: Option<ReleaseRef>,
    /// State of the state machine: `idle`, `checking`, `fetching`, `staging`,
    /// `rebooting`, `trial`, `rolling-back`.
    pub state: String,
    /// One line for people about the state.
    pub message: String,
    /// Progress of a running download.
    pub progress: Option<Progress>,
    /// Last completed update, with what it cost.
    pub last_update: Option<LastUpdate>,
    /// The last roll-back, if there ever was one.
    pub last_rollback: Option<FailedRelease>,
    /// All remembered failures, newest first.
    pub failed: Vec<FailedRelease>,
    /// Unix seconds of the last check that reached the server.
    pub last_check: Option<u64>,
    /// Why the last check or download failed, one line.
    pub last_error: Option<String>,
}

impl Document for UpdaterStatus {
    const NAME: &'static str = "skerry-updater-status";
    const VERSION: u32 = 1;
}

/// Bytes of a download.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes the plan says are to be fetched in all.
    pub planned_bytes: u64,
    /// Bytes of the plan that are on the disk.
    pub done_bytes: u64,
    /// Objects of the plan.
    pub objects: u64,
    /// Objects of the plan that are staged.
    pub objects_done: u64,
}

/// What the last update cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUpdate {
    /// From this release.
    pub from: ReleaseRef,
    /// To this release.
    pub to: ReleaseRef,
    /// Bytes of objects that the plan named.
    pub planned_bytes: u64,
    /// Bytes received from the server for it, objects and metadata, over all
    /// attempts and reboots.
    pub fetched_bytes: u64,
    /// What a node without any object would have fetched.
    pub full_bytes: u64,
}

/// What the orchestrator says (`/run/skerry/orchestrator/status.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrchestratorStatus {
    /// Name `skerry-orchestrator-status`.
    pub format: Header,
    /// Node name.
    pub node: String,
    /// Seconds since boot at which this was written (CLOCK_BOOTTIME); readers
    /// treat a document older than [`HEARTBEAT_SECS_MAX`] as "not running".
    pub heartbeat_secs: u64,
    /// `None`: containerd answers. `Some`: why not.
    pub containerd_error: Option<String>,
    /// Problems with baked manifests, one line each; such a node is unhealthy.
    pub manifest_errors: Vec<String>,
    /// Baked workloads.
    pub workloads: Vec<WorkloadStatus>,
    /// Events of note, newest last, bounded.
    pub events: Vec<String>,
}

/// Oldest age at which an orchestrator status still counts.
pub const HEARTBEAT_SECS_MAX: u64 = 30;

impl Document for OrchestratorStatus {
    const NAME: &'static str = "skerry-orchestrator-status";
    const VERSION: u32 = 1;
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadStatus {
    /// Kubernetes kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Pods wanted.
    pub desired: u32,
    /// Pods Ready.
    pub ready: u32,
    /// One line about what is missing; empty when all are Ready.
    pub message: String,
    /// Restarts of all containers since boot.
    pub restarts: u32,
}

/// Both documents and the node's own figures: `skerry-node status --json` and
/// the status page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Name `skerry-node-status`.
    pub format: Header,
    /// Node name.
    pub node: String,
    /// Seconds since boot.
    pub uptime_secs: f64,
    /// Memory figures in bytes: `total`, `available`, `used`, and where it went:
    /// `free`, `cached`, `anon`, `shmem`, `slab_reclaimable`,
    /// `slab_unreclaimable`, `kernel_stack`, `page_tables`, `percpu`, `vmalloc`
    /// (`/proc/meminfo`), `modules` (`/proc/modules`), `kept_free` (the kernel's
    /// own reserve, `vm.min_free_kbytes`). A figure that is not known is left out.
    pub memory: BTreeMap<String, u64>,
    /// What processes use, by name, all of one name together, the largest only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub processes: BTreeMap<String, ProcessUse>,
    /// The updater's document; `None`: not there or unreadable.
    pub updater: Option<UpdaterStatus>,
    /// The orchestrator's document; `None`: not there or unreadable.
    pub orchestrator: Option<OrchestratorStatus>,
    /// The Kubernetes API; `None`: not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiStatus>,
    /// Boot stages in seconds since power-on or kernel start, as known.
    pub boot: BTreeMap<String, f64>,
}

/// The Kubernetes API of the node (`/run/skerry/kubernetes/api.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiStatus {
    /// Name `skerry-api-status`.
    pub format: Header,
    /// Address and port that it listens on.
    pub listen: String,
    /// SHA-256 of the certificate of the node's authority.
    pub authority_sha256: Sha256Digest,
}

impl Document for ApiStatus {
    const NAME: &'static str = "skerry-api-status";
    const VERSION: u32 = 1;
}

/// Memory and processor time of all processes of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// How many there are.
    pub count: u32,
    /// Resident bytes; shared pages count in every process.
    pub rss_bytes: u64,
    /// Resident bytes that belong to no file: what cannot be dropped.
    pub anon_bytes: u64,
    /// Resident bytes, shared pages split among those who share them; `None`
    /// where the kernel does not let the reader see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pss_bytes: Option<u64>,
    /// Processor time that those who run now have used.
    #[serde(default)]
    pub cpu_millis: u64,
}

impl Document for NodeStatus {
    const NAME: &'static str = "skerry-node-status";
    const VERSION: u32 = 1;
}
