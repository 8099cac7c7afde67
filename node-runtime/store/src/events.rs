//! Events are kept for an hour and in bounded number: what happens all the
//! time must fill neither the memory nor the disk.

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use skerry_machinery::{ApiError, Key, Stored, kind};

use crate::{Durability, Registry, Store, store::Locked};

/// An event is kept this long after its last change.
pub const EVENT_TTL_SECS: i64 = 60 * 60;
/// So many events are kept, the newest.
pub const EVENTS_MAX: usize = 1000;

/// When each event was last written, by its revision: the oldest come first.
#[derive(Debug, Default)]
pub(crate) struct EventAges(BTreeMap<u64, (Timestamp, Key)>);

impl EventAges {
    /// Of a store from the disk: as old as the events themselves say.
    pub(crate) fn of(store: &Store) -> Self {
        let (_, events) = store.list(kind("", "Event"), None);
        Self(events.iter().map(|e| (e.revision, (last_seen(e), e.key.clone()))).collect())
    }

    /// The oldest event, if it has to go.
    fn due(&self, now: Timestamp) -> Option<Key> {
        let (_, (seen, key)) = self.0.first_key_value()?;
        let age = now.duration_since(*seen);
        (self.0.len() > EVENTS_MAX || age > SignedDuration::from_secs(EVENT_TTL_SECS)).then(|| key.clone())
    }

    fn pop(&mut self) {
        self.0.pop_first();
    }
}

fn last_seen(event: &Stored) -> Timestamp {
    let value = event.value();
    let times =
        [&value["lastTimestamp"], &value["series"]["lastObservedTime"], &value["metadata"]["creationTimestamp"]];
    let found = times.iter().find_map(|t| t.as_str()?.parse().ok());
    found.unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Registry {
    /// Remove events that are older than [`EVENT_TTL_SECS`]; answers how many.
    /// It also happens whenever an event is written.
    pub fn expire_events(&self) -> usize {
        self.expire_events_in(&mut self.store().lock())
    }

    /// An event was written.
    pub(crate) fn note_event(&self, locked: &mut Locked<'_>, event: &Arc<Stored>, old: Option<u64>) {
        let now = self.environment.now();
        {
            let mut ages = self.event_ages();
            old.map(|revision| ages.0.remove(&revision));
            ages.0.insert(event.revision, (now, event.key.clone()));
        }
        self.expire_events_in(locked);
    }

    /// An object was removed, perhaps an event.
    pub(crate) fn forget_event(&self, object: &Stored) {
        if object.key.kind.kind == "Event" {
            self.event_ages().0.remove(&object.revision);
        }
    }

    /// A namespace is gone, and its events with it.
    pub(crate) fn remove_events(&self, locked: &mut Locked<'_>, namespace: &str) -> Result<(), ApiError> {
        let events: Vec<_> = locked.state().iter(kind("", "Event"), Some(namespace)).cloned().collect();
        for event in events {
            locked.remove(&event.key, Durability::Batched)?;
            self.forget_event(&event);
        }
        Ok(())
    }

    fn expire_events_in(&self, locked: &mut Locked<'_>) -> usize {
        let now = self.environment.now();
        let mut ages = self.event_ages();
        let mut removed = 0;
        while let Some(key) = ages.due(now) {
            ages.pop();
            match locked.remove(&key, Durability::Batched) {
                Ok(found) => removed += usize::from(found.is_some()),
                Err(error) => tracing::warn!("removing the old {key}: {error}"),
            }
        }
        removed
    }

    fn event_ages(&self) -> MutexGuard<'_, EventAges> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
