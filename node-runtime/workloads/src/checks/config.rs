//! ConfigMaps and Secrets.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::names;
use crate::cause::Causes;

/// Most bytes of data in one object.
const DATA_BYTES_MAX: usize = 1 << 20;

pub(super) fn config_map(c: &ConfigMap, out: &mut Causes) {
    let mut bytes = 0;
    for (key, value) in c.data.iter().flatten() {
        names::config_key(key, "data", out);
        if c.binary_data.as_ref().is_some_and(|b| b.contains_key(key)) {
            out.invalid(format!("data[{key}]"), key.as_str(), "duplicate of key present in binaryData");
        }
        bytes += value.len();
    }
    for (key, value) in c.binary_data.iter().flatten() {
        names::config_key(key, "binaryData", out);
        bytes += value.0.len();
    }
    size(bytes, "", out);
}

pub(super) fn secret(s: &Secret, out: &mut Causes) {
    let mut bytes = 0;
    for (key, value) in s.data.iter().flatten() {
        names::config_key(key, "data", out);
        bytes += value.0.len();
    }
    size(bytes, "data", out);
    let needed: &[&str] = match s.type_.as_deref().unwrap_or("") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/service-account-token" => {
            return out.forbidden("type", "not supported on this node: pods get no credentials for the node's API");
        }
        _ => &[],
    };
    for key in needed {
        if !s.data.as_ref().is_some_and(|d| d.contains_key(*key)) {
            out.required(format!("data[{key}]"), "");
        }
    }
}

fn size(bytes: usize, field: &str, out: &mut Causes) {
    if bytes > DATA_BYTES_MAX {
        out.forbidden(field, format!("Too long: may not be more than {DATA_BYTES_MAX} bytes"));
    }
}
