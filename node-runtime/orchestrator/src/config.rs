//! Where things are. The defaults are those of a node; tests use others.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use skerry_formats::layout;

/// Configuration of the orchestrator process.
#[derive(Debug, Clone)]
pub struct Config {
    /// Baked node configuration (`node.json`).
    pub node_config: PathBuf,
    /// Folder of baked manifests.
    pub manifests: PathBuf,
    /// Where app root file systems come from.
    pub app_roots: AppRoots,
    /// State that is gone after a reboot.
    pub run_dir: PathBuf,
    /// Writable layers and volumes of pods.
    pub pods_dir: PathBuf,
    /// Container logs.
    pub logs_dir: PathBuf,
    /// What all container logs may take together; `None`: 256 MiB, or a tenth
    /// of the file system if that is less.
    pub logs_bytes_max: Option<u64>,
    /// Status document.
    pub status: PathBuf,
    /// containerd's socket.
    pub containerd_socket: PathBuf,
    /// containerd namespace of our containers.
    pub containerd_namespace: String,
    /// containerd runtime (shim) name.
    pub runtime_name: String,
    /// OCI runtime that the shim calls.
    pub oci_runtime: PathBuf,
    /// The `nft` program.
    pub nft: PathBuf,
    /// The `systemctl` program; asked whether the system goes down.
    pub systemctl: PathBuf,
    /// cgroup below which each pod gets its own, as the OCI runtime takes it.
    pub cgroup_parent: String,
    /// First three octets of the pod network, a /24.
    pub pod_network: [u8; 3],
    /// Pod network of IPv6, a /64 of a unique local prefix; `None`: no IPv6.
    pub pod_network6: Option<Ipv6Addr>,
    /// Node name; `None`: the host name.
    pub node_name: Option<String>,
    /// Address of the cluster's name server, where there is one.
    pub cluster_dns: Option<Ipv4Addr>,
}

/// Where an app's root file system comes from.
#[derive(Debug, Clone)]
pub enum AppRoots {
    /// Sealed EROFS objects in this folder, `ab/cdef…`.
    Objects(PathBuf),
    /// The same, and images that were pulled into a second folder.
    ObjectsAndPulled {
        /// Baked: always sealed.
        objects: PathBuf,
        /// Pulled.
        pulled: PathBuf,
        /// Can the pulled folder's file system seal? If not, the digests of
        /// pulled images were compared when they were pulled.
        pulled_sealed: bool,
    },
    /// Plain folders named like the app in this folder. Not verified: for
    /// development only.
    Folders(PathBuf),
}

impl Default for Config {
    fn default() -> Self {
        let root = PathBuf::from("/");
        Self {
            node_config: root.join(layout::BAKED_NODE_CONFIG),
            manifests: root.join(layout::BAKED_MANIFESTS_DIR),
            app_roots: AppRoots::Objects(PathBuf::from(layout::SYSROOT).join(layout::OBJECTS_DIR)),
            run_dir: "/run/skerry".into(),
            pods_dir: "/var/lib/skerry/pods".into(),
            logs_dir: "/var/log/pods".into(),
            logs_bytes_max: None,
            status: layout::ORCHESTRATOR_STATUS.into(),
            containerd_socket: "/run/containerd/containerd.sock".into(),
            containerd_namespace: "skerry".into(),
            runtime_name: "io.containerd.runc.v2-rs".into(),
            oci_runtime: "/usr/bin/crun".into(),
            nft: "/usr/sbin/nft".into(),
            systemctl: "/usr/bin/systemctl".into(),
            cgroup_parent: "/system.slice/containerd.service/pods".into(),
            pod_network: [10, 244, 0],
            pod_network6: Some(Ipv6Addr::new(0xfd73, 0x6b79, 0x7200, 0, 0, 0, 0, 0)),
            node_name: None,
            cluster_dns: None,
        }
    }
}

impl Config {
    /// The node's address in the pod network, the pods' gateway.
    pub fn gateway(&self) -> Ipv4Addr {
        let [a, b, c] = self.pod_network;
        Ipv4Addr::new(a, b, c, 1)
    }

    /// Do pods get IPv6 addresses? They do where they are configured and the
    /// kernel has IPv6.
    pub fn ipv6(&self) -> bool {
        let off = std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6");
        self.pod_network6.is_some() && off.is_ok_and(|text| text.trim() == "0")
    }

    /// The address of IPv6 that ends in this octet, if [`Config::ipv6`].
    pub(crate) fn address6(&self, octet: u8) -> Option<Ipv6Addr> {
        let network = self.pod_network6.filter(|_| self.ipv6())?;
        Some(Ipv6Addr::from_bits(network.to_bits() >> 64 << 64 | u128::from(octet)))
    }

    /// The node's address in the pod network of IPv6, if [`Config::ipv6`].
    pub fn gateway6(&self) -> Option<Ipv6Addr> {
        self.address6(1)
    }

    /// The node's addresses in the pods' networks; the name server belongs on
    /// port 53 of each.
    pub fn gateways(&self) -> Vec<IpAddr> {
        std::iter::once(IpAddr::V4(self.gateway())).chain(self.gateway6().map(IpAddr::V6)).collect()
    }

    /// The pod networks, one per address family.
    pub fn pod_cidrs(&self) -> Vec<String> {
        let six = self.address6(0).map(|network| format!("{network}/64"));
        std::iter::once(self.pod_cidr()).chain(six).collect()
    }

    /// The pod network as `a.b.c.0/24`.
    pub fn pod_cidr(&self) -> String {
        let [a, b, c] = self.pod_network;
        format!("{a}.{b}.{c}.0/24")
    }
}
