//! DaemonSet → one pod on this node, if its selector wants it.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus},
    core::v1::{Node, Pod},
};

use crate::{
    claims,
    deployment::scaled,
    kinds, pods,
    replicaset::some,
    revisions::{self, Current, HASH},
    run::{Obj, Run},
    scheduler,
};

/// A failed pod stays so long before it is replaced.
const FAILED_SECS: i64 = 10;

/// One DaemonSet in one run.
struct Set<'o> {
    obj: &'o Obj<DaemonSet>,
    spec: &'o DaemonSetSpec,
    pods: Vec<&'o Obj<Pod>>,
    update: Current<'o>,
    wanted: bool,
}

pub(crate) fn run(
    run: &mut Run<'_>,
    sets: &[Obj<DaemonSet>],
    all_pods: &[Obj<Pod>],
    nodes: &[Obj<Node>],
    all_revisions: &[Obj<ControllerRevision>],
) {
    let node = nodes.iter().find(|n| n.name() == run.node);
    for obj in sets.iter().filter(|s| !s.terminating()) {
        let Some(spec) = &obj.spec else { continue };
        let mine = claims::claim(run, obj, &spec.selector, all_pods);
        let update = revisions::sync(run, obj, &spec.selector, &spec.template, all_revisions);
        let selects = |n: &Obj<Node>| {
            let pod = spec.template.spec.as_ref();
            pod.is_none_or(|s| scheduler::selects(s, &n.meta().labels))
        };
        let set = Set { obj, spec, pods: mine, update, wanted: node.is_some_and(selects) };
        set.sync(run);
    }
}

impl Set<'_> {
    fn sync(&self, run: &mut Run<'_>) {
        if self.wanted {
            self.keep_one(run);
        } else {
            for pod in &self.pods {
                self.delete(run, pod);
            }
        }
        self.write_status(run);
        let hashes = self.pods.iter().filter_map(|p| p.meta().labels.get(HASH));
        let used: BTreeSet<String> = hashes.map(|h| format!("{}-{h}", self.obj.name())).collect();
        revisions::clean_up(run, &self.update, &used, self.spec.revision_history_limit);
    }

    fn updated(&self, pod: &Obj<Pod>) -> bool {
        pod.meta().labels.get(HASH) == Some(&self.update.hash)
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    fn keep_one(&self, run: &mut Run<'_>) {
        for pod in self.pods.iter().filter(|p| pods::finished(p)) {
            self.replace_finished(run, pod);
        }
        let live: Vec<&Obj<Pod>> = self.pods.iter().copied().filter(|p| !pods::finished(p)).collect();
        let (new, old): (Vec<&Obj<Pod>>, Vec<&Obj<Pod>>) = live.iter().copied().partition(|p| self.updated(p));
        if live.is_empty() {
            if !self.pods.iter().any(|p| pods::finished(p)) {
                self.create(run);
            }
            return;
        }
        // More than one of a kind: the oldest stays.
        for same in [&new, &old] {
            let mut same: Vec<&Obj<Pod>> = same.iter().copied().filter(|p| !p.terminating()).collect();
            same.sort_by_key(|p| (!pods::ready(p), p.created(), p.name().to_owned()));
            for pod in same.into_iter().skip(1) {
                self.delete(run, pod);
            }
        }
        if !self.on_delete() {
            self.roll(run, &new, &old);
        }
    }

    fn on_delete(&self) -> bool {
        self.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref()) == Some("OnDelete")
    }

    /// Replace the old pod: before the new one is there, or after it is
    /// available if a surge is allowed.
    fn roll(&self, run: &mut Run<'_>, new: &[&Obj<Pod>], old: &[&Obj<Pod>]) {
        let rolling = self.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        let surge = rolling.and_then(|r| r.max_surge.as_ref()).is_some_and(|v| scaled(v, 1, true) > 0);
        if old.is_empty() {
            return;
        }
        if !surge {
            for pod in old {
                self.delete(run, pod);
            }
            return;
        }
        let serves = old.iter().any(|p| !p.terminating() && pods::available(run, p, self.min_ready()));
        if new.is_empty() {
            self.create(run);
        }
        if !serves || new.iter().any(|p| !p.terminating() && pods::available(run, p, self.min_ready())) {
            for pod in old {
                self.delete(run, pod);
            }
        }
    }

    fn replace_finished(&self, run: &mut Run<'_>, pod: &Obj<Pod>) {
        let due = pod.created() + SignedDuration::from_secs(FAILED_SECS);
        if due > run.now {
            return run.wake(due);
        }
        if run.delete(&pod.stored) {
            let text = |what| {
                format!("Found {what} daemon pod {}/{} on node {}, will try to kill it", pod.ns(), pod.name(), run.node)
            };
            if pods::phase(pod) == "Failed" {
                run.warning(&self.obj.stored, "FailedDaemonPod", text("failed"));
            } else {
                run.normal(&self.obj.stored, "SucceededDaemonPod", text("succeeded"));
            }
        }
    }

    fn delete(&self, run: &mut Run<'_>, pod: &Obj<Pod>) {
        if run.delete(&pod.stored) {
            run.normal(&self.obj.stored, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        }
    }

    fn create(&self, run: &mut Run<'_>) {
        let mut pod = pods::from_template(&self.spec.template, self.obj.ns(), self.obj.as_controller());
        pod.metadata.labels.get_or_insert_default().insert(HASH.into(), self.update.hash.clone());
        let prefix = format!("{}-", self.obj.name());
        let name = pods::random_name(run, &prefix, self.obj.uid());
        run.normal(&self.obj.stored, "SuccessfulCreate", format!("Created pod: {name}"));
        pod.metadata.name = Some(name);
        pod.metadata.generate_name = Some(prefix);
        run.create(kinds::pod(), self.obj.ns(), &pod);
    }

    fn write_status(&self, run: &mut Run<'_>) {
        let active: Vec<&Obj<Pod>> = self.pods.iter().copied().filter(|p| pods::active(p)).collect();
        let one = |n: bool| i32::from(n);
        let ready = active.iter().any(|p| pods::ready(p));
        let available = active.iter().any(|p| pods::available(run, p, self.min_ready()));
        let status = DaemonSetStatus {
            current_number_scheduled: one(self.wanted && !active.is_empty()),
            desired_number_scheduled: one(self.wanted),
            number_misscheduled: one(!self.wanted && !active.is_empty()),
            number_ready: one(self.wanted && ready),
            number_available: some(one(self.wanted && available)),
            number_unavailable: some(one(self.wanted && !available)),
            updated_number_scheduled: some(one(self.wanted && active.iter().any(|p| self.updated(p)))),
            observed_generation: Some(self.obj.meta().generation),
            ..self.obj.status.clone().unwrap_or_default()
        };
        if self.obj.status.as_ref() != Some(&status) {
            let mut new = self.obj.v.clone();
            new.status = Some(status);
            run.update_status(self.obj.key(), &new);
        }
    }
}
