//! What is: containers as containerd tells it, pod networks, probe results.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::desired::{Pod, Role};

/// Everything that was seen in one round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// All containers in our containerd namespace, by id.
    pub containers: BTreeMap<String, Container>,
    /// Pods that have a network, by uid.
    pub sandboxes: BTreeMap<String, Sandbox>,
    /// Actions that failed and wait, by key ([`failure_key`]).
    pub failures: BTreeMap<String, Failure>,
    /// Latest attempt that a container had, by [`failure_key`].
    pub attempts: BTreeMap<String, u32>,
    /// When pods started (seconds since boot), by uid.
    pub pods_started: BTreeMap<String, f64>,
    /// Fingerprint of the files that a pod's volumes hold, by uid.
    pub files: BTreeMap<String, u64>,
    /// Uids of which something is left on the disk.
    pub on_disk: BTreeSet<String>,
    /// Why pods have to leave the node, by uid.
    pub evicted: BTreeMap<String, String>,
    /// Ruleset that is applied, if known.
    pub rules: Option<crate::network::Ruleset>,
    /// Addresses of the node.
    pub node: Option<NodeAddresses>,
    /// The node's addresses in the pods' networks.
    pub gateways: Vec<IpAddr>,
}

/// Addresses of the node that pods can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeAddresses {
    /// IPv4.
    pub ip: Ipv4Addr,
    /// IPv6, where the node has a global address of it.
    pub ip6: Option<Ipv6Addr>,
}

impl NodeAddresses {
    /// All of them, the primary one first.
    pub fn all(&self) -> Vec<IpAddr> {
        std::iter::once(IpAddr::V4(self.ip)).chain(self.ip6.map(IpAddr::V6)).collect()
    }
}

/// Key of a failure: a pod, or one container of it.
pub fn failure_key(uid: &str, container: Option<&str>) -> String {
    match container {
        None => uid.into(),
        Some(c) => format!("{uid}/{c}"),
    }
}

/// An action that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// One line.
    pub message: String,
    /// Not before this time (seconds since boot).
    pub retry_at: f64,
    /// Delay that led to `retry_at`.
    pub delay_secs: u32,
}

/// A pod's network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sandbox {
    /// Address.
    pub ip: Ipv4Addr,
    /// Address of IPv6, where the node has that.
    pub ip6: Option<Ipv6Addr>,
    /// Are namespace and link both there?
    pub intact: bool,
}

impl Sandbox {
    /// All addresses, the primary one first.
    pub fn ips(&self) -> Vec<IpAddr> {
        std::iter::once(IpAddr::V4(self.ip)).chain(self.ip6.map(IpAddr::V6)).collect()
    }
}

/// One container, read back from its labels and its task.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// Labels.
    pub labels: Labels,
    /// State of its task.
    pub state: State,
    /// Passed its startup probe, or has none, and its postStart hook is done.
    pub started: bool,
    /// Passed its readiness probe, or has none. Only meaningful while running.
    pub ready: bool,
    /// Shall be restarted: why.
    pub unhealthy: Option<Unhealthy>,
    /// It is being ended.
    pub stopping: Option<Stopping>,
    /// When it started, by the clock.
    pub started_at: Option<Timestamp>,
    /// How it ended.
    pub exit: Option<Exit>,
}

/// Why a container must be restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhealthy {
    /// `failed liveness probe`, …
    pub message: String,
    /// Time between SIGTERM and SIGKILL; `None`: the pod's.
    pub grace_secs: Option<u32>,
}

/// A container on its way out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stopping {
    /// Since when (seconds since boot).
    pub since: f64,
    /// Time that it was given.
    pub grace_secs: u32,
    /// Its preStop hook.
    pub hook: HookState,
    /// When SIGTERM was sent (seconds since boot).
    pub term_at: Option<f64>,
}

/// State of a preStop hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HookState {
    /// There is none.
    #[default]
    None,
    /// It runs.
    Running,
    /// It is done, well or not.
    Done,
}

/// How a container ended. Kept on the container, so that it is known after a
/// restart of this process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status; 128 + signal.
    pub code: u32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerCannotRun`.
    pub reason: String,
    /// Its last words.
    #[serde(default)]
    pub message: String,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The same in seconds since boot.
    pub at: f64,
    /// How long it ran.
    pub ran_secs: f64,
    /// The boot that `at` belongs to.
    pub boot: String,
}

/// What a container's labels say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels {
    /// Uid of the pod.
    pub pod_uid: String,
    /// Name of the pod.
    pub pod: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the Deployment.
    pub deployment: String,
    /// Name within the pod.
    pub container: String,
    /// How often it was started anew in this pod.
    pub attempt: u32,
    /// Delay before it may start again once it exits.
    pub backoff_secs: u32,
    /// Time between SIGTERM and SIGKILL.
    pub grace_secs: u32,
    /// Digest of its image.
    pub image_id: String,
    /// How it ended.
    pub exit: Option<Exit>,
}

/// State of a container's task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum State {
    /// Runs.
    Running,
    /// Ended.
    Exited {
        /// Exit status.
        code: u32,
        /// When it ended (seconds since boot).
        at: f64,
        /// How long it ran.
        ran_secs: f64,
    },
    /// Has no task, or one that never started.
    Absent,
}

impl Container {
    /// Runs and is Ready.
    pub fn is_ready(&self) -> bool {
        self.state == State::Running
            && self.started
            && self.ready
            && self.unhealthy.is_none()
            && self.stopping.is_none()
    }
}

impl Observed {
    /// Containers of a pod with their ids.
    pub fn of_pod<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = (&'a str, &'a Container)> {
        self.containers.iter().filter(move |(_, c)| c.labels.pod_uid == uid).map(|(id, c)| (id.as_str(), c))
    }

    /// The container of this name; of several the latest attempt.
    pub fn latest<'a>(&'a self, uid: &'a str, name: &str) -> Option<(&'a str, &'a Container)> {
        self.of_pod(uid).filter(|(_, c)| c.labels.container == name).max_by_key(|(_, c)| c.labels.attempt)
    }

    /// Is the whole pod Ready?
    pub fn pod_ready(&self, pod: &Pod) -> bool {
        pod.deletion_grace_secs.is_none() && !pod.finished && self.containers_ready(pod)
    }

    /// Are all containers Ready, that shall run for long?
    pub fn containers_ready(&self, pod: &Pod) -> bool {
        self.sandboxes.get(&pod.uid).is_some_and(|s| s.intact)
            && pod
                .containers
                .iter()
                .filter(|want| want.role != Role::Init)
                .all(|want| self.latest(&pod.uid, &want.name).is_some_and(|(_, c)| c.is_ready()))
    }
}
