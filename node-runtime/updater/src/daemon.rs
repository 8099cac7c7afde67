//! The loop around the machine: persist, then act, then tell the machine.

use std::{collections::VecDeque, fs, sync::Arc, time::Duration};

use skerry_formats::{
    Sequence,
    baked::NodeConfig,
    layout::{ORCHESTRATOR_STATUS, UPDATER_STATUS, UkiName},
    status::{OrchestratorStatus, Progress, ReleaseRef},
    versioned::Document as _,
};
use skerry_platform::{notify, resolv};
use skerry_update_core::{Action, BootObservation, Cause, Env, Event, Phase, Policy, State, step};
use tokio::sync::mpsc;
use tough::Repository;

use crate::{
    Config, UpdateError, check, config,
    error::io,
    facilities::{Facilities, Machine},
    fetch::Fetcher,
    health,
    pulse::{self, Pulse},
    source::Source,
    stage, status,
    store::Store,
    web,
};

/// Received bytes after which the count is made durable.
pub const PERSIST_EVERY_BYTES: u64 = 1 << 20;
/// Received bytes after which the status document is renewed.
const REPORT_EVERY_BYTES: u64 = 256 << 10;
/// Received bytes from which a broken download counts as progress.
const PROGRESS_BYTES_MIN: u64 = 64 << 10;
/// Longest sleep of the loop.
const SLEEP_SECS_MAX: u64 = 30;
/// Time before the daemon starts over after its state could not be written.
const START_OVER_SECS: u64 = 20;

/// What a turn of the loop came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Something was done; there may be more.
    Acted,
    /// Nothing to do for so many seconds.
    Idle(u64),
}

/// The daemon.
pub struct Daemon {
    cfg: Arc<Config>,
    fac: Arc<dyn Facilities>,
    node: NodeConfig,
    policy: Policy,
    state: State,
    saved: Option<State>,
    todo: VecDeque<Action>,
    source: Option<Source>,
    repo: Option<Repository>,
    pulse: Arc<Pulse>,
}

/// Run the updater on this node. Returns only with an error.
///
/// # Errors
/// The baked configuration is not readable.
pub fn run(cfg: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(serve(Arc::new(cfg), Arc::new(Machine)))
}

async fn serve(cfg: Arc<Config>, fac: Arc<dyn Facilities>) -> anyhow::Result<()> {
    let node = cfg.node_config()?;
    if let Some(listen) = node.status_listen.clone() {
        let cfg = cfg.clone();
        tokio::spawn(async move {
            if let Err(error) = web::serve(cfg, listen).await {
                tracing::warn!("status page: {error:#}");
            }
        });
    }
    let pulse = Arc::new(Pulse::new(fac.now().boot_secs));
    if let Some(every) = notify::watchdog_interval() {
        let (pulse, fac) = (pulse.clone(), fac.clone());
        tokio::spawn(async move {
            loop {
                if pulse.is_alive(fac.now().boot_secs) {
                    let _ = notify::sd_notify("WATCHDOG=1");
                }
                tokio::time::sleep(every).await;
            }
        });
    }
    let mut ready = false;
    loop {
        let error = match Daemon::start(cfg.clone(), fac.clone()) {
            Ok(mut daemon) => {
                daemon.pulse = pulse.clone();
                if !std::mem::replace(&mut ready, true) {
                    let _ = notify::sd_notify("READY=1");
                }
                daemon.run_until_error().await
            }
            Err(e) => e,
        };
        pulse.beat(fac.now().boot_secs, pulse::TURN_SECS_MAX);
        fac.announce(&format!("cannot go on: {error:#}; starting over in {START_OVER_SECS} s"));
        tokio::time::sleep(Duration::from_secs(START_OVER_SECS)).await;
    }
}

