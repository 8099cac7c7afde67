//! Deletion: at once, or when everybody who must has agreed.
//!
//! ```text
//!              finalizers,                    last finalizer removed,
//!              grace (pods),                  node confirms with grace 0,
//!              content (namespaces)           content is gone
//!   present ──────────────────────► terminating ──────────────────────► gone
//!      └────────────── nothing to wait for ─────────────────────────────►
//! ```

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use skerry_machinery::{ApiError, Key, Kind, Stored};

use crate::{
    Ack, DeleteOptions, Operation, Propagation, Registry, WriteOptions, body, create::has_generation,
    environment::rfc3339, namespace, registry::check_writable, store::Locked,
};

/// Finalizers for which the garbage collector acts.
const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// Grace of a pod that does not say (the API's default).
const GRACE_DEFAULT_SECS: i64 = 30;
/// Kinds whose last state is answered instead of a Status.
const ANSWERED_WHOLE: &[&str] = &["Pod", "Service", "ServiceAccount", "PersistentVolume", "PersistentVolumeClaim"];

/// A deletion that was done or begun.
#[derive(Debug, Clone)]
pub struct Deleted {
    /// The object as it is now, or its last state.
    pub object: Arc<Stored>,
    /// Is it gone, or does it wait for something?
    pub gone: bool,
    /// For the client, one line each.
    pub warnings: Vec<String>,
    /// Tells when it is on the disk.
    pub ack: Ack,
}

impl Deleted {
    /// What a client is answered: the object if it waits, else mostly a
    /// Status.
    pub fn answer(&self) -> Value {
        let (kind, name) = (self.object.key.kind, &self.object.key.name);
        if !self.gone || ANSWERED_WHOLE.contains(&kind.kind) {
            return self.object.value();
        }
        let mut details = json!({"name": name, "group": kind.group, "kind": kind.plural, "uid": self.object.meta.uid});
        if let Some(map) = details.as_object_mut() {
            map.retain(|_, v| v != "");
        }
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
    }
}

/// What a deletion does to an object.
#[derive(Debug, PartialEq)]
enum Step {
    /// It goes.
    Remove,
    /// It gets this state and waits.
    Mark(Value),
    /// It waits already.
    Wait,
}

impl Registry {
    /// Delete an object, or begin to.
    ///
    /// # Errors
    /// 404 if there is none; 409 if a precondition does not hold; what
    /// admission says.
    pub fn delete(&self, key: &Key, options: &DeleteOptions) -> Result<Deleted, ApiError> {
        check_writable(key.kind)?;
        let mut locked = self.store().lock();
        self.delete_in(&mut locked, key, options)
    }

    /// Delete all objects of a kind that `chosen` picks, or begin to. `None`:
    /// in all namespaces.
    ///
    /// # Errors
    /// The first one; the objects before it are deleted.
    pub fn delete_collection(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        options: &DeleteOptions,
        chosen: impl Fn(&Stored) -> bool,
    ) -> Result<Vec<Deleted>, ApiError> {
        check_writable(kind)?;
        let mut locked = self.store().lock();
        let objects = locked.state().iter(kind, namespace).filter(|o| chosen(o));
        let keys: Vec<Key> = objects.map(|o| o.key.clone()).collect();
        keys.iter().map(|key| self.delete_in(&mut locked, key, options)).collect()
    }

    fn delete_in(&self, locked: &mut Locked<'_>, key: &Key, options: &DeleteOptions) -> Result<Deleted, ApiError> {
        let object = locked.get(key).ok_or_else(|| ApiError::not_found(key.kind, &key.name))?;
        check_preconditions(&object, options)?;
        if namespace::is(key.kind) {
            namespace::check_mortal(&key.name)?;
        }
        let write = WriteOptions { dry_run: options.dry_run, ..Default::default() };
        let (operation, mut nothing) = (Operation::Delete, Value::Null);
        let warnings = self.review(locked, operation, key.kind, &mut nothing, Some(&object), &write)?;
        let was = object.value();
        let step = step(&object, &was, options, self.environment.now())?;
        let gone = step == Step::Remove;
        let (object, ack) = match step {
            Step::Remove => self.commit_removal(locked, &object, options.dry_run)?,
            Step::Mark(new) => self.commit(locked, key.kind, Some((&object, &was)), new, &write)?,
            Step::Wait => (object, locked.ack()),
        };
        Ok(Deleted { object, gone, warnings, ack })
    }
}

