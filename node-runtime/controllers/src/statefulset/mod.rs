//! StatefulSet → pods with stable names and volumes, started, stopped and
//! updated in order.

mod identity;
mod status;

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec},
    core::v1::{PersistentVolumeClaim, Pod},
};

use crate::{
    claims, kinds, pods,
    revisions::{self, Current},
    run::{Obj, Run},
};

/// One StatefulSet in one run.
struct Set<'o> {
    obj: &'o Obj<StatefulSet>,
    spec: &'o StatefulSetSpec,
    /// First ordinal.
    start: i32,
    replicas: i32,
    pods: Vec<(i32, &'o Obj<Pod>)>,
    update: Current<'o>,
    /// Name of the revision that pods come from that are not yet updated.
    current: String,
    claims: &'o [Obj<PersistentVolumeClaim>],
}

/// Go on, or wait for the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Wait,
}

pub(crate) fn run(
    run: &mut Run<'_>,
    sets: &[Obj<StatefulSet>],
    all_pods: &[Obj<Pod>],
    all_claims: &[Obj<PersistentVolumeClaim>],
    all_revisions: &[Obj<ControllerRevision>],
) {
    for obj in sets {
        let Some(spec) = &obj.spec else { continue };
        let candidates = all_pods.iter().filter(|p| identity::ordinal(obj.name(), p.name()).is_some());
        let mine = claims::claim(run, obj, &spec.selector, candidates);
        let mut mine: Vec<(i32, &Obj<Pod>)> =
            mine.into_iter().filter_map(|p| Some((identity::ordinal(obj.name(), p.name())?, p))).collect();
        mine.sort_by_key(|(n, _)| *n);
        if obj.terminating() {
            continue;
        }
        let update = revisions::sync(run, obj, &spec.selector, &spec.template, all_revisions);
        let noted = obj.status.as_ref().and_then(|s| s.current_revision.clone()).filter(|r| !r.is_empty());
        let set = Set {
            obj,
            spec,
            start: spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0),
            replicas: spec.replicas.unwrap_or(1).max(0),
            pods: mine,
            current: noted.unwrap_or_else(|| update.name.clone()),
            update,
            claims: all_claims,
        };
        set.sync(run);
    }
}