impl Daemon {
    /// Load the state and take a first look around.
    ///
    /// # Errors
    /// The configuration is not readable or the state not writable.
    pub fn start(cfg: Arc<Config>, fac: Arc<dyn Facilities>) -> anyhow::Result<Self> {
        let node = cfg.node_config()?;
        refresh_name_servers(&cfg);
        if let Err(e) = check::raise_time_floor(&cfg, &*fac, check::running_built_at(&cfg, &node)) {
            tracing::warn!("clock floor: {}", e.line());
        }
        let saved = load(&cfg);
        let state = saved.clone().unwrap_or_else(|| State::new(config::running(&node)));
        let policy = config::policy(&node);
        let pulse = Arc::new(Pulse::new(fac.now().boot_secs));
        let todo = VecDeque::new();
        let mut d = Self { cfg, fac, node, policy, state, saved, todo, source: None, repo: None, pulse };
        let seen = d.observe()?;
        d.apply(Event::Boot(seen))?;
        Ok(d)
    }

    /// The machine's state.
    pub fn state(&self) -> &State {
        &self.state
    }

    async fn run_until_error(&mut self) -> anyhow::Error {
        loop {
            match self.turn().await {
                Ok(Turn::Acted) => {}
                Ok(Turn::Idle(secs)) => tokio::time::sleep(Duration::from_secs(secs)).await,
                Err(e) => return e,
            }
        }
    }

    /// Carry out one action, or look whether it is time for something.
    ///
    /// # Errors
    /// The state cannot be written; nothing was done then.
    pub async fn turn(&mut self) -> anyhow::Result<Turn> {
        if let Some(action) = self.todo.pop_front() {
            self.beat(pulse::allowance_secs(&action));
            self.act(action).await?;
            return Ok(Turn::Acted);
        }
        self.beat(pulse::TURN_SECS_MAX);
        self.apply(Event::Timer)?;
        if self.todo.is_empty() && matches!(self.state.phase, Phase::Trial { .. }) {
            let checks: u64 = self.node.health.checks.iter().map(|c| c.timeout_secs).sum();
            self.beat(pulse::TURN_SECS_MAX.saturating_add(checks));
            let report = self.health().await;
            self.apply(Event::Health(report))?;
        }
        if !self.todo.is_empty() {
            return Ok(Turn::Acted);
        }
        let now = self.fac.now().boot_secs;
        Ok(Turn::Idle(match &self.state.phase {
            Phase::Trial { .. } => health::POLL_SECS,
            Phase::Idle { next_check_at: Some(at) } => at.saturating_sub(now).clamp(1, SLEEP_SECS_MAX),
            Phase::Idle { next_check_at: None } => SLEEP_SECS_MAX,
            _ => 1,
        }))
    }

    fn beat(&self, secs: u64) {
        self.pulse.beat(self.fac.now().boot_secs, secs);
    }

    async fn health(&self) -> Result<(), skerry_update_core::Problem> {
        let doc = status::read::<OrchestratorStatus>(&self.cfg.path(ORCHESTRATOR_STATUS));
        health::judge(doc.as_ref(), self.fac.now().boot_secs)?;
        health::user_checks(&self.node.health.checks).await
    }

    fn observe(&self) -> anyhow::Result<BootObservation> {
        let mut entries: Vec<UkiName> = vec![];
        let listed = self.fac.boot_entries(&mut |e| {
            entries = e.list()?;
            Ok(())
        });
        if let Err(e) = listed {
            self.fac.announce(&UpdateError::Esp(e).line());
        }
        Ok(BootObservation {
            boot_id: self.fac.boot_id()?,
            running: config::running(&self.node),
            on_disk: self.store().on_disk(&entries),
        })
    }

