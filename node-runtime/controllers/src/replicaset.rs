//! ReplicaSet → pods: as many as wanted, surplus ones in the order in which
//! they are missed least.

use std::cmp::Reverse;

use k8s_openapi::api::{
    apps::v1::{ReplicaSet, ReplicaSetStatus},
    core::v1::Pod,
};

use crate::{
    claims, kinds, labels, pods,
    run::{Obj, Run},
};

/// Pods that one ReplicaSet makes in one run.
const BURST_MAX: usize = 500;
/// Failed pods (evicted ones, for example) of one ReplicaSet that stay for
/// people to see. Kubernetes lets thousands stay; a node has less room.
const FAILED_KEPT: usize = 5;

pub(crate) fn run(run: &mut Run<'_>, sets: &[Obj<ReplicaSet>], all_pods: &[Obj<Pod>]) {
    for set in sets {
        sync(run, set, all_pods);
    }
}

fn sync(run: &mut Run<'_>, set: &Obj<ReplicaSet>, all_pods: &[Obj<Pod>]) {
    let Some(spec) = &set.spec else { return };
    let mine = claims::claim(run, set, &spec.selector, all_pods.iter().filter(|p| pods::active(p)));
    if !set.terminating() {
        manage(run, set, &mine);
    }
    clear(run, set, all_pods);
    let status = status(run, set, &mine);
    if set.status.as_ref() != Some(&status) {
        let mut new = set.v.clone();
        new.status = Some(status);
        run.update_status(set.key(), &new);
    }
}

fn manage(run: &mut Run<'_>, set: &Obj<ReplicaSet>, mine: &[&Obj<Pod>]) {
    let wanted = usize::try_from(replicas(set)).unwrap_or(0);
    for _ in mine.len()..wanted.min(mine.len() + BURST_MAX) {
        create(run, set);
    }
    let mut order = mine.to_vec();
    pods::sort_for_deletion(&mut order);
    for pod in order.into_iter().take(mine.len().saturating_sub(wanted)) {
        if run.delete(&pod.stored) {
            run.normal(&set.stored, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        }
    }
}

/// The oldest failed pods go.
fn clear(run: &mut Run<'_>, set: &Obj<ReplicaSet>, all_pods: &[Obj<Pod>]) {
    let owned = |p: &&Obj<Pod>| p.meta().controller().is_some_and(|o| o.uid == set.uid());
    let failed = all_pods.iter().filter(|p| pods::phase(p) == "Failed" && !p.terminating());
    let mut failed: Vec<&Obj<Pod>> = failed.filter(owned).collect();
    failed.sort_by_key(|p| Reverse((p.created(), p.name().to_owned())));
    for pod in failed.into_iter().skip(FAILED_KEPT) {
        run.delete(&pod.stored);
    }
}

fn create(run: &mut Run<'_>, set: &Obj<ReplicaSet>) {
    let Some(template) = set.spec.as_ref().and_then(|s| s.template.as_ref()) else { return };
    let mut pod = pods::from_template(template, set.ns(), set.as_controller());
    let prefix = format!("{}-", set.name());
    let name = pods::random_name(run, &prefix, set.uid());
    run.normal(&set.stored, "SuccessfulCreate", format!("Created pod: {name}"));
    pod.metadata.name = Some(name);
    pod.metadata.generate_name = Some(prefix);
    run.create(kinds::pod(), set.ns(), &pod);
}

/// Wanted number of pods.
pub(crate) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().map_or(0, |s| s.replicas.unwrap_or(1))
}

/// How many pods there are, are ready, are available.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) all: i32,
    pub(crate) ready: i32,
    pub(crate) available: i32,
}

/// Count active pods.
pub(crate) fn count<'p>(run: &mut Run<'_>, pods: impl IntoIterator<Item = &'p &'p Obj<Pod>>, min_ready: i32) -> Counts {
    let mut n = Counts::default();
    for pod in pods {
        n.all += 1;
        n.ready += i32::from(pods::ready(pod));
        n.available += i32::from(pods::available(run, pod, min_ready));
    }
    n
}

fn status(run: &mut Run<'_>, set: &Obj<ReplicaSet>, mine: &[&Obj<Pod>]) -> ReplicaSetStatus {
    let spec = set.spec.as_ref();
    let n = count(run, mine, spec.and_then(|s| s.min_ready_seconds).unwrap_or(0));
    let template = spec.and_then(|s| s.template.as_ref()).and_then(|t| t.metadata.as_ref());
    let wanted = template.and_then(|m| m.labels.clone()).unwrap_or_default();
    let labeled = mine.iter().filter(|p| labels::includes(&p.meta().labels, &wanted)).count();
    let old = set.status.clone().unwrap_or_default();
    ReplicaSetStatus {
        replicas: n.all,
        fully_labeled_replicas: some(i32::try_from(labeled).unwrap_or(i32::MAX)),
        ready_replicas: some(n.ready),
        available_replicas: some(n.available),
        observed_generation: Some(set.meta().generation),
        ..old
    }
}

/// Numbers of a status: zero is left out.
pub(crate) fn some(n: i32) -> Option<i32> {
    (n != 0).then_some(n)
}
