//! Which pods may run and which must go, per Deployment.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    desired::{Deployment, Desired, Pod, Strategy},
    observed::{Observed, State},
};

/// The decision; uids in a fixed order.
#[derive(Debug, Default)]
pub(super) struct Rollout<'a> {
    /// These run or come up.
    pub(super) run: Vec<&'a str>,
    /// These go.
    pub(super) terminate: Vec<&'a str>,
}

/// Decide for all Deployments.
pub(super) fn decide<'a>(desired: &'a Desired, observed: &'a Observed) -> Rollout<'a> {
    let mut owner: BTreeMap<&str, Option<(&str, &str)>> = BTreeMap::new();
    for uid in observed.sandboxes.keys() {
        owner.entry(uid).or_insert(None);
    }
    for c in observed.containers.values() {
        owner.insert(&c.labels.pod_uid, Some((&c.labels.namespace, &c.labels.deployment)));
    }
    let mut out = Rollout::default();
    let mut old: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (uid, of) in owner.iter().filter(|(uid, _)| !desired.pods.contains_key(**uid)) {
        let live = of.filter(|(ns, name)| desired.deployments.iter().any(|d| d.namespace == *ns && d.name == *name));
        match live {
            Some(key) => old.entry(key).or_default().push(uid),
            // Nobody wants it: a removed Deployment, or a sandbox without
            // containers, which serves nobody.
            None => out.terminate.push(uid),
        }
    }
    for d in &desired.deployments {
        let old = old.remove(&(d.namespace.as_str(), d.name.as_str())).unwrap_or_default();
        deployment(d, old, desired, observed, &mut out);
    }
    out
}

fn deployment<'a>(d: &Deployment, old: Vec<&'a str>, desired: &'a Desired, observed: &Observed, out: &mut Rollout<'a>) {
    let mut new: Vec<&'a Pod> =
        desired.pods.values().filter(|p| p.namespace == d.namespace && p.deployment == d.name).collect();
    new.sort_by_key(|p| p.ordinal);
    if old.is_empty() {
        out.run.extend(new.iter().map(|p| p.uid.as_str()));
        return;
    }
    if d.strategy == Strategy::Recreate {
        out.terminate.extend(old);
        return;
    }
    let (existing, missing): (Vec<&Pod>, Vec<&Pod>) = new.into_iter().partition(|p| exists(&p.uid, observed));
    let all_ready = existing.iter().all(|p| observed.pod_ready(p));
    out.run.extend(existing.iter().map(|p| p.uid.as_str()));
    let replicas = d.replicas as usize;
    let total = existing.len() + old.len();
    // One place at a time is empty; it is filled before the next one is made.
    out.run.extend(missing.iter().take(replicas.saturating_sub(total)).map(|p| p.uid.as_str()));
    let surplus = total.saturating_sub(replicas);
    let mut going: BTreeSet<&str> = old.iter().copied().filter(|uid| ending(uid, observed)).collect();
    let next = old.iter().copied().filter(|uid| !ending(uid, observed));
    let may_go = if all_ready && total >= replicas { surplus.max(1) } else { surplus };
    let already = going.len();
    going.extend(next.take(may_go.saturating_sub(already)));
    out.terminate.extend(going);
}

fn exists(uid: &str, observed: &Observed) -> bool {
    observed.sandboxes.contains_key(uid) || observed.of_pod(uid).next().is_some()
}

/// On its way out, or dead anyway.
fn ending(uid: &str, observed: &Observed) -> bool {
    observed.of_pod(uid).any(|(_, c)| c.term_sent_at.is_some() || c.state != State::Running)
}
