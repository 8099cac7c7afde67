//! `batch/v1`.

use serde_json::{Value, json};

use super::{child, pod::template, put, set, text};

/// Labels by which a Job finds its pods.
const JOB_UID: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
const JOB_NAME: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

pub(super) fn job(object: &mut Value) {
    generated_selector(object);
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    if let Some(labels) = labels.filter(|l| l.as_object().is_some_and(|m| !m.is_empty()))
        && object.pointer("/metadata/labels").and_then(Value::as_object).is_none_or(|m| m.is_empty())
    {
        put(child(object, "metadata"), "labels", labels);
    }
    let spec = child(object, "spec");
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        set(spec, "completions", 1);
    }
    set(spec, "parallelism", 1);
    set(spec, "backoffLimit", 6);
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    set(spec, "podReplacementPolicy", "TerminatingOrFailed");
    set(spec, "manualSelector", false);
    template(spec);
}

/// Selector and labels from the uid, once the object has one.
fn generated_selector(object: &mut Value) {
    let uid = text(&object["metadata"], "uid").to_owned();
    let name = text(&object["metadata"], "name").to_owned();
    let spec = child(object, "spec");
    if uid.is_empty() || spec["manualSelector"] == true {
        return;
    }
    set(spec, "selector", json!({"matchLabels": {JOB_UID[0]: uid.as_str()}}));
    let labels = child(child(child(spec, "template"), "metadata"), "labels");
    for (keys, value) in [(JOB_UID, uid), (JOB_NAME, name)] {
        for key in keys {
            set(labels, key, value.as_str());
        }
    }
}

pub(super) fn cron_job(spec: &mut Value) {
    set(spec, "concurrencyPolicy", "Allow");
    set(spec, "suspend", false);
    set(spec, "successfulJobsHistoryLimit", 3);
    set(spec, "failedJobsHistoryLimit", 1);
    template(child(child(spec, "jobTemplate"), "spec"));
}
