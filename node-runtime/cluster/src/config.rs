//! Where things are. The defaults are those of a node; tests use others.

use std::path::{Path, PathBuf};

use skerry_formats::layout;
use skerry_orchestrator::AppRoots;

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
    /// A node in a folder, for tests and measurements on a machine that is no
    /// node: the same paths below `root`, apps as plain folders in `root/apps`,
    /// pods in a cgroup named like the folder.
    pub fn under(root: &Path) -> Self {
        let node = Self::default();
        let at = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        Self {
            state_dir: at(&node.state_dir),
            run_dir: at(&node.run_dir),
            volumes_dir: at(&node.volumes_dir),
            images_dir: at(&node.images_dir),
            updater_status: at(&node.updater_status),
            sysroot: at(&node.sysroot),
            kubelet: skerry_orchestrator::Config {
                node_config: at(&node.kubelet.node_config),
                manifests: at(&node.kubelet.manifests),
                app_roots: AppRoots::Folders(root.join("apps")),
                run_dir: at(&node.kubelet.run_dir),
                pods_dir: at(&node.kubelet.pods_dir),
                logs_dir: at(&node.kubelet.logs_dir),
                status: at(&node.kubelet.status),
                containerd_socket: at(&node.kubelet.containerd_socket),
                cgroup_parent: format!("/{name}"),
                ..node.kubelet
            },
            ..node
        }
    }

    /// Name of the node.
    pub fn node_name(&self) -> String {
        let host = || {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            if name.trim().is_empty() { "localhost".into() } else { name.trim().to_owned() }
        };
        self.kubelet.node_name.clone().unwrap_or_else(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_in_a_folder_keeps_to_it() {
        let config = Config::under(Path::new("/tmp/box"));
        assert_eq!(config.kubelet.node_config, Path::new("/tmp/box/usr/lib/skerry/node.json"));
        assert_eq!(config.kubelet.containerd_socket, Path::new("/tmp/box/run/containerd/containerd.sock"));
        assert_eq!(config.kubelet.cgroup_parent, "/box");
        // Programs are the machine's; everything else of a node has a place below.
        let text = format!("{config:?}");
        for at in ["\"/var", "\"/run", "\"/sysroot", "\"/etc"] {
            assert!(!text.contains(at), "{at} in {text}");
        }
    }
}
