//! The puller as a task. It runs on a current-thread runtime: what takes long
//! (hashing, unpacking, the disk) happens on tokio's blocking threads.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::Instant,
};

use super::{
    Event, ImageState, Request,
    desk::{Desk, Job},
};
use crate::{
    download::Progress,
    registry::Registry,
    store::{PulledImage, Store},
};

/// Events that wait to be taken; more are lost.
const EVENTS_MAX: usize = 256;

/// The ends of a puller that its user keeps.
#[derive(Debug)]
pub struct PullerHandle {
    /// What is wanted now. Dropping it ends the puller.
    pub requests: watch::Sender<Vec<Request>>,
    /// State of each request by its key. A request that was just made may be
    /// missing for a moment.
    pub states: watch::Receiver<BTreeMap<String, ImageState>>,
    /// What to tell people.
    pub events: mpsc::Receiver<Event>,
}

/// Pulls what is wanted.
#[derive(Debug)]
pub struct Puller {
    store: Arc<Store>,
    registry: Registry,
    requests: watch::Receiver<Vec<Request>>,
    states: watch::Sender<BTreeMap<String, ImageState>>,
    events: mpsc::Sender<Event>,
    desk: Desk,
    started: Instant,
    running: JoinSet<Result<Arc<PulledImage>, String>>,
    jobs: HashMap<Id, (Job, Instant, AbortHandle)>,
}

impl Puller {
    /// A puller that wants nothing yet; [`Puller::run`] must be spawned. Call it
    /// inside a tokio runtime.
    pub fn new(store: Arc<Store>, registry: Registry) -> (Self, PullerHandle) {
        let (requests_in, requests) = watch::channel(Vec::new());
        let (states, states_out) = watch::channel(BTreeMap::new());
        let (events, events_out) = mpsc::channel(EVENTS_MAX);
        let puller = Self {
            store,
            registry,
            requests,
            states,
            events,
            desk: Desk::default(),
            started: Instant::now(),
            running: JoinSet::new(),
            jobs: HashMap::new(),
        };
        (puller, PullerHandle { requests: requests_in, states: states_out, events: events_out })
    }

    /// Work until nobody can want anything any more.
    pub async fn run(mut self) {
        loop {
            let wake = self.round();
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(self.started + at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.requests.changed() => if changed.is_err() { return },
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                () = sleep => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Decide, start, stop, tell; when to look again.
    fn round(&mut self) -> Option<Duration> {
        let requests = self.requests.borrow_and_update().clone();
        self.desk.set_requests(&requests);
        let now = self.now();
        let store = &self.store;
        let round = self.desk.round(|reference| store.by_reference(reference), now);
        for job in round.cancel {
            self.jobs.values().filter(|(j, ..)| *j == job).for_each(|(_, _, handle)| handle.abort());
        }
        for job in round.start {
            self.start(job);
        }
        self.tell(round.events);
        self.states.send_if_modified(|states| {
            let changed = *states != round.states;
            *states = round.states;
            changed
        });
        round.wake
    }

    fn start(&mut self, job: Job) {
        let (store, registry, wanted) = (self.store.clone(), self.registry.clone(), job.clone());
        let handle = self.running.spawn(async move {
            let now_secs = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
            let progress = Arc::new(Progress::default());
            let pulled = store.pull(&registry, &wanted.reference, &wanted.keyring, &progress, now_secs).await;
            pulled.map_err(|e| e.line())
        });
        self.jobs.insert(handle.id(), (job, Instant::now(), handle));
    }

    fn ended(&mut self, ended: Result<(Id, Result<Arc<PulledImage>, String>), JoinError>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, Some(result)),
            Err(e) if e.is_cancelled() => (e.id(), None),
            Err(e) => (e.id(), Some(Err(format!("a worker broke down: {e}")))),
        };
        let Some((job, since, _)) = self.jobs.remove(&id) else { return };
        // A job that was given up may be wanted again and run in another task.
        let Some(result) = result.filter(|_| !self.jobs.values().any(|(j, ..)| *j == job)) else { return };
        let events = self.desk.finished(&job, result, self.now(), since.elapsed());
        self.tell(events);
    }

    fn tell(&self, events: Vec<Event>) {
        for event in events {
            if let Err(e) = self.events.try_send(event) {
                tracing::debug!(%e, "an event about an image is lost");
            }
        }
    }
}
