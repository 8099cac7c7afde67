//! Namespaces, secrets, storage.

use k8s_openapi::ByteString;
use serde_json::Value;

use super::{child, put, set};

/// Label that selectors of network policies use.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) fn namespace(object: &mut Value) {
    let metadata = child(object, "metadata");
    if let Some(name) = metadata.get("name").cloned() {
        put(child(metadata, "labels"), NAME_LABEL, name);
    }
}

pub(super) fn secret(object: &mut Value) {
    set(object, "type", "Opaque");
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|map| map.remove("stringData")) else { return };
    let data = child(object, "data");
    for (key, value) in texts {
        let bytes = ByteString(value.as_str().unwrap_or("").as_bytes().to_vec());
        put(data, &key, serde_json::to_value(bytes).unwrap_or_default());
    }
}

pub(super) fn claim(spec: &mut Value) {
    set(spec, "storageClassName", "local-path");
    set(spec, "volumeMode", "Filesystem");
}

pub(super) fn volume(object: &mut Value) {
    let spec = child(object, "spec");
    set(spec, "persistentVolumeReclaimPolicy", "Retain");
    set(spec, "volumeMode", "Filesystem");
    if let Some(path) = spec.get_mut("hostPath") {
        set(path, "type", "");
    }
}
