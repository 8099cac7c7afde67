//! `apps/v1`.

use k8s_openapi::{
    api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    apimachinery::pkg::util::intstr::IntOrString,
};
use skerry_machinery::Kind;

use super::{
    meta::workload_selector,
    pod::{RESTART_ALWAYS, template},
    storage,
};
use crate::cause::Causes;

const TEMPLATE: &str = "spec.template";

pub(super) fn deployment(d: &Deployment, kind: &Kind, out: &mut Causes) {
    let Some(spec) = &d.spec else { return out.required("spec", "") };
    workload_selector(&spec.selector, spec.template.metadata.as_ref(), kind, out);
    template(&spec.template, TEMPLATE, RESTART_ALWAYS, out);
    let deadline = spec.progress_deadline_seconds;
    if deadline.is_some_and(|d| d <= spec.min_ready_seconds.unwrap_or(0)) {
        out.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds");
    }
    let Some(strategy) = &spec.strategy else { return };
    let Some(rolling) = &strategy.rolling_update else { return };
    if strategy.type_.as_deref() == Some("Recreate") {
        let why = "may not be specified when strategy `type` is 'Recreate'";
        return out.forbidden("spec.strategy.rollingUpdate", why);
    }
    let field = "spec.strategy.rollingUpdate.maxUnavailable";
    let (unavailable, surge) = (amount(rolling.max_unavailable.as_ref()), amount(rolling.max_surge.as_ref()));
    at_most_all(rolling.max_unavailable.as_ref(), field, out);
    if unavailable == 0 && surge == 0 {
        out.invalid(field, 0, "may not be 0 when `maxSurge` is 0");
    }
}

pub(super) fn replica_set(r: &ReplicaSet, kind: &Kind, out: &mut Causes) {
    let Some(spec) = &r.spec else { return out.required("spec", "") };
    let none = Default::default();
    let pods = spec.template.as_ref().unwrap_or(&none);
    workload_selector(&spec.selector, pods.metadata.as_ref(), kind, out);
    template(pods, TEMPLATE, RESTART_ALWAYS, out);
}

pub(super) fn stateful_set(s: &StatefulSet, kind: &Kind, out: &mut Causes) {
    let Some(spec) = &s.spec else { return out.required("spec", "") };
    workload_selector(&spec.selector, spec.template.metadata.as_ref(), kind, out);
    let mut pods = spec.template.clone();
    let claims = spec.volume_claim_templates.as_deref().unwrap_or_default();
    // Mounts may name a claim template; its volume is added to each pod.
    if let Some(p) = pods.spec.as_mut() {
        let known: Vec<_> = p.volumes.iter().flatten().map(|v| v.name.clone()).collect();
        let new = claims.iter().filter_map(|c| c.metadata.name.clone()).filter(|n| !n.is_empty() && !known.contains(n));
        let source = k8s_openapi::api::core::v1::PersistentVolumeClaimVolumeSource {
            claim_name: "claim".into(),
            ..Default::default()
        };
        let volume = |name| k8s_openapi::api::core::v1::Volume {
            name,
            persistent_volume_claim: Some(source.clone()),
            ..Default::default()
        };
        let new: Vec<_> = new.map(volume).collect();
        p.volumes.get_or_insert_default().extend(new);
    }
    template(&pods, TEMPLATE, RESTART_ALWAYS, out);
    for (i, c) in claims.iter().enumerate() {
        let field = format!("spec.volumeClaimTemplates[{i}]");
        let name = c.metadata.name.as_deref().unwrap_or("");
        super::names::name(name, super::names::Form::Label, format!("{field}.metadata.name"), out);
        storage::claim_spec(c.spec.as_ref(), &format!("{field}.spec"), out);
    }
    if let Some(name) = spec.service_name.as_deref().filter(|n| !n.is_empty()) {
        super::names::name(name, super::names::Form::Label1035, "spec.serviceName", out);
    }
    let strategy = spec.update_strategy.as_ref();
    if strategy.is_some_and(|u| u.type_.as_deref() == Some("OnDelete") && u.rolling_update.is_some()) {
        let why = "may not be specified when strategy `type` is 'OnDelete'";
        out.forbidden("spec.updateStrategy.rollingUpdate", why);
    }
}

pub(super) fn daemon_set(d: &DaemonSet, kind: &Kind, out: &mut Causes) {
    let Some(spec) = &d.spec else { return out.required("spec", "") };
    workload_selector(&spec.selector, spec.template.metadata.as_ref(), kind, out);
    template(&spec.template, TEMPLATE, RESTART_ALWAYS, out);
    let Some(strategy) = &spec.update_strategy else { return };
    let Some(rolling) = &strategy.rolling_update else { return };
    if strategy.type_.as_deref() == Some("OnDelete") {
        let why = "may not be specified when strategy `type` is 'OnDelete'";
        return out.forbidden("spec.updateStrategy.rollingUpdate", why);
    }
    let field = "spec.updateStrategy.rollingUpdate";
    let (unavailable, surge) = (amount(rolling.max_unavailable.as_ref()), amount(rolling.max_surge.as_ref()));
    at_most_all(rolling.max_unavailable.as_ref(), &format!("{field}.maxUnavailable"), out);
    match (unavailable, surge) {
        (0, 0) => out.required(format!("{field}.maxUnavailable"), "cannot be 0 when maxSurge is 0"),
        (1.., 1..) => out.invalid(format!("{field}.maxSurge"), surge, "may not be set when maxUnavailable is non-zero"),
        _ => {}
    }
}

/// The number in a number or percentage.
fn amount(value: Option<&IntOrString>) -> i64 {
    match value {
        None => 0,
        Some(IntOrString::Int(n)) => i64::from(*n),
        Some(IntOrString::String(s)) => s.trim_end_matches('%').parse().unwrap_or(0),
    }
}

fn at_most_all(value: Option<&IntOrString>, field: &str, out: &mut Causes) {
    if let Some(IntOrString::String(s)) = value
        && amount(value) > 100
    {
        out.invalid(field, s.as_str(), "must not be greater than 100%");
    }
}