    fn store(&self) -> Store<'_> {
        Store { cfg: &self.cfg, fac: &*self.fac }
    }

    /// Step the machine; the new state is durable before anything is done.
    fn apply(&mut self, event: Event) -> anyhow::Result<()> {
        let env = Env { now: self.fac.now(), policy: self.policy, random: self.fac.random() };
        let (next, actions) = step(self.state.clone(), event, &env)?;
        let changed = next.phase != self.state.phase || !actions.is_empty() || self.saved.is_none();
        self.persist(&next)?;
        self.state = next;
        if changed {
            tracing::debug!(phase = self.state.phase.name(), "state");
            self.publish();
        }
        self.todo.extend(actions);
        Ok(())
    }

    fn persist(&mut self, next: &State) -> anyhow::Result<()> {
        let durable = durable_part(next, self.saved.as_ref());
        if self.saved.as_ref() == Some(&durable) {
            return Ok(());
        }
        let path = self.cfg.state();
        self.fac.write_file(&path, &durable.to_bytes()).map_err(io("write", &path))?;
        self.saved = Some(durable);
        Ok(())
    }

    fn publish(&self) {
        let path = self.cfg.path(UPDATER_STATUS);
        if let Err(error) = status::publish(&path, &status::document(&self.node, &self.state).to_bytes()) {
            tracing::warn!(%error, "status not written");
        }
    }

    async fn act(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Announce(line) => self.fac.announce(&line),
            Action::Prune { keep } => {
                if let Err(e) = self.store().prune(&keep) {
                    tracing::warn!("removing old releases: {}", e.line());
                }
            }
            Action::MarkBad(sequence) => self.mark_bad(sequence),
            Action::Check => match in_time(self.check()).await {
                Ok(offer) => self.apply(Event::Offered(offer))?,
                Err(e) => self.failed(&e, 0)?,
            },
            Action::Plan(offer) => match in_time(self.plan(offer.sequence)).await {
                Ok(plan) => self.apply(Event::Planned(plan))?,
                Err(e) => self.failed(&e, 0)?,
            },
            Action::Fetch(candidate) => self.fetch(candidate.sequence).await?,
            Action::Stage(candidate) => {
                let staged = stage::kept(&self.cfg, &self.node, candidate.sequence)
                    .and_then(|c| stage::stage(&self.cfg, &*self.fac, &c));
                match staged {
                    Ok(()) => self.apply(Event::Staged)?,
                    Err(e) => self.failed(&e, 0)?,
                }
            }
            Action::Bless(sequence) => match self.fac.boot_entries(&mut |e| e.bless(sequence)) {
                Ok(()) => self.apply(Event::Blessed)?,
                Err(e) => self.failed(&e.into(), 0)?,
            },
            Action::Reboot => {
                if let Err(e) = self.fac.reboot() {
                    let error = UpdateError::Io { operation: "order", path: "reboot".into(), source: e };
                    self.failed(&error, 0)?;
                }
            }
        }
        if self.todo.is_empty() && matches!(self.state.phase, Phase::Idle { .. }) {
            // A check a day needs no connections, keys and metadata in memory.
            self.source = None;
            self.repo = None;
        }
        Ok(())
    }

    fn failed(&mut self, e: &UpdateError, received: u64) -> anyhow::Result<()> {
        let progressed = e.cause() == Cause::Network && received >= PROGRESS_BYTES_MIN;
        self.apply(Event::Failed(e.failure(progressed)))
    }

    fn mark_bad(&self, sequence: Sequence) {
        let marked = self.fac.boot_entries(&mut |e| e.mark_bad(sequence));
        if let Err(e) = marked {
            tracing::warn!("marking release {sequence} bad: {}", UpdateError::Esp(e).line());
        }
    }

    async fn check(&mut self) -> Result<ReleaseRef, UpdateError> {
        let update =
            self.node.update.clone().ok_or_else(|| UpdateError::NoTarget("configured update source".into()))?;
        self.repo = None;
        refresh_name_servers(&self.cfg);
        let source = Source::new(&update.url)?;
        let (repo, seen) = check::load(&self.cfg, &*self.fac, &source, self.state.tuf_floor).await?;
        let channel = check::channel(&repo, &self.node, &update).await?;
        self.state.tuf_floor = seen;
        self.source = Some(source);
        self.repo = Some(repo);
        Ok(ReleaseRef { sequence: channel.sequence, version: channel.version })
    }

    async fn plan(&mut self, sequence: Sequence) -> Result<skerry_update_core::Plan, UpdateError> {
        let gone = || UpdateError::Staging { sequence: sequence.0, detail: "the metadata was not loaded".into() };
        let repo = self.repo.take().ok_or_else(gone)?;
        let candidate = check::release(&self.cfg, &repo, &self.node, sequence).await?;
        drop(repo);
        check::raise_time_floor(&self.cfg, &*self.fac, candidate.release.built_at)?;
        stage::keep_record(&self.cfg, &*self.fac, &candidate)?;
        let mut plan = check::plan(&self.store(), &candidate)?;
        // The channel's word for the version and the statement's may differ;
        // the machine asked about the channel's.
        if let Phase::Checking { offer: Some(offer) } = &self.state.phase {
            plan.candidate = offer.clone();
        }
        Ok(plan)
    }

    async fn fetch(&mut self, sequence: Sequence) -> anyhow::Result<()> {
        let (fetcher, missing) = match self.prepare_fetch(sequence) {
            Ok(ready) => ready,
            Err(e) => return self.failed(&e, 0),
        };
        let source = fetcher.source.clone();
        let (tx, mut rx) = mpsc::unbounded_channel();
        let work = fetcher.run(missing, tx);
        tokio::pin!(work);
        let (mut total, mut pending, mut last) = (0, source.take_received(), None::<Progress>);
        let result = loop {
            let done = tokio::select! {
                biased;
                Some(progress) = rx.recv() => {
                    let landed = last.is_none_or(|l| l.objects_done != progress.objects_done);
                    last = Some(progress);
                    let n = source.take_received();
                    (total, pending) = (total + n, pending + n);
                    if !landed && pending < REPORT_EVERY_BYTES {
                        self.beat(pulse::PIECE_SECS_MAX);
                        continue;
                    }
                    None
                }
                result = &mut work => Some(result),
            };
            self.beat(pulse::PIECE_SECS_MAX);
            if done.is_some() {
                while let Ok(progress) = rx.try_recv() {
                    last = Some(progress);
                }
                let n = source.take_received();
                (total, pending) = (total + n, pending + n);
            }
            if let (Some(progress), true) = (last, pending > 0 || done.is_none()) {
                self.apply(Event::Received { received: std::mem::take(&mut pending), progress })?;
            }
            if let Some(result) = done {
                break result;
            }
        };
        match result {
            Ok(()) => self.apply(Event::Fetched),
            Err(e) => self.failed(&e, total),
        }
    }

    fn prepare_fetch(
        &self,
        sequence: Sequence,
    ) -> Result<(Fetcher, Vec<skerry_formats::index::IndexEntry>), UpdateError> {
        let candidate = stage::kept(&self.cfg, &self.node, sequence)?;
        let missing = self.store().missing(&candidate.index)?;
        self.store().check_room(&missing)?;
        let detail = || "the connection was not kept".into();
        let source =
            self.source.clone().ok_or_else(|| UpdateError::Staging { sequence: sequence.0, detail: detail() })?;
        Ok((Fetcher { cfg: self.cfg.clone(), fac: self.fac.clone(), source }, missing))
    }
}

