//! CPU and memory in use, of the node and of pods, for `kubectl top`. Nothing
//! is measured until somebody asks; then twice, a second apart.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// Time between the two looks.
const WINDOW: Duration = Duration::from_secs(1);
const CGROUPS: &str = "/sys/fs/cgroup";

/// CPU time and memory of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    cpu_nanos: u64,
    memory_bytes: u64,
}

/// Of a cgroup (v2): memory without the file cache that can go at once.
fn of_cgroup(path: &Path) -> Option<Usage> {
    let read = |file: &str| fs::read_to_string(path.join(file)).ok();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.and_then(|n| n.trim().parse::<u64>().ok())
    };
    let cpu = field(&read("cpu.stat")?, "usage_usec")?;
    let memory: u64 = read("memory.current")?.trim().parse().ok()?;
    let inactive = field(&read("memory.stat")?, "inactive_file").unwrap_or(0);
    Some(Usage { cpu_nanos: cpu * 1000, memory_bytes: memory.saturating_sub(inactive) })
}

/// Of the whole node.
fn of_node() -> Option<Usage> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let memory = skerry_platform::meminfo::memory().ok()?;
    Some(Usage { cpu_nanos: busy_nanos(&stat)?, memory_bytes: memory.get("used").copied()? })
}

/// Busy time of all CPUs since boot, from `/proc/stat` in hundredths of a
/// second.
fn busy_nanos(stat: &str) -> Option<u64> {
    let words: Vec<u64> = stat.lines().next()?.split_ascii_whitespace().skip(1).map_while(|w| w.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest times are in user.
    let busy = |i: usize| words.get(i).copied().unwrap_or(0);
    Some([0, 1, 2, 5, 6].into_iter().map(busy).sum::<u64>() * 10_000_000)
}

fn rate(first: Usage, second: Usage, window: Duration) -> Value {
    let nanos = second.cpu_nanos.saturating_sub(first.cpu_nanos) as f64 / window.as_secs_f64();
    json!({"cpu": format!("{}n", nanos as u64), "memory": format!("{}Ki", second.memory_bytes >> 10)})
}

/// Two looks at the same things; what went in between is left out.
async fn twice<K: Ord + Clone>(look: impl Fn() -> BTreeMap<K, Usage>) -> BTreeMap<K, Value> {
    let first = look();
    let since = std::time::Instant::now();
    tokio::time::sleep(WINDOW).await;
    let (second, window) = (look(), since.elapsed());
    second.iter().filter_map(|(k, s)| Some((k.clone(), rate(*first.get(k)?, *s, window)))).collect()
}

fn stamp() -> (String, String) {
    (Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), format!("{}s", WINDOW.as_secs()))
}

/// `NodeMetrics`.
pub(crate) async fn node(name: &str) -> Vec<Value> {
    let usage = twice(|| of_node().map(|u| ((), u)).into_iter().collect()).await;
    let (timestamp, window) = stamp();
    let one = |usage: &Value| {
        json!({"apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "usage": usage,
            "metadata": {"name": name, "creationTimestamp": timestamp}, "timestamp": timestamp, "window": window})
    };
    usage.values().map(one).collect()
}

/// cgroup folder of a container.
fn folder(parent: &str, uid: &str, container: &str) -> PathBuf {
    Path::new(CGROUPS).join(skerry_orchestrator::spec::cgroup(parent, uid, container).trim_start_matches('/'))
}

/// `PodMetrics` of running pods.
pub(crate) async fn pods(pods: &[Pod], cgroup_parent: &str) -> Vec<Value> {
    let mut places: BTreeMap<(usize, String), PathBuf> = BTreeMap::new();
    for (i, pod) in pods.iter().enumerate() {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let statuses = pod
            .status
            .iter()
            .flat_map(|s| s.init_container_statuses.iter().chain(s.container_statuses.iter()).flatten());
        for c in statuses.filter(|c| c.state.as_ref().is_some_and(|s| s.running.is_some())) {
            places.insert((i, c.name.clone()), folder(cgroup_parent, uid, &c.name));
        }
    }
    let look = || places.iter().filter_map(|(k, path)| Some((k.clone(), of_cgroup(path)?))).collect();
    let usage = twice(look).await;
    let (timestamp, window) = stamp();
    let mut out = vec![];
    for (i, pod) in pods.iter().enumerate() {
        let containers: Vec<Value> = usage
            .iter()
            .filter(|((at, _), _)| *at == i)
            .map(|((_, name), usage)| json!({"name": name, "usage": usage}))
            .collect();
        if containers.is_empty() {
            continue;
        }
        out.push(json!({"apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics", "containers": containers,
            "metadata": {"name": pod.metadata.name, "namespace": pod.metadata.namespace,
                "labels": pod.metadata.labels, "creationTimestamp": timestamp},
            "timestamp": timestamp, "window": window}));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn idle_and_waiting_are_not_busy() {
        let stat = "cpu  100 1 20 5000 300 3 4 7 9 0\ncpu0 1 1 1 1\n";
        assert_eq!(busy_nanos(stat), Some(128 * 10_000_000));
        assert_eq!(busy_nanos(""), None);
    }

    #[test]
    fn a_cgroup_is_its_files() {
        let d = tempfile::tempdir().unwrap();
        assert_eq!(of_cgroup(d.path()), None);
        for (file, text) in [
            ("cpu.stat", "usage_usec 12\nuser_usec 10\n"),
            ("memory.current", "4096\n"),
            ("memory.stat", "anon 1\ninactive_file 1096\n"),
        ] {
            fs::write(d.path().join(file), text).unwrap();
        }
        assert_eq!(of_cgroup(d.path()), Some(Usage { cpu_nanos: 12_000, memory_bytes: 3000 }));
        let second = Usage { cpu_nanos: 500_012_000, memory_bytes: 1 << 20 };
        let first = of_cgroup(d.path()).unwrap();
        assert_eq!(rate(first, second, Duration::from_secs(2)), json!({"cpu": "250000000n", "memory": "1024Ki"}));
    }
}
