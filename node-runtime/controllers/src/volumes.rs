//! Claims ↔ volumes on the node's own disk.
//!
//! The class `local-path` gets a volume as soon as somebody claims one: with
//! one node there is no reason to wait for the first pod. The folder is made
//! and erased by the node's other half; while it is not erased, the volume is
//! held by [`ERASE`].

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        core::v1::{
            HostPathVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec,
            PersistentVolumeSpec, PersistentVolumeStatus, Pod,
        },
        storage::v1::StorageClass,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use skerry_workloads::quantity;

use crate::{
    gc, kinds, pods,
    run::{Obj, Run},
};

/// The class of volumes on the node's disk.
const CLASS: &str = "local-path";
/// Who makes them.
const PROVISIONER: &str = "skerry.dev/local-path";
/// The name that others gave such a class; manifests bring it along.
const PROVISIONER_ELSEWHERE: &str = "rancher.io/local-path";
/// Finalizer of a volume whose folder has to be erased before it goes.
pub(crate) const ERASE: &str = "skerry.dev/local-path";
/// Finalizer of a claim that pods may use.
const IN_USE: &str = "kubernetes.io/pvc-protection";
/// Where folders of volumes are.
const FOLDERS: &str = "/var/lib/skerry/volumes";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

type Claim = Obj<PersistentVolumeClaim>;
type Volume = Obj<PersistentVolume>;

pub(crate) fn run(
    run: &mut Run<'_>,
    classes: &[Obj<StorageClass>],
    volumes: &[Volume],
    claims: &[Claim],
    all_pods: &[Obj<Pod>],
) {
    ensure_class(run, classes);
    let mut taken = BTreeSet::new();
    for claim in claims {
        if claim.terminating() {
            let_go(run, claim, all_pods);
        } else if !claim.meta().finalizers.iter().any(|f| f == IN_USE) {
            let mut new = claim.v.clone();
            new.metadata.finalizers.get_or_insert_default().push(IN_USE.into());
            run.update(claim.key(), &new);
        } else {
            bind(run, classes, volumes, claim, &mut taken);
        }
    }
    for volume in volumes {
        sync_volume(run, volume, claims);
    }
}

fn ensure_class(run: &mut Run<'_>, classes: &[Obj<StorageClass>]) {
    if classes.iter().any(|c| c.name() == CLASS) {
        return;
    }
    let another = classes.iter().any(is_default);
    let class = StorageClass {
        metadata: ObjectMeta {
            name: Some(CLASS.into()),
            annotations: (!another).then(|| BTreeMap::from([(DEFAULT_CLASS.into(), "true".into())])),
            ..ObjectMeta::default()
        },
        provisioner: PROVISIONER.into(),
        reclaim_policy: Some("Delete".into()),
        volume_binding_mode: Some("Immediate".into()),
        ..StorageClass::default()
    };
    run.create(kinds::storage_class(), "", &class);
}

fn is_default(class: &Obj<StorageClass>) -> bool {
    class.meta().annotations.get(DEFAULT_CLASS).is_some_and(|v| v == "true")
}

/// A claim goes when no pod uses it any more.
fn let_go(run: &mut Run<'_>, claim: &Claim, all_pods: &[Obj<Pod>]) {
    let uses = |p: &&Obj<Pod>| {
        let volumes = p.spec.iter().flat_map(|s| s.volumes.iter().flatten());
        let mut names = volumes.filter_map(|v| Some(&v.persistent_volume_claim.as_ref()?.claim_name));
        p.ns() == claim.ns() && !pods::finished(p) && names.any(|n| n == claim.name())
    };
    if claim.meta().finalizers.iter().any(|f| f == IN_USE) && !all_pods.iter().any(|p| uses(&p)) {
        gc::drop_finalizer(run, &claim.stored, IN_USE);
    }
}

