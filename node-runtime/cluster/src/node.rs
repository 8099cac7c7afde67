//! The Node object: what the node is, what it can give, how it is.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, UdpSocket},
    path::Path,
};

use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use serde_json::{Value, json};
use skerry_formats::baked::NodeConfig;
use skerry_machinery::{ApiError, Key, kind};
use skerry_platform::meminfo;
use skerry_store::{Part, Registry, WriteOptions};

/// Pods that the node runs at most; the pod network has room for no more.
const PODS_MAX: u32 = 110;
/// Less free memory than this is pressure, bytes.
const MEMORY_FREE_MIN: u64 = 64 << 20;
/// Less free space on DATA than this share is pressure.
const DISK_FREE_MIN: f64 = 0.10;
/// The heartbeat in conditions is no newer than this, to write less.
const HEARTBEAT_SECS: i64 = 300;

/// What does not change while the node runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub name: String,
    pub product: String,
    pub version: String,
    pub sequence: u32,
    pub reserved_memory_bytes: u64,
    pub reserved_cpu_millis: u64,
    pub cpus: u64,
    pub memory_bytes: u64,
    pub kernel: String,
    pub machine_id: String,
    pub boot_id: String,
    pub containerd: String,
    /// Networks of pods, the primary one first.
    pub pod_cidrs: Vec<String>,
}

/// How the node is now.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    /// Why it is not Ready.
    pub not_ready: Option<String>,
    pub memory_available_bytes: u64,
    pub disk_bytes: u64,
    pub disk_free_bytes: u64,
    pub addresses: Vec<IpAddr>,
    /// What is missing for a start without network.
    pub missing: Vec<String>,
    /// The release that the node would go back to, if there is one.
    pub fallback: Option<String>,
    /// References and sizes of images.
    pub images: Vec<String>,
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default()
}

