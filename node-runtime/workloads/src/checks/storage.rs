//! Claims, volumes, classes.

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec},
    storage::v1::StorageClass,
};

use crate::{cause::Causes, quantity};

pub(super) fn claim(c: &PersistentVolumeClaim, out: &mut Causes) {
    claim_spec(c.spec.as_ref(), "spec", out);
}

/// Check the spec of a claim, also of a claim template.
pub(super) fn claim_spec(spec: Option<&PersistentVolumeClaimSpec>, field: &str, out: &mut Causes) {
    let Some(spec) = spec else { return out.required(field, "") };
    if spec.access_modes.as_ref().is_none_or(Vec::is_empty) {
        out.required(format!("{field}.accessModes"), "at least 1 access mode is required");
    }
    let resources = spec.resources.as_ref();
    let get = |m: Option<&std::collections::BTreeMap<String, _>>| {
        m.and_then(|m| m.get("storage")).map(|q: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| q.0.clone())
    };
    let request = get(resources.and_then(|r| r.requests.as_ref()));
    let limit = get(resources.and_then(|r| r.limits.as_ref()));
    let here = format!("{field}.resources.requests[storage]");
    match request {
        None => out.required(here, ""),
        Some(r) if quantity::millis(&r) == Some(0) => out.invalid(here, r, "must be greater than zero"),
        Some(r) => {
            if let Some(l) = limit.filter(|l| quantity::millis(l) < quantity::millis(&r)) {
                out.invalid(here, r, format!("must be less than or equal to storage limit of {l}"));
            }
        }
    }
}

pub(super) fn volume(v: &PersistentVolume, out: &mut Causes) {
    let Some(spec) = &v.spec else { return out.required("spec", "") };
    if spec.access_modes.as_ref().is_none_or(Vec::is_empty) {
        out.required("spec.accessModes", "");
    }
    if spec.capacity.as_ref().is_none_or(|c| !c.contains_key("storage")) {
        out.required("spec.capacity[storage]", "");
    }
    match (&spec.host_path, &spec.local) {
        (None, None) => out.required("spec", "must specify a volume type"),
        (Some(_), Some(_)) => out.forbidden("spec", "may not specify more than 1 volume type"),
        _ => {}
    }
}

pub(super) fn class(c: &StorageClass, out: &mut Causes) {
    if c.provisioner.is_empty() {
        out.required("provisioner", "");
    }
}