/// A server that sends a byte now and then must not hold the loop forever.
async fn in_time<T>(asking: impl Future<Output = Result<T, UpdateError>>) -> Result<T, UpdateError> {
    let limit = Duration::from_secs(pulse::ASK_SECS_MAX);
    tokio::time::timeout(limit, asking).await.unwrap_or(Err(UpdateError::Slow { secs: pulse::ASK_SECS_MAX }))
}

/// Names may be resolvable without; that shows in the requests.
fn refresh_name_servers(cfg: &Config) {
    if let Err(error) = resolv::refresh(&cfg.path("/"), &cfg.path(resolv::RESOLV_CONF)) {
        tracing::warn!(%error, "name servers not written");
    }
}

/// The part of a state that has to survive: not how far a download is to the
/// byte, nor since when the gate holds.
fn durable_part(s: &State, saved: Option<&State>) -> State {
    let mut d = s.clone();
    match &mut d.phase {
        Phase::Fetching { progress, .. } => *progress = Progress::default(),
        Phase::Trial { healthy_since, problem, .. } => (*healthy_since, *problem) = (None, None),
        _ => {}
    }
    let before = saved.and_then(|s| s.cost.as_ref());
    if let (Some(new), Some(old), Phase::Fetching { .. }) = (&mut d.cost, before, &s.phase) {
        let close = new.fetched_bytes.saturating_sub(old.fetched_bytes) < PERSIST_EVERY_BYTES;
        if new.plan == old.plan && close {
            new.fetched_bytes = old.fetched_bytes;
        }
    }
    d
}

/// A missing or unreadable state is no error: the boot entries tell enough.
fn load(cfg: &Config) -> Option<State> {
    let path = cfg.state();
    match State::parse(&fs::read(&path).ok()?) {
        Ok(s) => Some(s),
        Err(error) => {
            tracing::warn!("{}: {error}; starting without it", path.display());
            None
        }
    }
}
