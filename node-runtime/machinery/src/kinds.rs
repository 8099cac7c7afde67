//! The kinds that the node serves.

/// One served kind.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version, `v1`.
    pub version: &'static str,
    /// `Pod`.
    pub kind: &'static str,
    /// `pods`.
    pub plural: &'static str,
    /// `pod`.
    pub singular: &'static str,
    /// `po`.
    pub short_names: &'static [&'static str],
    /// Is it in a namespace?
    pub namespaced: bool,
    /// Is it in `kubectl get all`?
    pub in_all: bool,
    /// Beside the object itself.
    pub subresources: &'static [Subresource],
    /// Where objects come from.
    pub source: Source,
}

/// A part of an object with an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subresource {
    /// `status`: written by controllers.
    Status,
    /// `scale`: `autoscaling/v1` Scale.
    Scale,
    /// `log` of a pod.
    Log,
    /// `exec` in a pod.
    Exec,
    /// `attach` to a pod.
    Attach,
    /// `portforward` to a pod.
    PortForward,
    /// `eviction` of a pod.
    Eviction,
}

/// Where objects of a kind come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The store: clients and controllers write them.
    Stored,
    /// Made from the node's state when asked for; nobody writes them.
    View,
}

impl Kind {
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.into(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `PodList`.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// `pods`, `deployments.apps`: the name in messages and roles.
    pub fn qualified(&self) -> String {
        match self.group {
            "" => self.plural.into(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// Does it have this subresource?
    pub fn has(&self, sub: Subresource) -> bool {
        self.subresources.contains(&sub)
    }
}

impl Subresource {
    /// Name in a URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Log => "log",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::Eviction => "eviction",
        }
    }
}

use Subresource::{Attach, Eviction, Exec, Log, PortForward, Scale, Status};

/// The base of the table below.
const CORE: Kind = Kind {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    singular: "",
    short_names: &[],
    namespaced: true,
    in_all: false,
    subresources: &[],
    source: Source::Stored,
};
const APPS: Kind = Kind { group: "apps", in_all: true, ..CORE };
const BATCH: Kind = Kind { group: "batch", in_all: true, subresources: &[Status], ..CORE };

/// All served kinds, in the order in which a set of manifests is applied.
pub static KINDS: &[Kind] = &[
    Kind {
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        namespaced: false,
        subresources: &[Status],
        ..CORE
    },
    Kind {
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        namespaced: false,
        subresources: &[Status],
        ..CORE
    },
    Kind {
        group: "storage.k8s.io",
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
        namespaced: false,
        ..CORE
    },
    Kind {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        namespaced: false,
        subresources: &[Status],
        ..CORE
    },
    Kind {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        ..CORE
    },
    Kind { kind: "ConfigMap", plural: "configmaps", singular: "configmap", short_names: &["cm"], ..CORE },
    Kind { kind: "Secret", plural: "secrets", singular: "secret", ..CORE },
    Kind {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        subresources: &[Status],
        ..CORE
    },
    Kind {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        in_all: true,
        subresources: &[Status],
        ..CORE
    },
    Kind {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short_names: &["netpol"],
        ..CORE
    },
    Kind {
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        subresources: &[Status, Scale],
        ..APPS
    },
    Kind {
        kind: "StatefulSet",
        plural: "statefulsets",
        singular: "statefulset",
        short_names: &["sts"],
        subresources: &[Status, Scale],
        ..APPS
    },
    Kind {
        kind: "DaemonSet",
        plural: "daemonsets",
        singular: "daemonset",
        short_names: &["ds"],
        subresources: &[Status],
        ..APPS
    },
    Kind { kind: "CronJob", plural: "cronjobs", singular: "cronjob", short_names: &["cj"], ..BATCH },
    Kind { kind: "Job", plural: "jobs", singular: "job", ..BATCH },
    Kind {
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        subresources: &[Status, Scale],
        ..APPS
    },
    Kind {
        kind: "ControllerRevision",
        plural: "controllerrevisions",
        singular: "controllerrevision",
        in_all: false,
        ..APPS
    },
    Kind {
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        in_all: true,
        subresources: &[Status, Log, Exec, Attach, PortForward, Eviction],
        ..CORE
    },
    Kind {
        group: "discovery.k8s.io",
        kind: "EndpointSlice",
        plural: "endpointslices",
        singular: "endpointslice",
        ..CORE
    },
    Kind { kind: "Event", plural: "events", singular: "event", short_names: &["ev"], ..CORE },
    Kind {
        group: "metrics.k8s.io",
        version: "v1beta1",
        kind: "NodeMetrics",
        plural: "nodes",
        singular: "",
        namespaced: false,
        source: Source::View,
        ..CORE
    },
    Kind {
        group: "metrics.k8s.io",
        version: "v1beta1",
        kind: "PodMetrics",
        plural: "pods",
        singular: "",
        source: Source::View,
        ..CORE
    },
    Kind {
        group: "os.skerry.dev",
        version: "v1",
        kind: "Release",
        plural: "releases",
        singular: "release",
        namespaced: false,
        source: Source::View,
        ..CORE
    },
];

/// The kind of a document's `apiVersion` and `kind`.
pub fn by_kind(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    KINDS.iter().find(|k| k.group == group && k.version == version && k.kind == kind)
}

/// The kind behind a URL.
pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.group == group && k.version == version && k.plural == plural)
}

/// A kind of the table by group and name, for code that knows what it wants.
///
/// # Panics
/// If the table has no such kind: a mistake in the program.
pub fn kind(group: &str, kind: &str) -> &'static Kind {
    let found = KINDS.iter().find(|k| k.group == group && k.kind == kind);
    found.unwrap_or_else(|| panic!("no kind {group}/{kind} in the table"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let urls: BTreeSet<_> = KINDS.iter().map(|k| (k.group, k.version, k.plural)).collect();
        assert_eq!(urls.len(), KINDS.len());
        let kinds: BTreeSet<_> = KINDS.iter().map(|k| (k.group, k.kind)).collect();
        assert_eq!(kinds.len(), KINDS.len());
    }

    #[test]
    fn found_by_both_names() {
        let d = by_kind("apps/v1", "Deployment").unwrap();
        assert_eq!(by_resource("apps", "v1", "deployments"), Some(d));
        assert_eq!((d.api_version().as_str(), d.list_kind().as_str()), ("apps/v1", "DeploymentList"));
        assert_eq!(by_kind("v1", "Pod").unwrap().qualified(), "pods");
        assert!(by_kind("apps/v1beta1", "Deployment").is_none());
    }
}
