//! `batch/v1`.

use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};

use super::{
    cron, meta,
    pod::{RESTART_ENDING, template},
};
use crate::cause::Causes;

/// Most completions of an Indexed Job, as in Kubernetes.
const INDEXED_COMPLETIONS_MAX: i32 = 100_000;

pub(super) fn job(j: &Job, out: &mut Causes) {
    let Some(spec) = &j.spec else { return out.required("spec", "") };
    job_spec(spec, "spec", out);
    let Some(selector) = &spec.selector else { return };
    meta::selector(selector, "spec.selector", out);
    let generated = selector
        .match_labels
        .iter()
        .flatten()
        .any(|(k, v)| k == "batch.kubernetes.io/controller-uid" && Some(v) == j.metadata.uid.as_ref());
    if spec.manual_selector != Some(true) && !generated {
        let shown = serde_json::to_value(selector).unwrap_or_default();
        out.invalid("spec.selector", shown, "`selector` not auto-generated");
    }
}

fn job_spec(spec: &JobSpec, field: &str, out: &mut Causes) {
    template(&spec.template, &format!("{field}.template"), RESTART_ENDING, out);
    if spec.completion_mode.as_deref() == Some("Indexed") {
        match spec.completions {
            None => out.required(format!("{field}.completions"), "when completion mode is Indexed"),
            Some(n) if n > INDEXED_COMPLETIONS_MAX => {
                let why = format!("must be less than or equal to {INDEXED_COMPLETIONS_MAX}");
                out.invalid(format!("{field}.completions"), n, why);
            }
            _ => {}
        }
    }
}

pub(super) fn cron_job(c: &CronJob, out: &mut Causes) {
    let Some(spec) = &c.spec else { return out.required("spec", "") };
    match spec.schedule.as_str() {
        "" => out.required("spec.schedule", ""),
        s if s.contains("TZ") => {
            out.invalid("spec.schedule", s, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        }
        s => {
            if let Some(why) = cron::schedule_error(s) {
                out.invalid("spec.schedule", s, why);
            }
        }
    }
    match spec.time_zone.as_deref() {
        None => {}
        Some("") => out.invalid("spec.timeZone", "", "timeZone must be nil or non-empty string"),
        Some(zone) if !cron::zone_known(zone) => out.invalid("spec.timeZone", zone, "unknown time zone"),
        Some(_) => {}
    }
    match &spec.job_template.spec {
        None => out.required("spec.jobTemplate.spec", ""),
        Some(job) => {
            job_spec(job, "spec.jobTemplate.spec", out);
            if job.selector.is_some() || job.manual_selector == Some(true) {
                out.invalid("spec.jobTemplate.spec.selector", "", "`selector` will be auto-generated");
            }
        }
    }
}
