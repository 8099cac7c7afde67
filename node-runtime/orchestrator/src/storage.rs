//! What pods may take of the disk (`ephemeral-storage`, `sizeLimit`). Pure.
//!
//! Source: the kubelet's `pkg/kubelet/eviction/eviction_manager.go`, for what
//! counts where, the order of the checks and their words. As there, memory and
//! files of ConfigMaps and the like do not count: here they are never on the
//! disk.

use std::collections::BTreeMap;

use crate::desired::{Pod, Volume};

/// Bytes on the disk that a pod takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Writable layer and logs of each container.
    pub(crate) containers: BTreeMap<String, u64>,
    /// Volumes that go with the pod.
    pub(crate) volumes: BTreeMap<String, u64>,
}

/// Volumes on the disk that go with the pod, and their limits; 0 is none.
pub(crate) fn volumes(pod: &Pod) -> impl Iterator<Item = (&String, Option<u64>)> {
    pod.volumes.iter().filter_map(|(name, v)| match v {
        Volume::EmptyDir { memory: false, size_limit_bytes } => Some((name, size_limit_bytes.filter(|l| *l > 0))),
        _ => None,
    })
}

/// Has the pod a limit at all? Others are not measured.
pub(crate) fn is_limited(pod: &Pod) -> bool {
    pod.containers.iter().any(|c| c.resources.storage_limit_bytes.is_some())
        || volumes(pod).any(|(_, limit)| limit.is_some())
}

/// Why the pod has to go, if it takes more than it may.
pub(crate) fn excess(pod: &Pod, usage: &Usage) -> Option<String> {
    let used = |map: &BTreeMap<String, u64>, name: &str| map.get(name).copied().unwrap_or(0);
    for (name, limit) in volumes(pod) {
        if let Some(limit) = limit.filter(|l| used(&usage.volumes, name) > *l) {
            return Some(format!("Usage of EmptyDir volume {name:?} exceeds the limit {:?}. ", quantity(limit)));
        }
    }
    if pod.containers.iter().any(|c| c.resources.storage_limit_bytes.is_some()) {
        let limit = pod.together(|r| r.storage_limit_bytes.unwrap_or(0));
        let all = usage.containers.values().chain(usage.volumes.values());
        if all.fold(0u64, |sum, n| sum.saturating_add(*n)) > limit {
            let limit = quantity(limit);
            return Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "));
        }
    }
    pod.containers.iter().find_map(|c| {
        let limit = c.resources.storage_limit_bytes.filter(|l| used(&usage.containers, &c.name) > *l)?;
        let (name, limit) = (&c.name, quantity(limit));
        Some(format!("Container {name} exceeded its local ephemeral storage limit {limit:?}. "))
    })
}

/// Bytes as people write them: exactly, and in the unit that takes least room.
fn quantity(bytes: u64) -> String {
    let units = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("G", 1_000_000_000), ("M", 1_000_000)];
    let fitting = units.iter().filter(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size));
    let texts = fitting.map(|(unit, size)| format!("{}{unit}", bytes / size));
    texts.min_by_key(String::len).unwrap_or_else(|| bytes.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Container, Resources, Role};

    const MI: u64 = 1 << 20;

    fn pod(limits: &[(&str, Role, Option<u64>)], volumes: &[(&str, Option<u64>)]) -> Pod {
        let container = |(name, role, limit): &(&str, Role, Option<u64>)| Container {
            name: (*name).into(),
            role: *role,
            resources: Resources { storage_limit_bytes: limit.map(|l| l * MI), ..Resources::default() },
            ..Container::default()
        };
        let volume = |(name, limit): &(&str, Option<u64>)| {
            ((*name).into(), Volume::EmptyDir { memory: false, size_limit_bytes: limit.map(|l| l * MI) })
        };
        Pod {
            containers: limits.iter().map(container).collect(),
            volumes: volumes.iter().map(volume).collect(),
            ..Pod::default()
        }
    }

    fn usage(containers: &[(&str, u64)], volumes: &[(&str, u64)]) -> Usage {
        let map = |list: &[(&str, u64)]| list.iter().map(|(n, b)| ((*n).into(), b * MI)).collect();
        Usage { containers: map(containers), volumes: map(volumes) }
    }

    #[test]
    fn the_kubelets_three_limits_in_their_order() {
        let a = |limit| ("a", Role::Main, limit);
        let b = |limit| ("b", Role::Main, limit);
        let volume = "Usage of EmptyDir volume \"v\" exceeds the limit \"10Mi\". ";
        let all = |n: &str| format!("Pod ephemeral local storage usage exceeds the total limit of containers {n}. ");
        let one = "Container a exceeded its local ephemeral storage limit \"10Mi\". ";
        for (pod, usage, want) in [
            (pod(&[a(None)], &[("v", Some(10))]), usage(&[("a", 999)], &[("v", 10)]), None),
            (pod(&[a(None)], &[("v", Some(10))]), usage(&[], &[("v", 11)]), Some(volume.into())),
            (pod(&[a(None)], &[("v", Some(0))]), usage(&[], &[("v", 11)]), None),
            (pod(&[a(Some(10))], &[]), usage(&[("a", 10)], &[]), None),
            // Volumes count against the containers' limits.
            (pod(&[a(Some(10))], &[("v", None)]), usage(&[("a", 6)], &[("v", 5)]), Some(all("10Mi"))),
            // One below the sum, and more than its own.
            (pod(&[a(Some(10)), b(Some(10))], &[]), usage(&[("a", 11), ("b", 1)], &[]), Some(one.into())),
            (pod(&[a(Some(10)), b(Some(10))], &[]), usage(&[("a", 10), ("b", 10)], &[("x", 1)]), Some(all("20Mi"))),
            // Init containers count beside sidecars only; what they left stays.
            (
                pod(&[("i", Role::Init, Some(30)), ("s", Role::Sidecar, Some(1)), a(Some(10))], &[]),
                usage(&[("i", 25), ("a", 6)], &[]),
                None,
            ),
            (pod(&[a(Some(10))], &[]), usage(&[("a", u64::MAX / MI)], &[]), Some(all("10Mi"))),
        ] {
            assert_eq!(excess(&pod, &usage), want, "{usage:?}");
        }
    }

    #[test]
    fn only_pods_with_limits_are_measured() {
        assert!(!is_limited(&pod(&[("a", Role::Main, None)], &[("v", None)])));
        assert!(is_limited(&pod(&[("a", Role::Main, None)], &[("v", Some(1))])));
        assert!(is_limited(&pod(&[("a", Role::Main, Some(0))], &[])));
        let memory = Volume::EmptyDir { memory: true, size_limit_bytes: Some(1) };
        assert!(!is_limited(&Pod { volumes: [("v".into(), memory)].into(), ..Pod::default() }), "it cannot exceed");
    }

    #[test]
    fn quantities_are_exact() {
        for (bytes, text) in [
            (0, "0"),
            (1, "1"),
            (1024, "1Ki"),
            (5 << 30, "5Gi"),
            (1_000_000, "1M"),
            (2_000_000_000, "2G"),
            (1500, "1500"),
        ] {
            assert_eq!(quantity(bytes), text);
        }
    }
}
