//! The Pod Security Standards `privileged`, `baseline`, `restricted`,
//! Kubernetes v1.34.
//!
//! Source: Kubernetes documentation, "Pod Security Standards", controls that
//! apply to Linux pods; messages as the PodSecurity admission plugin words
//! them. Fields that the node refuses anyway are checked too, so that a
//! profile does not depend on what else is supported.

mod baseline;
mod level;
mod restricted;

use k8s_openapi::{
    api::core::v1::{Container, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

pub use level::{Level, NamespaceLevels, VERSION, namespace_levels};

/// Sysctls that the kernel keeps apart per pod; the Baseline profile allows
/// them, and the node no others.
pub(crate) const SAFE_SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// One violated control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Control, `allowPrivilegeEscalation != false`.
    pub control: String,
    /// Who violates it and what would be right.
    pub detail: String,
    /// The fields, relative to the pod: `spec.containers[0].securityContext…`.
    pub fields: Vec<String>,
}

/// Everything in a pod that a profile forbids.
pub fn pod_security(level: Level, metadata: Option<&ObjectMeta>, spec: &PodSpec) -> Vec<Violation> {
    let pod = PodView { metadata, spec };
    let baseline = |restricted| baseline::check(&pod, restricted);
    match level {
        Level::Privileged => vec![],
        Level::Baseline => baseline(false),
        Level::Restricted => [baseline(true), restricted::check(&pod)].concat(),
    }
}

/// `violates PodSecurity "restricted:v1.34": …`, as Kubernetes words it for
/// a pod that is refused.
pub fn message(level: Level, violations: &[Violation]) -> String {
    let list: Vec<String> = violations.iter().map(|v| format!("{} ({})", v.control, v.detail)).collect();
    format!("violates PodSecurity \"{}:{VERSION}\": {}", level.name(), list.join(", "))
}

/// The pod under review.
struct PodView<'a> {
    metadata: Option<&'a ObjectMeta>,
    spec: &'a PodSpec,
}

impl<'a> PodView<'a> {
    /// All containers with their paths.
    fn containers(&self) -> impl Iterator<Item = (String, &'a Container)> {
        let init = self.spec.init_containers.iter().flatten().enumerate();
        let main = self.spec.containers.iter().enumerate();
        init.map(|(i, c)| (format!("spec.initContainers[{i}]"), c))
            .chain(main.map(|(i, c)| (format!("spec.containers[{i}]"), c)))
    }

    /// The containers of which `bad` gives the path of a field below them.
    fn bad_containers(&self, bad: impl Fn(&Container) -> Option<&'static str>) -> Found {
        let mut found = Found::default();
        for (path, c) in self.containers() {
            if let Some(field) = bad(c) {
                found.names.push(c.name.clone());
                found.fields.push(format!("{path}.{field}"));
            }
        }
        found
    }
}

/// Containers that violate a control.
#[derive(Default)]
struct Found {
    names: Vec<String>,
    fields: Vec<String>,
}

impl Found {
    /// `container "a"`, `containers "a", "b"`.
    fn who(&self) -> String {
        named("container", &self.names)
    }

    /// A violation if any was found; the detail is who and `what`.
    fn violation(self, control: &str, what: impl AsRef<str>) -> Option<Violation> {
        let detail = format!("{} {}", self.who(), what.as_ref());
        (!self.names.is_empty()).then(|| Violation { control: control.into(), detail, fields: self.fields })
    }
}

/// `noun "a"`, `nouns "a", "b"`.
fn named(noun: &str, names: &[String]) -> String {
    let s = if names.len() == 1 { "" } else { "s" };
    format!("{noun}{s} {}", quoted(names))
}

/// `"a", "b"`.
fn quoted(names: &[String]) -> String {
    names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ")
}
