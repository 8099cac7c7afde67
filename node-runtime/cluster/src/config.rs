//! Where things are. The defaults are those of a node; tests use others.

use std::path::PathBuf;

use skerry_formats::layout;

/// Configuration of the process.
#[derive(Debug, Clone)]
pub struct Config {
    /// The kubelet part.
    pub kubelet: skerry_orchestrator::Config,
    /// Objects and certificates; kept over reboots, updates and roll-backs.
    pub state_dir: PathBuf,
    /// What is gone after a reboot: the administrator's kubeconfig, tokens.
    pub run_dir: PathBuf,
    /// Folders of volumes.
    pub volumes_dir: PathBuf,
    /// Pulled images.
    pub images_dir: PathBuf,
    /// Status document of the updater.
    pub updater_status: PathBuf,
    /// SYSTEM, with the records of releases.
    pub sysroot: PathBuf,
    /// May people in front of the box be told things?
    pub console: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kubelet: skerry_orchestrator::Config::default(),
            state_dir: "/var/lib/skerry/kubernetes".into(),
            run_dir: "/run/skerry/kubernetes".into(),
            volumes_dir: "/var/lib/skerry/volumes".into(),
            images_dir: "/var/lib/skerry/images".into(),
            updater_status: layout::UPDATER_STATUS.into(),
            sysroot: layout::SYSROOT.into(),
            console: true,
        }
    }
}

impl Config {
    /// Name of the node.
    pub fn node_name(&self) -> String {
        let host = || {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            if name.trim().is_empty() { "localhost".into() } else { name.trim().to_owned() }
        };
        self.kubelet.node_name.clone().unwrap_or_else(host)
    }
}
