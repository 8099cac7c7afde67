//! OCI runtime spec of a container. Pure.
//!
//! Source: OCI runtime-spec v1.2, `config.md` and `config-linux.md`.

mod env;
mod seccomp;

#[cfg(test)]
mod tests;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

pub use env::{PodFacts, arguments, environment, expanded, pod_field};

use crate::{
    desired::{Container, Pod, Qos, Seccomp, Volume},
    observed::NodeAddresses,
};

/// Processes and threads that one container may have.
pub const PIDS_MAX: u64 = 1024;
/// CFS period in microseconds.
pub const CPU_PERIOD_MICROS: u64 = 100_000;

/// What the spec needs beside the pod itself.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// Node name.
    pub node_name: &'a str,
    /// Address of the pod.
    pub pod_ip: Ipv4Addr,
    /// Its address of IPv6, if it has one.
    pub pod_ip6: Option<std::net::Ipv6Addr>,
    /// Addresses of the node.
    pub node: NodeAddresses,
    /// Network namespace of the pod; not used by pods on the node's network.
    pub netns: &'a Path,
    /// Folder with `hosts`, `hostname` and `resolv.conf` of the pod.
    pub files: &'a Path,
    /// Where the mounts of the container come from, in their order.
    pub mounts: &'a [PathBuf],
    /// File for the last words of the container.
    pub termination: &'a Path,
    /// cgroup below which pods have theirs.
    pub cgroup_parent: &'a str,
    /// AppArmor profile of the process.
    pub apparmor: Option<&'a str>,
    /// Does the node have cgroup v2?
    pub cgroup_v2: bool,
    /// `x86_64` or `aarch64`.
    pub arch: &'a str,
    /// Memory of the node in bytes.
    pub node_memory_bytes: u64,
    /// The kernel lets us give no `oom_score_adj` below this.
    pub oom_score_least: i64,
}

/// cgroup of a pod, as the OCI runtime takes it.
pub fn pod_cgroup(parent: &str, uid: &str) -> String {
    format!("{parent}/{uid}")
}

/// cgroup of a container.
pub fn cgroup(parent: &str, uid: &str, container: &str) -> String {
    format!("{}/{container}", pod_cgroup(parent, uid))
}

/// The spec as JSON.
pub fn build(pod: &Pod, container: &Container, place: &Place<'_>) -> Value {
    let facts =
        PodFacts { pod, node_name: place.node_name, pod_ip: place.pod_ip, pod_ip6: place.pod_ip6, node: place.node };
    let caps = json!(container.capabilities);
    // A process that is not root gets capabilities through the ambient set only.
    let ambient = if container.uid == 0 { json!([]) } else { caps.clone() };
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": container.read_only_root},
        "process": {
            "terminal": container.tty,
            "user": {"uid": container.uid, "gid": container.gid, "umask": 18, "additionalGids": container.groups},
            "args": arguments(container, &facts),
            "env": environment(container, &facts),
            "cwd": container.cwd,
            "capabilities": {
                "bounding": caps, "effective": caps, "permitted": caps, "inheritable": [], "ambient": ambient,
            },
            "noNewPrivileges": container.no_new_privileges,
            "oomScoreAdj": oom_score(pod, container, place.node_memory_bytes).max(place.oom_score_least),
        },
        "mounts": mounts(pod, container, place),
        "linux": linux(pod, container, place),
    });
    if let Some(profile) = place.apparmor {
        spec["process"]["apparmorProfile"] = json!(profile);
    }
    if !pod.host_network {
        spec["hostname"] = json!(pod.hostname);
    }
    spec
}

/// Who dies first when the node has no memory left (kubelet's figures).
fn oom_score(pod: &Pod, c: &Container, node_memory_bytes: u64) -> i64 {
    match pod.qos {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let share = 1000 * c.resources.memory_request_bytes / node_memory_bytes.max(1);
            (1000 - share.min(1000) as i64).clamp(3, 999)
        }
    }
}

