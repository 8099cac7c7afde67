//! What a pod needs of the node beside containers: network, files, volumes,
//! root file systems, packet filter. A trait with the real one; the fake is in
//! the tests of the loop.

mod files;
mod ownership;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use skerry_platform::{durable, netns, resolv};

use crate::{
    apparmor, cgroup,
    config::Config,
    containerd::NewContainer,
    desired::{Container, Pod, Volume},
    network::{Ruleset, filter, ipam::Ipam, links},
    observed::{NodeAddresses, Sandbox},
    plan::Teardown,
    rootfs, spec,
};

/// What the executor needs of the node.
pub(crate) trait Host {
    /// What all pods share; repeated in every round.
    async fn ensure_base(&mut self) -> anyhow::Result<()>;
    /// Addresses of the node.
    fn addresses(&self) -> NodeAddresses;
    /// Pods that have an address.
    fn sandboxes(&self) -> BTreeMap<String, Sandbox>;
    /// Uids of which something is left on the disk.
    fn on_disk(&self) -> BTreeSet<String>;
    /// Fingerprints of the files that pods have.
    fn files(&self) -> BTreeMap<String, u64>;
    /// Network, files and volumes of a pod.
    async fn setup_pod(&mut self, pod: &Pod) -> anyhow::Result<()>;
    /// The opposite; safe to repeat.
    async fn teardown_pod(&mut self, uid: &str, what: Teardown) -> anyhow::Result<()>;
    /// Write what changed in the files of a pod's volumes.
    fn update_files(&mut self, pod: &Pod) -> anyhow::Result<()>;
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
    files: BTreeMap<String, u64>,
    memory_bytes: u64,
    oom_score_least: i64,
    /// `/etc/resolv.conf` of the node, as last seen.
    resolv: String,
}

impl Node {
    /// Reads which addresses are in use.
    pub(crate) fn new(config: Config, name: String) -> Self {
        let stored = fs::read(config.run_dir.join("orchestrator/addresses.json")).ok();
        let ipam = stored.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        let memory = skerry_platform::meminfo::memory().ok().and_then(|m| m.get("total").copied());
        Self {
            config,
            name,
            ipam,
            files: BTreeMap::new(),
            memory_bytes: memory.unwrap_or(0),
            oom_score_least: oom_score_least(),
            resolv: String::new(),
        }
    }

    fn netns(&self, uid: &str) -> PathBuf {
        self.config.run_dir.join("netns").join(uid)
    }

    fn store(&self) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(&self.ipam)?;
        Ok(durable::write_file_atomic(self.config.run_dir.join("orchestrator/addresses.json"), &bytes)?)
    }

    fn write_files(&self, pod: &Pod, ips: &[IpAddr]) -> anyhow::Result<()> {
        let dir = pod_run_dir(&self.config, &pod.uid);
        fs::create_dir_all(&dir)?;
        let hosts = match pod.host_network {
            true => fs::read_to_string("/etc/hosts").unwrap_or_default(),
            false => files::hosts(pod, ips),
        };
        fs::write(dir.join("hosts"), hosts)?;
        fs::write(dir.join("hostname"), format!("{}\n", pod.hostname))?;
        let node = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        fs::write(dir.join("resolv.conf"), files::resolv_conf(pod, &node, self.config.cluster_dns))?;
        Ok(())
    }

    /// A lease that comes after the pods, or a new one, reaches them too.
    fn follow_name_servers(&mut self) {
        if let Err(error) = resolv::refresh(Path::new("/"), &self.config.run_dir.join("resolv.conf")) {
            tracing::warn!(%error, "name servers not written");
        }
        let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        if text != self.resolv {
            // Written with the pods' other files, in `update_files`.
            self.files.clear();
            self.resolv = text;
        }
    }

    /// Pods run without this promise too.
    fn protect_memory(&self) {
        let parent = &self.config.cgroup_parent;
        if let Err(error) = cgroup::protect(parent) {
            tracing::warn!(%error, "memory of the pods in {parent} is not protected");
        }
    }

    fn make_volumes(&self, pod: &Pod) -> anyhow::Result<()> {
        for (name, v) in &pod.volumes {
            let at = self.volume(pod, name, v);
            let made = match v {
                Volume::EmptyDir { memory, size_limit_bytes } => {
                    volumes::empty_dir(&at, *memory, *size_limit_bytes, pod.fs_group)
                }
                Volume::Files(files) => volumes::write_files(&at, files, pod.fs_group).map(drop),
                Volume::HostPath { path, kind } => volumes::host_path(path, kind),
                Volume::Claim { path, .. } => fs::metadata(path).map(drop).map_err(Into::into),
            };
            made.with_context(|| format!("MountVolume.SetUp failed for volume {name:?}"))?;
        }
        Ok(())
    }

    /// Where a volume is on the node. Files are in memory: nothing secret comes
    /// to lie on the disk.
    fn volume(&self, pod: &Pod, name: &str, v: &Volume) -> PathBuf {
        match v {
            Volume::EmptyDir { .. } => volumes_dir(&self.config, &pod.uid).join(name),
            Volume::Files(_) => pod_run_dir(&self.config, &pod.uid).join("volumes").join(name),
            Volume::HostPath { path, .. } | Volume::Claim { path, .. } => path.clone(),
        }
    }

    /// Sources of a container's mounts.
    fn mounts(&self, pod: &Pod, container: &Container, facts: &spec::PodFacts<'_>) -> anyhow::Result<Vec<PathBuf>> {
        let mut out = vec![];
        for (i, m) in container.mounts.iter().enumerate() {
            let v = pod.volumes.get(&m.name).ok_or_else(|| anyhow::anyhow!("there is no volume {:?}", m.name))?;
            let whole = self.volume(pod, &m.name, v);
            let sub = if m.expand { spec::expanded(&m.sub_path, container, facts) } else { m.sub_path.clone() };
            if sub.is_empty() {
                out.push(whole);
                continue;
            }
            let at = pod_run_dir(&self.config, &pod.uid).join("parts").join(format!("{}-{i}", container.name));
            volumes::bind_part(&whole, &sub, &at)?;
            out.push(at);
        }
        Ok(out)
    }
}