fn bind<'o>(
    run: &mut Run<'_>,
    classes: &[Obj<StorageClass>],
    volumes: &'o [Volume],
    claim: &Claim,
    taken: &mut BTreeSet<&'o str>,
) {
    let Some(spec) = &claim.spec else { return };
    if let Some(name) = spec.volume_name.as_deref().filter(|n| !n.is_empty()) {
        let volume = volumes.iter().find(|v| v.name() == name);
        return bind_named(run, claim, volume);
    }
    let Some(class_name) = &spec.storage_class_name else {
        // Made before there was a default class.
        if let Some(class) = classes.iter().find(|c| is_default(c)) {
            let mut new = claim.v.clone();
            new.spec.get_or_insert_default().storage_class_name = Some(class.name().into());
            run.update(claim.key(), &new);
        }
        return pending(run, claim);
    };
    let found = existing(volumes, claim, spec, class_name, taken);
    if let Some(volume) = found {
        taken.insert(volume.name());
        return set_volume(run, claim, volume.name());
    }
    let class = classes.iter().find(|c| c.name() == class_name);
    match class.map(|c| c.provisioner.as_str()) {
        Some(PROVISIONER | PROVISIONER_ELSEWHERE) => provision(run, class, claim, spec),
        Some("kubernetes.io/no-provisioner") => {
            let text = "no persistent volumes available for this claim and no storage class is set";
            run.warn_once(&claim.stored, "FailedBinding", text.into());
        }
        Some(other) => {
            let text = format!("class {class_name:?} wants provisioner {other:?}; this node has only {PROVISIONER:?}");
            run.warn_once(&claim.stored, "ProvisioningFailed", text);
        }
        None if class_name.is_empty() => {
            let text = "no persistent volumes available for this claim and no storage class is set";
            run.warn_once(&claim.stored, "FailedBinding", text.into());
        }
        None => {
            let text = format!("storageclass.storage.k8s.io {class_name:?} not found");
            run.warn_once(&claim.stored, "ProvisioningFailed", text);
        }
    }
    pending(run, claim);
}

fn pending(run: &mut Run<'_>, claim: &Claim) {
    set_claim_phase(run, claim, "Pending", None);
}

/// The smallest free volume that the claim would accept.
fn existing<'o>(
    volumes: &'o [Volume],
    claim: &Claim,
    spec: &PersistentVolumeClaimSpec,
    class: &str,
    taken: &BTreeSet<&str>,
) -> Option<&'o Volume> {
    let asked = requested(spec);
    let fits = |v: &&Volume| {
        let Some(vs) = &v.spec else { return false };
        let free = match &vs.claim_ref {
            None => true,
            Some(r) => refers(r, claim),
        };
        let modes = vs.access_modes.as_deref().unwrap_or_default();
        free && !v.terminating()
            && !taken.contains(v.name())
            && vs.storage_class_name.as_deref().unwrap_or_default() == class
            && size(v) >= asked
            && spec.access_modes.iter().flatten().all(|m| modes.contains(m))
    };
    let mut free: Vec<&Volume> = volumes.iter().filter(fits).collect();
    free.sort_by_key(|v| (v.spec.as_ref().is_none_or(|s| s.claim_ref.is_none()), size(v), v.name().to_owned()));
    free.first().copied()
}

/// Is the reference one to this claim? Without uid it was reserved by name.
fn refers(r: &ObjectReference, claim: &Claim) -> bool {
    r.namespace.as_deref() == Some(claim.ns())
        && r.name.as_deref() == Some(claim.name())
        && r.uid.as_deref().is_none_or(|uid| uid.is_empty() || uid == claim.uid())
}

fn requested(spec: &PersistentVolumeClaimSpec) -> u64 {
    let requests = spec.resources.as_ref().and_then(|r| r.requests.as_ref());
    requests.and_then(|r| r.get("storage")).and_then(|q| quantity::units(&q.0)).unwrap_or(0)
}

fn size(volume: &PersistentVolume) -> u64 {
    let capacity = volume.spec.as_ref().and_then(|s| s.capacity.as_ref());
    capacity.and_then(|c| c.get("storage")).and_then(|q| quantity::units(&q.0)).unwrap_or(0)
}

