//! What a pod needs of the node beside containers: network, files, volumes,
//! root file systems, packet filter. A trait with the real one; the fake is in
//! the tests of the loop.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
};

use skerry_platform::{durable, mount, netns, resolv};
use tokio::io::AsyncWriteExt;

use crate::{
    config::Config,
    containerd::NewContainer,
    desired::{Container, Pod},
    network::{Names, Ruleset, ipam::Ipam, links, render},
    observed::Sandbox,
    rootfs, spec,
};

/// What the executor needs of the node.
pub(crate) trait Host {
    /// What all pods share; repeated in every round.
    async fn ensure_base(&mut self) -> anyhow::Result<()>;
    /// Pods that have an address.
    fn sandboxes(&self) -> BTreeMap<String, Sandbox>;
    /// Network, files and volumes of a pod.
    async fn setup_pod(&mut self, pod: &Pod) -> anyhow::Result<()>;
    /// The opposite; safe to repeat.
    async fn teardown_pod(&mut self, uid: &str) -> anyhow::Result<()>;
    /// Root file system and spec of a container about to start.
    fn prepare(&mut self, pod: &Pod, container: &Container, id: &str) -> anyhow::Result<NewContainer>;
    /// Put a ruleset in force.
    async fn apply_rules(&mut self, rules: &Ruleset) -> anyhow::Result<()>;
}

/// The node itself.
pub(crate) struct Node {
    config: Config,
    name: String,
    ipam: Ipam,
}

impl Node {
    /// Reads which addresses are in use.
    pub(crate) fn new(config: Config, name: String) -> Self {
        let stored = fs::read(config.run_dir.join("orchestrator/addresses.json")).ok();
        let ipam = stored.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        Self { config, name, ipam }
    }

    fn netns(&self, uid: &str) -> PathBuf {
        self.config.run_dir.join("netns").join(uid)
    }