/// Where the node itself runs in a container, the kernel may refuse to make a
/// process less likely to be killed than we are.
fn oom_score_least() -> i64 {
    let own = |file: &str| fs::read_to_string(Path::new("/proc/self").join(file)).unwrap_or_default();
    oom_score_limit(&own("status"), &own("oom_score_adj"))
}

/// The same from the texts of `/proc/self/status` and `oom_score_adj`.
fn oom_score_limit(status: &str, own: &str) -> i64 {
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let held = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(u64::MAX);
    if held & CAP_SYS_RESOURCE != 0 { -1000 } else { own.trim().parse().unwrap_or(0) }
}

/// Give claims to the pod's group. There may be many files, so this goes on
/// beside everything else.
async fn own_claims(pod: &Pod) -> anyhow::Result<()> {
    let Some(group) = pod.fs_group else { return Ok(()) };
    for (name, v) in &pod.volumes {
        let Volume::Claim { path, read_only: false } = v else { continue };
        let (path, only_on_mismatch) = (path.clone(), pod.fs_group_on_mismatch);
        let done = tokio::task::spawn_blocking(move || ownership::give(&path, group, only_on_mismatch)).await?;
        done.with_context(|| format!("MountVolume.SetUp failed for volume {name:?}: applying fsGroup {group}"))?;
    }
    Ok(())
}

/// Files of a pod that are gone after a reboot.
pub(crate) fn pod_run_dir(config: &Config, uid: &str) -> PathBuf {
    config.run_dir.join("pods").join(uid)
}

pub(crate) fn volumes_dir(config: &Config, uid: &str) -> PathBuf {
    config.pods_dir.join(uid).join("volumes")
}

/// Writable layer of a container.
pub(crate) fn layer_dir(config: &Config, uid: &str, container: &str) -> PathBuf {
    config.pods_dir.join(uid).join("containers").join(container)
}

/// FIFOs of a container, by its id.
pub(crate) fn fifos(config: &Config, uid: &str, id: &str) -> (PathBuf, PathBuf) {
    let dir = pod_run_dir(config, uid);
    (dir.join(format!("{id}.out")), dir.join(format!("{id}.err")))
}

/// FIFO for a container's input.
pub(crate) fn stdin_fifo(config: &Config, uid: &str, id: &str) -> PathBuf {
    pod_run_dir(config, uid).join(format!("{id}.in"))
}

/// Log file of one run of a container (the kubelet's naming).
pub(crate) fn log_file(config: &Config, namespace: &str, pod: &str, uid: &str, container: &str, run: u32) -> PathBuf {
    config.logs_dir.join(format!("{namespace}_{pod}_{uid}")).join(container).join(format!("{run}.log"))
}

