//! What is in memory: objects by key and uid, the revision, the history.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    collections::{BTreeSet, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

use skerry_machinery::{Key, Kind, Stored};

use crate::{EventType, WatchEvent, history::History};

/// An object in the order of its key. Holding the object itself instead of a
/// copy of the key keeps an entry at one pointer.
#[derive(Debug)]
struct ByKey(Arc<Stored>);

impl Borrow<Key> for ByKey {
    fn borrow(&self) -> &Key {
        &self.0.key
    }
}
impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}
impl Eq for ByKey {}
impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

/// An object found by its uid.
#[derive(Debug)]
struct ByUid(Arc<Stored>);

impl Borrow<str> for ByUid {
    fn borrow(&self) -> &str {
        &self.0.meta.uid
    }
}
impl PartialEq for ByUid {
    fn eq(&self, other: &Self) -> bool {
        self.0.meta.uid == other.0.meta.uid
    }
}
impl Eq for ByUid {}
impl Hash for ByUid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.meta.uid.hash(state);
    }
}

/// Everything that one lock protects.
#[derive(Debug)]
pub(crate) struct State {
    objects: BTreeSet<ByKey>,
    uids: HashSet<ByUid>,
    pub(crate) revision: u64,
    pub(crate) history: History,
}

impl State {
    pub(crate) fn new(objects: Vec<Stored>, revision: u64, history: History) -> Self {
        let mut state = Self { objects: BTreeSet::new(), uids: HashSet::new(), revision, history };
        for object in objects {
            state.index(Arc::new(object));
        }
        state
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.objects.get(key).map(|o| Arc::clone(&o.0))
    }

    pub(crate) fn by_uid(&self, uid: &str) -> Option<Arc<Stored>> {
        self.uids.get(uid).map(|o| Arc::clone(&o.0))
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Objects of a kind in the order of their keys.
    pub(crate) fn iter<'a>(
        &'a self,
        kind: &'static Kind,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Stored>> {
        let start = Key { kind, namespace: namespace.unwrap_or_default().into(), name: String::new() };
        let objects = self.objects.range::<Key, _>(start..).map(|o| &o.0);
        objects.take_while(move |o| o.key.kind == kind && namespace.is_none_or(|n| o.key.namespace == n))
    }

    /// Set an object whose revision is the next one.
    pub(crate) fn put(&mut self, object: Arc<Stored>) {
        self.revision = object.revision;
        let previous = self.index(Arc::clone(&object));
        let event = if previous.is_some() { EventType::Modified } else { EventType::Added };
        self.history.push(WatchEvent { event, object, previous });
    }

    /// Take an object out; `last` is its last state with the next revision.
    pub(crate) fn remove(&mut self, last: Arc<Stored>) {
        self.revision = last.revision;
        let previous = self.objects.take(&last.key).map(|o| o.0);
        if let Some(previous) = &previous {
            self.forget_uid(previous);
        }
        self.history.push(WatchEvent { event: EventType::Deleted, object: last, previous });
    }

    fn index(&mut self, object: Arc<Stored>) -> Option<Arc<Stored>> {
        let previous = self.objects.replace(ByKey(Arc::clone(&object))).map(|o| o.0);
        if let Some(previous) = &previous {
            self.forget_uid(previous);
        }
        if !object.meta.uid.is_empty() {
            self.uids.replace(ByUid(object));
        }
        previous
    }

    /// Unless another object goes by the same uid.
    fn forget_uid(&mut self, object: &Arc<Stored>) {
        if self.uids.get(object.meta.uid.as_str()).is_some_and(|o| o.0.key == object.key) {
            self.uids.remove(object.meta.uid.as_str());
        }
    }
}
