//! What was noticed on the way and may be forgotten: a restart of this process
//! loses it, and it is noticed again or does not matter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use k8s_openapi::api::core::v1 as core;

use crate::{
    desired::{CREATING, Desired, Pod},
    input::{Event, Input},
    network::Ruleset,
    observed::{Exit, Failure, Stopping, failure_key},
    plan::failure_delay,
};

/// Events that are kept for the status document.
const EVENTS_MAX: usize = 50;
/// Events that wait for somebody who takes them.
const OUTBOX_MAX: usize = 256;

/// What was noticed.
#[derive(Default)]
pub(crate) struct Memory {
    /// Containers on their way out, by id.
    pub(super) stopping: BTreeMap<String, Stopping>,
    /// When a container started (seconds since boot), by id.
    pub(super) started: BTreeMap<String, f64>,
    /// postStart hooks that run (`None`) or failed, by id.
    pub(super) post_start: BTreeMap<String, Option<String>>,
    /// Latest attempt of a container, by [`failure_key`].
    pub(super) attempts: BTreeMap<String, u32>,
    /// How the run before this one ended: its id and end, by [`failure_key`].
    pub(crate) ended: BTreeMap<String, (String, Exit)>,
    /// Failed actions by key.
    pub(crate) failures: BTreeMap<String, Failure>,
    /// Why pods have to leave the node, by uid.
    pub(super) evicted: BTreeMap<String, String>,
    /// Disk space is being measured.
    pub(super) measuring: bool,
    /// It is measured next then (seconds since boot).
    pub(super) measure_at: f64,
    /// Ruleset that was applied.
    pub(crate) rules: Option<Ruleset>,
    /// What happened, newest last.
    pub(crate) events: VecDeque<String>,
    /// The same for the API.
    pub(crate) outbox: VecDeque<Event>,
    /// Latest status of each pod.
    pub(crate) statuses: BTreeMap<String, core::PodStatus>,
    /// Pods whose latest status nobody has taken yet.
    pub(crate) unsent: BTreeSet<String>,
    /// Pods that were reported as gone.
    pub(crate) confirmed: BTreeSet<String>,
    /// What a pod or container waits for, as last told, by [`failure_key`].
    waiting: BTreeMap<String, String>,
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

    /// An event of a pod or of one container.
    pub(crate) fn tell(&mut self, pod: &Pod, container: Option<&str>, warning: bool, reason: &'static str, text: &str) {
        let role = |name: &str| pod.container(name).map(|c| c.role);
        let field_path = container.map(|c| match role(c) {
            Some(crate::desired::Role::Main) | None => format!("spec.containers{{{c}}}"),
            Some(_) => format!("spec.initContainers{{{c}}}"),
        });
        if self.outbox.len() == OUTBOX_MAX {
            self.outbox.pop_front();
        }
        self.outbox.push_back(Event {
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            uid: pod.uid.clone(),
            field_path: field_path.unwrap_or_default(),
            warning,
            reason,
            message: text.into(),
        });
    }

    /// An action failed; true if that is news.
    pub(super) fn failed(&mut self, key: String, message: &str, now: f64) -> bool {
        let delay_secs = failure_delay(self.failures.get(&key).map(|f| f.delay_secs));
        let news = self.failures.get(&key).is_none_or(|f| f.message != message);
        if news {
            self.event(message.to_owned());
        }
        self.failures
            .insert(key, Failure { message: message.into(), retry_at: now + f64::from(delay_secs), delay_secs });
        news
    }

    /// What is known about pods from before: their statuses, and how often
    /// their containers were started.
    pub(crate) fn recall(&mut self, input: &Input) {
        for p in &input.pods {
            let Some((uid, status)) = p.metadata.uid.as_ref().zip(p.status.as_ref()) else { continue };
            if self.statuses.contains_key(uid) {
                continue;
            }
            let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
            for c in all.filter(|c| c.container_id.is_some()) {
                let attempt = u32::try_from(c.restart_count).unwrap_or(0);
                let known = self.attempts.entry(failure_key(uid, Some(&c.name))).or_insert(attempt);
                *known = attempt.max(*known);
            }
            self.statuses.insert(uid.clone(), status.clone());
        }
    }

    /// Drop what concerns pods and containers that are no more.
    pub(super) fn forget(&mut self, desired: &Desired, known: impl Fn(&String) -> bool) {
        self.stopping.retain(|id, _| known(id));
        self.started.retain(|id, _| known(id));
        self.post_start.retain(|id, _| known(id));
        let pod_of = |key: &str| key.split(['/', ':']).next().is_some_and(|uid| desired.pods.contains_key(uid));
        self.attempts.retain(|key, _| pod_of(key));
        self.ended.retain(|key, _| pod_of(key));
        self.waiting.retain(|key, _| pod_of(key));
        self.evicted.retain(|uid, _| desired.pods.contains_key(uid));
        self.statuses.retain(|uid, _| desired.pods.contains_key(uid));
        self.unsent.retain(|uid| desired.pods.contains_key(uid));
        self.confirmed.retain(|uid| desired.pods.contains_key(uid));
    }

    /// Events for what pods and containers wait for, once per reason.
    pub(super) fn tell_waiting(&mut self, desired: &Desired) {
        for pod in desired.pods.values() {
            let mut all: Vec<(Option<&str>, &'static str, &str)> = vec![];
            all.extend(pod.volumes_missing.as_deref().map(|m| (None, "FailedMount", m)));
            all.extend(pod.containers.iter().filter_map(|c| {
                // An image on its way is no failure; who pulls it tells of it.
                let w = c.waiting.as_ref().filter(|w| w.reason != CREATING)?;
                let pull = w.reason.starts_with("ErrImage") || w.reason == "ImagePullBackOff";
                Some((Some(c.name.as_str()), if pull { "ErrImagePull" } else { "Failed" }, w.message.as_str()))
            }));
            for (container, reason, message) in all {
                let key = failure_key(&pod.uid, container);
                if self.waiting.get(&key).map(String::as_str) != Some(message) {
                    self.waiting.insert(key, message.into());
                    self.tell(pod, container, true, reason, &format!("Error: {message}"));
                    let place = container.map(|c| format!(" container {c}:")).unwrap_or_default();
                    self.event(format!("{}/{}:{place} {message}", pod.namespace, pod.name));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        desired::Waiting,
        testing::{deployment, desired},
    };

    #[test]
    fn what_is_being_made_is_no_failure_and_each_reason_is_told_once() {
        let mut memory = Memory::default();
        let mut wanted = desired(&deployment("web", 1, "Recreate", "1"));
        let mut told = |reason: &str| {
            let pod = wanted.pods.values_mut().next().unwrap();
            pod.containers[0].waiting = Some(Waiting { reason: reason.into(), message: format!("{reason}.") });
            memory.tell_waiting(&wanted);
            memory.tell_waiting(&wanted);
            std::mem::take(&mut memory.outbox).into_iter().map(|e| e.reason).collect::<Vec<_>>()
        };
        assert_eq!(told(CREATING), [""; 0]);
        assert_eq!(told("ErrImageNeverPull"), ["ErrImagePull"]);
        assert_eq!(told("CreateContainerConfigError"), ["Failed"]);
    }
}
