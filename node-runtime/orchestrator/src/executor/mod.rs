//! Carries out actions and keeps what was noticed on the way. Decides nothing.

mod hooks;
mod memory;
mod observe;
mod space;

use k8s_openapi::api::core::v1 as core;
use sha2::{Digest, Sha256};

pub(crate) use hooks::Happened;
pub(crate) use memory::Memory;

use crate::{
    config::Config,
    containerd::{Listed, Runtime, RuntimeError, Task, to_map},
    desired::{Desired, Pod},
    host::{Host, fifos, log_file, stdin_fifo},
    logs::{Logs, Run},
    observed::{HookState, Labels, Observed, Stopping},
    plan::{Action, Signal},
    probes::{Attempt, ExecFn, Prober},
};

/// Logs of earlier runs that are kept beside that of the present one.
const LOGS_OF_EARLIER_RUNS: u32 = 1;

/// Runtime, node and what was noticed.
pub(crate) struct Executor<R, H> {
    pub(crate) config: Config,
    pub(crate) runtime: R,
    pub(crate) host: H,
    pub(crate) memory: Memory,
    pub(crate) prober: Prober,
    pub(crate) logs: Logs,
    pub(crate) exec: ExecFn,
    /// Where hooks report.
    pub(crate) happened: tokio::sync::mpsc::Sender<Happened>,
}

impl<R: Runtime, H: Host> Executor<R, H> {
    /// Carry out one action.
    ///
    /// # Errors
    /// Only that containerd does not answer; everything else is kept as a
    /// failure that the next plan sees.
    pub(crate) async fn execute(&mut self, action: &Action, desired: &Desired, now: f64) -> Result<(), RuntimeError> {
        match self.try_execute(action, desired, now).await {
            Ok(()) => {
                self.memory.failures.remove(&action.key());
                Ok(())
            }
            Err(e) => match e.downcast_ref::<RuntimeError>() {
                Some(down @ RuntimeError::Unreachable { .. }) => Err(down.clone()),
                _ => {
                    let message = format!("{}: {e:#}", title(action, desired));
                    if self.memory.failed(action.key(), &message, now) {
                        self.tell_failure(action, desired, &format!("{e:#}"));
                    }
                    Ok(())
                }
            },
        }
    }

    fn tell_failure(&mut self, action: &Action, desired: &Desired, why: &str) {
        match action {
            Action::SetupPod { uid } | Action::UpdateFiles { uid } => {
                let Some(pod) = desired.pods.get(uid) else { return };
                let reason = if why.starts_with("MountVolume") { "FailedMount" } else { "FailedCreatePodSandBox" };
                self.memory.tell(pod, None, true, reason, why);
            }
            Action::Start { uid, container, .. } => {
                let Some(pod) = desired.pods.get(uid) else { return };
                self.memory.tell(pod, Some(container), true, "Failed", &format!("Error: {why}"));
            }
            _ => {}
        }
    }

    async fn try_execute(&mut self, action: &Action, desired: &Desired, now: f64) -> anyhow::Result<()> {
        let pod = |uid: &str| desired.pods.get(uid).ok_or_else(|| anyhow::anyhow!("the pod is not wanted any more"));
        match action {
            Action::SetupPod { uid } => self.host.setup_pod(pod(uid)?).await,
            Action::TeardownPod { uid, what } => self.host.teardown_pod(uid, *what).await,
            Action::UpdateFiles { uid } => self.host.update_files(pod(uid)?),
            Action::ApplyRules(rules) => {
                self.host.apply_rules(rules).await?;
                self.memory.rules = Some((**rules).clone());
                Ok(())
            }
            Action::Stop { id, grace_secs, hook, why } => {
                self.stop(id, *grace_secs, hook.as_ref(), why, desired, now).await
            }
            Action::Signal { id, signal } => {
                self.runtime.signal(id, if *signal == Signal::Kill { 9 } else { 15 }).await?;
                if let Some(s) = self.memory.stopping.get_mut(id) {
                    s.term_at.get_or_insert(now);
                }
                Ok(())
            }
            Action::Remove { id } => self.remove(id).await,
            Action::Start { uid, container, attempt, backoff_secs, replaces } => {
                if let Some(id) = replaces {
                    self.remove(id).await?;
                }
                self.start(pod(uid)?, container, *attempt, *backoff_secs, desired, now).await
            }
        }
    }

