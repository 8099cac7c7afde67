//! OCI runtime spec of a container. Pure.
//!
//! Source: OCI runtime-spec v1.2, `config.md` and `config-linux.md`.

mod env;
mod seccomp;

#[cfg(test)]
mod tests;

use std::{net::Ipv4Addr, path::Path};

use serde_json::{Value, json};

pub use env::{PodFacts, environment};

use crate::desired::{Container, Pod, Seccomp};

/// Processes and threads that one container may have.
pub const PIDS_MAX: u64 = 1024;
/// CFS period in microseconds.
const CPU_PERIOD_MICROS: u64 = 100_000;

/// What the spec needs beside the pod itself.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// Node name.
    pub node_name: &'a str,
    /// Address of the pod.
    pub pod_ip: Ipv4Addr,
    /// Address of the node.
    pub host_ip: Ipv4Addr,
    /// Network namespace of the pod.
    pub netns: &'a Path,
    /// Folder with `hosts`, `hostname` and `resolv.conf` of the pod.
    pub files: &'a Path,
    /// Folder with one folder per volume.
    pub volumes: &'a Path,
    /// cgroup below which pods have theirs.
    pub cgroup_parent: &'a str,
    /// `x86_64` or `aarch64`.
    pub arch: &'a str,
}

/// The spec as JSON.
pub fn build(pod: &Pod, container: &Container, place: &Place<'_>) -> Value {
    let facts = PodFacts { pod, node_name: place.node_name, pod_ip: place.pod_ip, host_ip: place.host_ip };
    let caps = json!(container.capabilities);
    // A process that is not root gets capabilities through the ambient set only.
    let ambient = if container.uid == 0 { json!([]) } else { caps.clone() };
    json!({
        "ociVersion": "1.0.2",
        "hostname": pod.name,
        "root": {"path": "rootfs", "readonly": container.read_only_root},
        "process": {
            "terminal": false,
            "user": {"uid": container.uid, "gid": container.gid, "umask": 18, "additionalGids": container.groups},
            "args": container.args,
            "env": environment(container, &facts),
            "cwd": container.cwd,
            "capabilities": {
                "bounding": caps, "effective": caps, "permitted": caps, "inheritable": [], "ambient": ambient,
            },
            "noNewPrivileges": container.no_new_privileges,
            "oomScoreAdj": 500,
        },
        "mounts": mounts(pod, container, place),
        "linux": linux(pod, container, place),
    })
}

fn linux(pod: &Pod, container: &Container, place: &Place<'_>) -> Value {
    let mut linux = json!({
        "namespaces": [
            {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"},
            {"type": "network", "path": place.netns},
        ],
        "cgroupsPath": format!("{}/{}/{}", place.cgroup_parent, pod.uid, container.name),
        "resources": resources(container),
        "rootfsPropagation": "private",
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
            "/sys/devices/virtual/powercap", "/sys/firmware",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if container.seccomp == Seccomp::RuntimeDefault {
        linux["seccomp"] = seccomp::default_profile(&container.capabilities, place.arch);
    }
    linux
}

/// cgroup v1 names; the OCI runtime converts them (`shares` to `cpu.weight`).
fn resources(c: &Container) -> Value {
    // Kubernetes: 1024 shares per core, at least 2.
    let mut cpu = json!({"shares": (c.cpu_request_millis * 1024 / 1000).clamp(2, 262_144)});
    if let Some(millis) = c.cpu_limit_millis {
        // The kernel refuses less than 1 ms.
        cpu["quota"] = json!((millis * CPU_PERIOD_MICROS / 1000).max(1000));
        cpu["period"] = json!(CPU_PERIOD_MICROS);
    }
    let mut out = json!({
        "cpu": cpu,
        "pids": {"limit": PIDS_MAX},
        // Everything is refused that the runtime does not add by itself
        // (null, zero, full, random, urandom, tty, pts).
        "devices": [{"allow": false, "access": "rwm"}],
    });
    if let Some(bytes) = c.memory_limit_bytes {
        out["memory"] = json!({"limit": bytes, "swap": bytes});
    }
    out
}

fn mounts(pod: &Pod, container: &Container, place: &Place<'_>) -> Vec<Value> {
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
            "options": ["nosuid", "noexec", "nodev", "ro"]}),
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}),
    ];
    for name in ["hosts", "hostname", "resolv.conf"] {
        out.push(json!({"destination": format!("/etc/{name}"), "type": "bind", "source": place.files.join(name),
            "options": ["bind", "ro", "nosuid", "noexec", "nodev"]}));
    }
    // Outer mount points first, or they would hide the inner ones.
    let mut volumes: Vec<_> = container.mounts.iter().filter(|m| pod.volumes.contains_key(&m.name)).collect();
    volumes.sort_by_key(|m| m.path.split('/').count());
    for m in volumes {
        let access = if m.read_only { "ro" } else { "rw" };
        out.push(json!({"destination": m.path, "type": "bind", "source": place.volumes.join(&m.name),
            "options": ["rbind", access, "nosuid", "nodev"]}));
    }
    out
}
