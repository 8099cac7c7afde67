//! The loop: observe, plan, act, until nothing is left; then wait for an
//! event, a probe or the time.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use skerry_formats::{baked::NodeConfig, versioned::Document};
use skerry_platform::{clock, durable, notify};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use crate::{
    config::Config,
    containerd::{Client, NewExec, Runtime},
    desired::{self, Desired},
    drain,
    executor::{Executor, Happened, Memory},
    host::{Host, Node},
    input::{Input, Output},
    logs::{Live, Logs},
    observed::Observed,
    plan::{Action, plan},
    probes::{Attempt, ExecFn, Prober},
    status,
};

/// Everything is looked at again after this time, event or not. Also the
/// longest time between two status documents.
const RESYNC: Duration = Duration::from_secs(10);
/// The packet filter is applied again after this time, in case somebody
/// changed it.
const RULES_REFRESH_SECS: f64 = 60.0;
/// Rounds of observe, plan, act without a pause. More means that something
/// undoes what is done; then it goes on at a walking pace.
const ROUNDS_MAX: usize = 12;
/// After this time a pass is broken off, so that what came of it is told and
/// what is new is heard; the next one goes on at once. Fifty pods take a slow
/// box minutes.
const PASS_MAX: Duration = Duration::from_secs(1);
/// Pause after rounds that did not come to rest, and while containerd is down.
const PAUSE: Duration = Duration::from_secs(1);

/// Run what `input` says until SIGTERM or SIGINT.
pub(crate) async fn run(
    config: Config,
    input: watch::Receiver<Arc<Input>>,
    output: Option<mpsc::Sender<Output>>,
    live: Arc<Live>,
) -> anyhow::Result<()> {
    let exec_dir = config.run_dir.join("exec");
    for dir in [&config.run_dir.join("orchestrator"), &exec_dir, &config.pods_dir, &config.logs_dir] {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    let name = config.node_name.clone().unwrap_or_else(host_name);
    let (attempts_in, attempts) = mpsc::channel(64);
    let (happened, events) = mpsc::channel(64);
    let runtime = crate::containerd_client(&config);
    tokio::spawn(runtime.clone().watch_events(happened.clone(), Happened::Look));
    let exec = exec_fn(runtime.clone(), exec_dir);
    let executor = Executor {
        host: Node::new(config.clone(), name.clone()),
        runtime,
        memory: Memory::default(),
        prober: Prober::new(attempts_in, exec.clone()),
        logs: Logs::new(live),
        config,
        exec,
        happened,
    };
    let mut state = Loop {
        executor,
        desired: Desired::default(),
        observed: Observed::default(),
        manifest_errors: vec![],
        containerd_error: Some("not asked yet".into()),
        name,
        rules_at: f64::MIN,
        last_document: None,
        input,
        output,
    };
    state.take_input();
    state.run(attempts, events).await
}

/// Programs in containers, for probes and hooks.
fn exec_fn(client: Client, dir: std::path::PathBuf) -> ExecFn {
    Arc::new(move |container, args, limit| {
        let client = client.clone();
        let new = NewExec { container, args, tty: false, stdin: false, dir: dir.clone() };
        Box::pin(async move { client.run(new, limit).await })
    })
}

/// What the image brings: images, and Deployments as pods.
///
/// # Errors
/// The node's configuration is unreadable. Problems of manifests are part of
/// the input.
pub(crate) fn baked(config: &Config) -> anyhow::Result<Input> {
    let path = &config.node_config;
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let node = NodeConfig::parse(&bytes).with_context(|| format!("reading {}", path.display()))?;
    let bad = |errors| Ok(Input { errors, ..desired::baked::input(&[], &node) });
    let files = match manifest_files(&config.manifests) {
        Ok(files) => files,
        Err(e) => return bad(vec![format!("{e:#}")]),
    };
    let ipv6 = config.ipv6();
    match skerry_workloads::parse_manifests(&files) {
        Ok(workloads) => Ok(Input { ipv6, ..desired::baked::input(&workloads, &node) }),
        Err(problems) => bad(problems.iter().map(ToString::to_string).collect()),
    }
}

/// Manifest files in order of their names; no folder means no manifests.
fn manifest_files(dir: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = vec![];
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        other => other.with_context(|| format!("reading {}", dir.display()))?,
    };
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", dir.display()))?.path();
        let known = path.extension().and_then(|e| e.to_str()).is_some_and(|e| ["yaml", "yml", "json"].contains(&e));
        if known {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, fs::read(&path).with_context(|| format!("reading {}", path.display()))?));
        }
    }
    files.sort();
    Ok(files)
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "localhost".into(), |s| s.trim().to_owned())
}