fn provision(run: &mut Run<'_>, class: Option<&Obj<StorageClass>>, claim: &Claim, spec: &PersistentVolumeClaimSpec) {
    let modes = spec.access_modes.clone().unwrap_or_default();
    if let Some(bad) = modes.iter().find(|m| !matches!(m.as_str(), "ReadWriteOnce" | "ReadWriteOncePod")) {
        let text = format!("access mode {bad}: local-path volumes are ReadWriteOnce or ReadWriteOncePod");
        return run.warn_once(&claim.stored, "ProvisioningFailed", text);
    }
    let name = format!("pvc-{}", claim.uid());
    let asked = spec.resources.as_ref().and_then(|r| r.requests.as_ref()).and_then(|r| r.get("storage")).cloned();
    let policy = class.and_then(|c| c.reclaim_policy.clone()).unwrap_or_else(|| "Delete".into());
    let volume = PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            annotations: Some(BTreeMap::from([("pv.kubernetes.io/provisioned-by".into(), PROVISIONER.into())])),
            finalizers: Some(vec![ERASE.into()]),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: Some(modes),
            capacity: Some(BTreeMap::from([("storage".into(), asked.unwrap_or_else(|| Quantity("0".into())))])),
            claim_ref: Some(claim_ref(claim)),
            host_path: Some(HostPathVolumeSource {
                path: format!("{FOLDERS}/{name}"),
                type_: Some("DirectoryOrCreate".into()),
            }),
            persistent_volume_reclaim_policy: Some(policy),
            storage_class_name: class.map(|c| c.name().into()),
            volume_mode: Some("Filesystem".into()),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    };
    run.create(kinds::volume(), "", &volume);
    run.normal(&claim.stored, "ProvisioningSucceeded", format!("Successfully provisioned volume {name}"));
}

fn claim_ref(claim: &Claim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("PersistentVolumeClaim".into()),
        namespace: Some(claim.ns().into()),
        name: Some(claim.name().into()),
        uid: Some(claim.uid().into()),
        ..ObjectReference::default()
    }
}

fn set_volume(run: &mut Run<'_>, claim: &Claim, volume: &str) {
    let mut new = claim.v.clone();
    new.spec.get_or_insert_default().volume_name = Some(volume.into());
    let annotations = new.metadata.annotations.get_or_insert_default();
    annotations.insert("pv.kubernetes.io/bind-completed".into(), "yes".into());
    annotations.insert("pv.kubernetes.io/bound-by-controller".into(), "yes".into());
    run.update(claim.key(), &new);
}

/// The claim names its volume: the volume must name the claim.
fn bind_named(run: &mut Run<'_>, claim: &Claim, volume: Option<&Volume>) {
    let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
    let Some(volume) = volume else {
        let lost = if phase == Some("Bound") { "Lost" } else { phase.unwrap_or("Pending") };
        return set_claim_phase(run, claim, lost, None);
    };
    let have = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
    match have {
        Some(r) if r.uid.as_deref() == Some(claim.uid()) => set_claim_phase(run, claim, "Bound", Some(volume)),
        Some(r) if !refers(r, claim) => {
            let text = format!("volume {:?} already bound to a different claim.", volume.name());
            run.warn_once(&claim.stored, "FailedBinding", text);
            pending(run, claim);
        }
        _ => {
            let mut new = volume.v.clone();
            new.spec.get_or_insert_default().claim_ref = Some(claim_ref(claim));
            run.update(volume.key(), &new);
        }
    }
}

fn set_claim_phase(run: &mut Run<'_>, claim: &Claim, phase: &str, volume: Option<&Volume>) {
    let mut new = claim.v.clone();
    let status = new.status.get_or_insert_default();
    status.phase = Some(phase.into());
    if let Some(spec) = volume.and_then(|v| v.spec.as_ref()) {
        status.access_modes.clone_from(&spec.access_modes);
        status.capacity.clone_from(&spec.capacity);
    }
    if new.status != claim.status {
        run.update_status(claim.key(), &new);
    }
}

fn sync_volume(run: &mut Run<'_>, volume: &Volume, claims: &[Claim]) {
    let Some(spec) = &volume.spec else { return };
    let owner = spec.claim_ref.as_ref().filter(|r| r.uid.as_deref().is_some_and(|u| !u.is_empty()));
    let phase = match owner {
        None => "Available",
        Some(r) if claims.iter().any(|c| Some(c.uid()) == r.uid.as_deref()) => "Bound",
        Some(_) => "Released",
    };
    let delete = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
    let ours = volume.meta().finalizers.iter().any(|f| f == ERASE);
    if phase == "Released" && delete && ours {
        run.delete(&volume.stored);
        return;
    }
    let have = volume.status.as_ref().and_then(|s| s.phase.as_deref());
    if have != Some(phase) {
        let mut new = volume.v.clone();
        let since = Some(run.time());
        let status = PersistentVolumeStatus {
            phase: Some(phase.into()),
            last_phase_transition_time: since,
            ..Default::default()
        };
        new.status = Some(status);
        run.update_status(volume.key(), &new);
    }
}
