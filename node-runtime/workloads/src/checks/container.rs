//! Containers.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{Container, EnvVar, ObjectFieldSelector, SecurityContext},
    apimachinery::pkg::api::resource::Quantity,
};
use serde_json::Value;

use super::{
    names::{self, Form},
    pod, probe,
};
use crate::{cause::Causes, quantity};

/// What `fieldRef` may name in environment variables; labels and annotations
/// by key besides.
pub(super) const FIELD_PATHS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Linux capabilities (`capabilities(7)`), without `CAP_`.
const CAPABILITIES: &[&str] = &[
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Least limit in which anything runs, in thousandths: one thousandth of a
/// core, 4 MB.
const LIMIT_LEAST: [(&str, u64, &str); 2] = [("cpu", 1, "1m"), ("memory", 4_000_000_000, "4M")];

/// Check one container; `volumes` are those of its pod.
pub(super) fn container(c: &Container, volumes: &BTreeSet<&str>, field: &str, out: &mut Causes) {
    match c.image.as_deref().unwrap_or("") {
        "" => out.required(format!("{field}.image"), ""),
        image if image.trim() != image => {
            out.invalid(format!("{field}.image"), image, "must not have leading or trailing whitespace");
        }
        _ => {}
    }
    ports(c, field, out);
    for (i, e) in c.env.iter().flatten().enumerate() {
        env(e, &format!("{field}.env[{i}]"), out);
    }
    env_from(c, field, out);
    resources(c, field, out);
    mounts(c, volumes, field, out);
    if c.working_dir.as_ref().is_some_and(|w| !w.is_empty() && !w.starts_with('/')) {
        out.invalid(format!("{field}.workingDir"), c.working_dir.clone(), "must be an absolute path");
    }
    if c.termination_message_path.as_ref().is_some_and(|p| !absolute(p)) {
        let why = "must be an absolute path below /, without '..'";
        out.invalid(format!("{field}.terminationMessagePath"), c.termination_message_path.clone(), why);
    }
    if c.stdin_once == Some(true) && c.stdin != Some(true) {
        out.invalid(format!("{field}.stdinOnce"), true, "needs stdin: true");
    }
    if let Some(sc) = &c.security_context {
        security(sc, &format!("{field}.securityContext"), out);
    }
    probe::probes(c, field, out);
}

fn ports(c: &Container, field: &str, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    for (i, p) in c.ports.iter().flatten().enumerate() {
        let here = format!("{field}.ports[{i}]");
        if p.container_port == 0 {
            out.required(format!("{here}.containerPort"), "");
        }
        if let Some(name) = p.name.as_deref().filter(|n| !n.is_empty()) {
            names::port_name(name, format!("{here}.name"), out);
            if !seen.insert(name) {
                out.duplicate(format!("{here}.name"), name);
            }
        }
        if p.host_ip.as_deref().is_some_and(|ip| !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err()) {
            out.invalid(format!("{here}.hostIP"), p.host_ip.clone(), "must be a valid IP address");
        }
    }
}

fn env(e: &EnvVar, field: &str, out: &mut Causes) {
    env_name(&e.name, format!("{field}.name"), out);
    let Some(from) = &e.value_from else { return };
    let here = format!("{field}.valueFrom");
    let sources = [
        from.field_ref.is_some(),
        from.resource_field_ref.is_some(),
        from.config_map_key_ref.is_some(),
        from.secret_key_ref.is_some(),
    ];
    match sources.iter().filter(|s| **s).count() {
        0 => out.invalid(
            here.as_str(),
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        ),
        1 if e.value.as_deref().is_some_and(|v| !v.is_empty()) => {
            out.invalid(here.as_str(), "", "may not be specified when `value` is not empty");
        }
        1 => {}
        _ => out.invalid(here.as_str(), "", "may not have more than one field specified at a time"),
    }
    if let Some(f) = &from.field_ref {
        field_ref(f, FIELD_PATHS, &format!("{here}.fieldRef"), out);
    }
    if let Some(r) = &from.resource_field_ref {
        resource_ref(&r.resource, &format!("{here}.resourceFieldRef"), out);
    }
    let config = from.config_map_key_ref.as_ref().map(|r| ("configMapKeyRef", &r.name, &r.key));
    let secret = from.secret_key_ref.as_ref().map(|r| ("secretKeyRef", &r.name, &r.key));
    for (what, name, key) in [config, secret].into_iter().flatten() {
        names::name(name, Form::Subdomain, format!("{here}.{what}.name"), out);
        match key.as_str() {
            "" => out.required(format!("{here}.{what}.key"), ""),
            key => names::config_key(key, &format!("{here}.{what}.key"), out),
        }
    }
}

fn env_name(name: &str, field: String, out: &mut Causes) {
    match name {
        "" => out.required(field, ""),
        n if n.contains(['=', '\0']) => {
            let why =
                "a valid environment variable name must consist only of printable ASCII characters other than '='";
            out.invalid(field, n, why);
        }
        _ => {}
    }
}

fn env_from(c: &Container, field: &str, out: &mut Causes) {
    for (i, e) in c.env_from.iter().flatten().enumerate() {
        let here = format!("{field}.envFrom[{i}]");
        if let Some(prefix) = e.prefix.as_deref().filter(|p| !p.is_empty()) {
            env_name(prefix, format!("{here}.prefix"), out);
        }
        let config = e.config_map_ref.as_ref().map(|r| ("configMapRef", &r.name));
        let secret = e.secret_ref.as_ref().map(|r| ("secretRef", &r.name));
        match (config, secret) {
            (None, None) => out.invalid(here, "", "must specify one of: `configMapRef` or `secretRef`"),
            (Some(_), Some(_)) => out.invalid(here, "", "may not have more than one field specified at a time"),
            (Some((what, name)), _) | (_, Some((what, name))) => {
                names::name(name, Form::Subdomain, format!("{here}.{what}.name"), out);
            }
        }
    }
}

/// Check a downward API path against those that are possible at its place.
pub(super) fn field_ref(f: &ObjectFieldSelector, allowed: &[&str], field: &str, out: &mut Causes) {
    let keyed = |prefix: &str| {
        f.field_path
            .strip_prefix(prefix)
            .and_then(|r| r.strip_suffix("']"))
            .is_some_and(|k| names::key_error(k).is_none())
    };
    if f.field_path.is_empty() {
        out.required(format!("{field}.fieldPath"), "");
    } else if !allowed.contains(&f.field_path.as_str())
        && !keyed("metadata.labels['")
        && !keyed("metadata.annotations['")
    {
        let allowed = [allowed, &["metadata.labels['KEY']", "metadata.annotations['KEY']"]].concat();
        out.unsupported(format!("{field}.fieldPath"), &Value::from(f.field_path.as_str()), &allowed);
    }
}

/// Check a reference to a container's resources.
pub(super) fn resource_ref(resource: &str, field: &str, out: &mut Causes) {
    if resource.is_empty() {
        out.required(format!("{field}.resource"), "");
    }
}

fn resources(c: &Container, field: &str, out: &mut Causes) {
    let Some(r) = &c.resources else { return };
    let get = |m: &Option<BTreeMap<String, Quantity>>, key: &str| m.as_ref().and_then(|m| m.get(key)).cloned();
    for key in ["cpu", "memory", "ephemeral-storage"] {
        let (Some(limit), Some(request)) = (get(&r.limits, key), get(&r.requests, key)) else { continue };
        if quantity::millis(&request.0) > quantity::millis(&limit.0) {
            let why = format!("must be less than or equal to {key} limit of {}", limit.0);
            out.invalid(format!("{field}.resources.requests"), request.0, why);
        }
    }
    for (key, least, unit) in LIMIT_LEAST {
        let Some(limit) = get(&r.limits, key) else { continue };
        if quantity::millis(&limit.0).is_some_and(|l| l < least) {
            out.invalid(
                format!("{field}.resources.limits.{key}"),
                limit.0,
                format!("nothing runs in less than {unit}"),
            );
        }
    }
}

fn mounts(c: &Container, volumes: &BTreeSet<&str>, field: &str, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    for (i, m) in c.volume_mounts.iter().flatten().enumerate() {
        let here = format!("{field}.volumeMounts[{i}]");
        match m.name.as_str() {
            "" => out.required(format!("{here}.name"), ""),
            name if !volumes.contains(name) => {
                out.invalid(format!("{here}.name"), name, "Not found: the pod has no volume of this name");
            }
            _ => {}
        }
        match m.mount_path.as_str() {
            "" => out.required(format!("{here}.mountPath"), ""),
            path if !absolute(path) => {
                out.invalid(format!("{here}.mountPath"), path, "must be an absolute path below /, without '..'");
            }
            path if !seen.insert(path) => out.invalid(format!("{here}.mountPath"), path, "must be unique"),
            _ => {}
        }
        if let Some(path) = m.sub_path.as_deref().filter(|p| !p.is_empty()) {
            relative(path, format!("{here}.subPath"), out);
        }
    }
}

fn absolute(path: &str) -> bool {
    path.starts_with('/')
        && !path.trim_matches('/').is_empty()
        && !path.contains(['\0', ':', '\n'])
        && path.split('/').all(|p| p != "..")
}

/// Check a path inside a volume.
pub(super) fn relative(path: &str, field: String, out: &mut Causes) {
    if path.starts_with('/') {
        out.invalid(field, path, "must be a relative path");
    } else if path.split('/').any(|p| p == "..") || path.contains(['\0', '\n']) {
        out.invalid(field, path, "must not contain '..'");
    }
}

fn security(sc: &SecurityContext, field: &str, out: &mut Causes) {
    if let Some(p) = &sc.app_armor_profile {
        pod::apparmor(p, &format!("{field}.appArmorProfile"), out);
    }
    let privileged = sc.privileged == Some(true);
    let added = || sc.capabilities.iter().flat_map(|c| c.add.iter().flatten());
    if sc.allow_privilege_escalation == Some(false) {
        if privileged {
            out.invalid(field, Value::Null, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        if added().any(|a| a == "SYS_ADMIN" || a == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            out.invalid(field, Value::Null, why);
        }
    }
    let dropped = sc.capabilities.iter().flat_map(|c| c.drop.iter().flatten());
    for (what, list) in [("add", added().collect::<Vec<_>>()), ("drop", dropped.collect())] {
        for (i, name) in list.into_iter().enumerate() {
            if !CAPABILITIES.contains(&name.strip_prefix("CAP_").unwrap_or(name)) {
                let here = format!("{field}.capabilities.{what}[{i}]");
                out.invalid(here, name.as_str(), "is no capability of Linux, such as NET_BIND_SERVICE");
            }
        }
    }
}
