//! The controls of "baseline".

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Probe, SELinuxOptions, SecurityContext};

use super::{Found, PodView, SAFE_SYSCTLS, Violation, named, quoted};

/// Capabilities that container engines give by default.
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

const SELINUX_TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// All controls; those that "restricted" has a stricter version of are left
/// out where that one follows.
pub(super) fn check(pod: &PodView<'_>, restricted_follows: bool) -> Vec<Violation> {
    let all = [
        apparmor(pod),
        if restricted_follows { None } else { capabilities(pod) },
        host_namespaces(pod),
        host_path(pod),
        host_ports(pod),
        hosts(pod),
        windows(pod),
        context(pod, |sc| (sc.privileged == Some(true)).then_some("securityContext.privileged"))
            .violation("privileged", "must not set securityContext.privileged=true"),
        context(pod, |sc| {
            sc.proc_mount.as_deref().is_some_and(|p| p != "Default").then_some("securityContext.procMount")
        })
        .violation("procMount", "must not set securityContext.procMount to \"Unmasked\""),
        selinux(pod),
        if restricted_follows { None } else { seccomp(pod) },
        sysctls(pod),
    ];
    all.into_iter().flatten().collect()
}

/// Containers with a bad security context.
pub(super) fn context(pod: &PodView<'_>, bad: impl Fn(&SecurityContext) -> Option<&'static str>) -> Found {
    pod.bad_containers(|c| c.security_context.as_ref().and_then(&bad))
}

fn host_namespaces(pod: &PodView<'_>) -> Option<Violation> {
    let flags =
        [("hostNetwork", pod.spec.host_network), ("hostPID", pod.spec.host_pid), ("hostIPC", pod.spec.host_ipc)];
    let set: Vec<&str> = flags.iter().filter(|(_, f)| *f == Some(true)).map(|(n, _)| *n).collect();
    (!set.is_empty()).then(|| Violation {
        control: "host namespaces".into(),
        detail: set.iter().map(|n| format!("{n}=true")).collect::<Vec<_>>().join(", "),
        fields: set.iter().map(|n| format!("spec.{n}")).collect(),
    })
}

fn host_path(pod: &PodView<'_>) -> Option<Violation> {
    let volumes = pod.spec.volumes.iter().flatten().enumerate().filter(|(_, v)| v.host_path.is_some());
    let (fields, names): (Vec<String>, Vec<String>) =
        volumes.map(|(i, v)| (format!("spec.volumes[{i}].hostPath"), v.name.clone())).unzip();
    (!names.is_empty()).then(|| Violation {
        control: "hostPath volumes".into(),
        detail: named("volume", &names),
        fields,
    })
}

fn host_ports(pod: &PodView<'_>) -> Option<Violation> {
    let (mut found, mut ports) = (Found::default(), vec![]);
    for (path, c) in pod.containers() {
        for (i, p) in c.ports.iter().flatten().enumerate() {
            let Some(port) = p.host_port.filter(|p| *p != 0) else { continue };
            if !found.names.contains(&c.name) {
                found.names.push(c.name.clone());
            }
            found.fields.push(format!("{path}.ports[{i}].hostPort"));
            ports.push(port.to_string());
        }
    }
    let verb = if found.names.len() == 1 { "uses" } else { "use" };
    let s = if ports.len() == 1 { "" } else { "s" };
    found.violation("hostPort", format!("{verb} hostPort{s} {}", ports.join(", ")))
}

fn capabilities(pod: &PodView<'_>) -> Option<Violation> {
    let (found, added) = added_capabilities(pod, CAPABILITIES);
    let what = format!("must not include {} in securityContext.capabilities.add", quoted(&added));
    found.violation("non-default capabilities", what)
}

/// Containers that add capabilities beyond the allowed ones, and which.
pub(super) fn added_capabilities(pod: &PodView<'_>, allowed: &[&str]) -> (Found, Vec<String>) {
    let (mut found, mut added) = (Found::default(), vec![]);
    for (path, c) in pod.containers() {
        let caps = c.security_context.iter().flat_map(|s| s.capabilities.iter()).flat_map(|c| c.add.iter().flatten());
        for (i, name) in caps.enumerate().filter(|(_, n)| !allowed.contains(&n.as_str())) {
            if !found.names.contains(&c.name) {
                found.names.push(c.name.clone());
            }
            found.fields.push(format!("{path}.securityContext.capabilities.add[{i}]"));
            if !added.contains(name) {
                added.push(name.clone());
            }
        }
    }
    (found, added)
}

fn apparmor(pod: &PodView<'_>) -> Option<Violation> {
    let bad = |kind: &str| !["RuntimeDefault", "Localhost"].contains(&kind);
    let (mut who, mut fields) = (vec![], vec![]);
    let of_pod = pod.spec.security_context.as_ref().and_then(|s| s.app_armor_profile.as_ref());
    if let Some(p) = of_pod.filter(|p| bad(&p.type_)) {
        who.push(format!("pod must not set AppArmor profile type to {:?}", p.type_));
        fields.push("spec.securityContext.appArmorProfile.type".into());
    }
    let found = context(pod, |sc| {
        let profile = sc.app_armor_profile.as_ref()?;
        bad(&profile.type_).then_some("securityContext.appArmorProfile.type")
    });
    if !found.names.is_empty() {
        who.push(format!("{} must not set AppArmor profile type to \"Unconfined\"", found.who()));
        fields.extend(found.fields);
    }
    for (key, value) in pod.metadata.iter().flat_map(|m| m.annotations.iter().flatten()) {
        let allowed = value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
        if key.starts_with(APPARMOR_ANNOTATION) && !allowed {
            who.push(format!("annotation {key}={value:?}"));
            fields.push(format!("metadata.annotations[{key}]"));
        }
    }
    let s = if who.len() == 1 { "" } else { "s" };
    (!who.is_empty()).then(|| Violation {
        control: format!("forbidden AppArmor profile{s}"),
        detail: who.join(", "),
        fields,
    })
}

