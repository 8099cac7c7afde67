//! Looks at everything, and notes what happened since the last time.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Executor, boot_id, process_start};
use crate::{
    cgroup,
    containerd::{Listed, Runtime, RuntimeError, Task, to_map},
    desired::{Container as Want, Desired},
    host::{Host, fifos, log_file, termination_file},
    logs::Run,
    observed::{Container, Exit, Labels, Observed, Sandbox, State, Unhealthy, failure_key},
    plan::after_exit,
    probes::{Kind, Wanted},
    spec,
};

/// Last words that are kept (Kubernetes' limit).
const TERMINATION_BYTES_MAX: usize = 4096;
/// Of the log, where that is taken for them.
const TERMINATION_LOG_BYTES_MAX: usize = 2048;
/// Exit status of what was ended by SIGKILL.
const KILLED: u32 = 137;

impl<R: Runtime, H: Host> Executor<R, H> {
    /// Look at everything.
    ///
    /// # Errors
    /// containerd does not answer.
    pub(crate) async fn observe(&mut self, desired: &Desired, now: f64) -> Result<Observed, RuntimeError> {
        let mut listed = self.runtime.list().await?;
        let sandboxes = self.host.sandboxes();
        self.memory.forget(desired, |id| listed.iter().any(|l| l.id == *id));
        for l in &mut listed {
            if let Task::Stopped { code, at } = l.task {
                self.settle(l, code, at.and_then(|t| Timestamp::try_from(t).ok()), desired, now).await?;
            }
        }
        self.follow(desired, &listed, &sandboxes, now);
        self.memory.tell_waiting(desired);
        let containers = listed.into_iter().map(|l| (l.id.clone(), self.container(l, desired, now))).collect();
        Ok(Observed {
            containers,
            sandboxes,
            failures: self.memory.failures.clone(),
            attempts: self.memory.attempts.clone(),
            pods_started: self.pods_started(desired, now),
            files: self.host.files(),
            on_disk: self.host.on_disk(),
            evicted: self.memory.evicted.clone(),
            rules: self.memory.rules.clone(),
            node: Some(self.host.addresses()),
            gateways: self.config.gateways(),
        })
    }

    /// Start times of pods in seconds since boot.
    fn pods_started(&self, desired: &Desired, now: f64) -> BTreeMap<String, f64> {
        let clock = Timestamp::now();
        let started = |uid: &String| {
            let at = self.memory.statuses.get(uid)?.start_time.as_ref()?.0;
            Some((uid.clone(), now - clock.duration_since(at).as_secs_f64()))
        };
        desired.pods.keys().filter_map(started).collect()
    }

    /// A container has ended: write down how, on the container itself, and let
    /// its shim go.
    async fn settle(
        &mut self,
        l: &mut Listed,
        code: u32,
        finished_at: Option<Timestamp>,
        desired: &Desired,
        now: f64,
    ) -> Result<(), RuntimeError> {
        let labels = &l.labels;
        let want = desired.pods.get(&labels.pod_uid).and_then(|p| p.container(&labels.container));
        let killed = cgroup::oom_killed(&spec::cgroup(&self.config.cgroup_parent, &labels.pod_uid, &labels.container));
        let reason = match code {
            0 => "Completed",
            KILLED if killed => "OOMKilled",
            _ => "Error",
        };
        // It may have ended while nobody read what it wrote.
        self.copy_output(&l.id, &l.labels, false);
        self.logs.drain(&l.id);
        let labels = &l.labels;
        let message = self.last_words(&l.id, labels, want, code);
        let started = self.memory.started.get(&l.id).copied();
        let created = l.created.and_then(|t| Timestamp::try_from(t).ok());
        let exit = self.exit(code, reason, message, started, created, finished_at, now);
        self.record_end(l, exit, desired).await
    }