    /// Begin to end a container.
    async fn stop(
        &mut self,
        id: &str,
        grace_secs: u32,
        hook: Option<&crate::desired::Hook>,
        why: &str,
        desired: &Desired,
        now: f64,
    ) -> anyhow::Result<()> {
        let mut stopping = Stopping { since: now, grace_secs, hook: HookState::None, term_at: None };
        let place = self.place(id, desired);
        match hook.zip(place) {
            Some((hook, (pod, _))) => {
                stopping.hook = HookState::Running;
                self.spawn_hook(id, pod, hook, grace_secs, hooks::Which::PreStop);
            }
            None => {
                self.runtime.signal(id, 15).await?;
                stopping.term_at = Some(now);
            }
        }
        self.memory.stopping.insert(id.into(), stopping);
        if let Some((pod, container)) = place {
            let text = if why.ends_with("will be restarted") {
                why.to_owned()
            } else {
                format!("Stopping container {container}")
            };
            self.memory.tell(pod, Some(container), false, "Killing", &text);
            self.memory.event(format!("{}/{}: ending container {container}: {why}", pod.namespace, pod.name));
        }
        Ok(())
    }

    /// Pod and name of a container. Its id follows from both.
    fn place<'d>(&self, id: &str, desired: &'d Desired) -> Option<(&'d Pod, &'d str)> {
        let stem = id.rsplit_once('-')?.0;
        desired.pods.values().find_map(|p| {
            let c = p.containers.iter().find(|c| container_stem(&p.uid, &c.name) == stem)?;
            Some((p, c.name.as_str()))
        })
    }

    async fn remove(&mut self, id: &str) -> anyhow::Result<()> {
        self.runtime.remove(id).await?;
        self.logs.stop(id);
        Ok(())
    }

    async fn start(
        &mut self,
        pod: &Pod,
        name: &str,
        attempt: u32,
        backoff_secs: u32,
        desired: &Desired,
        now: f64,
    ) -> anyhow::Result<()> {
        let container = pod.container(name).ok_or_else(|| anyhow::anyhow!("the container is not wanted any more"))?;
        let id = container_id(&pod.uid, name, attempt);
        let mut new = self.host.prepare(pod, container, &id)?;
        let labels = Labels {
            pod_uid: pod.uid.clone(),
            pod: pod.name.clone(),
            namespace: pod.namespace.clone(),
            deployment: pod.deployment.clone(),
            container: name.into(),
            attempt,
            backoff_secs,
            grace_secs: pod.grace_secs,
            image_id: container.image_id.clone(),
            exit: None,
        };
        new.labels = to_map(&labels);
        // The reader is there first, so that not even the first line is lost.
        let (out, err) = fifos(&self.config, &pod.uid, &id);
        let log = |run| log_file(&self.config, &pod.namespace, &pod.name, &pod.uid, name, run);
        let stdin = container.stdin.then(|| (stdin_fifo(&self.config, &pod.uid, &id), container.stdin_once));
        let file = log(attempt);
        self.logs.follow(&Run { id: &id, stdout: &out, stderr: &err, stdin, tty: container.tty, file });
        if let Some(old) = attempt.checked_sub(LOGS_OF_EARLIER_RUNS + 1) {
            crate::logs::remove(&log(old));
        }
        let image = &container.image;
        let text = format!("Container image \"{image}\" already present on machine");
        self.memory.tell(pod, Some(name), false, "Pulled", &text);
        match self.runtime.start(new).await {
            Ok(_) => {}
            Err(RuntimeError::Refused { operation: "create task" | "start", detail, .. }) => {
                self.memory.tell(pod, Some(name), true, "Failed", &format!("Error: {detail}"));
                let exit = self.exit(128, "StartError", detail, Some(now), None, None, now);
                let mut listed = Listed { id, labels, task: Task::None, created: None };
                return Ok(self.record_end(&mut listed, exit, desired).await?);
            }
            Err(e) => {
                self.logs.stop(&id);
                return Err(e.into());
            }
        }
        self.memory.tell(pod, Some(name), false, "Created", &format!("Created container: {name}"));
        self.memory.tell(pod, Some(name), false, "Started", &format!("Started container {name}"));
        let again = if attempt > 0 { format!(" again (restart {attempt})") } else { String::new() };
        self.memory.event(format!("{}/{}: started container {name}{again}", pod.namespace, pod.name));
        if let Some(hook) = &container.post_start {
            self.memory.post_start.insert(id.clone(), None);
            self.spawn_hook(&id, pod, hook, hooks::POST_START_SECS, hooks::Which::PostStart);
        }
        self.memory.started.insert(id, now);
        Ok(())
    }

    /// Count an attempt of a probe; true if somebody must look.
    pub(crate) fn attempt(&mut self, a: Attempt, desired: &Desired) -> bool {
        let (id, kind) = (a.id.clone(), a.kind);
        let recorded = self.prober.record(a);
        if let Some((why, (pod, container))) = recorded.failure.zip(self.place(&id, desired)) {
            let text = format!("{} probe failed: {why}", kind.as_str());
            self.memory.tell(pod, Some(container), true, "Unhealthy", &text);
        }
        recorded.changed
    }

    /// Make the statuses of all pods.
    pub(crate) fn statuses(&mut self, desired: &Desired, observed: &Observed, now: f64) {
        let clock = jiff::Timestamp::now();
        for pod in desired.pods.values() {
            let previous = self.memory.statuses.get(&pod.uid);
            let view = crate::pod_status::View { pod, observed, ended: &self.memory.ended, previous, now, clock };
            let status: core::PodStatus = crate::pod_status::pod_status(&view);
            if previous != Some(&status) {
                self.memory.unsent.insert(pod.uid.clone());
                self.memory.statuses.insert(pod.uid.clone(), status);
            }
        }
    }
}

