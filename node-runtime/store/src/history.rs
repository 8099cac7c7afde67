//! The last changes, for watches.
//!
//! One ring for the whole store, bounded by number and bytes. Watches hold a
//! position in it and no queue of their own, so that slow clients cost nothing;
//! a watch whose position has left the ring is told to list again.

use std::{collections::VecDeque, sync::Arc};

use skerry_machinery::{KINDS, Kind, Stored};

/// What an event is counted for beside its JSON: parsed metadata and links.
const EVENT_OVERHEAD_BYTES: usize = 1024;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// It is new.
    Added,
    /// It has another state.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvent {
    /// What happened.
    pub event: EventType,
    /// The new state; of a deleted object the last one, with the revision of
    /// its deletion.
    pub object: Arc<Stored>,
    /// The state before, `None` for a new object. A watch with a selector
    /// needs it: an object that no longer matches is `DELETED` to its client,
    /// one that matches now is `ADDED`.
    pub previous: Option<Arc<Stored>>,
}

impl WatchEvent {
    /// Revision of the change.
    pub fn revision(&self) -> u64 {
        self.object.revision
    }

    fn size_bytes(&self) -> usize {
        self.object.json.len() + EVENT_OVERHEAD_BYTES
    }
}

/// The ring.
#[derive(Debug)]
pub(crate) struct History {
    events: VecDeque<WatchEvent>,
    events_max: usize,
    bytes: usize,
    bytes_max: usize,
    /// Newest revision that is no longer known, by kind: what floods one kind
    /// does not expire the watches of another.
    forgotten: Vec<u64>,
}

impl History {
    /// A ring that knows nothing up to `revision`.
    pub(crate) fn new(events_max: usize, bytes_max: usize, revision: u64) -> Self {
        let forgotten = vec![revision; KINDS.len()];
        Self { events: VecDeque::new(), events_max: events_max.max(1), bytes: 0, bytes_max, forgotten }
    }

    /// Append; revisions ascend. The newest event always stays.
    pub(crate) fn push(&mut self, event: WatchEvent) {
        self.bytes += event.size_bytes();
        self.events.push_back(event);
        while self.events.len() > 1 && (self.events.len() > self.events_max || self.bytes > self.bytes_max) {
            let Some(old) = self.events.pop_front() else { break };
            self.bytes -= old.size_bytes();
            self.forgotten[kind_index(old.object.key.kind)] = old.revision();
        }
    }

    /// Are all changes of `kind` after `revision` known?
    pub(crate) fn reaches(&self, kind: &'static Kind, revision: u64) -> bool {
        revision >= self.forgotten[kind_index(kind)]
    }

    /// The first change after `revision` that concerns `kind` and `namespace`.
    pub(crate) fn after(&self, revision: u64, kind: &'static Kind, namespace: Option<&str>) -> Option<&WatchEvent> {
        let start = self.events.partition_point(|e| e.revision() <= revision);
        self.events.range(start..).find(|e| {
            let key = &e.object.key;
            key.kind == kind && namespace.is_none_or(|n| key.namespace == n)
        })
    }
}

/// Position of a kind in the table of all kinds.
pub(crate) fn kind_index(kind: &'static Kind) -> usize {
    let found = KINDS.iter().position(|k| std::ptr::eq(k, kind));
    found.or_else(|| KINDS.iter().position(|k| k == kind)).expect("all kinds come from the table")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use skerry_machinery::kind;

    use super::*;

    fn event(kind: &'static Kind, revision: u64) -> WatchEvent {
        let json = format!(
            r#"{{"apiVersion":"{}","kind":"{}","metadata":{{"name":"a","namespace":"n","resourceVersion":"{revision}"}}}}"#,
            kind.api_version(),
            kind.kind
        );
        WatchEvent { event: EventType::Modified, object: Arc::new(Stored::from_json(json).unwrap()), previous: None }
    }

    #[test]
    fn forgets_by_kind() {
        let (pods, maps) = (kind("", "Pod"), kind("", "ConfigMap"));
        let mut history = History::new(3, 1 << 20, 10);
        assert!(history.reaches(pods, 10) && !history.reaches(pods, 9));
        history.push(event(maps, 11));
        for revision in 12..20 {
            history.push(event(pods, revision));
        }
        assert!(history.reaches(maps, 11) && !history.reaches(maps, 10));
        assert!(history.reaches(pods, 16) && !history.reaches(pods, 15));
        let seen: Vec<_> =
            std::iter::successors(history.after(16, pods, None), |e| history.after(e.revision(), pods, None))
                .map(WatchEvent::revision)
                .collect();
        assert_eq!(seen, [17, 18, 19]);
        assert!(history.after(16, pods, Some("other")).is_none());
        assert!(history.after(11, maps, None).is_none());
    }

    #[test]
    fn bounded_by_bytes_but_keeps_the_newest() {
        let pods = kind("", "Pod");
        let mut history = History::new(1000, 3 * EVENT_OVERHEAD_BYTES, 0);
        for revision in 1..100 {
            history.push(event(pods, revision));
            assert!(history.events.len() <= 2);
            assert!(history.after(revision - 1, pods, None).is_some());
        }
        let mut tiny = History::new(1000, 1, 0);
        tiny.push(event(pods, 1));
        tiny.push(event(pods, 2));
        assert_eq!(tiny.events.len(), 1);
    }
}