    #[expect(clippy::too_many_arguments, reason = "one value each of a record")]
    pub(super) fn exit(
        &self,
        code: u32,
        reason: &str,
        message: String,
        started: Option<f64>,
        created: Option<Timestamp>,
        finished_at: Option<Timestamp>,
        now: f64,
    ) -> Exit {
        let clock = Timestamp::now();
        let finished_at = finished_at.filter(|t| t.as_second() > 0).unwrap_or(clock);
        // It ended before it was seen.
        let at = now - clock.duration_since(finished_at).as_secs_f64().max(0.0);
        let started_at = started.map(|s| ago(clock, now - s)).or(created).map(|t| t.min(finished_at));
        let ran_secs = started_at.map_or(0.0, |s| finished_at.duration_since(s).as_secs_f64().max(0.0));
        Exit {
            code,
            reason: reason.into(),
            message,
            started_at,
            finished_at: Some(finished_at),
            at,
            ran_secs,
            boot: boot_id(),
        }
    }

    /// Note an end on the container.
    pub(super) async fn record_end(
        &mut self,
        l: &mut Listed,
        exit: Exit,
        desired: &Desired,
    ) -> Result<(), RuntimeError> {
        let mut labels = l.labels.clone();
        labels.exit = Some(exit.clone());
        self.runtime.settle(&l.id, to_map(&labels)).await?;
        self.logs.stop(&l.id);
        self.memory.event(format!(
            "{}/{}: container {} ended with status {} after {:.0} s{}",
            labels.namespace,
            labels.pod,
            labels.container,
            exit.code,
            exit.ran_secs,
            if exit.reason == "OOMKilled" { " (out of memory)" } else { "" }
        ));
        if let Some(pod) = desired.pods.get(&labels.pod_uid)
            && pod.deletion_grace_secs.is_none()
            && exit.code != 0
        {
            let (delay, _) = after_exit(labels.backoff_secs, exit.ran_secs);
            if delay > 0 {
                let text = format!("Back-off restarting failed container {} in pod {}", labels.container, pod.title());
                self.memory.tell(pod, Some(&labels.container), true, "BackOff", &text);
            }
        }
        (l.labels, l.task) = (labels, Task::None);
        Ok(())
    }