    fn store(&self) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(&self.ipam)?;
        Ok(durable::write_file_atomic(self.config.run_dir.join("orchestrator/addresses.json"), &bytes)?)
    }

    fn write_files(&self, pod: &Pod, ip: Ipv4Addr) -> anyhow::Result<()> {
        let dir = pod_run_dir(&self.config, &pod.uid);
        fs::create_dir_all(&dir)?;
        let hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n{ip}\t{}\n", pod.name);
        fs::write(dir.join("hosts"), hosts)?;
        fs::write(dir.join("hostname"), format!("{}\n", pod.name))?;
        fs::write(dir.join("resolv.conf"), resolv_conf())?;
        Ok(())
    }

    /// A lease that comes after the pods, or a new one, reaches them too.
    fn follow_name_servers(&self) {
        if let Err(error) = resolv::refresh(Path::new("/"), &self.config.run_dir.join("resolv.conf")) {
            tracing::warn!(%error, "name servers not written");
        }
        let text = resolv_conf();
        for uid in self.ipam.pods.keys() {
            let path = pod_run_dir(&self.config, uid).join("resolv.conf");
            // Written in place: the pods have this very file mounted.
            if fs::read(&path).is_ok_and(|old| old != text.as_bytes())
                && let Err(error) = fs::write(&path, &text)
            {
                tracing::warn!(%error, pod = uid, "name servers not written");
            }
        }
    }

    fn make_volumes(&self, pod: &Pod) -> anyhow::Result<()> {
        for (name, v) in &pod.volumes {
            let at = volumes_dir(&self.config, &pod.uid).join(name);
            fs::create_dir_all(&at)?;
            if v.memory && !mount::is_mount_point(&at)? {
                // Without a limit a volume could take all memory of the node.
                let size = v.size_limit_bytes.unwrap_or(64 << 20);
                let flags = mount::MountAttrFlags::MOUNT_ATTR_NOSUID | mount::MountAttrFlags::MOUNT_ATTR_NODEV;
                mount::mount_virtual("tmpfs", &at, flags, &format!("size={size},mode=0777"))?;
            }
            // Any user of the pod may write, as with the kubelet.
            use std::os::unix::fs::{PermissionsExt, chown};
            let mode = if pod.fs_group.is_some() { 0o2777 } else { 0o777 };
            if pod.fs_group.is_some() {
                chown(&at, None, pod.fs_group)?;
            }
            fs::set_permissions(&at, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

/// Files of a pod that are gone after a reboot.
pub(crate) fn pod_run_dir(config: &Config, uid: &str) -> PathBuf {
    config.run_dir.join("pods").join(uid)
}

fn volumes_dir(config: &Config, uid: &str) -> PathBuf {
    config.pods_dir.join(uid).join("volumes")
}

/// FIFOs of a container, by its id.
pub(crate) fn fifos(config: &Config, uid: &str, id: &str) -> (PathBuf, PathBuf) {
    let dir = pod_run_dir(config, uid);
    (dir.join(format!("{id}.out")), dir.join(format!("{id}.err")))
}

/// Log file of a container (the kubelet's naming).
pub(crate) fn log_file(config: &Config, namespace: &str, pod: &str, uid: &str, container: &str) -> PathBuf {
    config.logs_dir.join(format!("{namespace}_{pod}_{uid}")).join(container).join("0.log")
}

/// The node's name servers, without those that only the node itself reaches.
fn resolv_conf() -> String {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let local = |l: &str| {
        let address = l.split_whitespace().nth(1);
        address.is_some_and(|a| a.starts_with("127.") || a == "::1" || a.contains('%'))
    };
    text.lines().filter(|l| !l.starts_with("nameserver") || !local(l)).map(|l| format!("{l}\n")).collect()
}

/// An address of the node that pods can reach: the first global one, else the
/// gateway.
fn host_ip(config: &Config) -> Ipv4Addr {
    let found = nix::ifaddrs::getifaddrs().ok().and_then(|mut all| {
        all.find_map(|i| {
            let ip = i.address?.as_sockaddr_in()?.ip();
            (ip != config.gateway() && !ip.is_loopback() && !ip.is_link_local()).then_some(ip)
        })
    });
    found.unwrap_or_else(|| config.gateway())
}

impl Host for Node {
    async fn ensure_base(&mut self) -> anyhow::Result<()> {
        self.follow_name_servers();
        Ok(links::ensure_base(self.config.gateway()).await?)
    }

    fn sandboxes(&self) -> BTreeMap<String, Sandbox> {
        let one = |(uid, octet): (&String, &u8)| {
            let intact = netns::exists(&self.netns(uid)) && links::link_exists(&links::host_link(uid));
            (uid.clone(), Sandbox { ip: Ipam::address(self.config.pod_network, *octet), intact })
        };
        self.ipam.pods.iter().map(one).collect()
    }

    async fn setup_pod(&mut self, pod: &Pod) -> anyhow::Result<()> {
        let mut ipam = self.ipam.clone();
        let octet =
            ipam.assign(&pod.uid).ok_or_else(|| anyhow::anyhow!("all addresses of the pod network are taken"))?;
        let ip = Ipam::address(self.config.pod_network, octet);
        self.write_files(pod, ip)?;
        self.make_volumes(pod)?;
        let ns = self.netns(&pod.uid);
        links::create_pod(&ns, &pod.uid, ip, self.config.gateway()).await?;
        self.ipam = ipam;
        self.store()
    }

    async fn teardown_pod(&mut self, uid: &str) -> anyhow::Result<()> {
        links::delete_pod(&self.netns(uid), uid).await?;
        remove_tree(&pod_run_dir(&self.config, uid))?;
        let volumes = volumes_dir(&self.config, uid);
        for v in fs::read_dir(&volumes).into_iter().flatten().flatten() {
            if mount::is_mount_point(&v.path())? {
                mount::unmount_detach(&v.path())?;
            }
        }
        remove_tree(&self.config.pods_dir.join(uid))?;
        self.ipam.release(uid);
        self.store()
    }

    fn prepare(&mut self, pod: &Pod, container: &Container, id: &str) -> anyhow::Result<NewContainer> {
        let config = &self.config;
        let ip =
            self.sandboxes().get(&pod.uid).map(|s| s.ip).ok_or_else(|| anyhow::anyhow!("the pod has no network"))?;
        let layer = config.pods_dir.join(&pod.uid).join("containers").join(&container.name);
        let rootfs = rootfs::prepare(&config.app_roots, &config.run_dir.join("apps"), &layer, container)?;
        let (stdout, stderr) = fifos(config, &pod.uid, id);
        for fifo in [&stdout, &stderr] {
            crate::logs::make_fifo(fifo)?;
        }
        let place = spec::Place {
            node_name: &self.name,
            pod_ip: ip,
            host_ip: host_ip(config),
            netns: &self.netns(&pod.uid),
            files: &pod_run_dir(config, &pod.uid),
            volumes: &volumes_dir(config, &pod.uid),
            cgroup_parent: &config.cgroup_parent,
            arch: std::env::consts::ARCH,
        };
        Ok(NewContainer {
            id: id.into(),
            image: container.image.clone(),
            labels: BTreeMap::new(),
            spec: serde_json::to_vec(&spec::build(pod, container, &place))?,
            rootfs,
            stdout: stdout.display().to_string(),
            stderr: stderr.display().to_string(),
        })
    }

    async fn apply_rules(&mut self, rules: &Ruleset) -> anyhow::Result<()> {
        let links = format!("{}*", links::HOST_LINKS);
        let names = Names { pod_links: &links, pod_networks: &[self.config.pod_cidr()] };
        let json = serde_json::to_vec(&render(rules, &names))?;
        let mut nft = tokio::process::Command::new(&self.config.nft)
            .args(["-j", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = nft.stdin.take() {
            stdin.write_all(&json).await?;
        }
        let out = nft.wait_with_output().await?;
        if out.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&out.stderr);
        anyhow::bail!("nft refused the ruleset: {}", why.lines().next().unwrap_or("no reason given"))
    }
}

fn remove_tree(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
