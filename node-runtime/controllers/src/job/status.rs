//! Verdict and status of a Job.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition};

use super::Work;
use crate::{
    pods,
    replicaset::some,
    run::{Obj, Run},
};

/// Failures before a Job is given up, if it does not say.
const BACKOFF_LIMIT: i32 = 6;

fn has(job: &Job, kind: &str) -> Option<JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == kind && c.status == "True").cloned()
}

/// Complete or Failed.
pub(crate) fn finished(job: &Job) -> bool {
    has(job, "Complete").is_some() || has(job, "Failed").is_some()
}

/// Complete.
pub(crate) fn complete(job: &Job) -> bool {
    has(job, "Complete").is_some()
}

pub(crate) fn finished_at(job: &Job) -> Option<Timestamp> {
    let condition = has(job, "Complete").or_else(|| has(job, "Failed"))?;
    condition.last_transition_time.map(|t| t.0)
}

impl Work<'_> {
    fn set(&mut self, run: &Run<'_>, kind: &str, status: &str, reason: &str, message: &str) {
        let conditions = self.status.conditions.get_or_insert_default();
        if conditions.iter().any(|c| c.type_ == kind && c.status == status) {
            return;
        }
        conditions.retain(|c| c.type_ != kind);
        conditions.push(JobCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_probe_time: Some(run.time()),
            last_transition_time: Some(run.time()),
        });
    }

    /// What was decided: `SuccessCriteriaMet` or `FailureTarget`.
    pub(super) fn verdict(&self) -> Option<JobCondition> {
        let mut conditions = self.status.conditions.iter().flatten();
        conditions
            .find(|c| matches!(c.type_.as_str(), "SuccessCriteriaMet" | "FailureTarget") && c.status == "True")
            .cloned()
    }

    /// Has it come to an end, good or bad?
    pub(super) fn judge(&mut self, run: &mut Run<'_>) {
        if self.verdict().is_some() {
            return;
        }
        let complete = match self.spec.completions {
            Some(n) => self.done() >= n,
            None => self.succeeded > 0 && self.active().is_empty(),
        };
        let limit = self.spec.backoff_limit.unwrap_or(BACKOFF_LIMIT);
        if self.failed > limit || self.restarted_too_often(limit) {
            let text = "Job has reached the specified backoff limit";
            self.set(run, "FailureTarget", "True", "BackoffLimitExceeded", text);
        } else if self.deadline_over(run) {
            let text = "Job was active longer than specified deadline";
            self.set(run, "FailureTarget", "True", "DeadlineExceeded", text);
        } else if complete {
            let text = "Reached expected number of succeeded pods";
            self.set(run, "SuccessCriteriaMet", "True", "CompletionsReached", text);
        }
    }

    /// Containers that are restarted in place count as failures too.
    fn restarted_too_often(&self, limit: i32) -> bool {
        let policy = self.spec.template.spec.as_ref().and_then(|s| s.restart_policy.as_deref());
        let restarts: i32 = self.active().iter().map(|p| pods::restarts(p)).sum();
        policy == Some("OnFailure") && if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    fn deadline_over(&self, run: &mut Run<'_>) -> bool {
        if self.spec.suspend == Some(true) {
            return false;
        }
        let (Some(secs), Some(start)) = (self.spec.active_deadline_seconds, &self.status.start_time) else {
            return false;
        };
        let due = start.0 + SignedDuration::from_secs(secs);
        if due > run.now {
            run.wake(due);
        }
        due <= run.now
    }

    pub(super) fn set_suspended(&mut self, run: &mut Run<'_>, suspended: bool) {
        let was = self.status.conditions.iter().flatten().any(|c| c.type_ == "Suspended" && c.status == "True");
        if suspended && !was {
            self.set(run, "Suspended", "True", "JobSuspended", "Job suspended");
            self.status.start_time = None;
            run.normal(&self.job.stored, "Suspended", "Job suspended".into());
        } else if !suspended && was {
            self.set(run, "Suspended", "False", "JobResumed", "Job resumed");
            self.status.start_time = Some(run.time());
            run.normal(&self.job.stored, "Resumed", "Job resumed".into());
        }
    }

    /// Once nothing runs and all is counted, the verdict becomes final.
    pub(super) fn conclude(&mut self, run: &mut Run<'_>) {
        let Some(verdict) = self.verdict() else { return };
        let uncounted = self.status.uncounted_terminated_pods.as_ref();
        let waits = uncounted.is_some_and(|u| {
            let some = |l: &Option<Vec<String>>| l.as_ref().is_some_and(|l| !l.is_empty());
            some(&u.succeeded) || some(&u.failed)
        });
        if waits || self.pods.iter().any(|p| !pods::finished(p)) {
            return;
        }
        let reason = verdict.reason.unwrap_or_default();
        let message = verdict.message.unwrap_or_default();
        if verdict.type_ == "FailureTarget" {
            self.set(run, "Failed", "True", &reason, &message);
        } else {
            self.set(run, "Complete", "True", &reason, &message);
            self.status.completion_time = Some(run.time());
        }
    }

    pub(super) fn write_status(&mut self, run: &mut Run<'_>) {
        let count = |n: usize| some(i32::try_from(n).unwrap_or(i32::MAX));
        let active = self.active();
        let ready = active.iter().filter(|p| pods::ready(p)).count();
        let (active, going) =
            (active.len(), self.pods.iter().filter(|p| p.terminating() && !pods::finished(p)).count());
        self.status.active = count(active);
        self.status.ready = Some(i32::try_from(ready).unwrap_or(0));
        self.status.terminating = Some(i32::try_from(going).unwrap_or(0));
        if let Some(u) = &mut self.status.uncounted_terminated_pods {
            u.succeeded = u.succeeded.take().filter(|l| !l.is_empty());
            u.failed = u.failed.take().filter(|l| !l.is_empty());
        }
        if self.job.status.as_ref() == Some(&self.status) {
            return;
        }
        let mut new = self.job.v.clone();
        new.status = Some(self.status.clone());
        let done = finished(&new);
        if run.update_status(self.job.key(), &new) && done {
            self.tell(run, &new);
        }
    }

    fn tell(&self, run: &mut Run<'_>, job: &Job) {
        match has(job, "Failed") {
            None => run.normal(&self.job.stored, "Completed", "Job completed".into()),
            Some(c) => {
                let deadline = c.reason.as_deref() == Some("DeadlineExceeded");
                let reason = if deadline { "DeadlineExceeded" } else { "BackoffLimitExceeded" };
                run.warning(&self.job.stored, reason, c.message.unwrap_or_default());
            }
        }
    }
}

/// For lists of Jobs.
pub(crate) fn succeeded_at(job: &Obj<Job>) -> Option<Timestamp> {
    job.status.as_ref()?.completion_time.as_ref().map(|t| t.0)
}