    fn last_words(&self, id: &str, labels: &Labels, want: Option<&Want>, code: u32) -> String {
        let text = |mut bytes: Vec<u8>, max: usize| {
            bytes.truncate(max);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let own = std::fs::read(termination_file(&self.config, &labels.pod_uid, id)).unwrap_or_default();
        if !own.is_empty() || code == 0 || !want.is_some_and(|w| w.termination_from_log) {
            return text(own, TERMINATION_BYTES_MAX);
        }
        let file = self.log_of(labels);
        crate::logs::tail(&file, TERMINATION_LOG_BYTES_MAX)
    }

    /// Copy the output of a container that was started before; its input has
    /// come to its end with the process that held it open.
    fn copy_output(&mut self, id: &str, labels: &Labels, tty: bool) {
        let (stdout, stderr) = fifos(&self.config, &labels.pod_uid, id);
        if stdout.exists() {
            let file = self.log_of(labels);
            self.logs.follow(&Run { id, stdout: &stdout, stderr: &stderr, stdin: None, tty, file });
        }
    }

    fn log_of(&self, l: &Labels) -> std::path::PathBuf {
        log_file(&self.config, &l.namespace, &l.pod, &l.pod_uid, &l.container, l.attempt)
    }

    /// Probes and log readers of everything that runs.
    fn follow(&mut self, desired: &Desired, listed: &[Listed], sandboxes: &BTreeMap<String, Sandbox>, now: f64) {
        let mut wanted = vec![];
        for l in listed {
            let labels = &l.labels;
            let attempts = self.memory.attempts.entry(failure_key(&labels.pod_uid, Some(&labels.container)));
            let known = attempts.or_insert(labels.attempt);
            *known = labels.attempt.max(*known);
            let Task::Running { pid } = l.task else { continue };
            let started = *self.memory.started.entry(l.id.clone()).or_insert_with(|| process_start(pid).unwrap_or(now));
            let tty = desired.pods.get(&labels.pod_uid).and_then(|p| p.container(&labels.container));
            self.copy_output(&l.id, labels, tty.is_some_and(|c| c.tty));
            let Some((pod, sandbox)) = desired.pods.get(&labels.pod_uid).zip(sandboxes.get(&labels.pod_uid)) else {
                continue;
            };
            let Some(c) = pod.container(&labels.container) else { continue };
            // Nothing is asked of what is on its way out, but whether it still
            // serves.
            let stopping = self.memory.stopping.contains_key(&l.id) || pod.deletion_grace_secs.is_some();
            let up = self.started(&l.id, c);
            for (kind, probe, due) in [
                (Kind::Startup, &c.startup, !stopping),
                (Kind::Readiness, &c.readiness, up),
                (Kind::Liveness, &c.liveness, up && !stopping),
            ] {
                let age_secs = now - started;
                wanted.extend(probe.clone().filter(|_| due).map(|probe| Wanted {
                    id: l.id.clone(),
                    kind,
                    ip: sandbox.ip,
                    probe,
                    age_secs,
                }));
            }
        }
        self.prober.sync(wanted);
    }

    /// Startup probe passed, hook done?
    fn started(&self, id: &str, want: &Want) -> bool {
        let probed = want.startup.is_none() || self.prober.verdict(id, Kind::Startup).is_some_and(|v| v.is_good());
        probed && !self.memory.post_start.contains_key(id)
    }

    fn container(&mut self, l: Listed, desired: &Desired, now: f64) -> Container {
        let want = desired.pods.get(&l.labels.pod_uid).and_then(|p| p.container(&l.labels.container));
        let exit = l.labels.exit.clone();
        if let Some(exit) = &exit {
            let key = failure_key(&l.labels.pod_uid, Some(&l.labels.container));
            self.memory.ended.insert(key, (l.id.clone(), exit.clone()));
        }
        let state = match (&l.task, &exit) {
            (Task::Running { .. }, _) => State::Running,
            (_, Some(e)) => {
                // What ended before the node booted ended long ago.
                let at = if e.boot == boot_id() { e.at.min(now) } else { 0.0 };
                State::Exited { code: e.code, at, ran_secs: e.ran_secs }
            }
            _ => State::Absent,
        };
        // Before its probe exists a container with a probe is not Ready.
        let ready = match want.and_then(|c| c.readiness.as_ref()) {
            None => true,
            Some(_) => self.prober.verdict(&l.id, Kind::Readiness).is_some_and(|v| v.is_good()),
        };
        let running = self.memory.started.get(&l.id).filter(|_| state == State::Running);
        Container {
            state,
            started: want.is_none_or(|w| self.started(&l.id, w)),
            ready,
            unhealthy: want.and_then(|w| self.unhealthy(&l.id, w)),
            stopping: self.memory.stopping.get(&l.id).copied(),
            started_at: running.map(|s| ago(Timestamp::now(), now - s)),
            exit,
            labels: l.labels,
        }
    }

    fn unhealthy(&self, id: &str, want: &Want) -> Option<Unhealthy> {
        if let Some(Some(_)) = self.memory.post_start.get(id) {
            return Some(Unhealthy { message: "FailedPostStartHook".into(), grace_secs: None });
        }
        for (kind, probe, what) in
            [(Kind::Startup, &want.startup, "startup"), (Kind::Liveness, &want.liveness, "liveness")]
        {
            if self.prober.verdict(id, kind).is_some_and(|v| v.has_failed()) {
                let message = format!("Container {} failed {what} probe", want.name);
                return Some(Unhealthy { message, grace_secs: probe.as_ref().and_then(|p| p.grace_secs) });
            }
        }
        None
    }
}

/// So many seconds before `clock`, to the second: the same in every round.
fn ago(clock: Timestamp, secs: f64) -> Timestamp {
    let at = clock.checked_sub(SignedDuration::from_secs_f64(secs.max(0.0))).unwrap_or(clock);
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
