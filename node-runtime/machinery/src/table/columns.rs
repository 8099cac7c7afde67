//! The columns of every kind.

use crate::Kind;

/// One column (`metav1.TableColumnDefinition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Name; clients print it in capitals.
    pub name: &'static str,
    /// `string`, `integer`, `boolean`.
    pub kind: &'static str,
    /// `name` for the column that names the object.
    pub format: &'static str,
    /// For people.
    pub description: &'static str,
    /// 0: always shown; 1: in the wide output.
    pub priority: u8,
}

const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", format: "", description, priority: 0 }
}

const fn int(name: &'static str, description: &'static str) -> Column {
    Column { kind: "integer", ..text(name, description) }
}

const fn wide(column: Column) -> Column {
    Column { priority: 1, ..column }
}

const NAME: Column = Column { format: "name", ..text("Name", "Name of the object, unique in its namespace.") };
const AGE: Column = text("Age", "Time since the object was created.");
const CONTAINERS: Column = wide(text("Containers", "Names of each container in the template."));
const IMAGES: Column = wide(text("Images", "Images referenced by each container in the template."));
const SELECTOR: Column = wide(text("Selector", "Labels of the pods that it is about."));

const POD: &[Column] = &[
    NAME,
    text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    text("Status", "The aggregate status of the containers in this pod."),
    text("Restarts", "How often the containers were restarted, and when the last time."),
    AGE,
    wide(text("IP", "Address of the pod.")),
    wide(text("Node", "Node that the pod is bound to.")),
    wide(text("Nominated Node", "Node that the pod waits for.")),
    wide(text("Readiness Gates", "How many of the readiness gates are met.")),
];
const NODE: &[Column] = &[
    NAME,
    text("Status", "The status of the node."),
    text("Roles", "The roles of the node."),
    AGE,
    text("Version", "Version that the node reports."),
    wide(text("Internal-IP", "Address inside the cluster.")),
    wide(text("External-IP", "Address outside.")),
    wide(text("OS-Image", "Operating system.")),
    wide(text("Kernel-Version", "Kernel.")),
    wide(text("Container-Runtime", "Container runtime and its version.")),
];
const EVENT: &[Column] = &[
    text("Last Seen", "When it was seen the last time."),
    text("Type", "Normal or Warning."),
    text("Reason", "Why, in one word."),
    text("Object", "What it is about."),
    wide(text("Subobject", "Which part of the object.")),
    wide(text("Source", "Who reports it.")),
    text("Message", "What happened."),
    wide(text("First Seen", "When it was seen first.")),
    wide(text("Count", "How often it was seen.")),
    wide(NAME),
];
const REPLICA_SET: &[Column] = &[
    NAME,
    int("Desired", "Wanted pods."),
    int("Current", "Existing pods."),
    int("Ready", "Ready pods."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const DAEMON_SET: &[Column] = &[
    NAME,
    int("Desired", "Nodes that should run the pod."),
    int("Current", "Nodes that run the pod."),
    int("Ready", "Nodes with the pod ready."),
    int("Up-to-date", "Nodes that run the current template."),
    int("Available", "Nodes with the pod available."),
    text("Node Selector", "Nodes it is meant for."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const DEPLOYMENT: &[Column] = &[
    NAME,
    text("Ready", "Ready pods of those that are wanted."),
    text("Up-to-date", "Pods of the current template."),
    text("Available", "Available pods."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const STATEFUL_SET: &[Column] = &[NAME, text("Ready", "Ready pods of those that are wanted."), AGE, CONTAINERS, IMAGES];
const JOB: &[Column] = &[
    NAME,
    text("Status", "Status of the job."),
    text("Completions", "Pods that succeeded of those that are wanted."),
    text("Duration", "Time required to complete the job."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const CRON_JOB: &[Column] = &[
    NAME,
    text("Schedule", "When jobs start."),
    text("Timezone", "Time zone of the schedule."),
    Column { kind: "boolean", ..text("Suspend", "Is it suspended?") },
    int("Active", "Jobs that run now."),
    text("Last Schedule", "When a job was started the last time."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const SERVICE: &[Column] = &[
    NAME,
    text("Type", "How the service is exposed."),
    text("Cluster-IP", "Address inside the cluster."),
    text("External-IP", "Addresses outside."),
    text("Port(s)", "Ports, with node ports."),
    AGE,
    SELECTOR,
];
const PERSISTENT_VOLUME: &[Column] = &[
    NAME,
    text("Capacity", "Size."),
    text("Access Modes", "Ways it can be mounted."),
    text("Reclaim Policy", "What happens when it is released."),
    text("Status", "Phase."),
    text("Claim", "Claim that it is bound to."),
    text("StorageClass", "Storage class."),
    text("VolumeAttributesClass", "Class of its attributes."),
    text("Reason", "Why it is in this phase."),
    AGE,
    wide(text("VolumeMode", "File system or block device.")),
];
const PERSISTENT_VOLUME_CLAIM: &[Column] = &[
    NAME,
    text("Status", "Phase."),
    text("Volume", "Volume that it is bound to."),
    text("Capacity", "Size of the volume."),
    text("Access Modes", "Ways it can be mounted."),
    text("StorageClass", "Storage class."),
    text("VolumeAttributesClass", "Class of its attributes."),
    AGE,
    wide(text("VolumeMode", "File system or block device.")),
];
const STORAGE_CLASS: &[Column] = &[
    NAME,
    text("Provisioner", "Who makes volumes."),
    text("ReclaimPolicy", "What happens to released volumes."),
    text("VolumeBindingMode", "When volumes are bound."),
    text("AllowVolumeExpansion", "Can volumes grow?"),
    AGE,
];
const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    text("AddressType", "Kind of the addresses."),
    text("Ports", "Ports of each endpoint."),
    text("Endpoints", "Addresses."),
    AGE,
];
const METRICS: &[Column] = &[
    NAME,
    Column { format: "quantity", ..text("cpu", "") },
    Column { format: "quantity", ..text("memory", "") },
    Column { format: "duration", ..text("Window", "") },
];
const RELEASE: &[Column] = &[
    NAME,
    text("Version", "Version of the release."),
    int("Sequence", "Sequence number: what orders releases."),
    text("State", "What the release is to the node."),
    AGE,
];

const NAMESPACE: &[Column] = &[NAME, text("Status", "The status of the namespace."), AGE];
const SECRET: &[Column] = &[NAME, text("Type", "Type of the data."), int("Data", "Number of entries."), AGE];
const CONFIG_MAP: &[Column] = &[NAME, text("Data", "Number of entries."), AGE];
const SERVICE_ACCOUNT: &[Column] = &[NAME, text("Secrets", "Number of secrets."), AGE];
const NETWORK_POLICY: &[Column] = &[NAME, text("Pod-Selector", "Pods it is about."), AGE];
const CONTROLLER_REVISION: &[Column] =
    &[NAME, text("Controller", "Who it belongs to."), text("Revision", "Revision."), AGE];
const OTHER: &[Column] = &[NAME, AGE];

/// The columns of a kind, in order.
pub fn columns(kind: &Kind) -> &'static [Column] {
    match (kind.group, kind.kind) {
        ("", "Pod") => POD,
        ("", "Node") => NODE,
        ("", "Event") => EVENT,
        ("", "Service") => SERVICE,
        ("", "Namespace") => NAMESPACE,
        ("", "Secret") => SECRET,
        ("", "ConfigMap") => CONFIG_MAP,
        ("", "ServiceAccount") => SERVICE_ACCOUNT,
        ("", "PersistentVolume") => PERSISTENT_VOLUME,
        ("", "PersistentVolumeClaim") => PERSISTENT_VOLUME_CLAIM,
        ("apps", "Deployment") => DEPLOYMENT,
        ("apps", "ReplicaSet") => REPLICA_SET,
        ("apps", "StatefulSet") => STATEFUL_SET,
        ("apps", "DaemonSet") => DAEMON_SET,
        ("apps", "ControllerRevision") => CONTROLLER_REVISION,
        ("batch", "Job") => JOB,
        ("batch", "CronJob") => CRON_JOB,
        ("storage.k8s.io", "StorageClass") => STORAGE_CLASS,
        ("networking.k8s.io", "NetworkPolicy") => NETWORK_POLICY,
        ("discovery.k8s.io", "EndpointSlice") => ENDPOINT_SLICE,
        ("metrics.k8s.io", _) => METRICS,
        ("os.skerry.dev", "Release") => RELEASE,
        _ => OTHER,
    }
}
