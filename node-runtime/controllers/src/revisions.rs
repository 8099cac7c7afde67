//! ControllerRevisions: the templates that a StatefulSet or DaemonSet had.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{apps::v1::ControllerRevision, core::v1::PodTemplateSpec},
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        runtime::RawExtension,
    },
};
use serde_json::json;

use crate::{
    claims, kinds,
    run::{Obj, Run, content_hash, value},
};

/// Label of pods and revisions.
pub(crate) const HASH: &str = "controller-revision-hash";
/// Kept revisions that nobody uses, if the owner does not say.
const HISTORY_LIMIT: i32 = 10;

/// The revision of the present template.
pub(crate) struct Current<'o> {
    /// `NAME-HASH`.
    pub(crate) name: String,
    /// `HASH`.
    pub(crate) hash: String,
    /// All revisions, oldest first.
    pub(crate) history: Vec<&'o Obj<ControllerRevision>>,
}

/// Find or make the revision of `template`.
pub(crate) fn sync<'o, O>(
    run: &mut Run<'_>,
    owner: &Obj<O>,
    selector: &LabelSelector,
    template: &PodTemplateSpec,
    all: &'o [Obj<ControllerRevision>],
) -> Current<'o> {
    let mut history = claims::claim(run, owner, selector, all);
    history.sort_by_key(|r| (r.revision, r.name().to_owned()));
    let data = data(template);
    let next = history.last().map_or(0, |r| r.revision) + 1;
    if let Some(same) = history.iter().rev().find(|r| r.data.as_ref() == Some(&data)) {
        if same.revision + 1 < next {
            // Back to an old template: it is the newest again.
            let mut new = same.v.clone();
            new.revision = next;
            run.update(same.key(), &new);
        }
        let hash = same.meta().labels.get(HASH).cloned().unwrap_or_default();
        return Current { name: same.name().into(), hash, history };
    }
    let mut collisions = 0;
    let (hash, name) = loop {
        let hash = content_hash(template, collisions);
        let name = format!("{}-{hash}", owner.name());
        if !all.iter().any(|r| r.ns() == owner.ns() && r.name() == name) {
            break (hash, name);
        }
        collisions += 1;
    };
    let mut labels = template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    labels.insert(HASH.into(), hash.clone());
    let revision = ControllerRevision {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(owner.ns().into()),
            labels: Some(labels),
            owner_references: Some(vec![owner.as_controller()]),
            ..ObjectMeta::default()
        },
        data: Some(data),
        revision: next,
    };
    run.create(kinds::revision(), owner.ns(), &revision);
    Current { name, hash, history }
}

fn data(template: &PodTemplateSpec) -> RawExtension {
    let mut template = value(template);
    template["$patch"] = "replace".into();
    RawExtension(json!({"spec": {"template": template}}))
}

/// The template of a revision.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// Drop the oldest revisions that nobody uses.
pub(crate) fn clean_up(run: &mut Run<'_>, current: &Current<'_>, used: &BTreeSet<String>, limit: Option<i32>) {
    let limit = usize::try_from(limit.unwrap_or(HISTORY_LIMIT)).unwrap_or(0);
    let idle: Vec<_> =
        current.history.iter().filter(|r| !used.contains(r.name()) && r.name() != current.name).collect();
    let surplus = idle.len().saturating_sub(limit);
    for revision in idle.into_iter().take(surplus) {
        run.delete(&revision.stored);
    }
}
