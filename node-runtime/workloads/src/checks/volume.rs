//! Volumes of pods.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, ProjectedVolumeSource, Volume};

use super::{
    container::{self, field_ref, relative},
    names::{self, Form},
};
use crate::cause::Causes;

/// What `fieldRef` may name in files.
const FIELD_PATHS: &[&str] =
    &["metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"];

/// Check the volumes and return their names.
pub(super) fn volumes<'a>(volumes: &'a [Volume], field: &str, out: &mut Causes) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for (i, v) in volumes.iter().enumerate() {
        let here = format!("{field}[{i}]");
        names::name(&v.name, Form::Label, format!("{here}.name"), out);
        if !seen.insert(v.name.as_str()) {
            out.duplicate(format!("{here}.name"), v.name.as_str());
        }
        volume(v, &here, out);
    }
    seen
}

fn volume(v: &Volume, field: &str, out: &mut Causes) {
    let sources = [
        v.empty_dir.is_some(),
        v.config_map.is_some(),
        v.secret.is_some(),
        v.downward_api.is_some(),
        v.projected.is_some(),
        v.host_path.is_some(),
        v.persistent_volume_claim.is_some(),
    ];
    match sources.iter().filter(|s| **s).count() {
        0 => out.required(field, "must specify a volume type"),
        1 => {}
        _ => out.forbidden(field, "may not specify more than 1 volume type"),
    }
    if let Some(c) = &v.config_map {
        names::name(&c.name, Form::Subdomain, format!("{field}.configMap.name"), out);
        keys(c.items.as_deref(), &format!("{field}.configMap.items"), out);
    }
    if let Some(s) = &v.secret {
        let name = s.secret_name.as_deref().unwrap_or("");
        names::name(name, Form::Subdomain, format!("{field}.secret.secretName"), out);
        keys(s.items.as_deref(), &format!("{field}.secret.items"), out);
    }
    if let Some(d) = &v.downward_api {
        downward(d.items.as_deref(), &format!("{field}.downwardAPI.items"), out);
    }
    if let Some(p) = &v.projected {
        projected(p, &format!("{field}.projected.sources"), out);
    }
    if let Some(c) = &v.persistent_volume_claim {
        names::name(&c.claim_name, Form::Subdomain, format!("{field}.persistentVolumeClaim.claimName"), out);
    }
    if let Some(h) = &v.host_path {
        let here = format!("{field}.hostPath.path");
        match h.path.as_str() {
            "" => out.required(here, ""),
            p if !p.starts_with('/') => out.invalid(here, p, "must be an absolute path"),
            p if p.split('/').any(|p| p == "..") => out.invalid(here, p, "must not contain '..'"),
            _ => {}
        }
    }
}

fn keys(items: Option<&[KeyToPath]>, field: &str, out: &mut Causes) {
    for (i, k) in items.unwrap_or_default().iter().enumerate() {
        if k.key.is_empty() {
            out.required(format!("{field}[{i}].key"), "");
        }
        file_path(&k.path, format!("{field}[{i}].path"), out);
    }
}

fn file_path(path: &str, field: String, out: &mut Causes) {
    match path {
        "" => out.required(field, ""),
        p if p.starts_with("..") => out.invalid(field, p, "must not start with '..'"),
        p => relative(p, field, out),
    }
}

fn downward(items: Option<&[DownwardAPIVolumeFile]>, field: &str, out: &mut Causes) {
    for (i, f) in items.unwrap_or_default().iter().enumerate() {
        let here = format!("{field}[{i}]");
        file_path(&f.path, format!("{here}.path"), out);
        match (&f.field_ref, &f.resource_field_ref) {
            (Some(r), None) => field_ref(r, FIELD_PATHS, &format!("{here}.fieldRef"), out),
            (None, Some(r)) => {
                let at = format!("{here}.resourceFieldRef");
                container::resource_ref(&r.resource, &at, out);
                if r.container_name.as_deref().unwrap_or("").is_empty() {
                    out.required(format!("{at}.containerName"), "");
                }
            }
            (None, None) => out.required(here, "must specify one of fieldRef and resourceFieldRef"),
            (Some(_), Some(_)) => {
                out.invalid(here, "", "fieldRef and resourceFieldRef can not be specified simultaneously")
            }
        }
    }
}

fn projected(p: &ProjectedVolumeSource, field: &str, out: &mut Causes) {
    for (i, s) in p.sources.iter().flatten().enumerate() {
        let here = format!("{field}[{i}]");
        let set = [s.config_map.is_some(), s.secret.is_some(), s.downward_api.is_some()];
        match set.iter().filter(|s| **s).count() {
            0 => out.required(here.as_str(), "must specify one of configMap, secret and downwardAPI"),
            1 => {}
            _ => out.forbidden(here.as_str(), "may not specify more than 1 volume type"),
        }
        if let Some(c) = &s.config_map {
            names::name(&c.name, Form::Subdomain, format!("{here}.configMap.name"), out);
            keys(c.items.as_deref(), &format!("{here}.configMap.items"), out);
        }
        if let Some(c) = &s.secret {
            names::name(&c.name, Form::Subdomain, format!("{here}.secret.name"), out);
            keys(c.items.as_deref(), &format!("{here}.secret.items"), out);
        }
        if let Some(d) = &s.downward_api {
            downward(d.items.as_deref(), &format!("{here}.downwardAPI.items"), out);
        }
    }
}
