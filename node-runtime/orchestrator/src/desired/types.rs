//! A pod as the node runs it: everything resolved, defaults filled in.

use std::{collections::BTreeMap, path::PathBuf};

use skerry_formats::ObjectDigest;

use crate::network::policy::Protocol;

/// One pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pod {
    /// `metadata.uid`.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Name of the baked Deployment it belongs to, if one does.
    pub deployment: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Service account.
    pub service_account: String,
    /// Init containers and sidecars in order, then the others in order.
    pub containers: Vec<Container>,
    /// Numbers of the ports that containers name, but those of init containers.
    pub named_ports: BTreeMap<(String, Protocol), u16>,
    /// Volumes by name.
    pub volumes: BTreeMap<String, Volume>,
    /// Why the volumes cannot be made yet.
    pub volumes_missing: Option<String>,
    /// Fingerprint of all files in volumes.
    pub files_hash: u64,
    /// What happens to containers that end.
    pub restart: RestartPolicy,
    /// Group that owns the volumes.
    pub fs_group: Option<u32>,
    /// Claims whose root is the group's already stay as they are
    /// (`fsGroupChangePolicy: OnRootMismatch`).
    pub fs_group_on_mismatch: bool,
    /// Time between SIGTERM and SIGKILL.
    pub grace_secs: u32,
    /// `Some`: the pod shall go, within this time.
    pub deletion_grace_secs: Option<u32>,
    /// Longest time that it may run.
    pub deadline_secs: Option<u32>,
    /// It came to its end before; nothing of it runs again.
    pub finished: bool,
    /// Uses the node's network.
    pub host_network: bool,
    /// Sees the node's processes.
    pub host_pid: bool,
    /// Uses the node's IPC objects.
    pub host_ipc: bool,
    /// Host name inside.
    pub hostname: String,
    /// `HOSTNAME.SUBDOMAIN.NAMESPACE.svc.cluster.local`, if it has a subdomain.
    pub fqdn: Option<String>,
    /// Further lines of `/etc/hosts`: address, names.
    pub host_aliases: Vec<(String, Vec<String>)>,
    /// Name resolution.
    pub dns: Dns,
    /// Kernel settings of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Quality of service.
    pub qos: Qos,
}

/// What happens to containers that end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// They start again.
    #[default]
    Always,
    /// They start again unless their status is 0.
    OnFailure,
    /// They stay ended.
    Never,
}

/// Quality of service class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Qos {
    /// Limits everywhere, and requests equal to them.
    Guaranteed,
    /// Some request or limit.
    Burstable,
    /// None.
    #[default]
    BestEffort,
}

impl Qos {
    /// As in `status.qosClass`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// `/etc/resolv.conf` of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// Where the base comes from.
    pub policy: DnsPolicy,
    /// Further name servers.
    pub servers: Vec<String>,
    /// Further search domains.
    pub searches: Vec<String>,
    /// Further options, `name` or `name:value`.
    pub options: Vec<String>,
}

/// Base of `/etc/resolv.conf`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DnsPolicy {
    /// The cluster's name server, if there is one, else the node's.
    #[default]
    ClusterFirst,
    /// The node's.
    Default,
    /// Nothing but `dnsConfig`.
    None,
}

/// What a container is in its pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before what follows it starts.
    Init,
    /// Starts in the order of the init containers, then runs along.
    Sidecar,
    /// The rest.
    #[default]
    Main,
}

/// Reason of what is no failure: the container is being made.
pub const CREATING: &str = "ContainerCreating";

/// Why a container cannot start yet, in Kubernetes' words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `CreateContainerConfigError`, `ErrImageNeverPull`, …
    pub reason: String,
    /// One line.
    pub message: String,
}

/// One container of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// `Some`: it cannot start; what follows is not filled in then.
    pub waiting: Option<Waiting>,
    /// Image reference.
    pub image: String,
    /// Digest of the image, for people.
    pub image_id: String,
    /// Name of the app.
    pub app: String,
    /// EROFS image of the app.
    pub composefs: Option<ObjectDigest>,
    /// Program and arguments, `$(NAME)` not yet expanded.
    pub args: Vec<String>,
    /// Environment in order.
    pub env: Vec<Env>,
    /// Working directory.
    pub cwd: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Root file system read-only?
    pub read_only_root: bool,
    /// `no_new_privs`?
    pub no_new_privileges: bool,
    /// No limits but those of the cgroup.
    pub privileged: bool,
    /// All of `/proc` is visible.
    pub unmasked_proc: bool,
    /// Has a terminal.
    pub tty: bool,
    /// Has an input.
    pub stdin: bool,
    /// Its input ends with the first client that attached to it.
    pub stdin_once: bool,
    /// Capabilities, `CAP_…`, sorted.
    pub capabilities: Vec<String>,
    /// System call filter.
    pub seccomp: Seccomp,
    /// AppArmor profile.
    pub apparmor: AppArmor,
    /// Limits and requests.
    pub resources: Resources,
    /// Named ports.
    pub ports: BTreeMap<String, u16>,
    /// Volume mounts.
    pub mounts: Vec<VolumeMount>,
    /// Startup probe.
    pub startup: Option<Probe>,
    /// Readiness probe.
    pub readiness: Option<Probe>,
    /// Liveness probe.
    pub liveness: Option<Probe>,
    /// Runs right after the start.
    pub post_start: Option<Hook>,
    /// Runs before SIGTERM.
    pub pre_stop: Option<Hook>,
    /// File in the container that holds its last words.
    pub termination_path: String,
    /// Take the end of the log where that file is empty and the status is not 0.
    pub termination_from_log: bool,
}

