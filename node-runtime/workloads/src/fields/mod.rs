//! The fields of Kubernetes objects that the node acts on.
//!
//! Add a field here only together with the code that obeys it.

mod apps;
mod batch;
mod config;
mod container;
mod network;
mod node;
mod pod;
mod storage;
mod volume;

use skerry_machinery::Kind;

use crate::shape::Shape::{self, *};

/// Most pods on the node, as a kubelet has it: no workload may want more.
pub const PODS_MAX: i64 = 110;

const INT32: Shape = Int(0, i32::MAX as i64);
const POSITIVE: Shape = Int(1, i32::MAX as i64);
const INT64: Shape = Int(0, i64::MAX);
const ID: Shape = Int(0, i32::MAX as i64);
const PORT: Shape = Int(1, 65535);
const REPLICAS: Shape = Int(0, PODS_MAX);

const META: Shape = Named(
    "Metadata",
    &Obj(&[
        ("name", Str),
        ("generateName", Str),
        ("namespace", Str),
        ("labels", StrMap),
        ("annotations", StrMap),
        ("uid", Str),
        ("resourceVersion", Str),
        ("generation", Int(0, i64::MAX)),
        ("creationTimestamp", Any),
        ("deletionTimestamp", Any),
        ("deletionGracePeriodSeconds", INT64),
        (
            "ownerReferences",
            List(&Obj(&[
                ("apiVersion", Str),
                ("kind", Str),
                ("name", Str),
                ("uid", Str),
                ("controller", Bool),
                ("blockOwnerDeletion", Bool),
            ])),
        ),
        ("finalizers", List(&Str)),
        ("managedFields", Any),
        ("selfLink", Any),
    ]),
);

const LABEL_SELECTOR: Shape = Named(
    "Label selector",
    &Obj(&[
        ("matchLabels", StrMap),
        (
            "matchExpressions",
            List(&Obj(&[
                ("key", Str),
                ("operator", OneOf(&["In", "NotIn", "Exists", "DoesNotExist"])),
                ("values", List(&Str)),
            ])),
        ),
    ]),
);

/// The fields of a kind that the node supports; `None` for kinds that are
/// views of the node's state.
pub fn shape_of(kind: &Kind) -> Option<&'static Shape> {
    Some(match (kind.group, kind.kind) {
        ("", "Namespace") => &config::NAMESPACE,
        ("", "ConfigMap") => &config::CONFIG_MAP,
        ("", "Secret") => &config::SECRET,
        ("", "ServiceAccount") => &config::SERVICE_ACCOUNT,
        ("", "Service") => &network::SERVICE,
        ("networking.k8s.io", "NetworkPolicy") => &network::NETWORK_POLICY,
        ("discovery.k8s.io", "EndpointSlice") => &network::ENDPOINT_SLICE,
        ("", "PersistentVolumeClaim") => &storage::CLAIM,
        ("", "PersistentVolume") => &storage::VOLUME,
        ("storage.k8s.io", "StorageClass") => &storage::CLASS,
        ("apps", "Deployment") => &apps::DEPLOYMENT,
        ("apps", "ReplicaSet") => &apps::REPLICA_SET,
        ("apps", "StatefulSet") => &apps::STATEFUL_SET,
        ("apps", "DaemonSet") => &apps::DAEMON_SET,
        ("apps", "ControllerRevision") => &apps::CONTROLLER_REVISION,
        ("batch", "Job") => &batch::JOB,
        ("batch", "CronJob") => &batch::CRON_JOB,
        ("", "Pod") => &pod::POD,
        ("", "Node") => &node::NODE,
        ("", "Event") => &node::EVENT,
        _ => return None,
    })
}

/// The shared parts in the order in which they are documented.
pub(crate) const SHARED: &[Shape] = &[
    META,
    LABEL_SELECTOR,
    pod::TEMPLATE,
    pod::SPEC,
    container::CONTAINER,
    container::PROBE,
    container::HANDLER,
    volume::VOLUME,
    batch::JOB_SPEC,
    storage::CLAIM_SPEC,
];
