//! The cgroup of a pod as a whole, and what the kernel counted in those of its
//! containers. cgroup v2; where the node has v1, only the counting works.
//!
//! Memory that a pod requests is its own (`memory.min`, the kubelet's
//! MemoryQoS): the kernel takes it from nobody who stays below. That holds only
//! if no cgroup above promises less, so these promise the sum; see [`protect`].

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    desired::Pod,
    spec::{CPU_PERIOD_MICROS, PIDS_MAX, cpu_shares},
};

const ROOT: &str = "/sys/fs/cgroup";
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
const MEMORY_MIN: &str = "memory.min";

/// Limits of a pod: what its containers may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PodLimits {
    cpu_weight: u64,
    cpu_quota_micros: Option<u64>,
    memory_max_bytes: Option<u64>,
    memory_min_bytes: u64,
    pids_max: u64,
}

impl PodLimits {
    /// See [`Pod::together`]. A limit is one only where all containers have it.
    pub(crate) fn of(pod: &Pod) -> Self {
        let cpu_limited = pod.containers.iter().all(|c| c.resources.cpu_limit_millis.is_some());
        let memory_limited = pod.containers.iter().all(|c| c.resources.memory_limit_bytes.is_some());
        let cpu_limit = cpu_limited.then(|| pod.together(|r| r.cpu_limit_millis.unwrap_or(0)));
        Self {
            cpu_weight: weight(cpu_shares(pod.together(|r| r.cpu_request_millis))),
            cpu_quota_micros: cpu_limit.map(|m| (m * CPU_PERIOD_MICROS / 1000).max(1000)),
            memory_max_bytes: memory_limited.then(|| pod.together(|r| r.memory_limit_bytes.unwrap_or(0))),
            memory_min_bytes: pod.together(|r| r.memory_request_bytes),
            pids_max: PIDS_MAX * pod.containers.len() as u64,
        }
    }
}

/// cgroup v1 shares (2 to 262144) as a v2 weight (1 to 10000), as OCI runtimes
/// convert them.
fn weight(shares: u64) -> u64 {
    1 + (shares.saturating_sub(2) * 9999) / 262_142
}

/// Does the node have cgroup v2?
pub(crate) fn is_v2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Make the pod's cgroup with its limits. Does nothing where there is no v2.
pub(crate) fn make(path: &str, limits: &PodLimits) -> io::Result<()> {
    if !is_v2() {
        return Ok(());
    }
    let root = Path::new(ROOT);
    let mut at = root.to_path_buf();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        // Fails where a process sits in the cgroup itself; what is on there
        // already is then enough, or the writes below say what is missing.
        for c in CONTROLLERS {
            let _ = fs::write(at.join("cgroup.subtree_control"), format!("+{c}"));
        }
        at.push(part);
        if !at.exists() {
            fs::create_dir(&at)?;
        }
    }
    let max = |v: Option<u64>| v.map_or("max".to_owned(), |v| v.to_string());
    for (file, value) in [
        ("cpu.weight", limits.cpu_weight.to_string()),
        ("cpu.max", format!("{} {CPU_PERIOD_MICROS}", max(limits.cpu_quota_micros))),
        ("memory.max", max(limits.memory_max_bytes)),
        (MEMORY_MIN, limits.memory_min_bytes.to_string()),
        ("pids.max", limits.pids_max.to_string()),
    ] {
        if at.join(file).exists() {
            fs::write(at.join(file), value)?;
        }
    }
    Ok(())
}

/// Let every cgroup from `parent` up promise the memory that the pods below
/// `parent` are promised. What is promised is read back from the pods' cgroups,
/// and nothing is written that is so already: whoever owns a cgroup above may
/// have reset it.
pub(crate) fn protect(parent: &str) -> io::Result<()> {
    protect_below(Path::new(ROOT), parent)
}

fn protect_below(root: &Path, parent: &str) -> io::Result<()> {
    let promised = |at: &Path| fs::read_to_string(at.join(MEMORY_MIN)).ok().map(|t| bytes(&t));
    let chain = chain(root, parent);
    let Some(lowest) = chain.last() else { return Ok(()) };
    let Ok(below) = fs::read_dir(lowest) else { return Ok(()) };
    let sum = below.flatten().filter_map(|e| promised(&e.path())).fold(0, u64::saturating_add);
    for at in &chain {
        // Absent: no cgroup v2, or no memory controller.
        if promised(at).is_some_and(|now| now != sum) {
            fs::write(at.join(MEMORY_MIN), sum.to_string())?;
        }
    }
    Ok(())
}

