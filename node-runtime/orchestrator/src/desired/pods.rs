//! A core/v1 Pod → [`Pod`].

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    path::PathBuf,
    sync::Arc,
};

use k8s_openapi::api::core::v1 as core;

use super::{Dns, DnsPolicy, Pod, Qos, Resources, RestartPolicy, Role, Volume, container, volumes};
use crate::{
    input::{ImageState, Input, Name},
    network::policy::Protocol,
};

/// What a pod may refer to.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// Images by reference.
    pub images: &'a BTreeMap<String, ImageState>,
    /// ConfigMaps.
    pub config_maps: &'a BTreeMap<Name, Arc<core::ConfigMap>>,
    /// Secrets.
    pub secrets: &'a BTreeMap<Name, Arc<core::Secret>>,
    /// Folders of claims.
    pub claims: &'a BTreeMap<Name, PathBuf>,
    /// What the node can give: the limits of containers without one, where a
    /// pod asks for them.
    pub node: NodeFacts,
}

/// Where the disk for pods is mounted.
const DATA: &str = "/var";

/// Size of the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// CPUs in thousandths.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Disk for pods in bytes.
    pub storage_bytes: u64,
}

impl<'a> Sources<'a> {
    /// All that an input holds, on this node.
    pub fn of(input: &'a Input) -> Self {
        let Input { images, config_maps, secrets, claims, .. } = input;
        Self { images, config_maps, secrets, claims, node: NodeFacts::of_this_node() }
    }
}

impl NodeFacts {
    fn of_this_node() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let memory = skerry_platform::meminfo::memory().ok().and_then(|m| m.get("total").copied());
        let disk = nix::sys::statvfs::statvfs(DATA).map_or(0, |s| s.blocks() * s.fragment_size());
        Self { cpu_millis: cpus * 1000, memory_bytes: memory.unwrap_or(0), storage_bytes: disk }
    }
}

/// The pod of an object. What is missing makes containers, or all of the pod,
/// wait; see [`super::Container::waiting`] and [`Pod::volumes_missing`].
pub fn from_object(object: &core::Pod, sources: &Sources<'_>) -> Pod {
    let default = core::PodSpec::default();
    let spec = object.spec.as_ref().unwrap_or(&default);
    let mut pod = head(object, spec);
    for (c, role) in roles(spec) {
        let ready = container::resolve(c, role, spec, &pod, sources);
        pod.containers.push(ready.unwrap_or_else(|waiting| container::waiting(c, role, waiting)));
    }
    for v in spec.volumes.iter().flatten() {
        match volumes::volume(v, spec, &pod, sources) {
            Ok(volume) => drop(pod.volumes.insert(v.name.clone(), volume)),
            Err(why) => {
                let text = format!("MountVolume.SetUp failed for volume {:?} : {why}", v.name);
                pod.volumes_missing.get_or_insert(text);
            }
        }
    }
    pod.files_hash = files_hash(&pod.volumes);
    pod.named_ports = named_ports(spec);
    pod
}

/// Of two containers with the same name for a port, the first has it.
fn named_ports(spec: &core::PodSpec) -> BTreeMap<(String, Protocol), u16> {
    let mut out = BTreeMap::new();
    for (c, _) in roles(spec).filter(|(_, role)| *role != Role::Init) {
        for p in c.ports.iter().flatten() {
            let Some(name) = &p.name else { continue };
            let protocol = if p.protocol.as_deref() == Some("UDP") { Protocol::Udp } else { Protocol::Tcp };
            if let Ok(number) = u16::try_from(p.container_port) {
                out.entry((name.clone(), protocol)).or_insert(number);
            }
        }
    }
    out
}

