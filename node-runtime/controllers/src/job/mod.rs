//! Job → pods that run to their end, a number of times.
//!
//! Pods are counted exactly, across restarts too: each bears a finalizer. A
//! finished pod's uid is written to the status first
//! (`uncountedTerminatedPods`), then it loses the finalizer, then it is
//! counted and its uid leaves the status.

mod indexes;
mod make;
pub(crate) mod status;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    batch::v1::{Job, JobSpec, JobStatus},
    core::v1::Pod,
};

use crate::{
    gc, pods,
    run::{Obj, Run},
};

/// Finalizer of pods that are not counted yet.
pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// First pause after a failure, doubled each time.
const BACKOFF_SECS: i64 = 10;
/// Longest pause after a failure.
const BACKOFF_SECS_MAX: i64 = 360;

/// One Job in one run.
struct Work<'o> {
    job: &'o Obj<Job>,
    spec: &'o JobSpec,
    pods: Vec<&'o Obj<Pod>>,
    status: JobStatus,
    /// Pods that are counted in `status` or about to be.
    succeeded: i32,
    failed: i32,
}

pub(crate) fn run(run: &mut Run<'_>, jobs: &[Obj<Job>], all_pods: &[Obj<Pod>]) {
    for job in jobs {
        let Some(spec) = &job.spec else { continue };
        let mine: Vec<&Obj<Pod>> = all_pods.iter().filter(|p| p.ns() == job.ns() && p.owned_by(job.uid())).collect();
        if job.terminating() || status::finished(job) {
            for pod in mine.iter().filter(|p| tracked(p)) {
                gc::drop_finalizer(run, &pod.stored, TRACKING);
            }
            expire(run, job, spec);
            continue;
        }
        let status = job.status.clone().unwrap_or_default();
        let mut work = Work { job, spec, pods: mine, status, succeeded: 0, failed: 0 };
        work.sync(run);
    }
    let live: BTreeSet<&str> = jobs.iter().map(Obj::uid).collect();
    for pod in all_pods.iter().filter(|p| tracked(p)) {
        if !pod.meta().controller().is_some_and(|o| live.contains(o.uid.as_str())) {
            // Its Job is gone: nobody counts it.
            gc::drop_finalizer(run, &pod.stored, TRACKING);
        }
    }
}

fn tracked(pod: &Obj<Pod>) -> bool {
    pod.meta().finalizers.iter().any(|f| f == TRACKING)
}

/// A finished Job goes after its time to live.
fn expire(run: &mut Run<'_>, job: &Obj<Job>, spec: &JobSpec) {
    let Some(ttl) = spec.ttl_seconds_after_finished else { return };
    let Some(since) = status::finished_at(job) else { return };
    let due = since + SignedDuration::from_secs(i64::from(ttl.max(0)));
    if due <= run.now {
        run.delete(&job.stored);
    } else {
        run.wake(due);
    }
}

