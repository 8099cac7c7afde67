//! Deployment → ReplicaSets, one per pod template: a rollout makes the new one
//! bigger and the old ones smaller.
//!
//! Numbers of ready and available pods are taken from the pods themselves, not
//! from the ReplicaSets' statuses, which lag behind.

mod revision;
mod rollout;
mod scaling;
mod status;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, ReplicaSet},
        core::v1::Pod,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{
    claims, pods,
    replicaset::{self, Counts},
    run::{Obj, Run},
};

/// A ReplicaSet of a Deployment, and what is to become of it.
struct Set<'o> {
    obj: &'o Obj<ReplicaSet>,
    /// Its pods that count.
    now: Counts,
    /// Pods that are not finished, those that are ending too.
    alive: usize,
    /// What it will be told to have.
    replicas: i32,
}

impl Set<'_> {
    /// Pods that are available and stay so.
    fn available(&self) -> i32 {
        self.now.available.min(self.replicas)
    }
}

/// One Deployment in one run.
struct Rollout<'o> {
    d: &'o Obj<Deployment>,
    spec: &'o DeploymentSpec,
    replicas: i32,
    /// The ReplicaSet with the present template.
    new: Option<Set<'o>>,
    /// The others, oldest first.
    old: Vec<Set<'o>>,
}

pub(crate) fn run(
    run: &mut Run<'_>,
    deployments: &[Obj<Deployment>],
    sets: &[Obj<ReplicaSet>],
    by_owner: &BTreeMap<&str, Vec<&Obj<Pod>>>,
) {
    for d in deployments {
        let Some(spec) = &d.spec else { continue };
        let mine = claims::claim(run, d, &spec.selector, sets);
        let mut mine: Vec<Set<'_>> = mine.into_iter().map(|s| look(run, s, by_owner)).collect();
        mine.sort_by_key(|s| (s.obj.created(), s.obj.name().to_owned()));
        let at = mine.iter().position(|s| revision::same_template(s.obj, &spec.template));
        let new = at.map(|i| mine.remove(i));
        let mut rollout = Rollout { d, spec, replicas: spec.replicas.unwrap_or(1), new, old: mine };
        rollout.sync(run);
    }
}

fn look<'o>(run: &mut Run<'_>, obj: &'o Obj<ReplicaSet>, by_owner: &BTreeMap<&str, Vec<&Obj<Pod>>>) -> Set<'o> {
    let empty = vec![];
    let of = by_owner.get(obj.uid()).unwrap_or(&empty);
    let active: Vec<&Obj<Pod>> = of.iter().copied().filter(|p| pods::active(p)).collect();
    let min_ready = obj.spec.as_ref().and_then(|s| s.min_ready_seconds).unwrap_or(0);
    let now = replicaset::count(run, &active, min_ready);
    let alive = of.iter().filter(|p| !pods::finished(p)).count();
    Set { obj, now, alive, replicas: replicaset::replicas(obj) }
}

impl Rollout<'_> {
    fn sync(&mut self, run: &mut Run<'_>) {
        if self.d.terminating() {
            return self.write_status(run, true);
        }
        let paused = self.spec.paused == Some(true);
        self.sync_revision(run);
        if paused || self.is_scaling() {
            self.scale_all(run);
            if paused {
                self.clean_up(run);
            }
            return self.write_status(run, true);
        }
        let strategy = self.spec.strategy.as_ref().and_then(|s| s.type_.as_deref());
        match strategy {
            Some("Recreate") => self.recreate(run),
            _ => self.rolling_update(run),
        }
        self.write_status(run, false);
    }

    fn all(&self) -> impl Iterator<Item = &Set<'_>> {
        self.old.iter().chain(&self.new)
    }

    /// Pods that all ReplicaSets are told to have.
    fn told(&self) -> i32 {
        self.all().map(|s| s.replicas).sum()
    }

    /// Pods above and below the wanted number that a rollout may have.
    fn bounds(&self) -> (i32, i32) {
        let strategy = self.spec.strategy.as_ref();
        if strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate") {
            return (0, 0);
        }
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        let surge = rolling.and_then(|r| r.max_surge.as_ref());
        let unavailable = rolling.and_then(|r| r.max_unavailable.as_ref());
        let surge = surge.map_or_else(|| percent(25, self.replicas, true), |v| scaled(v, self.replicas, true));
        let mut unavailable =
            unavailable.map_or_else(|| percent(25, self.replicas, false), |v| scaled(v, self.replicas, false));
        if surge == 0 && unavailable == 0 {
            // Otherwise nothing could ever move.
            unavailable = 1;
        }
        (surge, unavailable.min(self.replicas))
    }
}

/// A number, or a percentage of `of`.
pub(crate) fn scaled(value: &IntOrString, of: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(n) => (*n).max(0),
        IntOrString::String(s) => percent(s.trim_end_matches('%').parse().unwrap_or(0), of, up),
    }
}

fn percent(percent: i32, of: i32, up: bool) -> i32 {
    let n = i64::from(percent.max(0)) * i64::from(of.max(0));
    let n = if up { (n + 99) / 100 } else { n / 100 };
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_documented() {
        for (value, of, surge, unavailable) in
            [("25%", 10, 3, 2), ("25%", 4, 1, 1), ("25%", 1, 1, 0), ("100%", 3, 3, 3), ("0%", 3, 0, 0)]
        {
            let v = IntOrString::String(value.into());
            assert_eq!((scaled(&v, of, true), scaled(&v, of, false)), (surge, unavailable), "{value} of {of}");
        }
        assert_eq!(scaled(&IntOrString::Int(2), 10, false), 2);
    }
}
