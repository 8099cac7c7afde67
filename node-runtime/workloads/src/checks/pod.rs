//! Pods and pod templates.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, PodSecurityContext, PodSpec, PodTemplateSpec};
use serde_json::Value;

use super::{
    container, meta,
    names::{self, Form},
    volume,
};
use crate::{cause::Causes, security::SAFE_SYSCTLS};

const RESTART_ALL: &[&str] = &["Always", "OnFailure", "Never"];
/// What Deployments and the like need.
pub(super) const RESTART_ALWAYS: &[&str] = &["Always"];
/// What Jobs need.
pub(super) const RESTART_ENDING: &[&str] = &["OnFailure", "Never"];

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;

/// A pod.
pub(super) fn pod(pod: &Pod, out: &mut Causes) {
    pod_spec(pod.spec.as_ref(), "spec", RESTART_ALL, out);
}

/// The template of a workload, at `field`; `restart` are the policies that the
/// workload can work with.
pub(super) fn template(template: &PodTemplateSpec, field: &str, restart: &[&str], out: &mut Causes) {
    if let Some(m) = &template.metadata {
        meta::labels_and_annotations(m, &format!("{field}.metadata"), out);
    }
    let spec = format!("{field}.spec");
    pod_spec(template.spec.as_ref(), &spec, restart, out);
    let active = template.spec.as_ref().and_then(|s| s.active_deadline_seconds);
    if restart == RESTART_ALWAYS && active.is_some() {
        out.forbidden(format!("{spec}.activeDeadlineSeconds"), "not allowed in pods that always run");
    }
}

fn pod_spec(spec: Option<&PodSpec>, field: &str, restart: &[&str], out: &mut Causes) {
    let Some(spec) = spec else { return out.required(field, "") };
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    if !restart.contains(&policy) {
        out.unsupported(format!("{field}.restartPolicy"), &Value::from(policy), restart);
    }
    let volumes = volume::volumes(spec.volumes.as_deref().unwrap_or_default(), &format!("{field}.volumes"), out);
    containers(spec, &volumes, field, out);
    names::labels(spec.node_selector.iter().flatten(), &format!("{field}.nodeSelector"), out);
    let named = [
        ("hostname", &spec.hostname, Form::Label),
        ("subdomain", &spec.subdomain, Form::Label),
        ("nodeName", &spec.node_name, Form::Subdomain),
        ("serviceAccountName", &spec.service_account_name, Form::Subdomain),
    ];
    for (name, value, form) in named {
        if let Some(text) = value.as_deref().filter(|t| !t.is_empty()) {
            names::name(text, form, format!("{field}.{name}"), out);
        }
    }
    for (i, s) in spec.image_pull_secrets.iter().flatten().enumerate() {
        names::name(&s.name, Form::Subdomain, format!("{field}.imagePullSecrets[{i}].name"), out);
    }
    dns(spec, field, out);
    if let Some(sc) = &spec.security_context {
        security(sc, spec, &format!("{field}.securityContext"), out);
    }
}

fn containers(spec: &PodSpec, volumes: &BTreeSet<&str>, field: &str, out: &mut Causes) {
    if spec.containers.is_empty() {
        out.required(format!("{field}.containers"), "");
    }
    let (mut seen, mut host_ports) = (BTreeSet::new(), BTreeSet::new());
    let init = spec.init_containers.iter().flatten().enumerate().map(|(i, c)| ("initContainers", i, c));
    let main = spec.containers.iter().enumerate().map(|(i, c)| ("containers", i, c));
    for (list, i, c) in init.chain(main) {
        let here = format!("{field}.{list}[{i}]");
        names::name(&c.name, Form::Label, format!("{here}.name"), out);
        if !c.name.is_empty() && !seen.insert(c.name.as_str()) {
            out.duplicate(format!("{here}.name"), c.name.as_str());
        }
        for (j, p) in c.ports.iter().flatten().enumerate() {
            let Some(port) = p.host_port else { continue };
            let at = format!("{here}.ports[{j}].hostPort");
            if spec.host_network == Some(true) && port != p.container_port {
                out.invalid(at.as_str(), port, "must match `containerPort` when `hostNetwork` is true");
            }
            if !host_ports.insert((port, p.protocol.as_deref(), p.host_ip.as_deref())) {
                out.duplicate(at, port);
            }
        }
        init_rules(c, list, &here, out);
        container::container(c, volumes, &here, out);
    }
}

