//! The kinds that controllers act on, by name.

use skerry_machinery::{Kind, kind};

macro_rules! kinds {
    ($($name:ident = $group:literal $kind:literal;)*) => {
        $(pub(crate) fn $name() -> &'static Kind { kind($group, $kind) })*
    };
}

kinds! {
    pod = "" "Pod";
    event = "" "Event";
    node = "" "Node";
    service = "" "Service";
    namespace = "" "Namespace";
    claim = "" "PersistentVolumeClaim";
    volume = "" "PersistentVolume";
    storage_class = "storage.k8s.io" "StorageClass";
    endpoint_slice = "discovery.k8s.io" "EndpointSlice";
    replica_set = "apps" "ReplicaSet";
    deployment = "apps" "Deployment";
    stateful_set = "apps" "StatefulSet";
    daemon_set = "apps" "DaemonSet";
    revision = "apps" "ControllerRevision";
    job = "batch" "Job";
    cron_job = "batch" "CronJob";
}
