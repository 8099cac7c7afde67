//! What is: containers as containerd tells it, pod networks, probe results.

use std::{collections::BTreeMap, net::Ipv4Addr};

/// Everything that was seen in one round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// All containers in our containerd namespace, by id.
    pub containers: BTreeMap<String, Container>,
    /// Pods that have a network namespace and an address, by uid.
    pub sandboxes: BTreeMap<String, Sandbox>,
    /// Actions that failed and wait, by key ([`failure_key`]).
    pub failures: BTreeMap<String, Failure>,
    /// Ruleset that is applied, if known.
    pub rules: Option<crate::network::Ruleset>,
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
    /// Are namespace and link both there?
    pub intact: bool,
}

/// One container, read back from its labels and its task.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// Labels.
    pub labels: Labels,
    /// State of its task.
    pub state: State,
    /// Passed its readiness probe, or has none. Only meaningful while running.
    pub ready: bool,
    /// Failed its liveness probe: why.
    pub unhealthy: Option<String>,
    /// When SIGTERM was sent (seconds since boot).
    pub term_sent_at: Option<f64>,
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
        /// When it was seen to have ended (seconds since boot).
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
        self.state == State::Running && self.ready && self.unhealthy.is_none() && self.term_sent_at.is_none()
    }
}

impl Observed {
    /// Containers of a pod with their ids.
    pub fn of_pod<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = (&'a str, &'a Container)> {
        self.containers.iter().filter(move |(_, c)| c.labels.pod_uid == uid).map(|(id, c)| (id.as_str(), c))
    }

    /// Is the whole pod Ready?
    pub fn pod_ready(&self, pod: &crate::desired::Pod) -> bool {
        self.sandboxes.get(&pod.uid).is_some_and(|s| s.intact)
            && pod
                .containers
                .iter()
                .all(|want| self.of_pod(&pod.uid).any(|(_, c)| c.labels.container == want.name && c.is_ready()))
    }
}