fn head(object: &core::Pod, spec: &core::PodSpec) -> Pod {
    let meta = &object.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let namespace = meta.namespace.clone().unwrap_or_default();
    let security = spec.security_context.as_ref();
    // A host name has at most 63 characters, a pod name 253.
    let mut hostname = spec.hostname.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| name.clone());
    hostname.truncate(63);
    let hostname = hostname.trim_end_matches(['-', '.']).to_owned();
    let subdomain = spec.subdomain.as_deref().filter(|s| !s.is_empty());
    let phase = object.status.as_ref().and_then(|s| s.phase.as_deref());
    let annotations = meta.annotations.clone().unwrap_or_default();
    Pod {
        uid: meta.uid.clone().unwrap_or_default(),
        deployment: annotations.get(super::baked::DEPLOYMENT).cloned().unwrap_or_default(),
        labels: meta.labels.clone().unwrap_or_default(),
        annotations,
        service_account: spec.service_account_name.clone().unwrap_or_else(|| "default".into()),
        restart: match spec.restart_policy.as_deref() {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        },
        fs_group_on_mismatch: security.is_some_and(|s| s.fs_group_change_policy.as_deref() == Some("OnRootMismatch")),
        fs_group: security.and_then(|s| s.fs_group).map(container::id),
        grace_secs: container::seconds(spec.termination_grace_period_seconds, 30),
        deletion_grace_secs: meta
            .deletion_timestamp
            .as_ref()
            .map(|_| container::seconds(meta.deletion_grace_period_seconds, 30)),
        deadline_secs: spec.active_deadline_seconds.and_then(|s| u32::try_from(s).ok()),
        finished: matches!(phase, Some("Succeeded" | "Failed")),
        host_network: spec.host_network.unwrap_or(false),
        host_pid: spec.host_pid.unwrap_or(false),
        host_ipc: spec.host_ipc.unwrap_or(false),
        fqdn: subdomain.map(|s| format!("{hostname}.{s}.{namespace}.svc.cluster.local")),
        hostname,
        host_aliases: spec
            .host_aliases
            .iter()
            .flatten()
            .map(|a| (a.ip.clone(), a.hostnames.clone().unwrap_or_default()))
            .collect(),
        dns: dns(spec),
        sysctls: security
            .and_then(|s| s.sysctls.as_ref())
            .into_iter()
            .flatten()
            .map(|s| (s.name.clone(), s.value.clone()))
            .collect(),
        qos: qos(spec),
        name,
        namespace,
        ..Pod::default()
    }
}

/// Containers in the order in which they start.
fn roles(spec: &core::PodSpec) -> impl Iterator<Item = (&core::Container, Role)> {
    let init = spec.init_containers.iter().flatten().map(|c| {
        let sidecar = c.restart_policy.as_deref() == Some("Always");
        (c, if sidecar { Role::Sidecar } else { Role::Init })
    });
    init.chain(spec.containers.iter().map(|c| (c, Role::Main)))
}

fn dns(spec: &core::PodSpec) -> Dns {
    let config = spec.dns_config.clone().unwrap_or_default();
    let option = |o: core::PodDNSConfigOption| {
        let name = o.name?;
        Some(o.value.filter(|v| !v.is_empty()).map_or(name.clone(), |v| format!("{name}:{v}")))
    };
    let host_network = spec.host_network.unwrap_or(false);
    Dns {
        policy: match spec.dns_policy.as_deref() {
            Some("None") => DnsPolicy::None,
            Some("Default") => DnsPolicy::Default,
            Some("ClusterFirstWithHostNet") => DnsPolicy::ClusterFirst,
            // Pods on the node's network use the node's name servers.
            _ if host_network => DnsPolicy::Default,
            _ => DnsPolicy::ClusterFirst,
        },
        servers: config.nameservers.unwrap_or_default(),
        searches: config.searches.unwrap_or_default(),
        options: config.options.into_iter().flatten().filter_map(option).collect(),
    }
}

/// Quality of service, by the rule of Kubernetes.
fn qos(spec: &core::PodSpec) -> Qos {
    let all: Vec<Resources> = roles(spec).map(|(c, _)| container::resources(c)).collect();
    // Storage makes no class.
    let some = |r: &Resources| {
        let limits = [r.cpu_limit_millis, r.memory_limit_bytes].into_iter().flatten();
        limits.chain([r.cpu_request_millis, r.memory_request_bytes]).any(|n| n > 0)
    };
    let any = all.iter().any(some);
    let guaranteed = all.iter().all(|r| {
        r.cpu_limit_millis.is_some_and(|l| l > 0 && l == r.cpu_request_millis)
            && r.memory_limit_bytes.is_some_and(|l| l > 0 && l == r.memory_request_bytes)
    });
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

fn files_hash(volumes: &BTreeMap<String, Volume>) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    for (name, v) in volumes {
        if let Volume::Files(files) = v {
            (name, files).hash(&mut hasher);
        }
    }
    hasher.finish()
}
