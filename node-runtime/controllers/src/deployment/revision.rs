//! ReplicaSets as history: which template is which revision, making the one
//! for a new template, dropping old ones.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{ReplicaSet, ReplicaSetSpec},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Rollout, Set};
use crate::{
    kinds,
    run::{Obj, Run, content_hash},
};

/// Label that tells the pods of one template from another's.
const HASH: &str = "pod-template-hash";
/// Number of a rollout, counted up.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Numbers that the same template had before.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Longest history that is kept, in bytes.
const HISTORY_BYTES_MAX: usize = 2000;
/// Annotations of a Deployment that its ReplicaSets do not get.
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.daemonset.template.generation",
];
/// Kept ReplicaSets without pods, if the Deployment does not say.
const HISTORY_LIMIT: i32 = 10;

/// Is it the ReplicaSet of this template?
pub(super) fn same_template(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let Some(have) = set.spec.as_ref().and_then(|s| s.template.as_ref()) else { return false };
    without_hash(have) == without_hash(template)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut t = template.clone();
    let meta = t.metadata.get_or_insert_default();
    if let Some(labels) = &mut meta.labels {
        labels.remove(HASH);
    }
    meta.labels = meta.labels.take().filter(|l| !l.is_empty());
    meta.creation_timestamp = None;
    t
}

fn revision(set: &Obj<ReplicaSet>) -> i64 {
    set.meta().annotations.get(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

impl Rollout<'_> {
    /// Number of the present template's rollout.
    fn next_revision(&self) -> i64 {
        self.old.iter().map(|s| revision(s.obj)).max().unwrap_or(0) + 1
    }

    /// The new ReplicaSet bears the highest revision, the Deployment's
    /// annotations and its minReadySeconds; the Deployment bears the revision.
    pub(super) fn sync_revision(&mut self, run: &mut Run<'_>) {
        let next = self.next_revision();
        let Some(new) = &self.new else { return };
        let number = revision(new.obj).max(next);
        let mut set = new.obj.v.clone();
        let have = set.metadata.annotations.get_or_insert_default();
        self.copy_annotations(have);
        note_revision(have, number);
        if let Some(spec) = &mut set.spec
            && spec.min_ready_seconds.unwrap_or(0) != self.spec.min_ready_seconds.unwrap_or(0)
        {
            spec.min_ready_seconds = self.spec.min_ready_seconds;
        }
        if set != new.obj.v {
            run.update(new.obj.key(), &set);
        }
        let number = number.to_string();
        if self.d.meta().annotations.get(REVISION) != Some(&number) {
            let mut d = self.d.v.clone();
            d.metadata.annotations.get_or_insert_default().insert(REVISION.into(), number);
            run.update(self.d.key(), &d);
        }
    }

    fn copy_annotations(&self, to: &mut BTreeMap<String, String>) {
        let theirs = self.d.meta().annotations.iter().filter(|(k, _)| !NOT_COPIED.contains(&k.as_str()));
        to.extend(theirs.map(|(k, v)| (k.clone(), v.clone())));
    }

    /// A ReplicaSet for the present template.
    pub(super) fn create_new(&self, run: &mut Run<'_>, replicas: i32) {
        let collisions = self.d.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0);
        let hash = content_hash(&without_hash(&self.spec.template), collisions);
        let name = format!("{}-{hash}", self.d.name());
        let mut template = self.spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(HASH.into(), hash.clone());
        let labels = labels.clone();
        let mut selector = self.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(HASH.into(), hash);
        let mut annotations = BTreeMap::new();
        self.copy_annotations(&mut annotations);
        annotations.insert(REVISION.into(), self.next_revision().to_string());
        annotations.extend(self.size_annotations().map(|(k, v)| (k.to_owned(), v)));
        let set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(self.d.ns().into()),
                labels: Some(labels),
                annotations: Some(annotations),
                owner_references: Some(vec![self.d.as_controller()]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(replicas),
                min_ready_seconds: self.spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        };
        run.create(kinds::replica_set(), self.d.ns(), &set);
        if replicas > 0 {
            let text = format!("Scaled up replica set {name} from 0 to {replicas}");
            run.normal(&self.d.stored, "ScalingReplicaSet", text);
        }
    }

    /// Name that the ReplicaSet of the present template would get.
    pub(super) fn wanted_name(&self) -> String {
        let collisions = self.d.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0);
        format!("{}-{}", self.d.name(), content_hash(&without_hash(&self.spec.template), collisions))
    }

    /// Drop the oldest ReplicaSets without pods once the rollout is over.
    pub(super) fn clean_up(&self, run: &mut Run<'_>) {
        let done = self.new.as_ref().is_some_and(|s| {
            s.replicas == self.replicas && s.now.available == self.replicas && self.old.iter().all(|o| o.replicas == 0)
        });
        if !done {
            return;
        }
        let limit = usize::try_from(self.spec.revision_history_limit.unwrap_or(HISTORY_LIMIT)).unwrap_or(0);
        let mut old: Vec<&Set<'_>> = self.old.iter().filter(|s| !s.obj.terminating()).collect();
        old.sort_by_key(|s| revision(s.obj));
        let surplus = old.len().saturating_sub(limit);
        for set in old.into_iter().take(surplus).filter(|s| s.replicas == 0 && s.alive == 0) {
            run.delete(&set.obj.stored);
        }
    }
}

/// Set the revision; the number that it replaces goes to the history.
fn note_revision(annotations: &mut BTreeMap<String, String>, number: i64) {
    let number = number.to_string();
    let Some(before) = annotations.insert(REVISION.into(), number.clone()) else { return };
    if before == number || before.is_empty() {
        return;
    }
    let mut history = annotations.get(HISTORY).cloned().unwrap_or_default();
    if !history.is_empty() {
        history.push(',');
    }
    history.push_str(&before);
    while history.len() > HISTORY_BYTES_MAX {
        history = history.split_once(',').map_or_else(String::new, |(_, rest)| rest.into());
    }
    annotations.insert(HISTORY.into(), history);
}
