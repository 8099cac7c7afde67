//! A core/v1 Volume → [`Volume`]: ConfigMaps, Secrets and the downward API
//! become files here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use skerry_workloads::quantity;

use super::{Pod, Volume, VolumeFile, environment, pods::Sources};

type Files = BTreeMap<String, VolumeFile>;

/// Permissions of files where nothing is said.
const MODE_DEFAULT: u32 = 0o644;

/// The volume, or why it cannot be made.
pub(super) fn volume(
    v: &core::Volume,
    spec: &core::PodSpec,
    pod: &Pod,
    sources: &Sources<'_>,
) -> Result<Volume, String> {
    let mode = |m: Option<i32>| m.and_then(|m| u32::try_from(m).ok()).unwrap_or(MODE_DEFAULT);
    if let Some(e) = &v.empty_dir {
        return Ok(Volume::EmptyDir {
            memory: e.medium.as_deref() == Some("Memory"),
            size_limit_bytes: e.size_limit.as_ref().and_then(|q| quantity::units(&q.0)),
        });
    }
    if let Some(m) = &v.config_map {
        let files = config_map(pod, &m.name, m.items.as_deref(), m.optional, mode(m.default_mode), sources)?;
        return Ok(Volume::Files(files));
    }
    if let Some(s) = &v.secret {
        let name = s.secret_name.clone().unwrap_or_default();
        let files = secret(pod, &name, s.items.as_deref(), s.optional, mode(s.default_mode), sources)?;
        return Ok(Volume::Files(files));
    }
    if let Some(d) = &v.downward_api {
        return Ok(Volume::Files(downward(d.items.as_deref(), mode(d.default_mode), spec, pod, sources)?));
    }
    if let Some(p) = &v.projected {
        return projected(p, mode(p.default_mode), spec, pod, sources).map(Volume::Files);
    }
    if let Some(h) = &v.host_path {
        return Ok(Volume::HostPath { path: h.path.clone().into(), kind: h.type_.clone().unwrap_or_default() });
    }
    if let Some(c) = &v.persistent_volume_claim {
        let found = sources.claims.get(&(pod.namespace.clone(), c.claim_name.clone()));
        let path = found.ok_or_else(|| format!("persistentvolumeclaim \"{}\" is not bound", c.claim_name))?;
        return Ok(Volume::Claim { path: path.clone(), read_only: c.read_only.unwrap_or(false) });
    }
    Err("a volume of this kind is not supported".into())
}

/// A path inside a volume: relative, without a way out of it.
fn checked(path: &str) -> Result<String, String> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if path.starts_with('/') || parts.is_empty() || parts.contains(&"..") || parts[0].starts_with("..") {
        return Err(format!("{path:?} is not a path inside the volume"));
    }
    Ok(parts.join("/"))
}

fn pick(
    all: BTreeMap<String, Vec<u8>>,
    items: Option<&[core::KeyToPath]>,
    optional: bool,
    mode: u32,
    what: &str,
) -> Result<Files, String> {
    let Some(items) = items.filter(|i| !i.is_empty()) else {
        return Ok(all.into_iter().map(|(k, data)| (k, VolumeFile { data, mode })).collect());
    };
    let mut out = Files::new();
    for i in items {
        match all.get(&i.key) {
            Some(data) => {
                let mode = i.mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(mode);
                out.insert(checked(&i.path)?, VolumeFile { data: data.clone(), mode });
            }
            None if optional => {}
            None => return Err(format!("{what} references non-existent config key: {}", i.key)),
        }
    }
    Ok(out)
}

fn config_map(
    pod: &Pod,
    name: &str,
    items: Option<&[core::KeyToPath]>,
    optional: Option<bool>,
    mode: u32,
    sources: &Sources<'_>,
) -> Result<Files, String> {
    let optional = optional == Some(true);
    let all = match environment::config_map(pod, name, sources) {
        Ok(m) => {
            let text = m.data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes()));
            text.chain(m.binary_data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()))).collect()
        }
        Err(_) if optional => BTreeMap::new(),
        Err(why) => return Err(why),
    };
    pick(all, items, optional, mode, "configmap")
}

fn secret(
    pod: &Pod,
    name: &str,
    items: Option<&[core::KeyToPath]>,
    optional: Option<bool>,
    mode: u32,
    sources: &Sources<'_>,
) -> Result<Files, String> {
    let optional = optional == Some(true);
    let all = match environment::secret(pod, name, sources) {
        Ok(s) => {
            let data = s.data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()));
            data.chain(s.string_data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes()))).collect()
        }
        Err(_) if optional => BTreeMap::new(),
        Err(why) => return Err(why),
    };
    pick(all, items, optional, mode, "secret")
}

fn downward(
    items: Option<&[core::DownwardAPIVolumeFile]>,
    mode: u32,
    spec: &core::PodSpec,
    pod: &Pod,
    sources: &Sources<'_>,
) -> Result<Files, String> {
    let mut out = Files::new();
    for i in items.unwrap_or_default() {
        let text = if let Some(f) = &i.field_ref {
            field(&f.field_path, pod)?
        } else if let Some(r) = &i.resource_field_ref {
            environment::resource(r, "", spec, sources.node)?
        } else {
            String::new()
        };
        let mode = i.mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(mode);
        out.insert(checked(&i.path)?, VolumeFile { data: text.into_bytes(), mode });
    }
    Ok(out)
}

/// Fields that a file can show. All labels: one `key="value"` per line.
fn field(path: &str, pod: &Pod) -> Result<String, String> {
    let lines =
        |m: &BTreeMap<String, String>| m.iter().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>().join("\n");
    Ok(match path {
        "metadata.labels" => lines(&pod.labels),
        "metadata.annotations" => lines(&pod.annotations),
        other => crate::spec::pod_field(other, pod).ok_or_else(|| format!("unsupported fieldPath: {other}"))?,
    })
}

fn projected(
    p: &core::ProjectedVolumeSource,
    mode: u32,
    spec: &core::PodSpec,
    pod: &Pod,
    sources: &Sources<'_>,
) -> Result<Files, String> {
    let mut out = Files::new();
    for s in p.sources.iter().flatten() {
        if let Some(m) = &s.config_map {
            out.extend(config_map(pod, &m.name, m.items.as_deref(), m.optional, mode, sources)?);
        } else if let Some(x) = &s.secret {
            out.extend(secret(pod, &x.name, x.items.as_deref(), x.optional, mode, sources)?);
        } else if let Some(d) = &s.downward_api {
            out.extend(downward(d.items.as_deref(), mode, spec, pod, sources)?);
        } else {
            return Err("a projected source of this kind is not supported".into());
        }
    }
    Ok(out)
}
