//! Which objects belong to an owner: those that say so and match its selector.
//! Matching orphans are adopted, others let go.

use k8s_openapi::{
    Metadata,
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use serde::Serialize;

use crate::{
    labels,
    run::{Obj, Run},
};

/// What `owner` manages among `candidates`.
pub(crate) fn claim<'o, O, T>(
    run: &mut Run<'_>,
    owner: &Obj<O>,
    selector: &LabelSelector,
    candidates: impl IntoIterator<Item = &'o Obj<T>>,
) -> Vec<&'o Obj<T>>
where
    T: Metadata<Ty = ObjectMeta> + Clone + Serialize,
{
    let mut mine = vec![];
    for c in candidates.into_iter().filter(|c| c.ns() == owner.ns()) {
        let matching = labels::matches(selector, &c.meta().labels);
        match c.meta().controller() {
            Some(o) if o.uid != owner.uid() => {}
            Some(_) if matching => mine.push(c),
            Some(_) => release(run, owner, c),
            None => {
                if matching && !owner.terminating() && !c.terminating() && adopt(run, owner, c) {
                    mine.push(c);
                }
            }
        }
    }
    mine
}

fn release<O, T: Metadata<Ty = ObjectMeta> + Clone + Serialize>(run: &mut Run<'_>, owner: &Obj<O>, object: &Obj<T>) {
    if owner.terminating() {
        return;
    }
    let mut new = object.v.clone();
    if let Some(owners) = &mut new.metadata_mut().owner_references {
        owners.retain(|o| o.uid != owner.uid());
    }
    run.update(object.key(), &new);
}

fn adopt<O, T: Metadata<Ty = ObjectMeta> + Clone + Serialize>(
    run: &mut Run<'_>,
    owner: &Obj<O>,
    object: &Obj<T>,
) -> bool {
    let mut new = object.v.clone();
    let owners = new.metadata_mut().owner_references.get_or_insert_default();
    owners.retain(|o| o.uid != owner.uid());
    owners.push(owner.as_controller());
    run.update(object.key(), &new)
}
