//! One run: what it looks at and what it has decided so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};
use skerry_machinery::{Key, Kind, Meta, Stored};

use crate::{Change, EventKind, Outcome, World};

/// Characters of made-up names: no vowels, so that no words come out.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// An object, as it is stored and as its type.
#[derive(Debug)]
pub(crate) struct Obj<T> {
    pub(crate) stored: Arc<Stored>,
    pub(crate) v: T,
}

impl<T> Deref for Obj<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.v
    }
}

impl<T> Obj<T> {
    pub(crate) fn key(&self) -> &Key {
        &self.stored.key
    }
    pub(crate) fn meta(&self) -> &Meta {
        &self.stored.meta
    }
    pub(crate) fn uid(&self) -> &str {
        &self.stored.meta.uid
    }
    pub(crate) fn ns(&self) -> &str {
        &self.stored.key.namespace
    }
    pub(crate) fn name(&self) -> &str {
        &self.stored.key.name
    }
    pub(crate) fn terminating(&self) -> bool {
        self.stored.meta.terminating()
    }
    /// Is `uid` its managing owner?
    pub(crate) fn owned_by(&self, uid: &str) -> bool {
        self.stored.meta.controller().is_some_and(|o| o.uid == uid)
    }
    /// A reference that makes it the managing owner of something.
    pub(crate) fn as_controller(&self) -> OwnerReference {
        controller_ref(self.key().kind, self.name(), self.uid())
    }
    /// When it was made; the beginning of time if that is unknown.
    pub(crate) fn created(&self) -> Timestamp {
        let text = self.stored.meta.creation_timestamp.as_deref();
        text.and_then(|t| t.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A managing owner.
pub(crate) fn controller_ref(kind: &Kind, name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: kind.api_version(),
        kind: kind.kind.into(),
        name: name.into(),
        uid: uid.into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The decisions of one run.
///
/// Each object is written at most once in a run: a second write from the same
/// state could only fail as a conflict, and whatever it wanted is found again
/// in the next run.
pub(crate) struct Run<'a> {
    pub(crate) now: Timestamp,
    pub(crate) node: &'a str,
    world: &'a World<'a>,
    names_made: u64,
    written: BTreeSet<Key>,
    told: Option<BTreeSet<(String, String)>>,
    /// Namespaces that take nothing new.
    closed: BTreeSet<String>,
    out: Outcome,
}

impl<'a> Run<'a> {
    pub(crate) fn new(world: &'a World<'a>) -> Self {
        // API times have whole seconds; a fraction would look like a change.
        let now = Timestamp::from_second(world.now.as_second()).unwrap_or(world.now);
        let namespaces = (world.list)(crate::kinds::namespace());
        let closed = namespaces.iter().filter(|n| n.meta.terminating()).map(|n| n.key.name.clone()).collect();
        let (written, out) = Default::default();
        Self { now, node: world.node, world, names_made: 0, written, told: None, closed, out }
    }

    pub(crate) fn finish(self) -> Outcome {
        self.out
    }

    /// Now, as API objects have it.
    pub(crate) fn time(&self) -> Time {
        Time(self.now)
    }

    /// All objects of a kind, raw.
    pub(crate) fn stored(&self, kind: &'static Kind) -> Vec<Arc<Stored>> {
        (self.world.list)(kind)
    }

    /// All objects of a kind. One that has not the form of its type cannot
    /// come past admission; it is left alone and named in
    /// [`Outcome::problems`].
    pub(crate) fn all<T: DeserializeOwned>(&mut self, kind: &'static Kind) -> Vec<Obj<T>> {
        let mut out = vec![];
        for stored in self.stored(kind) {
            match stored.typed() {
                Ok(v) => out.push(Obj { stored, v }),
                Err(e) => self.out.problems.push(e.message),
            }
        }
        out
    }

    /// Make an object, unless its namespace is going.
    pub(crate) fn create(&mut self, kind: &'static Kind, namespace: &str, object: &impl Serialize) {
        if self.closed.contains(namespace) {
            return;
        }
        self.out.changes.push(Change::Create { kind, namespace: namespace.into(), object: value(object) });
    }

    /// Write an object; `false` if it was written before in this run.
    pub(crate) fn update(&mut self, key: &Key, object: &impl Serialize) -> bool {
        let fresh = self.written.insert(key.clone());
        if fresh {
            self.out.changes.push(Change::Update { key: key.clone(), object: value(object) });
        }
        fresh
    }

    /// The same for its status.
    pub(crate) fn update_status(&mut self, key: &Key, object: &impl Serialize) -> bool {
        let fresh = self.written.insert(key.clone());
        if fresh {
            self.out.changes.push(Change::UpdateStatus { key: key.clone(), object: value(object) });
        }
        fresh
    }

    /// Delete an object that was not written in this run and is not going
    /// already.
    pub(crate) fn delete(&mut self, stored: &Stored) -> bool {
        let fresh = !stored.meta.terminating() && self.written.insert(stored.key.clone());
        if fresh {
            self.out.changes.push(Change::Delete { key: stored.key.clone(), uid: stored.meta.uid.clone() });
        }
        fresh
    }

    pub(crate) fn event(&mut self, about: &Stored, kind: EventKind, reason: &'static str, message: String) {
        if self.closed.contains(&about.key.namespace) {
            return;
        }
        let (about, uid) = (about.key.clone(), about.meta.uid.clone());
        self.out.changes.push(Change::Event { about, uid, kind, reason, message });
    }

    pub(crate) fn normal(&mut self, about: &Stored, reason: &'static str, message: String) {
        self.event(about, EventKind::Normal, reason, message);
    }

    pub(crate) fn warning(&mut self, about: &Stored, reason: &'static str, message: String) {
        self.event(about, EventKind::Warning, reason, message);
    }

    /// A warning about a lasting state: only said again when the event was
    /// forgotten.
    pub(crate) fn warn_once(&mut self, about: &Stored, reason: &'static str, message: String) {
        if self.told.is_none() {
            let events = self.stored(crate::kinds::event());
            self.told = Some(events.iter().filter_map(|e| told(&e.value())).collect());
        }
        let key = (about.meta.uid.clone(), reason.to_owned());
        if self.told.as_mut().is_some_and(|told| told.insert(key)) {
            self.warning(about, reason, message);
        }
    }

    /// Run again at `at` at the latest.
    pub(crate) fn wake(&mut self, at: Timestamp) {
        let at = at.max(self.now + SignedDuration::from_secs(1));
        self.out.wake_at = Some(self.out.wake_at.map_or(at, |old| old.min(at)));
    }

    /// Five random characters for a name.
    pub(crate) fn suffix(&mut self, owner: &str) -> String {
        self.names_made += 1;
        let hash = Sha256::new()
            .chain_update(self.world.seed.to_le_bytes())
            .chain_update(self.names_made.to_le_bytes())
            .chain_update(owner)
            .finalize();
        safe(&hash, 5)
    }
}

fn told(event: &Value) -> Option<(String, String)> {
    let about = event.get("involvedObject").or_else(|| event.get("regarding"))?;
    Some((about.get("uid")?.as_str()?.into(), event.get("reason")?.as_str()?.into()))
}

/// JSON of an API object.
pub(crate) fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("API objects have text keys only")
}

fn safe(bytes: &[u8], len: usize) -> String {
    bytes.iter().take(len).map(|b| SAFE[usize::from(*b) % SAFE.len()] as char).collect()
}

/// A short name for content; `collisions` makes another one.
pub(crate) fn content_hash(content: &impl Serialize, collisions: i32) -> String {
    let json = value(content).to_string();
    let mut hash = Sha256::new().chain_update(json);
    if collisions > 0 {
        hash.update(collisions.to_le_bytes());
    }
    safe(&hash.finalize(), 10)
}

/// Objects by the uid of their managing owner.
pub(crate) fn by_owner<T>(objects: &[Obj<T>]) -> BTreeMap<&str, Vec<&Obj<T>>> {
    let mut map: BTreeMap<&str, Vec<&Obj<T>>> = BTreeMap::new();
    for o in objects {
        if let Some(owner) = o.stored.meta.controller() {
            map.entry(&owner.uid).or_default().push(o);
        }
    }
    map
}