/// File with the last words of a container.
pub(crate) fn termination_file(config: &Config, uid: &str, id: &str) -> PathBuf {
    pod_run_dir(config, uid).join(format!("{id}.end"))
}

/// The uid at the end of a log folder's name.
fn uid_of_logs(name: &str) -> Option<&str> {
    let uid = name.rsplit('_').next()?;
    (name.matches('_').count() == 2 && uid.len() == 36).then_some(uid)
}

/// Addresses of the node that pods can reach: the first global one of each
/// family; the gateway if there is none of IPv4.
fn addresses(config: &Config) -> NodeAddresses {
    let all: Vec<IpAddr> = nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|i| ip_of(&i)).collect();
    let ours = config.gateways();
    let global = |ip: &&IpAddr| !ours.contains(ip) && is_global(ip);
    let four = all.iter().filter(global).find_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None });
    let six = all.iter().filter(global).find_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None });
    NodeAddresses { ip: four.unwrap_or_else(|| config.gateway()), ip6: six.filter(|_| config.ipv6()) }
}

fn ip_of(interface: &nix::ifaddrs::InterfaceAddress) -> Option<IpAddr> {
    let address = interface.address?;
    let four = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    four.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

/// Neither of this machine alone nor of one link.
fn is_global(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

impl Host for Node {
    async fn ensure_base(&mut self) -> anyhow::Result<()> {
        self.follow_name_servers();
        self.protect_memory();
        Ok(links::ensure_base(self.config.gateway(), self.config.gateway6()).await?)
    }

    fn addresses(&self) -> NodeAddresses {
        addresses(&self.config)
    }

    fn sandboxes(&self) -> BTreeMap<String, Sandbox> {
        let one = |(uid, octet): (&String, &u8)| {
            let intact = netns::exists(&self.netns(uid)) && links::link_exists(&links::host_link(uid));
            let (ip, ip6) = (Ipam::address(self.config.pod_network, *octet), self.config.address6(*octet));
            (uid.clone(), Sandbox { ip, ip6, intact })
        };
        let mut all: BTreeMap<String, Sandbox> = self.ipam.pods.iter().map(one).collect();
        if !self.ipam.host.is_empty() {
            let NodeAddresses { ip, ip6 } = addresses(&self.config);
            all.extend(self.ipam.host.iter().map(|uid| (uid.clone(), Sandbox { ip, ip6, intact: true })));
        }
        all
    }

    fn on_disk(&self) -> BTreeSet<String> {
        let names = |dir: PathBuf| {
            let all = fs::read_dir(dir).into_iter().flatten().flatten();
            all.map(|e| e.file_name().to_string_lossy().into_owned())
        };
        let logs = names(self.config.logs_dir.clone()).filter_map(|n| uid_of_logs(&n).map(Into::into));
        names(self.config.pods_dir.clone()).chain(names(self.config.run_dir.join("pods"))).chain(logs).collect()
    }

    fn files(&self) -> BTreeMap<String, u64> {
        self.files.clone()
    }

    async fn setup_pod(&mut self, pod: &Pod) -> anyhow::Result<()> {
        let mut ipam = self.ipam.clone();
        let (ip, ip6) = if pod.host_network {
            ipam.host.insert(pod.uid.clone());
            let node = addresses(&self.config);
            (node.ip, node.ip6)
        } else {
            let octet = ipam.assign(&pod.uid);
            let octet = octet.ok_or_else(|| anyhow::anyhow!("all addresses of the pod network are taken"))?;
            (Ipam::address(self.config.pod_network, octet), self.config.address6(octet))
        };
        self.write_files(pod, &Sandbox { ip, ip6, intact: true }.ips())?;
        self.make_volumes(pod)?;
        own_claims(pod).await?;
        self.files.insert(pod.uid.clone(), pod.files_hash);
        let group = spec::pod_cgroup(&self.config.cgroup_parent, &pod.uid);
        cgroup::make(&group, &cgroup::PodLimits::of(pod)).with_context(|| format!("limits of cgroup {group}"))?;
        self.protect_memory();
        if !pod.host_network {
            let ns = self.netns(&pod.uid);
            links::create_pod(&ns, &pod.uid, &links::Addresses { ip, gateway: self.config.gateway(), ip6 }).await?;
        }
        self.ipam = ipam;
        self.store()
    }

    async fn teardown_pod(&mut self, uid: &str, what: Teardown) -> anyhow::Result<()> {
        links::delete_pod(&self.netns(uid), uid).await?;
        if what != Teardown::Network {
            volumes::remove_tree(&pod_run_dir(&self.config, uid))?;
            volumes::remove_tree(&self.config.pods_dir.join(uid))?;
            self.files.remove(uid);
            cgroup::remove(&spec::pod_cgroup(&self.config.cgroup_parent, uid));
            self.protect_memory();
        }
        if what == Teardown::Everything {
            for logs in fs::read_dir(&self.config.logs_dir).into_iter().flatten().flatten() {
                if uid_of_logs(&logs.file_name().to_string_lossy()) == Some(uid) {
                    volumes::remove_tree(&logs.path())?;
                }
            }
        }
        self.ipam.release(uid);
        self.store()
    }

    fn update_files(&mut self, pod: &Pod) -> anyhow::Result<()> {
        for (name, v) in &pod.volumes {
            if let Volume::Files(files) = v {
                volumes::write_files(&self.volume(pod, name, v), files, pod.fs_group)?;
            }
        }
        // Written in place: the pods have this very file mounted.
        let path = pod_run_dir(&self.config, &pod.uid).join("resolv.conf");
        let text = files::resolv_conf(pod, &self.resolv, self.config.cluster_dns);
        if fs::read(&path).is_ok_and(|old| old != text.as_bytes()) {
            fs::write(&path, &text)?;
        }
        self.files.insert(pod.uid.clone(), pod.files_hash);
        Ok(())
    }

    fn prepare(&mut self, pod: &Pod, container: &Container, id: &str) -> anyhow::Result<NewContainer> {
        let config = &self.config;
        let Sandbox { ip, ip6, .. } =
            self.sandboxes().remove(&pod.uid).ok_or_else(|| anyhow::anyhow!("the pod has no network"))?;
        let apparmor = apparmor::profile(&container.apparmor)?;
        let layer = layer_dir(config, &pod.uid, &container.name);
        let rootfs = rootfs::prepare(&config.app_roots, &config.run_dir.join("apps"), &layer, container)?;
        let (stdout, stderr) = fifos(config, &pod.uid, id);
        let stdin = container.stdin.then(|| stdin_fifo(config, &pod.uid, id));
        for fifo in [&stdout, &stderr].into_iter().chain(&stdin) {
            crate::logs::make_fifo(fifo)?;
        }
        let termination = termination_file(config, &pod.uid, id);
        fs::write(&termination, b"")?;
        // Whoever the container runs as may write it.
        fs::set_permissions(&termination, fs::Permissions::from_mode(0o666))?;
        let node = addresses(config);
        let facts = spec::PodFacts { pod, node_name: &self.name, pod_ip: ip, pod_ip6: ip6, node };
        let mounts = self.mounts(pod, container, &facts)?;
        let place = spec::Place {
            node_name: &self.name,
            pod_ip: ip,
            pod_ip6: ip6,
            node,
            netns: &self.netns(&pod.uid),
            files: &pod_run_dir(config, &pod.uid),
            mounts: &mounts,
            termination: &termination,
            cgroup_parent: &config.cgroup_parent,
            apparmor: apparmor.as_deref(),
            cgroup_v2: cgroup::is_v2(),
            arch: std::env::consts::ARCH,
            node_memory_bytes: self.memory_bytes,
            oom_score_least: self.oom_score_least,
        };
        Ok(NewContainer {
            id: id.into(),
            image: container.image.clone(),
            labels: BTreeMap::new(),
            spec: serde_json::to_vec(&spec::build(pod, container, &place))?,
            rootfs,
            terminal: container.tty,
            stdin: stdin.map(|p| p.display().to_string()).unwrap_or_default(),
            stdout: stdout.display().to_string(),
            // A terminal has one output.
            stderr: if container.tty { String::new() } else { stderr.display().to_string() },
        })
    }

    async fn apply_rules(&mut self, rules: &Ruleset) -> anyhow::Result<()> {
        filter::apply(&self.config, rules).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_right_nobody_is_safer_than_we_are() {
        for (status, own, want) in [
            ("Name:\tx\nCapEff:\t000001ffffffffff\n", "-900\n", -1000),
            ("CapEff:\t000001fffeffffff\n", "0\n", 0),
            ("CapEff:\t0000000000000000\n", "-17\n", -17),
            ("", "5\n", -1000),
        ] {
            assert_eq!(oom_score_limit(status, own), want, "{status}");
        }
    }
}
