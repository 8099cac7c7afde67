//! Namespaces: those that are always there, and emptying those that go.

use std::sync::Arc;

use serde_json::json;
use skerry_machinery::{KINDS, Source, Stored};

use crate::{kinds, run::Run};

/// They come back when deleted.
const ALWAYS: [&str; 3] = ["default", "kube-public", "kube-system"];
/// Who empties a namespace, in `spec.finalizers`.
const FINALIZER: &str = "kubernetes";

pub(crate) fn run(run: &mut Run<'_>) {
    let namespaces = run.stored(kinds::namespace());
    for name in ALWAYS {
        if !namespaces.iter().any(|n| n.key.name == name) {
            let object = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": [FINALIZER]},
            });
            run.create(kinds::namespace(), "", &object);
        }
    }
    for namespace in namespaces {
        sync(run, &namespace);
    }
}

fn sync(run: &mut Run<'_>, namespace: &Arc<Stored>) {
    let phase = if namespace.meta.terminating() { "Terminating" } else { "Active" };
    let mut object = namespace.value();
    if object["status"]["phase"] != phase {
        object["status"]["phase"] = phase.into();
        run.update_status(&namespace.key, &object);
    }
    if !namespace.meta.terminating() {
        return;
    }
    let kinds = KINDS.iter().filter(|k| k.namespaced && k.source == Source::Stored);
    let inside = kinds.flat_map(|k| run.stored(k)).filter(|o| o.key.namespace == namespace.key.name);
    let inside: Vec<Arc<Stored>> = inside.collect();
    if inside.is_empty() {
        return let_go(run, namespace);
    }
    for object in inside {
        run.delete(&object);
    }
}

fn let_go(run: &mut Run<'_>, namespace: &Stored) {
    let mut object = namespace.value();
    let mut found = false;
    for at in ["/spec/finalizers", "/metadata/finalizers"] {
        if let Some(list) = object.pointer_mut(at).and_then(|l| l.as_array_mut()) {
            let before = list.len();
            list.retain(|f| f != FINALIZER);
            found |= list.len() != before;
        }
    }
    if found {
        run.update(&namespace.key, &object);
    }
}
