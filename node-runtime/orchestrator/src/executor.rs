//! Carries out actions and keeps what was noticed on the way. Decides nothing.

use std::collections::{BTreeMap, VecDeque};

use sha2::{Digest, Sha256};

use crate::{
    config::Config,
    containerd::{Listed, Runtime, RuntimeError, Task, to_map},
    desired::{Desired, Pod},
    host::{Host, fifos, log_file},
    logs::Logs,
    network::Ruleset,
    observed::{Container, Failure, Labels, Observed, State},
    plan::{Action, Signal, failure_delay},
    probes::{Kind, Prober, Wanted},
};

/// Events that are kept for the status document.
const EVENTS_MAX: usize = 50;

/// What was noticed and may be forgotten.
#[derive(Default)]
pub(crate) struct Memory {
    /// When SIGTERM was sent, by container id.
    term_sent: BTreeMap<String, f64>,
    /// When a container started, by id.
    started: BTreeMap<String, f64>,
    /// When a container was seen to have ended, and after how long, by id.
    ended: BTreeMap<String, (f64, f64)>,
    /// Failed actions by key.
    pub(crate) failures: BTreeMap<String, Failure>,
    /// Ruleset that was applied.
    pub(crate) rules: Option<Ruleset>,
    /// What happened, newest last.
    pub(crate) events: VecDeque<String>,
}

impl Memory {
    /// Note an event for people.
    pub(crate) fn event(&mut self, text: String) {
        tracing::info!("{text}");
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(text);
    }

    fn failed(&mut self, key: String, message: String, now: f64) {
        let delay_secs = failure_delay(self.failures.get(&key).map(|f| f.delay_secs));
        if self.failures.get(&key).is_none_or(|f| f.message != message) {
            self.event(message.clone());
        }
        self.failures.insert(key, Failure { message, retry_at: now + f64::from(delay_secs), delay_secs });
    }
}

/// Runtime, node and what was noticed.
pub(crate) struct Executor<R, H> {
    pub(crate) config: Config,
    pub(crate) runtime: R,
    pub(crate) host: H,
    pub(crate) memory: Memory,
    pub(crate) prober: Prober,
    pub(crate) logs: Logs,
}

impl<R: Runtime, H: Host> Executor<R, H> {
    /// Look at everything.
    ///
    /// # Errors
    /// containerd does not answer.
    pub(crate) async fn observe(&mut self, desired: &Desired, now: f64) -> Result<Observed, RuntimeError> {
        let listed = self.runtime.list().await?;
        let sandboxes = self.host.sandboxes();
        self.forget(&listed);
        self.follow(desired, &listed, &sandboxes, now);
        let containers = listed.into_iter().map(|l| (l.id.clone(), self.container(l, desired, now))).collect();
        Ok(Observed { containers, sandboxes, failures: self.memory.failures.clone(), rules: self.memory.rules.clone() })
    }

    /// Drop what was noticed about containers that are gone.
    fn forget(&mut self, listed: &[Listed]) {
        let known = |id: &String| listed.iter().any(|l| l.id == *id);
        self.memory.term_sent.retain(|id, _| known(id));
        self.memory.started.retain(|id, _| known(id));
        self.memory.ended.retain(|id, _| known(id));
    }

    /// Probes and log readers of everything that runs.
    fn follow(
        &mut self,
        desired: &Desired,
        listed: &[Listed],
        sandboxes: &BTreeMap<String, crate::observed::Sandbox>,
        now: f64,
    ) {
        let mut wanted = vec![];
        for l in listed {
            let Task::Running { pid } = l.task else { continue };
            let started = *self.memory.started.entry(l.id.clone()).or_insert_with(|| process_start(pid).unwrap_or(now));
            let labels = &l.labels;
            let (out, err) = fifos(&self.config, &labels.pod_uid, &l.id);
            let file = log_file(&self.config, &labels.namespace, &labels.pod, &labels.pod_uid, &labels.container);
            self.logs.follow(&l.id, &out, &err, &file);
            let Some((pod, sandbox)) = desired.pods.get(&labels.pod_uid).zip(sandboxes.get(&labels.pod_uid)) else {
                continue;
            };
            let Some(c) = pod.containers.iter().find(|c| c.name == labels.container) else { continue };
            for (kind, probe) in [(Kind::Readiness, &c.readiness), (Kind::Liveness, &c.liveness)] {
                wanted.extend(probe.clone().map(|probe| Wanted {
                    id: l.id.clone(),
                    kind,
                    ip: sandbox.ip,
                    probe,
                    age_secs: now - started,
                }));
            }
        }
        self.prober.sync(wanted);
    }

