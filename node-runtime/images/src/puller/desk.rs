//! What to pull next: pure, time is passed in.
//!
//! Requests for one image with the same passwords share a job. A job that fails
//! waits 10 s, then twice as long each time, 5 min at most.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Event, ImageState, PullPolicy, Request};
use crate::{
    credentials::Keyring,
    reference::{Reference, ReferenceError},
    store::PulledImage,
};

/// First wait after a failure.
pub const BACKOFF_SECS_FIRST: u64 = 10;
/// Longest wait.
pub const BACKOFF_SECS_MAX: u64 = 300;
/// How long a failure is shown as such, before it counts as back-off.
const SHOW_SECS: u64 = 3;

/// One pull for all who want the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    pub reference: Reference,
    pub keyring: Keyring,
}

#[derive(Debug, Default)]
struct Progress {
    running: bool,
    failures: u32,
    failed_at: Duration,
    backing_off: bool,
    error: String,
}

impl Progress {
    fn retry_at(&self) -> Duration {
        let doubled = BACKOFF_SECS_FIRST << self.failures.saturating_sub(1).min(10);
        self.failed_at + Duration::from_secs(doubled.min(BACKOFF_SECS_MAX))
    }

    fn back_off_at(&self) -> Duration {
        self.failed_at + Duration::from_secs(SHOW_SECS)
    }
}

/// All requests and jobs.
#[derive(Debug, Default)]
pub struct Desk {
    requests: BTreeMap<String, (Request, Result<Reference, ReferenceError>)>,
    served: BTreeMap<String, Arc<PulledImage>>,
    /// Requests whose refusal was told.
    told: BTreeSet<String>,
    jobs: BTreeMap<Job, Progress>,
}

/// What a round comes to.
#[derive(Debug, Default)]
pub struct Round {
    pub states: BTreeMap<String, ImageState>,
    pub start: Vec<Job>,
    pub cancel: Vec<Job>,
    pub events: Vec<Event>,
    /// When to look again at the latest.
    pub wake: Option<Duration>,
}

impl Desk {
    /// Take the requests that there are now; others are forgotten.
    pub fn set_requests(&mut self, requests: &[Request]) {
        let known = std::mem::take(&mut self.requests);
        for request in requests {
            let same = known.get(&request.key).is_some_and(|(old, _)| old == request);
            if !same {
                self.served.remove(&request.key);
                self.told.remove(&request.key);
            }
            self.requests.insert(request.key.clone(), (request.clone(), request.image.parse()));
        }
        let requests = &self.requests;
        self.served.retain(|key, _| requests.contains_key(key));
        self.told.retain(|key| requests.contains_key(key));
    }

    /// Decide. `present` finds an image that is here.
    pub fn round(&mut self, present: impl Fn(&Reference) -> Option<Arc<PulledImage>>, now: Duration) -> Round {
        let mut round = Round::default();
        let mut wanted: BTreeMap<Job, Vec<String>> = BTreeMap::new();
        for (key, (request, reference)) in &self.requests {
            if self.served.contains_key(key) {
                continue;
            }
            let here = reference.as_ref().ok().filter(|_| request.policy != PullPolicy::Always).and_then(&present);
            match (reference, here) {
                (Err(e), _) => {
                    round.refuse(&mut self.told, request, "InvalidImageName", "InspectFailed", e.to_string())
                }
                (Ok(_), Some(image)) => {
                    let message = format!("Container image {:?} already present on machine", request.image);
                    round.event(key, false, "Pulled", message);
                    self.served.insert(key.clone(), image);
                }
                (Ok(_), None) if request.policy == PullPolicy::Never => {
                    let message =
                        format!("Container image {:?} is not present with pull policy of Never", request.image);
                    round.refuse(&mut self.told, request, "ErrImageNeverPull", "ErrImageNeverPull", message);
                }
                (Ok(reference), None) => {
                    let job = Job { reference: reference.clone(), keyring: request.keyring.clone() };
                    wanted.entry(job).or_default().push(key.clone());
                }
            }
        }
        self.drop_unwanted(&wanted, &mut round);
        for (job, keys) in wanted {
            self.advance(job, &keys, now, &mut round);
        }
        round.states.extend(self.served.iter().map(|(k, i)| (k.clone(), ImageState::Present(i.clone()))));
        round
    }

