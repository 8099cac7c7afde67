//! `metadata`, and label selectors.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde_json::Value;
use skerry_machinery::Kind;

use super::names::{self, Form, form_error, key_error, label_value_error};
use crate::cause::Causes;

/// Most bytes of all annotations of an object.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;

/// Longest name of a CronJob: its Jobs append eleven characters to it.
const CRON_JOB_NAME_MAX: usize = 52;

/// Check the metadata of an object.
pub(super) fn metadata(kind: &Kind, meta: &ObjectMeta, out: &mut Causes) {
    let form = match kind.kind {
        "Service" => Form::Label1035,
        "Namespace" => Form::Label,
        _ => Form::Subdomain,
    };
    let name = meta.name.as_deref().unwrap_or("");
    let prefix = meta.generate_name.as_deref().unwrap_or("");
    if name.is_empty() && prefix.is_empty() {
        out.required("metadata.name", "name or generateName is required");
    }
    if !name.is_empty() {
        names::name(name, form, "metadata.name", out);
        if kind.kind == "CronJob" && name.len() > CRON_JOB_NAME_MAX {
            out.invalid("metadata.name", name, format!("must be no more than {CRON_JOB_NAME_MAX} characters"));
        }
    }
    if !prefix.is_empty()
        && let Some(why) = form_error(&format!("{}x", prefix.get(..200).unwrap_or(prefix)), form)
    {
        out.invalid("metadata.generateName", prefix, why);
    }
    match meta.namespace.as_deref() {
        Some(ns) if !kind.namespaced && !ns.is_empty() => {
            out.forbidden("metadata.namespace", "not allowed on this type");
        }
        Some(ns) if kind.namespaced => names::name(ns, Form::Label, "metadata.namespace", out),
        _ => {}
    }
    for (i, o) in meta.owner_references.iter().flatten().enumerate() {
        let parts = [("apiVersion", &o.api_version), ("kind", &o.kind), ("name", &o.name), ("uid", &o.uid)];
        for (part, _) in parts.into_iter().filter(|(_, text)| text.is_empty()) {
            out.invalid(format!("metadata.ownerReferences[{i}].{part}"), "", "must not be empty");
        }
    }
    for (i, f) in meta.finalizers.iter().flatten().enumerate() {
        if let Some(why) = key_error(f) {
            out.invalid(format!("metadata.finalizers[{i}]"), f.as_str(), why);
        }
    }
    labels_and_annotations(meta, "metadata", out);
}

/// Check labels and annotations, also of a pod template.
pub(super) fn labels_and_annotations(meta: &ObjectMeta, field: &str, out: &mut Causes) {
    names::labels(meta.labels.iter().flatten(), &format!("{field}.labels"), out);
    let field = format!("{field}.annotations");
    let mut bytes = 0;
    for (key, value) in meta.annotations.iter().flatten() {
        bytes += key.len() + value.len();
        if let Some(why) = key_error(&key.to_ascii_lowercase()) {
            out.invalid(field.as_str(), key.as_str(), why);
        }
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        out.forbidden(field, format!("annotations may not be more than {ANNOTATIONS_BYTES_MAX} bytes together"));
    }
}

/// Check a label selector.
pub(super) fn selector(selector: &LabelSelector, field: &str, out: &mut Causes) {
    let labels = format!("{field}.matchLabels");
    names::labels(selector.match_labels.iter().flatten(), &labels, out);
    for (i, e) in selector.match_expressions.iter().flatten().enumerate() {
        let here = format!("{field}.matchExpressions[{i}]");
        let values = e.values.as_deref().unwrap_or_default();
        if let Some(why) = key_error(&e.key) {
            out.invalid(format!("{here}.key"), e.key.as_str(), why);
        }
        match e.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                out.required(format!("{here}.values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                out.forbidden(
                    format!("{here}.values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            "" => out.required(format!("{here}.operator"), ""),
            _ => {}
        }
        for (j, v) in values.iter().enumerate() {
            if let Some(why) = label_value_error(v) {
                out.invalid(format!("{here}.values[{j}]"), v.as_str(), why);
            }
        }
    }
}

/// Check the selector of a workload against the labels of its pods.
pub(super) fn workload_selector(s: &LabelSelector, labels: Option<&ObjectMeta>, kind: &Kind, out: &mut Causes) {
    if s.match_labels.iter().flatten().next().is_none() && s.match_expressions.iter().flatten().next().is_none() {
        return out.required("spec.selector", &format!("empty selector is invalid for {}", kind.singular));
    }
    let before = out.list.len();
    selector(s, "spec.selector", out);
    let labels = labels.and_then(|m| m.labels.clone()).unwrap_or_default();
    if out.list.len() == before && !matches(s, &labels) {
        let shown: Value = labels.into_iter().map(|(k, v)| (k, Value::from(v))).collect();
        out.invalid("spec.template.metadata.labels", shown, "`selector` does not match template `labels`");
    }
}

fn matches(s: &LabelSelector, labels: &std::collections::BTreeMap<String, String>) -> bool {
    let by_labels = s.match_labels.iter().flatten().all(|(k, v)| labels.get(k) == Some(v));
    let by_expressions = s.match_expressions.iter().flatten().all(|e| {
        let has = labels.get(&e.key);
        let listed = has.is_some_and(|v| e.values.iter().flatten().any(|w| w == v));
        match e.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => has.is_some(),
            _ => has.is_none(),
        }
    });
    by_labels && by_expressions
}
