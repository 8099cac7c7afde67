//! CronJob → Jobs, at their times.
//!
//! After a time off only the latest missed Job is started. Without `timeZone`
//! schedules are in UTC.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job},
        core::v1::ObjectReference,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use crate::{
    cron::{self, Schedule},
    job::status::{complete, finished, succeeded_at},
    kinds,
    run::{Obj, Run},
};

/// Annotation of a Job: the time that it is for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// So many missed times are reported.
const MISSED_MAX: usize = 100;

pub(crate) fn run(run: &mut Run<'_>, cron_jobs: &[Obj<CronJob>], jobs: &[Obj<Job>]) {
    for cron_job in cron_jobs.iter().filter(|c| !c.terminating()) {
        let Some(spec) = &cron_job.spec else { continue };
        let mine: Vec<&Obj<Job>> =
            jobs.iter().filter(|j| j.ns() == cron_job.ns() && j.owned_by(cron_job.uid())).collect();
        let status = status(run, cron_job, &mine);
        clean_up(run, cron_job, spec, &mine);
        if spec.suspend != Some(true)
            && let Some((schedule, zone)) = times(run, cron_job, spec)
        {
            start_due(run, cron_job, spec, &status, &mine, (&schedule, &zone));
            if let Some(next) = schedule.next(run.now, &zone) {
                run.wake(next);
            }
        }
        if cron_job.status.as_ref() != Some(&status) {
            let mut new = cron_job.v.clone();
            new.status = Some(status);
            run.update_status(cron_job.key(), &new);
        }
    }
}

fn times(run: &mut Run<'_>, cron_job: &Obj<CronJob>, spec: &CronJobSpec) -> Option<(Schedule, TimeZone)> {
    let Some(schedule) = cron::parse(&spec.schedule) else {
        let text = format!("unparseable schedule: {:?}", spec.schedule);
        run.warn_once(&cron_job.stored, "UnparseableCronJobSchedule", text);
        return None;
    };
    let Some(name) = &spec.time_zone else { return Some((schedule, TimeZone::UTC)) };
    let Some(zone) = cron::zone(name) else {
        run.warn_once(&cron_job.stored, "UnknownTimeZone", format!("invalid timeZone: {name:?}"));
        return None;
    };
    Some((schedule, zone))
}

fn status(run: &mut Run<'_>, cron_job: &Obj<CronJob>, mine: &[&Obj<Job>]) -> CronJobStatus {
    let old = cron_job.status.clone().unwrap_or_default();
    for job in mine.iter().filter(|j| finished(j)) {
        if old.active.iter().flatten().any(|a| a.uid.as_deref() == Some(job.uid())) {
            let how = if complete(job) { "Complete" } else { "Failed" };
            let text = format!("Saw completed job: {}, condition: {how}", job.name());
            run.normal(&cron_job.stored, "SawCompletedJob", text);
        }
    }
    let active: Vec<ObjectReference> = mine.iter().filter(|j| !finished(j)).map(|j| reference(j)).collect();
    let started = mine.iter().filter_map(|j| scheduled(j)).map(Time).max();
    let succeeded = mine.iter().filter(|j| complete(j)).filter_map(|j| succeeded_at(j)).map(Time).max();
    CronJobStatus {
        active: Some(active).filter(|a| !a.is_empty()),
        last_schedule_time: started.max(old.last_schedule_time),
        last_successful_time: succeeded.max(old.last_successful_time),
    }
}

fn scheduled(job: &Obj<Job>) -> Option<Timestamp> {
    job.meta().annotations.get(SCHEDULED)?.parse().ok()
}

fn reference(job: &Obj<Job>) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".into()),
        kind: Some("Job".into()),
        name: Some(job.name().into()),
        namespace: Some(job.ns().into()),
        uid: Some(job.uid().into()),
        ..ObjectReference::default()
    }
}

fn start_due(
    run: &mut Run<'_>,
    cron_job: &Obj<CronJob>,
    spec: &CronJobSpec,
    status: &CronJobStatus,
    mine: &[&Obj<Job>],
    (schedule, zone): (&Schedule, &TimeZone),
) {
    let mut earliest = status.last_schedule_time.as_ref().map_or_else(|| cron_job.created(), |t| t.0);
    if let Some(secs) = spec.starting_deadline_seconds {
        earliest = earliest.max(run.now - SignedDuration::from_secs(secs.clamp(0, i64::from(u32::MAX))));
    }
    let Some(due) = schedule.last(earliest, run.now, zone) else { return };
    let name = format!("{}-{}", cron_job.name(), due.as_second() / 60);
    if mine.iter().any(|j| j.name() == name) {
        return;
    }
    if schedule.count(earliest, run.now, zone, MISSED_MAX + 1) > MISSED_MAX {
        let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        run.warn_once(&cron_job.stored, "TooManyMissedTimes", text.into());
    }
    let active: Vec<&&Obj<Job>> = mine.iter().filter(|j| !finished(j)).collect();
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => return,
        Some("Replace") => {
            for job in &active {
                if run.delete(&job.stored) {
                    run.normal(&cron_job.stored, "SuccessfulDelete", format!("Deleted job {}", job.name()));
                }
            }
        }
        _ => {}
    }
    create(run, cron_job, spec, name, due);
}

fn create(run: &mut Run<'_>, cron_job: &Obj<CronJob>, spec: &CronJobSpec, name: String, due: Timestamp) {
    let template = spec.job_template.metadata.clone().unwrap_or_default();
    let mut annotations: BTreeMap<String, String> = template.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.into(), due.to_string());
    let job = Job {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(cron_job.ns().into()),
            labels: template.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![cron_job.as_controller()]),
            ..ObjectMeta::default()
        },
        spec: spec.job_template.spec.clone(),
        status: None,
    };
    run.create(kinds::job(), cron_job.ns(), &job);
    run.normal(&cron_job.stored, "SuccessfulCreate", format!("Created job {name}"));
}

/// Drop the oldest finished Jobs beyond the limits.
fn clean_up(run: &mut Run<'_>, cron_job: &Obj<CronJob>, spec: &CronJobSpec, mine: &[&Obj<Job>]) {
    let limits =
        [(true, spec.successful_jobs_history_limit.unwrap_or(3)), (false, spec.failed_jobs_history_limit.unwrap_or(1))];
    for (good, limit) in limits {
        let mut jobs: Vec<&&Obj<Job>> =
            mine.iter().filter(|j| finished(j) && complete(j) == good && !j.terminating()).collect();
        jobs.sort_by_key(|j| (j.status.as_ref().and_then(|s| s.start_time.clone()), j.name().to_owned()));
        let surplus = jobs.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        for job in jobs.into_iter().take(surplus) {
            if run.delete(&job.stored) {
                run.normal(&cron_job.stored, "SuccessfulDelete", format!("Deleted job {}", job.name()));
            }
        }
    }
}
