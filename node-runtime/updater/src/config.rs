//! Where things are and what the image says about updates.

use std::path::{Path, PathBuf};

use skerry_formats::{baked::NodeConfig, layout, status::ReleaseRef, versioned::Document as _};
use skerry_update_core::Policy;

/// Bytes after which a download is made durable: little enough to lose, much
/// enough not to wear the flash out.
pub const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// Paths of the node, all below a root that is `/` outside tests.
#[derive(Debug, Clone)]
pub struct Config {
    root: PathBuf,
    /// Bytes after which a download is made durable.
    pub sync_every_bytes: u64,
}

impl Config {
    /// The node itself, or a folder that looks like one.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), sync_every_bytes: SYNC_EVERY_BYTES }
    }

    /// A path of the node, absolute or relative to `/`.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A folder or file on SYSTEM.
    pub fn system(&self, name: &str) -> PathBuf {
        self.path(layout::SYSROOT).join(name)
    }

    /// State file of the machine.
    pub fn state(&self) -> PathBuf {
        self.path(layout::UPDATER_STATE)
    }

    /// Metadata folder of the TUF client.
    pub fn tuf_datastore(&self) -> PathBuf {
        self.path("/var/lib/skerry/updater/tuf")
    }

    /// The persisted clock floor: Unix seconds and a newline.
    pub fn time_floor(&self) -> PathBuf {
        self.path("/var/lib/skerry/time-floor")
    }

    /// Read the baked node configuration.
    ///
    /// # Errors
    /// Unreadable or malformed file.
    pub fn node_config(&self) -> anyhow::Result<NodeConfig> {
        let path = self.path(layout::BAKED_NODE_CONFIG);
        let bytes = read(&path)?;
        NodeConfig::parse(&bytes).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))
    }
}

/// The running release as the baked configuration names it.
pub fn running(node: &NodeConfig) -> ReleaseRef {
    ReleaseRef { sequence: node.sequence, version: node.version.clone() }
}

/// The machine's policy as the baked configuration gives it.
pub fn policy(node: &NodeConfig) -> Policy {
    Policy {
        check_interval_secs: node.update.as_ref().map(|u| u.check_interval_secs.max(1)),
        health_timeout_secs: node.health.timeout_secs,
        health_stable_secs: node.health.stable_secs,
    }
}

/// Read a file, with its path in the error.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    use anyhow::Context as _;
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}