fn linux(pod: &Pod, container: &Container, place: &Place<'_>) -> Value {
    let mut namespaces = vec![json!({"type": "mount"}), json!({"type": "cgroup"})];
    namespaces.extend((!pod.host_pid).then(|| json!({"type": "pid"})));
    namespaces.extend((!pod.host_ipc).then(|| json!({"type": "ipc"})));
    if !pod.host_network {
        namespaces.push(json!({"type": "uts"}));
        namespaces.push(json!({"type": "network", "path": place.netns}));
    }
    let mut linux = json!({
        "namespaces": namespaces,
        "cgroupsPath": cgroup(place.cgroup_parent, &pod.uid, &container.name),
        "resources": resources(container, place.cgroup_v2),
        "rootfsPropagation": "private",
    });
    if !pod.sysctls.is_empty() {
        linux["sysctl"] = json!(pod.sysctls);
    }
    if !container.unmasked_proc {
        linux["maskedPaths"] = json!([
            "/proc/acpi",
            "/proc/asound",
            "/proc/interrupts",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/sched_debug",
            "/proc/scsi",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/sys/devices/virtual/powercap",
            "/sys/firmware",
        ]);
        linux["readonlyPaths"] = json!(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]);
    }
    if container.seccomp == Seccomp::RuntimeDefault {
        linux["seccomp"] = seccomp::default_profile(&container.capabilities, place.arch);
    }
    linux
}

/// cgroup v1 names; the OCI runtime converts them (`shares` to `cpu.weight`).
fn resources(c: &Container, cgroup_v2: bool) -> Value {
    let r = &c.resources;
    let mut cpu = json!({"shares": cpu_shares(r.cpu_request_millis)});
    if let Some(millis) = r.cpu_limit_millis {
        // The kernel refuses less than 1 ms.
        cpu["quota"] = json!((millis * CPU_PERIOD_MICROS / 1000).max(1000));
        cpu["period"] = json!(CPU_PERIOD_MICROS);
    }
    let mut out = json!({
        "cpu": cpu,
        "pids": {"limit": PIDS_MAX},
        // Everything is refused that the runtime does not add by itself
        // (null, zero, full, random, urandom, tty, pts).
        "devices": [{"allow": c.privileged, "access": "rwm"}],
    });
    let mut memory = serde_json::Map::new();
    if let Some(bytes) = r.memory_limit_bytes {
        memory.insert("limit".into(), json!(bytes));
        memory.insert("swap".into(), json!(bytes));
    }
    if cgroup_v2 {
        // As the kubelet: what is requested is the container's own, and a
        // container that needs more than it may goes as a whole.
        out["unified"] = json!({"memory.min": r.memory_request_bytes.to_string(), "memory.oom.group": "1"});
    } else if r.memory_request_bytes > 0 {
        memory.insert("reservation".into(), json!(r.memory_request_bytes));
    }
    if !memory.is_empty() {
        out["memory"] = memory.into();
    }
    out
}

/// Kubernetes: 1024 shares per core, at least 2.
pub fn cpu_shares(millis: u64) -> u64 {
    (millis * 1024 / 1000).clamp(2, 262_144)
}

fn mounts(pod: &Pod, container: &Container, place: &Place<'_>) -> Vec<Value> {
    let access = if container.privileged { "rw" } else { "ro" };
    let mut out = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}),
        json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]}),
        json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", access]}),
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", access]}),
    ];
    if pod.host_network {
        // sysfs belongs to a network namespace; the node's cannot be mounted anew.
        out[5] = json!({"destination": "/sys", "type": "bind", "source": "/sys",
            "options": ["rbind", "nosuid", "noexec", "nodev", access]});
    }
    for name in ["hosts", "hostname", "resolv.conf"] {
        out.push(json!({"destination": format!("/etc/{name}"), "type": "bind", "source": place.files.join(name),
            "options": ["bind", "ro", "nosuid", "noexec", "nodev"]}));
    }
    // Outer mount points first, or they would hide the inner ones.
    let mut own: Vec<_> = container.mounts.iter().zip(place.mounts).collect();
    own.sort_by_key(|(m, _)| m.path.split('/').count());
    for (m, source) in own {
        let volume = pod.volumes.get(&m.name);
        let fixed = matches!(volume, Some(Volume::Files(_) | Volume::Claim { read_only: true, .. }));
        let mut options = vec!["rbind", if m.read_only || fixed { "ro" } else { "rw" }];
        if !matches!(volume, Some(Volume::HostPath { .. })) {
            options.extend(["nosuid", "nodev"]);
        }
        out.push(json!({"destination": m.path, "type": "bind", "source": source, "options": options}));
    }
    if !container.termination_path.is_empty() {
        out.push(json!({"destination": container.termination_path, "type": "bind", "source": place.termination,
            "options": ["bind", "rw", "nosuid", "noexec", "nodev"]}));
    }
    out
}