struct Loop<R, H> {
    executor: Executor<R, H>,
    desired: Desired,
    observed: Observed,
    manifest_errors: Vec<String>,
    containerd_error: Option<String>,
    name: String,
    rules_at: f64,
    last_document: Option<Vec<u8>>,
    input: watch::Receiver<Arc<Input>>,
    output: Option<mpsc::Sender<Output>>,
}

impl<R: Runtime, H: Host> Loop<R, H> {
    async fn run(
        mut self,
        mut attempts: mpsc::Receiver<Attempt>,
        mut events: mpsc::Receiver<Happened>,
    ) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let mut ready_sent = false;
        loop {
            if self.input.has_changed().unwrap_or(false) {
                self.take_input();
            }
            let pause = self.converge().await;
            self.publish();
            self.hand_out();
            if !ready_sent {
                tell("READY=1");
                ready_sent = true;
            }
            tell("WATCHDOG=1");
            let sleep = tokio::time::sleep(pause);
            tokio::pin!(sleep);
            loop {
                tokio::select! {
                    () = &mut sleep => break,
                    Some(h) = events.recv() => {
                        self.executor.note(h, &self.desired, clock::boottime_secs());
                        break;
                    }
                    Some(a) = attempts.recv() => {
                        if self.executor.attempt(a, &self.desired) {
                            break;
                        }
                    }
                    Ok(()) = self.input.changed() => {
                        self.take_input();
                        break;
                    }
                    _ = terminate.recv() => return self.leave().await,
                    _ = interrupt.recv() => return self.leave().await,
                }
            }
        }
    }

    fn take_input(&mut self) {
        let input = self.input.borrow_and_update().clone();
        self.executor.memory.recall(&input);
        let (desired, problems) = desired::build(&input);
        let errors = input.errors.iter().cloned().chain(problems).collect();
        if errors != self.manifest_errors {
            self.manifest_errors = errors;
            self.manifest_errors.iter().for_each(|e| tracing::error!("{e}"));
        }
        self.desired = desired;
    }

    /// Statuses, events and deletions for whoever keeps the objects. What does
    /// not fit waits for the next round.
    fn hand_out(&mut self) {
        let now = clock::boottime_secs();
        if self.containerd_error.is_some() {
            // What cannot be seen is not told.
            return;
        }
        self.executor.statuses(&self.desired, &self.observed, now);
        let memory = &mut self.executor.memory;
        let Some(output) = &self.output else {
            memory.outbox.clear();
            memory.unsent.clear();
            return;
        };
        while !memory.outbox.is_empty() {
            let Ok(place) = output.try_reserve() else { return };
            place.send(Output::Event(memory.outbox.pop_front().expect("it is not empty")));
        }
        for pod in self.desired.pods.values() {
            if !memory.unsent.contains(&pod.uid) {
                continue;
            }
            let Some(status) = memory.statuses.get(&pod.uid) else { continue };
            let Ok(place) = output.try_reserve() else { return };
            let (namespace, name, uid) = (pod.namespace.clone(), pod.name.clone(), pod.uid.clone());
            place.send(Output::Status { namespace, name, uid, status: Box::new(status.clone()) });
            memory.unsent.remove(&pod.uid);
        }
        for pod in self.desired.pods.values().filter(|p| p.deletion_grace_secs.is_some()) {
            let gone = self.observed.of_pod(&pod.uid).next().is_none()
                && !self.observed.sandboxes.contains_key(&pod.uid)
                && !self.observed.on_disk.contains(&pod.uid);
            if gone && !memory.confirmed.contains(&pod.uid) {
                let Ok(place) = output.try_reserve() else { return };
                let (namespace, name, uid) = (pod.namespace.clone(), pod.name.clone(), pod.uid.clone());
                memory.confirmed.insert(uid.clone());
                place.send(Output::Deleted { namespace, name, uid });
            }
        }
    }

    async fn leave(&mut self) -> anyhow::Result<()> {
        tell("STOPPING=1");
        if drain::system_goes_down(&self.executor.config.systemctl).await {
            tracing::info!("the system goes down: ending all containers");
            drain::run(&mut self.executor, &self.desired).await;
        } else {
            tracing::info!("ending; containers keep running");
        }
        Ok(())
    }

    /// Observe, plan and act until there is nothing to do, or for [`PASS_MAX`].
    /// Returns how long to wait at most.
    async fn converge(&mut self) -> Duration {
        if let Err(e) = self.executor.host.ensure_base().await {
            let text = format!("node network: {e:#}");
            if self.executor.memory.events.back() != Some(&text) {
                self.executor.memory.event(text);
            }
        }
        let now = clock::boottime_secs();
        if now - self.rules_at > RULES_REFRESH_SECS {
            self.executor.memory.rules = None;
            self.rules_at = now;
        }
        self.executor.measure(&self.desired, now);
        let end = Instant::now() + PASS_MAX;
        for _ in 0..ROUNDS_MAX {
            match self.round(end).await {
                Ok(Some(pause)) => return pause,
                Ok(None) if Instant::now() >= end => return Duration::ZERO,
                Ok(None) => {}
                Err(e) => {
                    if self.containerd_error.as_ref() != Some(&e) {
                        tracing::warn!("{e}");
                    }
                    self.containerd_error = Some(e);
                    return PAUSE;
                }
            }
        }
        PAUSE
    }

    /// One round, at most until `end` and one action; `Some`: nothing to do
    /// before this time has passed.
    async fn round(&mut self, end: Instant) -> Result<Option<Duration>, String> {
        let now = clock::boottime_secs();
        self.observed = self.executor.observe(&self.desired, now).await.map_err(|e| e.to_string())?;
        self.containerd_error = None;
        let plan = plan(&self.desired, &self.observed, now);
        if plan.actions.is_empty() {
            let until = plan.wake_at.map_or(RESYNC, |at| Duration::from_secs_f64((at - now).max(0.05)));
            return Ok(Some(until.min(RESYNC)));
        }
        for action in &plan.actions {
            self.executor.execute(action, &self.desired, clock::boottime_secs()).await.map_err(|e| e.to_string())?;
            // What is slow is no standstill.
            tell("WATCHDOG=1");
            // Rules come first in every plan; they alone are no progress.
            if Instant::now() >= end && !matches!(action, Action::ApplyRules(_)) {
                break;
            }
        }
        Ok(None)
    }

    /// Write the status document; failures to do so are only logged, the
    /// reader notices by its age.
    fn publish(&mut self) {
        let view = status::View {
            node: &self.name,
            desired: &self.desired,
            observed: &self.observed,
            memory: &self.executor.memory,
            prober: &self.executor.prober,
            containerd_error: self.containerd_error.as_deref(),
            manifest_errors: &self.manifest_errors,
        };
        let bytes = status::document(&view, clock::boottime_secs()).to_bytes();
        if self.last_document.as_ref() == Some(&bytes) {
            return;
        }
        match durable::write_file_atomic(&self.executor.config.status, &bytes) {
            Ok(()) => self.last_document = Some(bytes),
            Err(e) => tracing::error!("{e}: {}", e.source),
        }
    }
}

fn tell(what: &str) {
    if let Err(e) = notify::sd_notify(what) {
        tracing::warn!("{e}: {}", e.source);
    }
}
