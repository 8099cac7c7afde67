//! What is stable about a pod of a StatefulSet: its name and its volumes.

use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec},
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};

use crate::{kinds, pods, revisions::HASH, run::Obj};

/// `web-0`
pub(super) fn name(set: &str, ordinal: i32) -> String {
    format!("{set}-{ordinal}")
}

/// 0 of `web-0`; only as we write it.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i32> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    let n = digits.parse().ok().filter(|n| *n >= 0)?;
    (name(set, n) == pod).then_some(n)
}

/// Revision that a pod was made from.
pub(super) fn revision(pod: &Obj<Pod>) -> String {
    pod.meta().labels.get(HASH).cloned().unwrap_or_default()
}

pub(super) fn pod(
    set: &Obj<StatefulSet>,
    spec: &StatefulSetSpec,
    template: &PodTemplateSpec,
    revision: &str,
    ordinal: i32,
) -> Pod {
    let mut pod = pods::from_template(template, set.ns(), set.as_controller());
    let name = name(set.name(), ordinal);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert("statefulset.kubernetes.io/pod-name".into(), name.clone());
    labels.insert("apps.kubernetes.io/pod-index".into(), ordinal.to_string());
    labels.insert(HASH.into(), revision.into());
    let pod_spec = pod.spec.get_or_insert_default();
    pod_spec.hostname = Some(name.clone());
    pod_spec.subdomain = spec.service_name.clone().filter(|s| !s.is_empty());
    for template in spec.volume_claim_templates.iter().flatten() {
        let volume = template.metadata.name.clone().unwrap_or_default();
        let volumes = pod_spec.volumes.get_or_insert_default();
        volumes.retain(|v| v.name != volume);
        volumes.push(Volume {
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: format!("{volume}-{name}"),
                read_only: None,
            }),
            name: volume,
            ..Volume::default()
        });
    }
    pod.metadata.generate_name = Some(format!("{}-", set.name()));
    pod.metadata.name = Some(name);
    pod
}

pub(super) fn claim(
    set: &Obj<StatefulSet>,
    spec: &StatefulSetSpec,
    template: &PersistentVolumeClaim,
    ordinal: i32,
) -> PersistentVolumeClaim {
    let mut claim = template.clone();
    let volume = claim.metadata.name.take().unwrap_or_default();
    claim.metadata.name = Some(format!("{volume}-{}", name(set.name(), ordinal)));
    claim.metadata.namespace = Some(set.ns().into());
    let labels = claim.metadata.labels.get_or_insert_default();
    labels.extend(spec.selector.match_labels.clone().unwrap_or_default());
    claim.status = None;
    set_owners(set, spec, None, true, &mut claim);
    claim
}

/// Owners of a claim as the retention policy wants them.
pub(super) fn set_owners(
    set: &Obj<StatefulSet>,
    spec: &StatefulSetSpec,
    surplus: Option<&Obj<Pod>>,
    wanted: bool,
    claim: &mut PersistentVolumeClaim,
) {
    let policy = spec.persistent_volume_claim_retention_policy.as_ref();
    let with_set = policy.and_then(|p| p.when_deleted.as_deref()) == Some("Delete");
    let with_pod = policy.and_then(|p| p.when_scaled.as_deref()) == Some("Delete");
    let have = claim.metadata.owner_references.clone().unwrap_or_default();
    let mut owners = have.clone();
    if with_set {
        if !owners.iter().any(|o| o.uid == set.uid()) {
            owners.push(owner(kinds::stateful_set(), set.name(), set.uid()));
        }
    } else {
        owners.retain(|o| o.uid != set.uid());
    }
    if wanted {
        // The pod that took it along when it was surplus is wanted again.
        owners.retain(|o| o.kind != "Pod");
    }
    if let Some(pod) = surplus.filter(|p| with_pod && !owners.iter().any(|o| o.uid == p.uid())) {
        owners.retain(|o| o.uid != set.uid());
        owners.push(owner(kinds::pod(), pod.name(), pod.uid()));
    } else if surplus.is_some() && with_pod {
        owners.retain(|o| o.uid != set.uid());
    }
    if owners != have {
        claim.metadata.owner_references = Some(owners);
    }
}

fn owner(kind: &skerry_machinery::Kind, name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: kind.api_version(),
        kind: kind.kind.into(),
        name: name.into(),
        uid: uid.into(),
        ..OwnerReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals() {
        for (pod, want) in
            [("web-0", Some(0)), ("web-12", Some(12)), ("web-01", None), ("web-x", None), ("wex-0", None)]
        {
            assert_eq!(ordinal("web", pod), want, "{pod}");
        }
    }
}
