//! Probes and lifecycle hooks.

use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde_json::Value;

use crate::cause::Causes;

/// Check all probes and hooks of a container.
pub(super) fn probes(c: &Container, field: &str, out: &mut Causes) {
    let all = [
        ("startupProbe", &c.startup_probe),
        ("livenessProbe", &c.liveness_probe),
        ("readinessProbe", &c.readiness_probe),
    ];
    for (name, p) in all {
        let Some(p) = p else { continue };
        let here = format!("{field}.{name}");
        probe(p, c, &here, out);
        if name == "readinessProbe" {
            if p.termination_grace_period_seconds.is_some() {
                let at = format!("{here}.terminationGracePeriodSeconds");
                out.forbidden(at, "must not be set for readinessProbes");
            }
        } else if p.success_threshold.is_some_and(|n| n != 1) {
            out.invalid(format!("{here}.successThreshold"), p.success_threshold, "must be 1");
        }
    }
    let hooks = c.lifecycle.iter().flat_map(|l| [("postStart", &l.post_start), ("preStop", &l.pre_stop)]);
    for (name, hook) in hooks {
        if let Some(hook) = hook {
            handler(hook, c, &format!("{field}.lifecycle.{name}"), out);
        }
    }
}

fn probe(p: &Probe, c: &Container, field: &str, out: &mut Causes) {
    let set = [p.exec.is_some(), p.http_get.is_some(), p.tcp_socket.is_some(), p.grpc.is_some()];
    one_handler(&set, field, out);
    if let Some(e) = &p.exec {
        command(e.command.as_deref(), field, out);
    }
    if let Some(h) = &p.http_get {
        http(h, c, &format!("{field}.httpGet"), out);
    }
    if let Some(t) = &p.tcp_socket {
        port(&t.port, c, &format!("{field}.tcpSocket.port"), out);
    }
    if p.grpc.as_ref().is_some_and(|g| g.port == 0) {
        out.required(format!("{field}.grpc.port"), "");
    }
}

fn handler(h: &LifecycleHandler, c: &Container, field: &str, out: &mut Causes) {
    one_handler(&[h.exec.is_some(), h.http_get.is_some(), h.sleep.is_some()], field, out);
    if let Some(e) = &h.exec {
        command(e.command.as_deref(), field, out);
    }
    if let Some(g) = &h.http_get {
        http(g, c, &format!("{field}.httpGet"), out);
    }
}

fn one_handler(set: &[bool], field: &str, out: &mut Causes) {
    match set.iter().filter(|s| **s).count() {
        0 => out.required(field, "must specify a handler type"),
        1 => {}
        _ => out.forbidden(field, "may not specify more than 1 handler type"),
    }
}

fn command(command: Option<&[String]>, field: &str, out: &mut Causes) {
    if command.is_none_or(<[String]>::is_empty) {
        out.required(format!("{field}.exec.command"), "");
    }
}

fn http(h: &HTTPGetAction, c: &Container, field: &str, out: &mut Causes) {
    port(&h.port, c, &format!("{field}.port"), out);
    if h.path.as_deref().unwrap_or("").contains(['\r', '\n']) {
        out.invalid(format!("{field}.path"), h.path.clone(), "must be one line");
    }
    for (i, header) in h.http_headers.iter().flatten().enumerate() {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if header.name.is_empty() || !header.name.bytes().all(token) {
            let why = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name')";
            out.invalid(format!("{field}.httpHeaders[{i}].name"), header.name.as_str(), why);
        }
        if header.value.contains(['\r', '\n']) {
            out.invalid(format!("{field}.httpHeaders[{i}].value"), header.value.as_str(), "must be one line");
        }
    }
}

fn port(port: &IntOrString, c: &Container, field: &str, out: &mut Causes) {
    match port {
        IntOrString::Int(0) => out.required(field, ""),
        IntOrString::Int(_) => {}
        IntOrString::String(name) if name.is_empty() => out.required(field, ""),
        IntOrString::String(name) => {
            if !c.ports.iter().flatten().any(|p| p.name.as_ref() == Some(name)) {
                out.invalid(field, Value::from(name.as_str()), "the container has no port of this name");
            }
        }
    }
}