fn container_stem(uid: &str, name: &str) -> String {
    hex::encode(&Sha256::digest(format!("{uid}/{name}"))[..12])
}

/// The boot that times in seconds since boot belong to.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Id of a container: the same for the same pod, name and attempt.
pub(crate) fn container_id(uid: &str, name: &str, attempt: u32) -> String {
    format!("{}-{attempt}", container_stem(uid, name))
}

/// When a process started, in seconds since boot (`/proc/PID/stat`, field 22,
/// in hundredths).
fn process_start(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in field 2 may contain anything, even parentheses.
    let ticks: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks / 100.0)
}

/// What an action was about, for messages.
fn title(action: &Action, desired: &Desired) -> String {
    let pod = |uid: &str| desired.pods.get(uid).map_or(uid.to_owned(), |p| format!("{}/{}", p.namespace, p.name));
    match action {
        Action::SetupPod { uid } => format!("{}: setting up the pod", pod(uid)),
        Action::TeardownPod { uid, .. } => format!("{}: removing the pod", pod(uid)),
        Action::Start { uid, container, .. } => format!("{}: starting container {container}", pod(uid)),
        Action::UpdateFiles { uid } => format!("{}: updating files of volumes", pod(uid)),
        Action::Stop { id, .. } | Action::Signal { id, .. } => format!("stopping container {id}"),
        Action::Remove { id } => format!("removing container {id}"),
        Action::ApplyRules(_) => "applying the packet filter".into(),
    }
}
