//! Changing the size of ReplicaSets: one, or all in proportion when somebody
//! scales the Deployment in the middle of a rollout.

use k8s_openapi::api::apps::v1::Deployment;

use super::{Rollout, Set};
use crate::run::{Obj, Run};

/// Wanted pods of the Deployment when the ReplicaSet was last scaled.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The same with the surge.
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// The two annotations that a ReplicaSet gets when it is scaled.
pub(super) type Noted = [(&'static str, String); 2];

/// Give a ReplicaSet another size; `false` if there is nothing to do or it
/// cannot be written now.
fn scale(run: &mut Run<'_>, d: &Obj<Deployment>, set: &mut Set<'_>, to: i32, noted: &Noted) -> bool {
    let from = set.replicas;
    let mut new = set.obj.v.clone();
    if let Some(spec) = &mut new.spec {
        spec.replicas = Some(to);
    }
    let have = new.metadata.annotations.get_or_insert_default();
    for (name, value) in noted {
        have.insert((*name).to_owned(), value.clone());
    }
    if new == set.obj.v || !run.update(set.obj.key(), &new) {
        return false;
    }
    set.replicas = to;
    if to != from {
        let up = if to > from { "up" } else { "down" };
        let text = format!("Scaled {up} replica set {} from {from} to {to}", set.obj.name());
        run.normal(&d.stored, "ScalingReplicaSet", text);
    }
    true
}

fn noted(set: &Set<'_>, name: &str) -> Option<i32> {
    set.obj.meta().annotations.get(name)?.parse().ok()
}

impl<'o> Rollout<'o> {
    pub(super) fn size_annotations(&self) -> Noted {
        let (surge, _) = self.bounds();
        [(DESIRED, self.replicas.to_string()), (MAX, self.replicas.saturating_add(surge).to_string())]
    }

    pub(super) fn scale_old(&mut self, run: &mut Run<'_>, i: usize, to: i32) -> bool {
        let noted = self.size_annotations();
        self.old[i].replicas != to && scale(run, self.d, &mut self.old[i], to, &noted)
    }

    pub(super) fn scale_new(&mut self, run: &mut Run<'_>, to: i32) {
        let noted = self.size_annotations();
        if let Some(new) = &mut self.new {
            scale(run, self.d, new, to, &noted);
        }
    }

    /// Was the Deployment scaled since its ReplicaSets were?
    pub(super) fn is_scaling(&self) -> bool {
        self.all().filter(|s| s.replicas > 0).any(|s| noted(s, DESIRED).is_some_and(|n| n != self.replicas))
    }

    /// Spread the wanted number over the ReplicaSets that have pods.
    pub(super) fn scale_all(&mut self, run: &mut Run<'_>) {
        let (d, replicas, annotations) = (self.d, self.replicas, self.size_annotations());
        if let Some(only) = self.active_or_latest() {
            scale(run, d, only, replicas, &annotations);
            return;
        }
        if self.new.as_ref().is_some_and(|s| saturated(s, replicas)) {
            for i in 0..self.old.len() {
                self.scale_old(run, i, 0);
            }
        } else if self.spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) != Some("Recreate") {
            self.scale_in_proportion(run, &annotations);
        }
    }

    /// The ReplicaSet to scale if no other has pods.
    fn active_or_latest(&mut self) -> Option<&mut Set<'o>> {
        let active = self.all().filter(|s| s.replicas > 0).count();
        let mut all = self.old.iter_mut().chain(&mut self.new);
        match active {
            0 => all.next_back(),
            1 => all.find(|s| s.replicas > 0),
            _ => None,
        }
    }

    fn scale_in_proportion(&mut self, run: &mut Run<'_>, annotations: &Noted) {
        let (surge, _) = self.bounds();
        let allowed = if self.replicas > 0 { self.replicas.saturating_add(surge) } else { 0 };
        let to_add = allowed - self.told();
        let (d, replicas) = (self.d, self.replicas);
        let mut sets: Vec<&mut Set<'o>> = self.old.iter_mut().chain(&mut self.new).filter(|s| s.replicas > 0).collect();
        // Bigger first; among equals the newest gains first, the oldest loses
        // first.
        if to_add > 0 {
            sets.reverse();
        }
        sets.sort_by_key(|s| std::cmp::Reverse(s.replicas));
        let mut sizes = vec![];
        let mut added = 0;
        for set in &sets {
            let share = if to_add == 0 { 0 } else { share(set, replicas, allowed, to_add - added) };
            added += share;
            sizes.push(set.replicas + share);
        }
        if let Some(first) = sizes.first_mut() {
            *first += to_add - added;
        }
        for (set, size) in sets.into_iter().zip(sizes) {
            scale(run, d, set, size.max(0), annotations);
        }
    }
}

/// Has the new ReplicaSet all its pods, all available?
fn saturated(new: &Set<'_>, replicas: i32) -> bool {
    new.replicas == replicas && noted(new, DESIRED) == Some(replicas) && new.now.available == replicas
}

/// What a ReplicaSet gains or loses, at most `left`.
fn share(set: &Set<'_>, replicas: i32, allowed: i32, left: i32) -> i32 {
    let fraction = if replicas == 0 {
        -set.replicas
    } else {
        let before = noted(set, MAX).filter(|n| *n > 0).unwrap_or(allowed);
        let size = f64::from(set.replicas) * f64::from(allowed) / f64::from(before);
        #[expect(clippy::cast_possible_truncation, reason = "numbers of pods are small")]
        let size = size.round() as i32;
        size - set.replicas
    };
    if left > 0 { fraction.min(left).max(0) } else { fraction.max(left).min(0) }
}