fn selinux(pod: &PodView<'_>) -> Option<Violation> {
    let bad = |o: &SELinuxOptions| {
        let set = |v: &Option<String>| !v.as_deref().unwrap_or("").is_empty();
        !SELINUX_TYPES.contains(&o.type_.as_deref().unwrap_or("")) || set(&o.user) || set(&o.role)
    };
    let (mut who, mut fields) = (vec![], vec![]);
    if pod.spec.security_context.as_ref().and_then(|s| s.se_linux_options.as_ref()).is_some_and(bad) {
        who.push("pod".to_owned());
        fields.push("spec.securityContext.seLinuxOptions".to_owned());
    }
    let found =
        context(pod, |sc| sc.se_linux_options.as_ref().is_some_and(bad).then_some("securityContext.seLinuxOptions"));
    if !found.names.is_empty() {
        who.push(found.who());
        fields.extend(found.fields);
    }
    (!who.is_empty()).then(|| Violation {
        control: "seLinuxOptions".into(),
        detail: format!("{} set forbidden securityContext.seLinuxOptions", who.join(" and ")),
        fields,
    })
}

fn windows(pod: &PodView<'_>) -> Option<Violation> {
    let (mut who, mut fields) = (vec![], vec![]);
    let host = |w: Option<bool>| w == Some(true);
    let of_pod = pod.spec.security_context.as_ref().and_then(|s| s.windows_options.as_ref());
    if host(of_pod.and_then(|w| w.host_process)) {
        who.push("pod".to_owned());
        fields.push("spec.securityContext.windowsOptions.hostProcess".to_owned());
    }
    let found = context(pod, |sc| {
        let w = sc.windows_options.as_ref().and_then(|w| w.host_process);
        host(w).then_some("securityContext.windowsOptions.hostProcess")
    });
    if !found.names.is_empty() {
        who.push(found.who());
        fields.extend(found.fields);
    }
    (!who.is_empty()).then(|| Violation {
        control: "hostProcess".into(),
        detail: format!("{} must not set securityContext.windowsOptions.hostProcess=true", who.join(" and ")),
        fields,
    })
}

fn seccomp(pod: &PodView<'_>) -> Option<Violation> {
    let (mut who, mut fields) = (vec![], vec![]);
    let unconfined = "must not set securityContext.seccompProfile.type to \"Unconfined\"";
    let of_pod = pod.spec.security_context.as_ref().and_then(|s| s.seccomp_profile.as_ref());
    if of_pod.is_some_and(|p| p.type_ == "Unconfined") {
        who.push(format!("pod {unconfined}"));
        fields.push("spec.securityContext.seccompProfile.type".into());
    }
    let found = context(pod, |sc| {
        let profile = sc.seccomp_profile.as_ref()?;
        (profile.type_ == "Unconfined").then_some("securityContext.seccompProfile.type")
    });
    if !found.names.is_empty() {
        who.push(format!("{} {unconfined}", found.who()));
        fields.extend(found.fields);
    }
    (!who.is_empty()).then(|| Violation { control: "seccompProfile".into(), detail: who.join(", "), fields })
}

fn sysctls(pod: &PodView<'_>) -> Option<Violation> {
    let all = pod.spec.security_context.iter().flat_map(|s| s.sysctls.iter().flatten()).enumerate();
    let bad = all.filter(|(_, s)| !SAFE_SYSCTLS.contains(&s.name.as_str()));
    let (fields, names): (Vec<String>, Vec<String>) =
        bad.map(|(i, s)| (format!("spec.securityContext.sysctls[{i}]"), s.name.clone())).unzip();
    (!names.is_empty()).then(|| Violation { control: "forbidden sysctls".into(), detail: names.join(", "), fields })
}

/// Since v1.34: probes and hooks must not reach other hosts.
fn hosts(pod: &PodView<'_>) -> Option<Violation> {
    pod.bad_containers(host_field).violation("probe or lifecycle host", "must not set the host of probes and hooks")
}

fn host_field(c: &Container) -> Option<&'static str> {
    let set = |h: &Option<String>| h.as_deref().is_some_and(|h| !h.is_empty());
    let probe = |p: &Option<Probe>| {
        p.as_ref().is_some_and(|p| {
            p.http_get.as_ref().is_some_and(|h| set(&h.host)) || p.tcp_socket.as_ref().is_some_and(|t| set(&t.host))
        })
    };
    let hook = |h: Option<&LifecycleHandler>| {
        h.is_some_and(|h| {
            h.http_get.as_ref().is_some_and(|g| set(&g.host)) || h.tcp_socket.as_ref().is_some_and(|t| set(&t.host))
        })
    };
    let lifecycle = c.lifecycle.as_ref();
    let all = [
        ("livenessProbe", probe(&c.liveness_probe)),
        ("readinessProbe", probe(&c.readiness_probe)),
        ("startupProbe", probe(&c.startup_probe)),
        ("lifecycle.postStart", hook(lifecycle.and_then(|l| l.post_start.as_ref()))),
        ("lifecycle.preStop", hook(lifecycle.and_then(|l| l.pre_stop.as_ref()))),
    ];
    all.into_iter().find(|(_, bad)| *bad).map(|(name, _)| name)
}