/// The cgroups from below `root` to `path`, the highest first.
fn chain(root: &Path, path: &str) -> Vec<PathBuf> {
    let mut at = root.to_path_buf();
    let parts = path.split('/').filter(|p| !p.is_empty());
    parts
        .map(|part| {
            at.push(part);
            at.clone()
        })
        .collect()
}

/// A number of bytes, or `max`. The kernel rounds down to pages.
fn bytes(text: &str) -> u64 {
    text.trim().parse().unwrap_or(u64::MAX)
}

/// Remove the pod's cgroup; one that is in use or not there stays as it is.
pub(crate) fn remove(path: &str) {
    let _ = fs::remove_dir(Path::new(ROOT).join(path.trim_start_matches('/')));
}

/// Did the kernel end a process of this cgroup for want of memory?
pub(crate) fn oom_killed(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    let v2 = Path::new(ROOT).join(path).join("memory.events");
    let v1 = Path::new(ROOT).join("memory").join(path).join("memory.oom_control");
    [v2, v1].iter().any(|p| fs::read_to_string(p).is_ok_and(|text| counted(&text)))
}

fn counted(text: &str) -> bool {
    text.lines().filter_map(|l| l.strip_prefix("oom_kill ")).any(|n| n.trim() != "0")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::desired::{Container, Resources, Role};

    #[test]
    fn what_pods_are_promised_is_promised_all_the_way_up() {
        let d = tempfile::tempdir().unwrap();
        let at = |path: &str| d.path().join(path).join(MEMORY_MIN);
        let put = |path: &str, promised: &str| {
            fs::create_dir_all(d.path().join(path)).unwrap();
            fs::write(at(path), promised).unwrap();
        };
        for (path, promised) in [("a", "0\n"), ("a/b", "max\n"), ("a/b/pods", "7\n"), ("a/other", "3\n")] {
            put(path, promised);
        }
        put("a/b/pods/one", "4096\n");
        put("a/b/pods/two", "8192\n");
        let all = || ["a", "a/b", "a/b/pods"].map(|p| fs::read_to_string(at(p)).unwrap());
        protect_below(d.path(), "/a/b/pods").unwrap();
        assert_eq!(all(), ["12288", "12288", "12288"]);
        assert_eq!(fs::read_to_string(at("a/other")).unwrap(), "3\n", "not on the way up");
        fs::remove_dir_all(d.path().join("a/b/pods/one")).unwrap();
        put("a/b", "0\n");
        protect_below(d.path(), "a/b/pods").unwrap();
        assert_eq!(all(), ["8192", "8192", "8192"]);
        // No memory controller: nothing is made.
        fs::create_dir_all(d.path().join("bare/pods/one")).unwrap();
        protect_below(d.path(), "/bare/pods").unwrap();
        protect_below(d.path(), "/nothing").unwrap();
        assert!(!at("bare").exists() && !d.path().join("nothing").exists());
    }

    #[test]
    fn kills_are_counted() {
        for (text, want) in [
            ("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n", true),
            ("low 0\noom 0\noom_kill 0\noom_group_kill 0\n", false),
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", true),
            ("", false),
        ] {
            assert_eq!(counted(text), want, "{text}");
        }
    }

    #[test]
    fn a_pod_may_use_what_its_containers_may_use_together() {
        let c = |role, cpu: Option<u64>, memory: Option<u64>| Container {
            role,
            resources: Resources {
                cpu_limit_millis: cpu,
                cpu_request_millis: cpu.unwrap_or(0),
                memory_limit_bytes: memory,
                memory_request_bytes: memory.unwrap_or(0),
                ..Resources::default()
            },
            ..Container::default()
        };
        let pod = |containers| PodLimits::of(&Pod { containers, ..Pod::default() });
        let two = pod(vec![
            c(Role::Init, Some(3000), Some(10)),
            c(Role::Sidecar, Some(100), Some(100)),
            c(Role::Main, Some(500), Some(500)),
        ]);
        assert_eq!((two.cpu_quota_micros, two.memory_max_bytes), (Some(310_000), Some(600)));
        let open = pod(vec![c(Role::Main, Some(500), None), c(Role::Main, None, Some(1))]);
        assert_eq!((open.cpu_quota_micros, open.memory_max_bytes, open.memory_min_bytes), (None, None, 1));
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 39, 10_000));
    }
}
