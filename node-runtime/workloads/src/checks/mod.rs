//! Values and references that the shape alone cannot check (the `validation`
//! packages of Kubernetes, as far as the fields are supported).

mod apps;
mod batch;
mod config;
mod container;
mod cron;
mod families;
mod meta;
pub(crate) mod names;
mod network;
mod pod;
mod probe;
mod storage;
mod update;
mod volume;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;
use skerry_machinery::Kind;

use crate::{cause::Causes, types};

/// Check one object that has its shape and its defaults.
pub(crate) fn object(kind: &Kind, object: &Value, out: &mut Causes) {
    if let Some(why) = types::mismatch(kind, object) {
        return out.invalid("", kind.kind, why);
    }
    let meta = object.get("metadata").cloned().unwrap_or_default();
    meta::metadata(kind, &serde_json::from_value::<ObjectMeta>(meta).unwrap_or_default(), out);
    match (kind.group, kind.kind) {
        ("", "ConfigMap") => with(object, out, config::config_map),
        ("", "Secret") => with(object, out, config::secret),
        ("", "Service") => with(object, out, network::service),
        ("networking.k8s.io", "NetworkPolicy") => with(object, out, network::policy),
        ("", "PersistentVolumeClaim") => with(object, out, storage::claim),
        ("", "PersistentVolume") => with(object, out, storage::volume),
        ("storage.k8s.io", "StorageClass") => with(object, out, storage::class),
        ("apps", "Deployment") => with(object, out, |o, out| apps::deployment(o, kind, out)),
        ("apps", "ReplicaSet") => with(object, out, |o, out| apps::replica_set(o, kind, out)),
        ("apps", "StatefulSet") => with(object, out, |o, out| apps::stateful_set(o, kind, out)),
        ("apps", "DaemonSet") => with(object, out, |o, out| apps::daemon_set(o, kind, out)),
        ("batch", "Job") => with(object, out, batch::job),
        ("batch", "CronJob") => with(object, out, batch::cron_job),
        ("", "Pod") => with(object, out, pod::pod),
        _ => {}
    }
}

pub(crate) use update::update;

/// The types were tried by [`types::mismatch`], so reading cannot fail.
fn with<T: DeserializeOwned>(object: &Value, out: &mut Causes, check: impl FnOnce(&T, &mut Causes)) {
    match T::deserialize(object) {
        Ok(typed) => check(&typed, out),
        Err(e) => out.invalid("", Value::Null, e.to_string()),
    }
}
