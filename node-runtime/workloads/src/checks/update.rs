//! What may not change once an object is there.

use serde_json::{Map, Value};
use skerry_machinery::Kind;

use super::families;
use crate::cause::Causes;

const IMMUTABLE: &str = "field is immutable";

/// Fields of a StatefulSet that may change.
const STATEFUL_SET: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// Fields of a pod's spec that may change, beside the images.
const POD: &[&str] = &["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"];

/// Compare the object as it will be with the object as it is; both have their
/// defaults.
pub(crate) fn update(kind: &Kind, new: &Value, old: &Value, out: &mut Causes) {
    match (kind.group, kind.kind) {
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => fixed(new, old, &["/spec/selector"], out),
        ("apps", "StatefulSet") => stateful_set(&new["spec"], &old["spec"], out),
        ("apps", "ControllerRevision") => fixed(new, old, &["/data"], out),
        ("batch", "Job") => {
            let fields = ["/spec/selector", "/spec/completionMode", "/spec/template", "/spec/completions"];
            let indexed = new["spec"]["completionMode"] == "Indexed";
            fixed(new, old, if indexed { &fields[..3] } else { &fields }, out);
        }
        ("", "Pod") => pod(&new["spec"], &old["spec"], out),
        ("", "PersistentVolumeClaim") => claim(&new["spec"], &old["spec"], out),
        ("", "ConfigMap" | "Secret") => {
            if kind.kind == "Secret" {
                fixed(new, old, &["/type"], out);
            }
            frozen_data(new, old, out);
        }
        ("", "Service") => families::update(&new["spec"], &old["spec"], out),
        ("storage.k8s.io", "StorageClass") => {
            fixed(new, old, &["/provisioner", "/reclaimPolicy", "/volumeBindingMode"], out);
        }
        ("discovery.k8s.io", "EndpointSlice") => fixed(new, old, &["/addressType"], out),
        _ => {}
    }
}

fn fixed(new: &Value, old: &Value, pointers: &[&str], out: &mut Causes) {
    for pointer in pointers {
        let (n, o) = (new.pointer(pointer), old.pointer(pointer));
        if n != o {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            out.invalid(field, n.cloned().unwrap_or_default(), IMMUTABLE);
        }
    }
}

fn without(value: &Value, fields: &[&str]) -> Map<String, Value> {
    let mut map = value.as_object().cloned().unwrap_or_default();
    map.retain(|name, _| !fields.contains(&name.as_str()));
    map
}

fn stateful_set(new: &Value, old: &Value, out: &mut Causes) {
    if without(new, STATEFUL_SET) != without(old, STATEFUL_SET) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                   'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                   'minReadySeconds' are forbidden";
        out.forbidden("spec", why);
    }
}

fn pod(new: &Value, old: &Value, out: &mut Causes) {
    let rest = |spec: &Value, other: &Value| {
        let mut map = without(spec, POD);
        for list in ["containers", "initContainers"] {
            for c in map.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(c) = c.as_object_mut() {
                    c.remove("image");
                }
            }
        }
        // A pod without node gets one.
        if other.get("nodeName").is_none() {
            map.remove("nodeName");
        }
        map
    };
    if rest(new, old) != rest(old, old) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,\
                   `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                   existing tolerations),`spec.terminationGracePeriodSeconds`";
        out.forbidden("spec", why);
    }
}

fn claim(new: &Value, old: &Value, out: &mut Causes) {
    let bound = if old.get("volumeName").is_none() { &["volumeName"][..] } else { &[] };
    if without(new, bound) != without(old, bound) {
        out.forbidden("spec", "spec is immutable after creation; volumes of this node cannot be resized");
    }
}

fn frozen_data(new: &Value, old: &Value, out: &mut Causes) {
    if old["immutable"] != true {
        return;
    }
    for field in ["immutable", "data", "binaryData"] {
        if new.get(field) != old.get(field) {
            out.forbidden(field, "field is immutable when `immutable` is set");
        }
    }
}