impl Facts {
    pub(crate) fn read(name: &str, config: &NodeConfig, pod_cidrs: Vec<String>) -> Self {
        let memory = meminfo::memory().unwrap_or_default();
        Self {
            name: name.into(),
            product: config.product.clone(),
            version: config.version.clone(),
            sequence: config.sequence.0,
            reserved_memory_bytes: config.reserved.memory_bytes,
            reserved_cpu_millis: config.reserved.cpu_millis,
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            memory_bytes: memory.get("total").copied().unwrap_or(0),
            kernel: read("/proc/sys/kernel/osrelease"),
            machine_id: read("/etc/machine-id"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            containerd: String::new(),
            pod_cidrs,
        }
    }
}

/// Look at the machine.
pub(crate) fn look(state: &mut State, data: &Path) {
    let memory = meminfo::memory().unwrap_or_default();
    state.memory_available_bytes = memory.get("available").copied().unwrap_or(u64::MAX);
    if let Ok(s) = statvfs(data) {
        state.disk_bytes = s.blocks() * s.fragment_size();
        state.disk_free_bytes = s.blocks_available() * s.fragment_size();
    }
    state.addresses = addresses();
}

/// The addresses that the node has towards others, one per family at most. No
/// packet is sent.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let towards = |own: &str, other: &str| {
        let socket = UdpSocket::bind((own, 0)).ok()?;
        socket.connect((other, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    // Documentation addresses (RFC 5737, RFC 3849): never anybody's.
    [towards("0.0.0.0", "192.0.2.1"), towards("::", "2001:db8::1")].into_iter().flatten().collect()
}

/// `status` of the Node object; times of what did not change are those of
/// `old`.
pub(crate) fn status(f: &Facts, s: &State, old: &Value, now: Timestamp) -> Value {
    let amounts = |cpu_millis: u64, memory: u64, disk: u64| {
        json!({
            "cpu": if cpu_millis.is_multiple_of(1000) { (cpu_millis / 1000).to_string() } else { format!("{cpu_millis}m") },
            "memory": format!("{}Ki", memory >> 10),
            "ephemeral-storage": format!("{}Ki", disk >> 10),
            "pods": PODS_MAX.to_string(),
        })
    };
    let allocatable = amounts(
        (f.cpus * 1000).saturating_sub(f.reserved_cpu_millis),
        f.memory_bytes.saturating_sub(f.reserved_memory_bytes),
        // What is under pressure is nobody's, as with the kubelet's threshold.
        s.disk_bytes - (s.disk_bytes as f64 * DISK_FREE_MIN) as u64,
    );
    let mut addresses: Vec<Value> =
        s.addresses.iter().map(|a| json!({"type": "InternalIP", "address": a.to_string()})).collect();
    addresses.push(json!({"type": "Hostname", "address": f.name}));
    let images: Vec<Value> = s.images.iter().map(|i| json!({"names": [i], "sizeBytes": 0})).collect();
    json!({
        "capacity": amounts(f.cpus * 1000, f.memory_bytes, s.disk_bytes),
        "allocatable": allocatable,
        "addresses": addresses,
        "conditions": conditions(s, old, now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
        "images": images,
        "nodeInfo": {
            "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
            "bootID": f.boot_id, "machineID": f.machine_id, "systemUUID": f.machine_id,
            "kernelVersion": f.kernel, "operatingSystem": "linux",
            "osImage": format!("Skerry {} {} (release {})", f.product, f.version, f.sequence),
            "containerRuntimeVersion": format!("containerd://{}", f.containerd),
            "kubeletVersion": format!("{}+skerry.{}", skerry_api::KUBERNETES.2, env!("CARGO_PKG_VERSION")),
            "kubeProxyVersion": "",
        },
    })
}

fn conditions(s: &State, old: &Value, now: Timestamp) -> Vec<Value> {
    let disk_full = s.disk_bytes > 0 && (s.disk_free_bytes as f64) < s.disk_bytes as f64 * DISK_FREE_MIN;
    let memory_low = s.memory_available_bytes < MEMORY_FREE_MIN;
    let list = |lines: &[String]| match lines {
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
        [] => String::new(),
    };
    let mib = |bytes: u64| bytes >> 20;
    [
        (
            "MemoryPressure",
            memory_low,
            "NodeHasInsufficientMemory",
            "NodeHasSufficientMemory",
            format!(
                "{} MiB of memory are available",
                if memory_low { mib(s.memory_available_bytes).to_string() } else { "enough".into() }
            ),
        ),
        (
            "DiskPressure",
            disk_full,
            "NodeHasDiskPressure",
            "NodeHasNoDiskPressure",
            if disk_full {
                format!("{} of {} MiB are free", mib(s.disk_free_bytes), mib(s.disk_bytes))
            } else {
                "the disk has room".into()
            },
        ),
        ("PIDPressure", false, "", "NodeHasSufficientPID", "pods have limits of their own".into()),
        (
            "OfflineReady",
            s.missing.is_empty(),
            "EverythingIsLocal",
            "SomethingIsMissing",
            match (&s.missing[..], &s.fallback) {
                ([], None) => "everything that the workloads need is on the node".into(),
                ([], Some(release)) => {
                    format!("everything that the workloads need is on the node, and all of {release} to go back to")
                }
                (missing, _) => list(missing),
            },
        ),
        (
            "Ready",
            s.not_ready.is_none(),
            "KubeletReady",
            "KubeletNotReady",
            s.not_ready.clone().unwrap_or_else(|| "containerd answers and pods are looked after".into()),
        ),
    ]
    .into_iter()
    .map(|(kind, is, yes, no, message)| condition(kind, is, if is { yes } else { no }, &message, old, now))
    .collect()
}

fn condition(kind: &str, is: bool, reason: &str, message: &str, old: &Value, now: Timestamp) -> Value {
    let status = if is { "True" } else { "False" };
    let before = old["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
    let same = before.filter(|c| c["status"] == status);
    let now_text = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let since = same.and_then(|c| c["lastTransitionTime"].as_str()).unwrap_or(&now_text).to_owned();
    let beat = same.and_then(|c| c["lastHeartbeatTime"].as_str()).and_then(|t| t.parse::<Timestamp>().ok());
    let young = beat.filter(|b| (now.as_second() - b.as_second()).abs() < HEARTBEAT_SECS);
    let beat = young.map_or(now_text.clone(), |b| b.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    json!({"type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since, "lastHeartbeatTime": beat})
}

/// Write the Node object; nothing is written if nothing changed.
///
/// # Errors
/// What the registry says.
pub(crate) fn publish(registry: &Registry, f: &Facts, s: &State, now: Timestamp) -> Result<(), ApiError> {
    let key = Key::new(kind("", "Node"), "", &f.name);
    let options = WriteOptions { field_manager: "kubelet".into(), ..WriteOptions::default() };
    let wanted = labels(f);
    if registry.store().get(&key).is_none() {
        let object = json!({"metadata": {"name": f.name, "labels": wanted}, "spec": networks(f, &json!({}))});
        registry.create(key.kind, "", object, &options)?;
    } else {
        registry.update_with(&key, Part::Main, &options, |was| {
            let mut new = was.clone();
            for (k, v) in &wanted {
                new["metadata"]["labels"][k] = json!(v);
            }
            new["spec"] = networks(f, &was["spec"]);
            Ok(new)
        })?;
    }
    registry.update_with(&key, Part::Status, &options, |was| {
        let mut new = was.clone();
        new["status"] = status(f, s, &was["status"], now);
        Ok(new)
    })?;
    Ok(())
}

/// The spec of the Node object with the networks of its pods.
fn networks(f: &Facts, was: &Value) -> Value {
    let mut spec = was.clone();
    if let Some(first) = f.pod_cidrs.first() {
        spec["podCIDR"] = json!(first);
        spec["podCIDRs"] = json!(f.pod_cidrs);
    }
    spec
}

fn labels(f: &Facts) -> BTreeMap<&'static str, String> {
    let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    // A version is free text; a label is not.
    BTreeMap::from([
        ("kubernetes.io/hostname", f.name.clone()),
        ("kubernetes.io/os", "linux".into()),
        ("kubernetes.io/arch", arch.into()),
        ("os.skerry.dev/product", label(&f.product)),
        ("os.skerry.dev/version", label(&f.version)),
        ("os.skerry.dev/release", f.sequence.to_string()),
    ])
}

/// A version is free text; the value of a label is not.
fn label(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' };
    let cut: String = text.chars().map(safe).take(63).collect();
    cut.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use skerry_formats::{
        Sequence,
        baked::{HealthConfig, Reserved},
        versioned::Document,
    };

    use super::*;

    pub(crate) fn node_config() -> NodeConfig {
        NodeConfig {
            format: NodeConfig::header(),
            product: "demo".into(),
            board: "pc".into(),
            version: "1.0.0".into(),
            sequence: Sequence(7),
            update: None,
            health: HealthConfig { timeout_secs: 1, stable_secs: 1, checks: vec![] },
            status_listen: None,
            api: None,
            images: Default::default(),
            reserved: Reserved { memory_bytes: 128 << 20, cpu_millis: 100 },
            apps: vec![],
        }
    }

    fn facts() -> Facts {
        Facts {
            cpus: 2,
            memory_bytes: 1 << 30,
            ..Facts::read("box", &node_config(), vec!["10.244.0.0/24".into(), "fd00::/64".into()])
        }
    }

    fn of<'a>(status: &'a Value, kind: &str) -> &'a Value {
        status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap()
    }

    #[test]
    fn the_system_keeps_its_share() {
        let disk = State { disk_bytes: 10 << 30, ..State::default() };
        let status = status(&facts(), &disk, &json!({}), Timestamp::UNIX_EPOCH);
        assert_eq!(status["capacity"]["cpu"], "2");
        assert_eq!(status["capacity"]["ephemeral-storage"], format!("{}Ki", 10 << 20));
        assert_eq!(status["allocatable"]["ephemeral-storage"], format!("{}Ki", 9 << 20));
        assert_eq!(status["allocatable"]["cpu"], "1900m");
        assert_eq!(status["allocatable"]["memory"], format!("{}Ki", (1 << 20) - (128 << 10)));
        assert_eq!(status["nodeInfo"]["osImage"], "Skerry demo 1.0.0 (release 7)");
    }

    #[test]
    fn addresses_and_networks_of_both_families() {
        let addresses = vec!["192.0.2.9".parse().unwrap(), "2001:db8::9".parse().unwrap()];
        let state = State { addresses, ..State::default() };
        let status = status(&facts(), &state, &json!({}), Timestamp::UNIX_EPOCH);
        let shown = |a: &Value| format!("{} {}", a["type"].as_str().unwrap(), a["address"].as_str().unwrap());
        let shown: Vec<String> = status["addresses"].as_array().unwrap().iter().map(shown).collect();
        assert_eq!(shown, ["InternalIP 192.0.2.9", "InternalIP 2001:db8::9", "Hostname box"]);
        let spec = networks(&facts(), &json!({"unschedulable": true, "podCIDR": "10.0.0.0/24"}));
        let want =
            json!({"unschedulable": true, "podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd00::/64"]});
        assert_eq!(spec, want);
    }

    #[test]
    fn conditions_say_what_is_wrong_and_since_when() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let full = State {
            disk_bytes: 100 << 20,
            disk_free_bytes: 9 << 20,
            memory_available_bytes: 1 << 20,
            missing: vec!["image a".into(), "Secret b".into()],
            not_ready: Some("containerd is down".into()),
            ..State::default()
        };
        let first = status(&facts(), &full, &json!({}), at(1000));
        for (kind, value) in
            [("DiskPressure", "True"), ("MemoryPressure", "True"), ("OfflineReady", "False"), ("Ready", "False")]
        {
            assert_eq!(of(&first, kind)["status"], value, "{kind}");
        }
        assert_eq!(of(&first, "OfflineReady")["message"], "image a; and 1 more");
        let fallback = Some("release 6 (1.1.0)".into());
        let well = State { memory_available_bytes: u64::MAX, fallback, ..State::default() };
        let second = status(&facts(), &well, &first, at(1100));
        assert_eq!(of(&second, "Ready")["status"], "True");
        let message = of(&second, "OfflineReady")["message"].as_str().unwrap();
        assert!(message.ends_with("and all of release 6 (1.1.0) to go back to"), "{message}");
        assert_eq!(of(&second, "PIDPressure")["lastTransitionTime"], "1970-01-01T00:16:40Z");
        assert_eq!(of(&second, "Ready")["lastTransitionTime"], "1970-01-01T00:18:20Z");
        // Nothing to write until the heartbeat is old.
        assert_eq!(status(&facts(), &well, &second, at(1200)), second);
        assert_ne!(status(&facts(), &well, &second, at(1500)), second);
    }
}
