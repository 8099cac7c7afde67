//! The Pod Security Standard "restricted", Kubernetes v1.34.
//!
//! Source: Kubernetes documentation, "Pod Security Standards", profiles
//! Baseline and Restricted, controls that apply to Linux pods. Fields that the
//! parser refuses anyway are checked too, so that the profile does not depend
//! on what else is supported.

use k8s_openapi::api::core::v1::{Capabilities, Container, LifecycleHandler, PodSpec, Probe, SeccompProfile, Volume};

use crate::{Object, Problem, Workload, problem::Collector};

const POD: &str = "spec.template.spec";

/// Sysctls that the Baseline profile allows.
const SYSCTLS_SAFE: [&str; 9] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
];
const SYSCTLS_SAFE_MORE: [&str; 3] = ["net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"];

/// Every violation of the "restricted" profile.
pub fn check_restricted(workloads: &[Workload]) -> Vec<Problem> {
    let mut problems = vec![];
    for w in workloads {
        let Object::Deployment(d) = &w.object else { continue };
        let Some(template) = d.spec.as_ref().map(|s| &s.template) else { continue };
        let Some(pod) = &template.spec else { continue };
        let mut out = Collector::new(&w.origin, w.object.title());
        for (k, v) in template.metadata.iter().flat_map(|m| m.annotations.iter().flatten()) {
            let allowed = v == "runtime/default" || v.starts_with("localhost/");
            if k.starts_with("container.apparmor.security.beta.kubernetes.io/") && !allowed {
                out.add(format!("spec.template.metadata.annotations['{k}']"), "must be runtime/default or localhost/*");
            }
        }
        check_pod(pod, &mut out);
        problems.append(&mut out.problems);
    }
    problems
}

fn check_pod(pod: &PodSpec, out: &mut Collector<'_>) {
    for (name, value) in [("hostNetwork", pod.host_network), ("hostPID", pod.host_pid), ("hostIPC", pod.host_ipc)] {
        if value == Some(true) {
            out.add(format!("{POD}.{name}"), "must not be true");
        }
    }
    for (i, v) in pod.volumes.iter().flatten().enumerate() {
        if !volume_allowed(v) {
            out.add(
                format!("{POD}.volumes[{i}]"),
                "must be a configMap, csi, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected or secret volume",
            );
        }
    }
    if let Some(sc) = &pod.security_context {
        let field = format!("{POD}.securityContext");
        for (i, s) in sc.sysctls.iter().flatten().enumerate() {
            if !SYSCTLS_SAFE.contains(&s.name.as_str()) && !SYSCTLS_SAFE_MORE.contains(&s.name.as_str()) {
                out.add(format!("{field}.sysctls[{i}]"), format!("{} is not a safe sysctl", s.name));
            }
        }
        if sc.run_as_user == Some(0) {
            out.add(format!("{field}.runAsUser"), "must not be 0");
        }
        if sc.run_as_non_root == Some(false) {
            out.add(format!("{field}.runAsNonRoot"), "must be true");
        }
        if sc.windows_options.as_ref().and_then(|w| w.host_process) == Some(true) {
            out.add(format!("{field}.windowsOptions.hostProcess"), "must not be true");
        }
        selinux(sc.se_linux_options.as_ref(), &field, out);
        apparmor(sc.app_armor_profile.as_ref().map(|p| p.type_.as_str()), &field, out);
        if sc.seccomp_profile.is_some() {
            seccomp(sc.seccomp_profile.as_ref(), &format!("{field}.seccompProfile.type"), out);
        }
    }
    let init = pod.init_containers.iter().flatten().enumerate().map(|(i, c)| (format!("initContainers[{i}]"), c));
    let main = pod.containers.iter().enumerate().map(|(i, c)| (format!("containers[{i}]"), c));
    for (name, c) in init.chain(main) {
        check_container(pod, c, &format!("{POD}.{name}"), out);
    }
}

/// `PodSpec` is checked by field, so a volume source that this code does not
/// know counts as forbidden.
fn volume_allowed(v: &Volume) -> bool {
    v.config_map.is_some()
        || v.csi.is_some()
        || v.downward_api.is_some()
        || v.empty_dir.is_some()
        || v.ephemeral.is_some()
        || v.persistent_volume_claim.is_some()
        || v.projected.is_some()
        || v.secret.is_some()
}