    /// A job ended. `took` is how long it ran.
    pub fn finished(
        &mut self,
        job: &Job,
        result: Result<Arc<PulledImage>, String>,
        now: Duration,
        took: Duration,
    ) -> Vec<Event> {
        let mut round = Round::default();
        let keys: Vec<_> = self.waiting_for(job);
        match result {
            Ok(image) => {
                self.jobs.remove(job);
                for (key, name) in keys {
                    let message = format!(
                        "Successfully pulled image {name:?} in {:.1}s. Image size: {} bytes.",
                        took.as_secs_f64(),
                        image.size_bytes
                    );
                    round.event(&key, false, "Pulled", message);
                    self.served.insert(key, image.clone());
                }
            }
            Err(error) => {
                let progress = self.jobs.entry(job.clone()).or_default();
                progress.running = false;
                progress.failures = progress.failures.saturating_add(1);
                progress.failed_at = now;
                progress.backing_off = false;
                progress.error.clone_from(&error);
                for (key, name) in keys {
                    round.event(&key, true, "Failed", format!("Failed to pull image {name:?}: {error}"));
                    round.event(&key, true, "Failed", "Error: ErrImagePull".into());
                }
            }
        }
        round.events
    }

    /// Keys and names of the requests that a job serves.
    fn waiting_for(&self, job: &Job) -> Vec<(String, String)> {
        let serves = |request: &Request, reference: &Result<Reference, _>| {
            reference.as_ref() == Ok(&job.reference)
                && request.keyring == job.keyring
                && request.policy != PullPolicy::Never
                && !self.served.contains_key(&request.key)
        };
        let all = self.requests.values().filter(|(request, reference)| serves(request, reference));
        all.map(|(request, _)| (request.key.clone(), request.image.clone())).collect()
    }

    fn drop_unwanted(&mut self, wanted: &BTreeMap<Job, Vec<String>>, round: &mut Round) {
        self.jobs.retain(|job, progress| {
            let keep = wanted.contains_key(job);
            if !keep && progress.running {
                round.cancel.push(job.clone());
            }
            keep
        });
    }

    fn advance(&mut self, job: Job, keys: &[String], now: Duration, round: &mut Round) {
        let progress = self.jobs.entry(job.clone()).or_default();
        let name = |key: &String| self.requests.get(key).map_or("", |(request, _)| &request.image);
        if !progress.running && (progress.failures == 0 || now >= progress.retry_at()) {
            progress.running = true;
            round.start.push(job);
            for key in keys {
                round.event(key, false, "Pulling", format!("Pulling image {:?}", name(key)));
            }
        }
        if progress.running {
            round.states.extend(keys.iter().map(|key| (key.clone(), ImageState::Pulling)));
            return;
        }
        let showing = now < progress.back_off_at();
        round.wake_at(if showing { progress.back_off_at() } else { progress.retry_at() });
        let newly = !showing && !std::mem::replace(&mut progress.backing_off, !showing);
        for key in keys {
            let (reason, message) = if showing {
                ("ErrImagePull", format!("failed to pull image {:?}: {}", name(key), progress.error))
            } else {
                let message = format!("Back-off pulling image {:?}: ErrImagePull: {}", name(key), progress.error);
                ("ImagePullBackOff", message)
            };
            round.states.insert(key.clone(), ImageState::Failed { reason, message });
            if newly {
                round.event(key, false, "BackOff", format!("Back-off pulling image {:?}", name(key)));
                round.event(key, true, "Failed", "Error: ImagePullBackOff".into());
            }
        }
    }
}

impl Round {
    fn event(&mut self, key: &str, warning: bool, reason: &'static str, message: String) {
        self.events.push(Event { key: key.into(), warning, reason, message });
    }

    /// A request that no pull can serve; told once.
    fn refuse(
        &mut self,
        told: &mut BTreeSet<String>,
        request: &Request,
        reason: &'static str,
        event: &'static str,
        message: String,
    ) {
        if told.insert(request.key.clone()) {
            self.event(&request.key, true, event, message.clone());
        }
        self.states.insert(request.key.clone(), ImageState::Failed { reason, message });
    }

    fn wake_at(&mut self, at: Duration) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
