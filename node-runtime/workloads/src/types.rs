//! What Kubernetes itself knows, asked of its generated types.

use k8s_openapi::api::{apps::v1 as apps, batch::v1 as batch, core::v1 as core};
use k8s_openapi::api::{discovery::v1 as discovery, networking::v1 as networking, storage::v1 as storage};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use skerry_machinery::Kind;

/// One step from an object to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a field.
    Field(String),
    /// Into an item of a list.
    Item(usize),
}

type RoundTrip = fn(&Value) -> Result<Value, String>;

fn round_trip<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, String> {
    let typed = T::deserialize(value).map_err(|e| e.to_string())?;
    serde_json::to_value(typed).map_err(|e| e.to_string())
}

fn of(kind: &Kind) -> Option<RoundTrip> {
    Some(match (kind.group, kind.kind) {
        ("", "Namespace") => round_trip::<core::Namespace>,
        ("", "Node") => round_trip::<core::Node>,
        ("", "PersistentVolume") => round_trip::<core::PersistentVolume>,
        ("", "PersistentVolumeClaim") => round_trip::<core::PersistentVolumeClaim>,
        ("", "ServiceAccount") => round_trip::<core::ServiceAccount>,
        ("", "ConfigMap") => round_trip::<core::ConfigMap>,
        ("", "Secret") => round_trip::<core::Secret>,
        ("", "Service") => round_trip::<core::Service>,
        ("", "Pod") => round_trip::<core::Pod>,
        ("", "Event") => round_trip::<core::Event>,
        ("storage.k8s.io", "StorageClass") => round_trip::<storage::StorageClass>,
        ("networking.k8s.io", "NetworkPolicy") => round_trip::<networking::NetworkPolicy>,
        ("discovery.k8s.io", "EndpointSlice") => round_trip::<discovery::EndpointSlice>,
        ("apps", "Deployment") => round_trip::<apps::Deployment>,
        ("apps", "ReplicaSet") => round_trip::<apps::ReplicaSet>,
        ("apps", "StatefulSet") => round_trip::<apps::StatefulSet>,
        ("apps", "DaemonSet") => round_trip::<apps::DaemonSet>,
        ("apps", "ControllerRevision") => round_trip::<apps::ControllerRevision>,
        ("batch", "Job") => round_trip::<batch::Job>,
        ("batch", "CronJob") => round_trip::<batch::CronJob>,
        _ => return None,
    })
}

/// Why `object` cannot be read as its Kubernetes type.
pub(crate) fn mismatch(kind: &Kind, object: &Value) -> Option<String> {
    match of(kind) {
        None => Some(format!("{} objects are made by the node and cannot be written", kind.kind)),
        Some(read) => read(object).err(),
    }
}

/// Does the Kubernetes type have the field at the end of `steps`? The question
/// is put with an object that has nothing but this field, so that nothing else
/// can stand in the way. A known field is kept by the type, or stops it because
/// its value has the wrong form; an unknown one vanishes without a word.
pub(crate) fn knows(kind: &Kind, steps: &[Step], value: &Value) -> bool {
    let Some(read) = of(kind) else { return false };
    let mut object = value.clone();
    for step in steps.iter().rev() {
        object = match step {
            Step::Field(name) => json!({ name.as_str(): object }),
            Step::Item(_) => json!([object]),
        };
    }
    match read(&object) {
        Err(_) => true,
        Ok(kept) => steps
            .iter()
            .try_fold(&kept, |v, step| match step {
                Step::Field(name) => v.get(name),
                Step::Item(_) => v.get(0),
            })
            .is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_unknown_fields() {
        let deployment = skerry_machinery::kind("apps", "Deployment");
        let pod: Vec<Step> = ["spec", "template", "spec"].map(|s| Step::Field(s.into())).into();
        let steps = |more: &[Step]| [&pod[..], more].concat();
        let field = |n: &str| Step::Field(n.into());
        let volume = [field("volumes"), Step::Item(3), field("nfs")];
        for (steps, value, want) in [
            (steps(&[field("overhead")]), json!({}), true),
            (steps(&[field("overhead")]), json!(7), true),
            (steps(&[field("runtimeClassName")]), json!("x"), true),
            (steps(&[field("runtimeClasName")]), json!("x"), false),
            (steps(&volume), json!({"path": "/", "server": "x"}), true),
            (steps(&[field("volumes"), Step::Item(0), field("nsf")]), json!({}), false),
            (vec![field("spec"), field("nonsense")], json!([[[]]]), false),
        ] {
            assert_eq!(knows(deployment, &steps, &value), want, "{steps:?} {value}");
        }
    }

    #[test]
    fn every_stored_kind_has_a_type() {
        for k in skerry_machinery::KINDS {
            assert_eq!(of(k).is_some(), k.source == skerry_machinery::Source::Stored, "{}", k.kind);
        }
    }
}
