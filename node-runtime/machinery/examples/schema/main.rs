//! Writes `src/schema/types.rs`: for every message of the served kinds, its
//! protobuf tags, JSON names, and how lists and maps merge.
//!
//! Tags, types and merge markers (`+patchMergeKey`, `+listType`, …) are read
//! from the source of the crate `k8s-pb`; JSON names and which fields are
//! required from that of `k8s-openapi`, since protobuf names lose the capitals
//! (`cluster_ips` is `clusterIPs`). Which optional scalars are pointers in Go
//! stands in `pointers.rs`: only they keep a zero from the wire, the others
//! drop it, as `omitempty` does.
//!
//!     cargo run -p skerry-machinery --example schema -- K8S_PB/src K8S_OPENAPI/src/v1_34 \
//!         > node-runtime/machinery/src/schema/types.rs
//!     cargo fmt -p skerry-machinery
//!
//! With `--scalars` behind the two folders it prints every optional scalar
//! instead, to check `pointers.rs` after an update. With `--openapi` it prints
//! the table of the OpenAPI documents:
//!
//!     … --openapi | zstd --ultra -22 -f -o node-runtime/api/src/openapi/types.zst

mod emit;
mod openapi;
mod pointers;
mod source;

use std::{collections::BTreeMap, path::Path};

use source::{OpenApi, Struct};

/// Where the walk starts: `apiVersion`, kind, message.
const ROOTS: &[(&str, &str, &str)] = &[
    ("v1", "Namespace", "api.core.v1.Namespace"),
    ("v1", "Node", "api.core.v1.Node"),
    ("storage.k8s.io/v1", "StorageClass", "api.storage.v1.StorageClass"),
    ("v1", "PersistentVolume", "api.core.v1.PersistentVolume"),
    ("v1", "ServiceAccount", "api.core.v1.ServiceAccount"),
    ("v1", "ConfigMap", "api.core.v1.ConfigMap"),
    ("v1", "Secret", "api.core.v1.Secret"),
    ("v1", "PersistentVolumeClaim", "api.core.v1.PersistentVolumeClaim"),
    ("v1", "Service", "api.core.v1.Service"),
    ("networking.k8s.io/v1", "NetworkPolicy", "api.networking.v1.NetworkPolicy"),
    ("apps/v1", "Deployment", "api.apps.v1.Deployment"),
    ("apps/v1", "StatefulSet", "api.apps.v1.StatefulSet"),
    ("apps/v1", "DaemonSet", "api.apps.v1.DaemonSet"),
    ("batch/v1", "CronJob", "api.batch.v1.CronJob"),
    ("batch/v1", "Job", "api.batch.v1.Job"),
    ("apps/v1", "ReplicaSet", "api.apps.v1.ReplicaSet"),
    ("apps/v1", "ControllerRevision", "api.apps.v1.ControllerRevision"),
    ("v1", "Pod", "api.core.v1.Pod"),
    ("discovery.k8s.io/v1", "EndpointSlice", "api.discovery.v1.EndpointSlice"),
    ("v1", "Event", "api.core.v1.Event"),
    ("autoscaling/v1", "Scale", "api.autoscaling.v1.Scale"),
    ("policy/v1", "Eviction", "api.policy.v1.Eviction"),
    ("v1", "DeleteOptions", "apimachinery.pkg.apis.meta.v1.DeleteOptions"),
    ("v1", "Status", "apimachinery.pkg.apis.meta.v1.Status"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [pb, openapi, rest @ ..] = args.as_slice() else {
        return Err("usage: schema K8S_PB/src K8S_OPENAPI/src/v1_34 [--scalars | --openapi]".into());
    };
    if rest.iter().any(|a| a == "--openapi") {
        let roots: Vec<&str> = ROOTS.iter().map(|(_, _, path)| *path).collect();
        print!("{}", openapi::table(Path::new(pb), Path::new(openapi), &roots)?);
        return Ok(());
    }
    let structs = source::protobuf(Path::new(pb))?;
    let openapi = source::openapi(Path::new(openapi))?;
    let messages = walk(&structs, &openapi)?;
    if rest.iter().any(|a| a == "--scalars") {
        emit::scalars(&messages);
    } else {
        print!("{}", emit::types(&messages, ROOTS));
    }
    Ok(())
}

/// A message with the JSON names of its fields.
pub struct Message {
    item: Struct,
    /// Name and is it required; `None`: a struct that Go embeds.
    names: Vec<Option<(String, bool)>>,
}

/// All messages that can be reached from the roots.
fn walk(
    structs: &BTreeMap<String, Struct>,
    openapi: &BTreeMap<String, OpenApi>,
) -> Result<BTreeMap<String, Message>, Box<dyn std::error::Error>> {
    let mut done = BTreeMap::new();
    let mut todo: Vec<(String, Option<String>)> = ROOTS.iter().map(|(_, _, m)| (m.to_string(), None)).collect();
    while let Some((path, parent)) = todo.pop() {
        if done.contains_key(&path) || source::special(&path).is_some() {
            continue;
        }
        let item = structs.get(&path).ok_or_else(|| format!("no message {path}"))?.clone();
        let known =
            openapi.get(&path.to_lowercase()).or_else(|| parent.as_ref().and_then(|p| openapi.get(&p.to_lowercase())));
        let known = known.ok_or_else(|| format!("k8s-openapi has no {path}"))?;
        let mut names = vec![];
        for field in &item.fields {
            let name = known.fields.get(&source::plain(&field.name)).cloned();
            let inlined = |f: &source::Field| known.fields.contains_key(&source::plain(&f.name));
            let embedded =
                || field.message.as_ref().and_then(|m| structs.get(m)).is_some_and(|s| s.fields.iter().any(inlined));
            let known = name.is_some() || embedded();
            match &field.message {
                Some(message) if known => todo.push((message.clone(), name.is_none().then(|| path.clone()))),
                None if known => {}
                _ => eprintln!("left out: {path}.{} is not in the JSON", field.name),
            }
            names.push((known, name));
        }
        let (fields, names) =
            item.fields.iter().zip(names).filter(|(_, (known, _))| *known).map(|(f, (_, n))| (f.clone(), n)).unzip();
        done.insert(path, Message { item: Struct { fields, ..item }, names });
    }
    Ok(done)
}
