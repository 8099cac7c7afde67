//! Environment of a container from image, `envFrom` and `env`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::{
    Env, EnvSource, Pod, Resources, container,
    pods::{NodeFacts, Sources},
};
use crate::input::Image;

/// In order; a later one of the same name counts.
pub(super) fn resolve(
    c: &core::Container,
    spec: &core::PodSpec,
    pod: &Pod,
    image: &Image,
    sources: &Sources<'_>,
) -> Result<Vec<Env>, String> {
    let literal = |name: &str, value: &str| Env { name: name.into(), value: EnvSource::Literal(value.into()) };
    let mut out: Vec<Env> =
        image.config.env.iter().filter_map(|e| e.split_once('=')).map(|(n, v)| literal(n, v)).collect();
    for from in c.env_from.iter().flatten() {
        let prefix = from.prefix.clone().unwrap_or_default();
        for (name, value) in whole(from, pod, sources)? {
            out.push(literal(&format!("{prefix}{name}"), &value));
        }
    }
    for e in c.env.iter().flatten() {
        let value = match &e.value_from {
            None => Some(EnvSource::Text(e.value.clone().unwrap_or_default())),
            Some(from) => one(from, c, spec, pod, sources)?,
        };
        out.extend(value.map(|value| Env { name: e.name.clone(), value }));
    }
    Ok(out)
}

/// Text of ConfigMap keys.
pub(super) fn config_map<'a>(pod: &Pod, name: &str, sources: &Sources<'a>) -> Result<&'a core::ConfigMap, String> {
    let found = sources.config_maps.get(&(pod.namespace.clone(), name.to_owned()));
    found.map(AsRef::as_ref).ok_or_else(|| format!("configmap \"{name}\" not found"))
}

/// A Secret of the pod's namespace.
pub(super) fn secret<'a>(pod: &Pod, name: &str, sources: &Sources<'a>) -> Result<&'a core::Secret, String> {
    let found = sources.secrets.get(&(pod.namespace.clone(), name.to_owned()));
    found.map(AsRef::as_ref).ok_or_else(|| format!("secret \"{name}\" not found"))
}

/// An optional thing that is not there is nothing.
fn or_nothing<T: Default>(found: Result<T, String>, optional: Option<bool>) -> Result<T, String> {
    if optional == Some(true) { Ok(found.unwrap_or_default()) } else { found }
}

fn secret_texts(s: &core::Secret) -> BTreeMap<String, String> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let data = s.data.iter().flatten().map(|(k, v)| (k.clone(), text(&v.0)));
    data.chain(s.string_data.clone().unwrap_or_default()).collect()
}

fn whole(from: &core::EnvFromSource, pod: &Pod, sources: &Sources<'_>) -> Result<BTreeMap<String, String>, String> {
    if let Some(r) = &from.config_map_ref {
        let all = config_map(pod, &r.name, sources).map(|m| m.data.clone().unwrap_or_default());
        return or_nothing(all, r.optional);
    }
    if let Some(r) = &from.secret_ref {
        return or_nothing(secret(pod, &r.name, sources).map(secret_texts), r.optional);
    }
    Ok(BTreeMap::new())
}

/// `None`: optional and not there.
fn one(
    from: &core::EnvVarSource,
    c: &core::Container,
    spec: &core::PodSpec,
    pod: &Pod,
    sources: &Sources<'_>,
) -> Result<Option<EnvSource>, String> {
    if let Some(f) = &from.field_ref {
        return Ok(Some(EnvSource::Field(f.field_path.clone())));
    }
    if let Some(r) = &from.resource_field_ref {
        return resource(r, &c.name, spec, sources.node).map(|v| Some(EnvSource::Literal(v)));
    }
    if let Some(r) = &from.config_map_key_ref {
        let missing = || format!("couldn't find key {} in ConfigMap {}/{}", r.key, pod.namespace, r.name);
        let value = config_map(pod, &r.name, sources)
            .and_then(|m| m.data.as_ref().and_then(|d| d.get(&r.key)).cloned().ok_or_else(missing));
        return or_nothing(value.map(|v| Some(EnvSource::Literal(v))), r.optional);
    }
    if let Some(r) = &from.secret_key_ref {
        let missing = || format!("couldn't find key {} in Secret {}/{}", r.key, pod.namespace, r.name);
        let value = secret(pod, &r.name, sources).and_then(|s| secret_texts(s).remove(&r.key).ok_or_else(missing));
        return or_nothing(value.map(|v| Some(EnvSource::Literal(v))), r.optional);
    }
    Err("a variable takes its value from a source that is not supported".into())
}

/// Value of a `resourceFieldRef`, rounded up to its divisor. What has no limit
/// may use the node.
pub(super) fn resource(
    r: &core::ResourceFieldSelector,
    own: &str,
    spec: &core::PodSpec,
    node: NodeFacts,
) -> Result<String, String> {
    let name = r.container_name.as_deref().filter(|n| !n.is_empty()).unwrap_or(own);
    let found = spec.init_containers.iter().flatten().chain(&spec.containers).find(|c| c.name == name);
    let found = found.ok_or_else(|| format!("container {name} not found"))?;
    let Resources {
        cpu_limit_millis,
        cpu_request_millis,
        memory_limit_bytes,
        memory_request_bytes,
        storage_limit_bytes,
        storage_request_bytes,
    } = container::resources(found);
    let millis = match r.resource.as_str() {
        "limits.cpu" => cpu_limit_millis.unwrap_or(node.cpu_millis),
        "requests.cpu" => cpu_request_millis,
        "limits.memory" => memory_limit_bytes.unwrap_or(node.memory_bytes).saturating_mul(1000),
        "requests.memory" => memory_request_bytes.saturating_mul(1000),
        "limits.ephemeral-storage" => storage_limit_bytes.unwrap_or(node.storage_bytes).saturating_mul(1000),
        "requests.ephemeral-storage" => storage_request_bytes.saturating_mul(1000),
        other => return Err(format!("unsupported container resource : {other}")),
    };
    let divisor = r.divisor.as_ref().and_then(|q| skerry_workloads::quantity::millis(&q.0)).filter(|d| *d > 0);
    Ok(millis.div_ceil(divisor.unwrap_or(1000)).to_string())
}