impl Work<'_> {
    fn sync(&mut self, run: &mut Run<'_>) {
        self.count(run);
        let suspended = self.spec.suspend == Some(true);
        self.set_suspended(run, suspended);
        if self.status.start_time.is_none() && !suspended {
            self.status.start_time = Some(run.time());
        }
        self.judge(run);
        if self.verdict().is_some() || suspended {
            for pod in self.active() {
                self.stop(run, pod);
            }
        } else {
            self.manage(run);
        }
        self.conclude(run);
        self.write_status(run);
    }

    fn indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    fn active(&self) -> Vec<&Obj<Pod>> {
        self.pods.iter().copied().filter(|p| pods::active(p)).collect()
    }

    /// Note finished pods, let go noted ones, count those that were let go.
    fn count(&mut self, run: &mut Run<'_>) {
        let mut uncounted = self.status.uncounted_terminated_pods.take().unwrap_or_default();
        for (list, total, good) in [
            (&mut uncounted.succeeded, &mut self.status.succeeded, true),
            (&mut uncounted.failed, &mut self.status.failed, false),
        ] {
            let list = list.get_or_insert_default();
            list.retain(|uid| {
                let held = self.pods.iter().find(|p| p.uid() == uid && tracked(p));
                match held {
                    Some(pod) => gc::drop_finalizer(run, &pod.stored, TRACKING),
                    None => *total = Some(total.unwrap_or(0) + 1),
                }
                held.is_some()
            });
            for pod in self.pods.iter().filter(|p| tracked(p) && outcome(p) == Some(good)) {
                if !list.iter().any(|uid| uid == pod.uid()) {
                    list.push(pod.uid().into());
                }
            }
        }
        if self.indexed() {
            let done = self.pods.iter().filter(|p| outcome(p) == Some(true)).filter_map(|p| indexes::of(p));
            let mut all = indexes::parse(self.status.completed_indexes.as_deref().unwrap_or_default());
            all.extend(done.filter(|i| *i < self.spec.completions.unwrap_or(0)));
            self.status.completed_indexes = Some(indexes::format(&all)).filter(|s| !s.is_empty());
        }
        let waiting = |list: &Option<Vec<String>>| list.as_ref().map_or(0, |l| i32::try_from(l.len()).unwrap_or(0));
        self.succeeded = self.status.succeeded.unwrap_or(0) + waiting(&uncounted.succeeded);
        self.failed = self.status.failed.unwrap_or(0) + waiting(&uncounted.failed);
        self.status.uncounted_terminated_pods = Some(uncounted);
    }

    /// As many pods as may run now.
    fn manage(&self, run: &mut Run<'_>) {
        let parallelism = self.spec.parallelism.unwrap_or(1).max(0);
        let active = self.active();
        let (known, foreign): (Vec<&Obj<Pod>>, Vec<&Obj<Pod>>) = active.into_iter().partition(|p| tracked(p));
        for pod in foreign {
            // It was let go before it is deleted, so that it does not count
            // as a failure.
            self.stop(run, pod);
        }
        let running = i32::try_from(known.len()).unwrap_or(i32::MAX);
        let wanted = match self.spec.completions {
            Some(n) => parallelism.min((n - self.done()).max(0)),
            None if self.succeeded > 0 => running.min(parallelism),
            None => parallelism,
        };
        if running > wanted {
            let mut order = known;
            pods::sort_for_deletion(&mut order);
            for pod in order.into_iter().take(usize::try_from(running - wanted).unwrap_or(0)) {
                self.stop(run, pod);
            }
        } else if running < wanted && self.pause_over(run) {
            self.start(run, &known, usize::try_from(wanted - running).unwrap_or(0));
        }
    }

    /// Completions so far.
    fn done(&self) -> i32 {
        if self.indexed() {
            let done = indexes::parse(self.status.completed_indexes.as_deref().unwrap_or_default());
            return i32::try_from(done.len()).unwrap_or(i32::MAX);
        }
        self.succeeded
    }

    fn start(&self, run: &mut Run<'_>, running: &[&Obj<Pod>], count: usize) {
        if !self.indexed() {
            for _ in 0..count {
                make::create(run, self.job, self.spec, None);
            }
            return;
        }
        let mut taken = indexes::parse(self.status.completed_indexes.as_deref().unwrap_or_default());
        taken.extend(running.iter().filter_map(|p| indexes::of(p)));
        let free = (0..self.spec.completions.unwrap_or(0)).filter(|i| !taken.contains(i));
        for index in free.take(count) {
            make::create(run, self.job, self.spec, Some(index));
        }
    }

    /// Take a pod off: first it is let go, then deleted.
    fn stop(&self, run: &mut Run<'_>, pod: &Obj<Pod>) {
        if tracked(pod) {
            gc::drop_finalizer(run, &pod.stored, TRACKING);
        } else if run.delete(&pod.stored) {
            run.normal(&self.job.stored, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        }
    }

    /// Is the pause after the last failures over?
    fn pause_over(&self, run: &mut Run<'_>) -> bool {
        let ends = |good: bool| {
            let of = self.pods.iter().filter(move |p| outcome(p) == Some(good) && pods::finished(p));
            of.map(|p| ended(p)).collect::<Vec<Timestamp>>()
        };
        let success = ends(true).into_iter().max();
        let failures: Vec<Timestamp> = ends(false).into_iter().filter(|t| success.is_none_or(|s| *t > s)).collect();
        let Some(last) = failures.iter().max() else { return true };
        let doublings = u32::try_from(failures.len() - 1).unwrap_or(u32::MAX).min(10);
        let pause = (BACKOFF_SECS << doublings).min(BACKOFF_SECS_MAX);
        let due = *last + SignedDuration::from_secs(pause);
        if due > run.now {
            run.wake(due);
        }
        due <= run.now
    }
}

/// Good or bad end; one that is being deleted counts as bad.
fn outcome(pod: &Obj<Pod>) -> Option<bool> {
    match pods::phase(pod) {
        "Succeeded" => Some(true),
        "Failed" => Some(false),
        _ => pod.terminating().then_some(false),
    }
}

/// When its last container ended.
fn ended(pod: &Obj<Pod>) -> Timestamp {
    let containers = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
    let ends = containers.filter_map(|c| c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(|t| t.0));
    ends.max().unwrap_or_else(|| pod.created())
}