fn init_rules(c: &Container, list: &str, here: &str, out: &mut Causes) {
    if list == "containers" {
        if c.restart_policy.is_some() {
            out.forbidden(format!("{here}.restartPolicy"), "may not be set for non-init containers");
        }
        return;
    }
    if c.restart_policy.is_some() {
        return;
    }
    let set = [
        ("lifecycle", c.lifecycle.is_some()),
        ("livenessProbe", c.liveness_probe.is_some()),
        ("readinessProbe", c.readiness_probe.is_some()),
        ("startupProbe", c.startup_probe.is_some()),
    ];
    for (name, _) in set.into_iter().filter(|(_, set)| *set) {
        out.forbidden(format!("{here}.{name}"), "may not be set for init containers without restartPolicy=Always");
    }
}

fn dns(spec: &PodSpec, field: &str, out: &mut Causes) {
    let config = spec.dns_config.as_ref();
    let servers = config.and_then(|c| c.nameservers.as_deref()).unwrap_or_default();
    let searches = config.and_then(|c| c.searches.as_deref()).unwrap_or_default();
    let here = format!("{field}.dnsConfig");
    if spec.dns_policy.as_deref() == Some("None") && servers.is_empty() {
        out.required(
            format!("{here}.nameservers"),
            "must provide at least one DNS nameserver when `dnsPolicy` is None",
        );
    }
    if servers.len() > NAMESERVERS_MAX {
        out.too_many(format!("{here}.nameservers"), servers.len(), NAMESERVERS_MAX);
    }
    if searches.len() > SEARCHES_MAX {
        out.too_many(format!("{here}.searches"), searches.len(), SEARCHES_MAX);
    }
    for (i, s) in servers.iter().enumerate() {
        ip(s, format!("{here}.nameservers[{i}]"), out);
    }
    for (i, s) in searches.iter().enumerate() {
        let text = s.strip_suffix('.').unwrap_or(s);
        names::name(text, Form::Subdomain, format!("{here}.searches[{i}]"), out);
    }
    for (i, a) in spec.host_aliases.iter().flatten().enumerate() {
        ip(&a.ip, format!("{field}.hostAliases[{i}].ip"), out);
        for (j, h) in a.hostnames.iter().flatten().enumerate() {
            names::name(h, Form::Subdomain, format!("{field}.hostAliases[{i}].hostnames[{j}]"), out);
        }
    }
}

fn ip(text: &str, field: String, out: &mut Causes) {
    if text.parse::<std::net::IpAddr>().is_err() {
        out.invalid(field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}

fn security(sc: &PodSecurityContext, spec: &PodSpec, field: &str, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    for (i, s) in sc.sysctls.iter().flatten().enumerate() {
        let here = format!("{field}.sysctls[{i}].name");
        if !seen.insert(&s.name) {
            out.duplicate(here.as_str(), s.name.as_str());
        }
        if !SAFE_SYSCTLS.contains(&s.name.as_str()) {
            out.unsupported(here, &Value::from(s.name.as_str()), SAFE_SYSCTLS);
        } else if spec.host_network == Some(true) && s.name.starts_with("net.") {
            out.invalid(here, s.name.as_str(), "may not be specified when 'hostNetwork' is true");
        } else if spec.host_ipc == Some(true) && s.name.starts_with("kernel.") {
            out.invalid(here, s.name.as_str(), "may not be specified when 'hostIPC' is true");
        }
    }
    if sc.seccomp_profile.as_ref().is_some_and(|p| p.type_.is_empty()) {
        out.required(format!("{field}.seccompProfile.type"), "");
    }
    if let Some(p) = &sc.app_armor_profile {
        apparmor(p, &format!("{field}.appArmorProfile"), out);
    }
}

/// Longest name of a profile.
const APPARMOR_NAME_MAX: usize = 4095;

/// Type and name of an AppArmor profile.
pub(super) fn apparmor(p: &AppArmorProfile, field: &str, out: &mut Causes) {
    let name = p.localhost_profile.as_deref();
    let here = format!("{field}.localhostProfile");
    match (p.type_.as_str(), name) {
        ("", _) => out.required(format!("{field}.type"), "type is required when appArmorProfile is set"),
        ("Localhost", None | Some("")) => {
            out.required(here, "must be set when AppArmor type is Localhost");
        }
        ("Localhost", Some(name)) if name.trim() != name => {
            out.invalid(here, name, "must not be padded with whitespace")
        }
        ("Localhost", Some(name)) if name.len() > APPARMOR_NAME_MAX => {
            out.invalid(here, name, format!("must be no more than {APPARMOR_NAME_MAX} bytes"));
        }
        ("Localhost", Some(_)) | (_, None) => {}
        (_, Some(_)) => out.invalid(here, name, "can only be set when AppArmor type is Localhost"),
    }
}