fn check_container(pod: &PodSpec, c: &Container, field: &str, out: &mut Collector<'_>) {
    let default = Default::default();
    let sc = c.security_context.as_ref().unwrap_or(&default);
    let psc = pod.security_context.as_ref();
    let here = format!("{field}.securityContext");
    if sc.privileged == Some(true) {
        out.add(format!("{here}.privileged"), "must not be true");
    }
    if sc.allow_privilege_escalation != Some(false) {
        out.add(format!("{here}.allowPrivilegeEscalation"), "must be false");
    }
    if sc.run_as_non_root.or(psc.and_then(|p| p.run_as_non_root)) != Some(true) {
        out.add(format!("{here}.runAsNonRoot"), "must be true, here or in the pod's securityContext");
    }
    if sc.run_as_user == Some(0) {
        out.add(format!("{here}.runAsUser"), "must not be 0");
    }
    if sc.proc_mount.as_deref().is_some_and(|p| p != "Default") {
        out.add(format!("{here}.procMount"), "must be Default");
    }
    if sc.windows_options.as_ref().and_then(|w| w.host_process) == Some(true) {
        out.add(format!("{here}.windowsOptions.hostProcess"), "must not be true");
    }
    let profile = sc.seccomp_profile.as_ref().or(psc.and_then(|p| p.seccomp_profile.as_ref()));
    seccomp(profile, &format!("{here}.seccompProfile.type"), out);
    capabilities(sc.capabilities.as_ref(), &format!("{here}.capabilities"), out);
    selinux(sc.se_linux_options.as_ref(), &here, out);
    apparmor(sc.app_armor_profile.as_ref().map(|p| p.type_.as_str()), &here, out);
    for (i, p) in c.ports.iter().flatten().enumerate() {
        if p.host_port.unwrap_or(0) != 0 {
            out.add(format!("{field}.ports[{i}].hostPort"), "must not be set");
        }
    }
    hosts(c, field, out);
}

fn seccomp(profile: Option<&SeccompProfile>, field: &str, out: &mut Collector<'_>) {
    if !profile.is_some_and(|p| ["RuntimeDefault", "Localhost"].contains(&p.type_.as_str())) {
        out.add(field, "must be RuntimeDefault or Localhost, here or in the pod's securityContext");
    }
}

fn capabilities(caps: Option<&Capabilities>, field: &str, out: &mut Collector<'_>) {
    if !caps.is_some_and(|c| c.drop.iter().flatten().any(|d| d == "ALL")) {
        out.add(format!("{field}.drop"), "must contain ALL");
    }
    for (i, a) in caps.iter().flat_map(|c| c.add.iter().flatten()).enumerate() {
        if a != "NET_BIND_SERVICE" {
            out.add(format!("{field}.add[{i}]"), format!("{a} is not allowed; only NET_BIND_SERVICE is"));
        }
    }
}

fn selinux(options: Option<&k8s_openapi::api::core::v1::SELinuxOptions>, field: &str, out: &mut Collector<'_>) {
    let Some(o) = options else { return };
    let types = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    if !types.contains(&o.type_.as_deref().unwrap_or("")) {
        out.add(format!("{field}.seLinuxOptions.type"), "must be unset or one of the container types");
    }
    for (name, v) in [("user", &o.user), ("role", &o.role)] {
        if !v.as_deref().unwrap_or("").is_empty() {
            out.add(format!("{field}.seLinuxOptions.{name}"), "must not be set");
        }
    }
}

fn apparmor(kind: Option<&str>, field: &str, out: &mut Collector<'_>) {
    if kind.is_some_and(|k| k != "RuntimeDefault" && k != "Localhost") {
        out.add(format!("{field}.appArmorProfile.type"), "must be RuntimeDefault or Localhost");
    }
}

/// v1.34 forbids probes and hooks that reach other hosts.
fn hosts(c: &Container, field: &str, out: &mut Collector<'_>) {
    let probe = |p: &Option<Probe>| {
        let p = p.as_ref()?;
        p.http_get.as_ref().and_then(|h| h.host.clone()).or(p.tcp_socket.as_ref().and_then(|t| t.host.clone()))
    };
    let hook = |h: Option<&LifecycleHandler>| {
        let h = h?;
        h.http_get.as_ref().and_then(|g| g.host.clone()).or(h.tcp_socket.as_ref().and_then(|t| t.host.clone()))
    };
    let lifecycle = c.lifecycle.as_ref();
    for (name, host) in [
        ("livenessProbe", probe(&c.liveness_probe)),
        ("readinessProbe", probe(&c.readiness_probe)),
        ("startupProbe", probe(&c.startup_probe)),
        ("lifecycle.postStart", hook(lifecycle.and_then(|l| l.post_start.as_ref()))),
        ("lifecycle.preStop", hook(lifecycle.and_then(|l| l.pre_stop.as_ref()))),
    ] {
        if host.is_some_and(|h| !h.is_empty()) {
            out.add(format!("{field}.{name}"), "host must not be set");
        }
    }
}