/// Limits and requests of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU limit in thousandths of a core.
    pub cpu_limit_millis: Option<u64>,
    /// CPU request in thousandths of a core; 0: none.
    pub cpu_request_millis: u64,
    /// Memory limit in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Memory request in bytes; 0: none.
    pub memory_request_bytes: u64,
    /// Limit of the writable layer and the logs on the disk, in bytes.
    pub storage_limit_bytes: Option<u64>,
    /// Request of the same; 0: none. The scheduler counts it.
    pub storage_request_bytes: u64,
}

/// System call filter of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// The default profile.
    #[default]
    RuntimeDefault,
    /// None.
    Unconfined,
}

/// AppArmor profile of a container, where the kernel has AppArmor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AppArmor {
    /// The default one, if it is loaded.
    #[default]
    RuntimeDefault,
    /// One that is loaded on the node.
    Localhost(String),
    /// None.
    Unconfined,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Env {
    /// Name.
    pub name: String,
    /// Where its value comes from.
    pub value: EnvSource,
}

/// Value of an environment variable.
#[derive(Debug, Clone, PartialEq)]
pub enum EnvSource {
    /// Text, `$(NAME)` not yet expanded.
    Text(String),
    /// Text as it is.
    Literal(String),
    /// Field of the pod.
    Field(String),
}

/// A volume.
#[derive(Debug, Clone, PartialEq)]
pub enum Volume {
    /// Empty at first, gone with the pod.
    EmptyDir {
        /// In memory (tmpfs) instead of on DATA?
        memory: bool,
        /// Size limit in bytes. Memory takes no more; a pod that puts more on
        /// the disk is evicted.
        size_limit_bytes: Option<u64>,
    },
    /// Files made from ConfigMaps, Secrets and the pod itself, by path.
    Files(BTreeMap<String, VolumeFile>),
    /// A path of the node.
    HostPath {
        /// Where.
        path: PathBuf,
        /// `Directory`, `DirectoryOrCreate`, `File`, … or empty: no check.
        kind: String,
    },
    /// The folder of a claim; it outlives the pod.
    Claim {
        /// Where.
        path: PathBuf,
        /// Read-only?
        read_only: bool,
    },
}

/// A file in a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VolumeFile {
    /// Content.
    pub data: Vec<u8>,
    /// Permissions.
    pub mode: u32,
}

/// A volume inside a container.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeMount {
    /// Volume.
    pub name: String,
    /// Where.
    pub path: String,
    /// Read-only?
    pub read_only: bool,
    /// Part of the volume, relative; empty: all of it. `$(NAME)` is expanded
    /// where `expand` is set.
    pub sub_path: String,
    /// Does `sub_path` hold `$(NAME)`?
    pub expand: bool,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// HTTP GET.
    Http(HttpGet),
    /// A connection.
    Tcp {
        /// Address; `None`: the pod's.
        host: Option<String>,
        /// Port.
        port: u16,
    },
    /// A program in the container.
    Exec(Vec<String>),
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// Port.
        port: u16,
        /// Service name.
        service: String,
    },
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpGet {
    /// TLS, without a look at the certificate?
    pub tls: bool,
    /// Address; `None`: the pod's.
    pub host: Option<String>,
    /// Path with leading `/`.
    pub path: String,
    /// Port.
    pub port: u16,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

/// A probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// What it asks.
    pub check: Check,
    /// Delay after start.
    pub initial_delay_secs: u32,
    /// Time between attempts.
    pub period_secs: u32,
    /// Time for one attempt.
    pub timeout_secs: u32,
    /// Successes in a row that make it good.
    pub success_threshold: u32,
    /// Failures in a row that make it bad.
    pub failure_threshold: u32,
    /// Time between SIGTERM and SIGKILL after it failed; `None`: the pod's.
    pub grace_secs: Option<u32>,
}

/// What runs after the start or before the end of a container.
#[derive(Debug, Clone, PartialEq)]
pub enum Hook {
    /// A program in the container.
    Exec(Vec<String>),
    /// HTTP GET.
    Http(HttpGet),
    /// Nothing, for this time.
    Sleep {
        /// Seconds.
        secs: u32,
    },
}

impl Pod {
    /// A container by its name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// Containers of one role.
    pub fn with_role(&self, role: Role) -> impl DoubleEndedIterator<Item = &Container> {
        self.containers.iter().filter(move |c| c.role == role)
    }

    /// What its containers come to together, in whatever `of` says: those that
    /// run at the same time add up; an init container counts beside the
    /// sidecars only.
    pub fn together(&self, of: impl Fn(&Resources) -> u64) -> u64 {
        let sum = |role| self.with_role(role).map(|c| of(&c.resources)).fold(0, u64::saturating_add);
        let init = self.with_role(Role::Init).map(|c| of(&c.resources)).max().unwrap_or(0);
        sum(Role::Sidecar).saturating_add(init.max(sum(Role::Main)))
    }

    /// `NAME_NAMESPACE(UID)`, as the kubelet names pods in messages.
    pub fn title(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }
}