impl Set<'_> {
    fn sync(&self, run: &mut Run<'_>) {
        if self.owns_claims(run) == Flow::On && self.fill(run) == Flow::On && self.shrink(run) == Flow::On {
            self.roll(run);
        }
        self.write_status(run);
        let mut used: BTreeSet<String> = self.pods.iter().map(|(_, p)| identity::revision(p)).collect();
        used.insert(self.current.clone());
        revisions::clean_up(run, &self.update, &used, self.spec.revision_history_limit);
    }

    fn ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn wanted(&self, ordinal: i32) -> bool {
        (self.start..self.start.saturating_add(self.replicas)).contains(&ordinal)
    }

    fn pod(&self, ordinal: i32) -> Option<&Obj<Pod>> {
        self.pods.iter().find(|(n, _)| *n == ordinal).map(|(_, p)| *p)
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    /// Every wanted pod is there, in order one after the other.
    fn fill(&self, run: &mut Run<'_>) -> Flow {
        for ordinal in self.start..self.start.saturating_add(self.replicas) {
            if self.fill_one(run, ordinal) == Flow::Wait && self.ordered() {
                return Flow::Wait;
            }
        }
        Flow::On
    }

    fn fill_one(&self, run: &mut Run<'_>, ordinal: i32) -> Flow {
        let Some(pod) = self.pod(ordinal) else {
            self.create_claims(run, ordinal);
            self.create_pod(run, ordinal);
            return Flow::Wait;
        };
        if pod.terminating() {
            return Flow::Wait;
        }
        if pods::finished(pod) {
            if run.delete(&pod.stored) {
                let reason =
                    if pods::phase(pod) == "Failed" { "RecreatingFailedPod" } else { "RecreatingTerminatedPod" };
                let text = format!("StatefulSet {}/{} is recreating pod {}", pod.ns(), self.obj.name(), pod.name());
                run.warning(&self.obj.stored, reason, text);
            }
            return Flow::Wait;
        }
        if pods::phase(pod) == "Pending" {
            self.create_claims(run, ordinal);
        }
        if pods::available(run, pod, self.min_ready()) { Flow::On } else { Flow::Wait }
    }

    /// Surplus pods go, the highest first.
    fn shrink(&self, run: &mut Run<'_>) -> Flow {
        let surplus: Vec<&Obj<Pod>> =
            self.pods.iter().rev().filter(|(n, _)| !self.wanted(*n)).map(|(_, p)| *p).collect();
        let unhealthy = |p: &&&Obj<Pod>| p.terminating() || !pods::ready(p);
        let first_unhealthy = surplus.iter().rev().find(unhealthy).map(|p| p.name());
        for pod in &surplus {
            if !pod.terminating() {
                // A pod that has ended never gets ready: nothing to wait for.
                let waits = !pods::ready(pod) && !pods::finished(pod) && first_unhealthy != Some(pod.name());
                if self.ordered() && waits {
                    return Flow::Wait;
                }
                self.delete_pod(run, pod);
            }
            if self.ordered() {
                return Flow::Wait;
            }
        }
        Flow::On
    }

    /// Pods of another revision are replaced, the highest first, each after
    /// the one before it is back.
    fn roll(&self, run: &mut Run<'_>) {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|s| s.type_.as_deref()) == Some("OnDelete") {
            return;
        }
        let from = self.start.max(self.partition());
        for (_, pod) in self.pods.iter().rev().filter(|(n, _)| self.wanted(*n) && *n >= from) {
            if identity::revision(pod) != self.update.name && !pod.terminating() {
                return self.delete_pod(run, pod);
            }
            if pod.terminating() || !pods::available(run, pod, self.min_ready()) {
                return;
            }
        }
    }

    fn partition(&self) -> i32 {
        let rolling = self.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        rolling.and_then(|r| r.partition).unwrap_or(0)
    }

    fn delete_pod(&self, run: &mut Run<'_>, pod: &Obj<Pod>) {
        if run.delete(&pod.stored) {
            let text = format!("delete Pod {} in StatefulSet {} successful", pod.name(), self.obj.name());
            run.normal(&self.obj.stored, "SuccessfulDelete", text);
        }
    }

    fn create_pod(&self, run: &mut Run<'_>, ordinal: i32) {
        let strategy = self.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref());
        let old = strategy != Some("OnDelete") && ordinal < self.partition() && self.current != self.update.name;
        let found = self.update.history.iter().find(|r| old && r.name() == self.current);
        let (template, revision) = match found.and_then(|r| revisions::template(r)) {
            Some(template) => (template, &self.current),
            None => (self.spec.template.clone(), &self.update.name),
        };
        let pod = identity::pod(self.obj, self.spec, &template, revision, ordinal);
        run.create(kinds::pod(), self.obj.ns(), &pod);
        let name = identity::name(self.obj.name(), ordinal);
        let text = format!("create Pod {name} in StatefulSet {} successful", self.obj.name());
        run.normal(&self.obj.stored, "SuccessfulCreate", text);
    }

    fn create_claims(&self, run: &mut Run<'_>, ordinal: i32) {
        for template in self.spec.volume_claim_templates.iter().flatten() {
            let claim = identity::claim(self.obj, self.spec, template, ordinal);
            let name = claim.metadata.name.clone().unwrap_or_default();
            if self.claims.iter().any(|c| c.ns() == self.obj.ns() && c.name() == name) {
                continue;
            }
            run.create(kinds::claim(), self.obj.ns(), &claim);
            let pod = identity::name(self.obj.name(), ordinal);
            let text = format!("create Claim {name} Pod {pod} in StatefulSet {} success", self.obj.name());
            run.normal(&self.obj.stored, "SuccessfulCreate", text);
        }
    }

    /// Claims go with the set, or with a surplus pod, if the policy says so.
    fn owns_claims(&self, run: &mut Run<'_>) -> Flow {
        let mut flow = Flow::On;
        for template in self.spec.volume_claim_templates.iter().flatten() {
            let prefix = format!("{}-{}", template.metadata.name.as_deref().unwrap_or_default(), self.obj.name());
            for claim in self.claims.iter().filter(|c| c.ns() == self.obj.ns() && !c.terminating()) {
                let Some(ordinal) = identity::ordinal(&prefix, claim.name()) else { continue };
                let surplus = self.pod(ordinal).filter(|_| !self.wanted(ordinal));
                let mut new = claim.v.clone();
                identity::set_owners(self.obj, self.spec, surplus, self.wanted(ordinal), &mut new);
                if new != claim.v {
                    run.update(claim.key(), &new);
                    flow = Flow::Wait;
                }
            }
        }
        flow
    }
}