    fn container(&mut self, l: Listed, desired: &Desired, now: f64) -> Container {
        let state = match l.task {
            Task::None => State::Absent,
            Task::Running { .. } => State::Running,
            Task::Stopped { code, .. } => self.exited(&l.id, &l.labels, code, now),
        };
        // Before its probe exists a container with a probe is not Ready.
        let pod = desired.pods.get(&l.labels.pod_uid);
        let probed = pod.and_then(|p| p.containers.iter().find(|c| c.name == l.labels.container));
        let ready = match probed.and_then(|c| c.readiness.as_ref()) {
            None => true,
            Some(_) => self.prober.verdict(&l.id, Kind::Readiness).is_some_and(|v| v.is_good()),
        };
        let liveness = self.prober.verdict(&l.id, Kind::Liveness);
        let unhealthy = liveness.filter(|v| !v.is_good()).map(|v| v.last_error().unwrap_or("failed").to_owned());
        Container { state, ready, unhealthy, term_sent_at: self.memory.term_sent.get(&l.id).copied(), labels: l.labels }
    }

    fn exited(&mut self, id: &str, labels: &Labels, code: u32, now: f64) -> State {
        if !self.memory.ended.contains_key(id) {
            let ran = now - self.memory.started.get(id).copied().unwrap_or(now);
            self.memory.ended.insert(id.into(), (now, ran));
            self.memory.event(format!(
                "{}/{}: container {} ended with status {code} after {ran:.0} s",
                labels.namespace, labels.pod, labels.container
            ));
        }
        let (at, ran_secs) = self.memory.ended[id];
        State::Exited { code, at, ran_secs }
    }

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
                    self.memory.failed(action.key(), message, now);
                    Ok(())
                }
            },
        }
    }

    async fn try_execute(&mut self, action: &Action, desired: &Desired, now: f64) -> anyhow::Result<()> {
        let pod = |uid: &str| desired.pods.get(uid).ok_or_else(|| anyhow::anyhow!("the pod is not wanted any more"));
        match action {
            Action::SetupPod { uid } => self.host.setup_pod(pod(uid)?).await,
            Action::TeardownPod { uid } => self.host.teardown_pod(uid).await,
            Action::ApplyRules(rules) => {
                self.host.apply_rules(rules).await?;
                self.memory.rules = Some((**rules).clone());
                Ok(())
            }
            Action::Signal { id, signal: Signal::Term } => {
                self.runtime.signal(id, 15).await?;
                self.memory.term_sent.insert(id.clone(), now);
                Ok(())
            }
            Action::Signal { id, signal: Signal::Kill } => Ok(self.runtime.signal(id, 9).await?),
            Action::Remove { id } => self.remove(id).await,
            Action::Start { uid, container, attempt, backoff_secs, replaces } => {
                if let Some(id) = replaces {
                    self.remove(id).await?;
                }
                self.start(pod(uid)?, container, *attempt, *backoff_secs, now).await
            }
        }
    }

    async fn remove(&mut self, id: &str) -> anyhow::Result<()> {
        self.runtime.remove(id).await?;
        self.logs.stop(id);
        Ok(())
    }

    async fn start(&mut self, pod: &Pod, name: &str, attempt: u32, backoff_secs: u32, now: f64) -> anyhow::Result<()> {
        let container = pod
            .containers
            .iter()
            .find(|c| c.name == name)
            .ok_or_else(|| anyhow::anyhow!("the container is not wanted any more"))?;
        let id = container_id(&pod.uid, name, attempt);
        let mut new = self.host.prepare(pod, container, &id)?;
        new.labels = to_map(&Labels {
            pod_uid: pod.uid.clone(),
            pod: pod.name.clone(),
            namespace: pod.namespace.clone(),
            deployment: pod.deployment.clone(),
            container: name.into(),
            attempt,
            backoff_secs,
            grace_secs: pod.grace_secs,
        });
        // The reader is there first, so that not even the first line is lost.
        let (out, err) = fifos(&self.config, &pod.uid, &id);
        self.logs.follow(&id, &out, &err, &log_file(&self.config, &pod.namespace, &pod.name, &pod.uid, name));
        let started = self.runtime.start(new).await;
        if started.is_err() {
            self.logs.stop(&id);
        }
        started?;
        self.memory.started.insert(id, now);
        let again = if attempt > 0 { format!(" again (restart {attempt})") } else { String::new() };
        self.memory.event(format!("{}/{}: started container {name}{again}", pod.namespace, pod.name));
        Ok(())
    }
}

/// Id of a container: the same for the same pod, name and attempt.
pub(crate) fn container_id(uid: &str, name: &str, attempt: u32) -> String {
    let digest = Sha256::digest(format!("{uid}/{name}"));
    format!("{}-{attempt}", hex::encode(&digest[..12]))
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
        Action::TeardownPod { uid } => format!("{}: removing the pod", pod(uid)),
        Action::Start { uid, container, .. } => format!("{}: starting container {container}", pod(uid)),
        Action::Signal { id, .. } => format!("stopping container {id}"),
        Action::Remove { id } => format!("removing container {id}"),
        Action::ApplyRules(_) => "applying the packet filter".into(),
    }
}