fn check_preconditions(object: &Stored, options: &DeleteOptions) -> Result<(), ApiError> {
    let meta = &object.meta;
    for (what, wanted, found) in
        [("UID", &options.uid, &meta.uid), ("ResourceVersion", &options.resource_version, &meta.resource_version)]
    {
        if let Some(wanted) = wanted.as_ref().filter(|w| *w != found) {
            let why = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}");
            return Err(ApiError::conflict(object.key.kind, &object.key.name, &why));
        }
    }
    Ok(())
}

/// Decide (apimachinery `rest.BeforeDelete` and `registry.Store.Delete`).
fn step(object: &Stored, was: &Value, options: &DeleteOptions, now: Timestamp) -> Result<Step, ApiError> {
    let finalizers = finalizers_with(&object.meta.finalizers, options.propagation);
    let waits = !finalizers.is_empty() || namespace::is(object.key.kind) && namespace::awaits_content(was);
    let grace = grace_secs(object, was, options.grace_period_seconds);
    if grace == 0 && !waits {
        return Ok(Step::Remove);
    }
    let mut new = was.clone();
    body::set_finalizers(&mut new, &finalizers)?;
    mark(object, &mut new, grace, now)?;
    Ok(if body::same(was, &new) { Step::Wait } else { Step::Mark(new) })
}

/// Set when it is to be gone; what is set already only becomes earlier.
fn mark(object: &Stored, new: &mut Value, grace: i64, now: Timestamp) -> Result<(), ApiError> {
    let meta = &object.meta;
    let due = match &meta.deletion_timestamp {
        None => now.saturating_add(SignedDuration::from_secs(grace)),
        Some(due) => {
            let before = meta.deletion_grace_period_seconds.unwrap_or(0);
            let due: Timestamp = due.parse().unwrap_or(now);
            due.saturating_add(SignedDuration::from_secs(grace - before))
        }
    };
    let due = due.unwrap_or(now);
    if namespace::is(object.key.kind) {
        new["status"]["phase"] = "Terminating".into();
    }
    let metadata = body::metadata_mut(new)?;
    metadata.insert("deletionTimestamp".into(), rfc3339(due).into());
    metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
    if has_generation(object.key.kind) && !meta.terminating() {
        metadata.insert("generation".into(), (meta.generation + 1).into());
    }
    Ok(())
}

/// Seconds that it is given; only pods need any, and never more than before.
fn grace_secs(object: &Stored, was: &Value, asked: Option<i64>) -> i64 {
    if object.key.kind.kind != "Pod" {
        return 0;
    }
    let before = object.meta.deletion_grace_period_seconds.filter(|_| object.meta.terminating());
    let ended = matches!(was["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let scheduled = was["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
    if ended || !scheduled {
        return 0;
    }
    let own = || was["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(GRACE_DEFAULT_SECS);
    let grace = match asked.unwrap_or_else(|| before.unwrap_or_else(own)) {
        negative @ ..0 => negative.signum().abs(),
        grace => grace,
    };
    before.map_or(grace, |b| b.min(grace))
}

/// The finalizers that a propagation asks for; in the background they stay as
/// they are.
fn finalizers_with(finalizers: &[String], propagation: Propagation) -> Vec<String> {
    let wanted = match propagation {
        Propagation::Background => return finalizers.to_vec(),
        Propagation::Foreground => FOREGROUND,
        Propagation::Orphan => ORPHAN,
    };
    let others = finalizers.iter().filter(|f| *f != FOREGROUND && *f != ORPHAN);
    others.cloned().chain([wanted.to_owned()]).collect()
}
