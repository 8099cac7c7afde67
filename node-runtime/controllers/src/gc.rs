//! Garbage: objects whose owners are gone, and owners that wait for their
//! objects (`foregroundDeletion`) or leave them behind (`orphan`).
//!
//! Works on metadata only; an object is parsed only to be changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;
use skerry_machinery::{KINDS, OwnerRef, Source, Stored, by_kind};

use crate::run::Run;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// All objects, by uid.
type ByUid<'o> = BTreeMap<&'o str, &'o Arc<Stored>>;

pub(crate) fn run(run: &mut Run<'_>) {
    let kinds = KINDS.iter().filter(|k| k.source == Source::Stored && k.kind != "Event");
    let all: Vec<Arc<Stored>> = kinds.flat_map(|k| run.stored(k)).collect();
    let by_uid: ByUid<'_> = all.iter().map(|o| (o.meta.uid.as_str(), o)).collect();
    let mut dependents: BTreeMap<&str, Vec<&Arc<Stored>>> = BTreeMap::new();
    for o in &all {
        for owner in &o.meta.owner_references {
            dependents.entry(&owner.uid).or_default().push(o);
        }
    }
    for o in &all {
        let of = dependents.get(o.meta.uid.as_str()).map_or(&[][..], Vec::as_slice);
        if o.meta.terminating() && has(o, ORPHAN) {
            orphan(run, o, of);
        } else if o.meta.terminating() && has(o, FOREGROUND) {
            foreground(run, o, of, &dependents, &by_uid);
        } else if !o.meta.owner_references.is_empty() && !o.meta.terminating() {
            background(run, o, &by_uid);
        }
    }
}

fn has(o: &Stored, finalizer: &str) -> bool {
    o.meta.finalizers.iter().any(|f| f == finalizer)
}

/// Is the owner there? One of a kind that the node does not know counts as
/// there.
fn exists(o: &Stored, owner: &OwnerRef, by_uid: &ByUid<'_>) -> bool {
    let Some(kind) = by_kind(&owner.api_version, &owner.kind) else { return true };
    if kind.source == Source::View {
        return true;
    }
    by_uid.get(owner.uid.as_str()).is_some_and(|found| {
        let key = &found.key;
        key.kind == kind && key.name == owner.name && (!kind.namespaced || key.namespace == o.key.namespace)
    })
}

/// No owner left: the object goes. Some left: the gone ones are forgotten.
fn background(run: &mut Run<'_>, o: &Arc<Stored>, by_uid: &ByUid<'_>) {
    let gone: BTreeSet<&str> = o
        .meta
        .owner_references
        .iter()
        .filter(|owner| !exists(o, owner, by_uid))
        .map(|owner| owner.uid.as_str())
        .collect();
    if gone.is_empty() {
        return;
    }
    if gone.len() == o.meta.owner_references.iter().map(|r| &r.uid).collect::<BTreeSet<_>>().len() {
        run.delete(o);
    } else {
        forget(run, o, &gone);
    }
}

fn forget(run: &mut Run<'_>, o: &Stored, uids: &BTreeSet<&str>) {
    let mut new = o.value();
    if let Some(owners) = new["metadata"]["ownerReferences"].as_array_mut() {
        owners.retain(|r| !r["uid"].as_str().is_some_and(|uid| uids.contains(uid)));
    }
    run.update(&o.key, &new);
}

fn orphan(run: &mut Run<'_>, o: &Stored, dependents: &[&Arc<Stored>]) {
    if dependents.is_empty() {
        return drop_finalizer(run, o, ORPHAN);
    }
    for d in dependents {
        forget(run, d, &BTreeSet::from([o.meta.uid.as_str()]));
    }
}

/// Delete what belongs to it; it goes when nothing is left that blocks.
fn foreground(
    run: &mut Run<'_>,
    o: &Stored,
    dependents: &[&Arc<Stored>],
    all: &BTreeMap<&str, Vec<&Arc<Stored>>>,
    by_uid: &ByUid<'_>,
) {
    let blocks = |d: &&&Arc<Stored>| {
        d.meta.owner_references.iter().any(|r| r.uid == o.meta.uid && r.block_owner_deletion == Some(true))
    };
    if dependents.iter().filter(blocks).count() == 0 {
        return drop_finalizer(run, o, FOREGROUND);
    }
    for d in dependents.iter().filter(|d| !d.meta.terminating()) {
        let others = d.meta.owner_references.iter().filter(|r| r.uid != o.meta.uid);
        let mut solid = others.filter(|r| {
            exists(d, r, by_uid) && by_uid.get(r.uid.as_str()).is_none_or(|owner| !owner.meta.terminating())
        });
        if solid.next().is_some() {
            forget(run, d, &BTreeSet::from([o.meta.uid.as_str()]));
        } else if all.contains_key(d.meta.uid.as_str()) && !has(d, FOREGROUND) {
            // It has objects of its own, which are to be gone before it.
            add_finalizer(run, d, FOREGROUND);
        } else {
            run.delete(d);
        }
    }
}

fn add_finalizer(run: &mut Run<'_>, o: &Stored, finalizer: &str) {
    let mut new = o.value();
    match new["metadata"]["finalizers"].as_array_mut() {
        Some(list) => list.push(finalizer.into()),
        None => new["metadata"]["finalizers"] = Value::from(vec![finalizer]),
    }
    run.update(&o.key, &new);
}

pub(crate) fn drop_finalizer(run: &mut Run<'_>, o: &Stored, finalizer: &str) {
    let mut new = o.value();
    if let Some(list) = new["metadata"]["finalizers"].as_array_mut() {
        list.retain(|f| f != finalizer);
    }
    run.update(&o.key, &new);
}
