//! Baked Deployments as Pod objects: what stands in for the controllers as
//! long as nothing else makes pods. No rollout: another template gives other
//! names, and all pods of the old one go.

use std::sync::Arc;

use k8s_openapi::{api::apps::v1 as apps, api::core::v1 as core, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use sha2::{Digest, Sha256};
use skerry_formats::baked::NodeConfig;
use skerry_workloads::Object;

use super::Workload;
use crate::input::{Input, baked_images};

/// Annotation with the name of the Deployment.
pub const DEPLOYMENT: &str = "skerry.io/baked-deployment";

/// Everything that the image brings.
pub fn input(workloads: &[skerry_workloads::Workload], node: &NodeConfig) -> Input {
    let mut input = Input { images: baked_images(&node.apps), ..Input::default() };
    for w in workloads {
        match &w.object {
            Object::Deployment(d) => deployment(d, &mut input),
            Object::Service(s) => input.services.push(Arc::new((**s).clone())),
            #[allow(unreachable_patterns, reason = "the list of baked kinds grows")]
            _ => {}
        }
    }
    input
}

fn deployment(d: &apps::Deployment, input: &mut Input) {
    let namespace = d.metadata.namespace.clone().unwrap_or_default();
    let name = d.metadata.name.clone().unwrap_or_default();
    let Some(spec) = &d.spec else { return };
    let replicas = u32::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    let place = format!("{namespace}/{name}");
    let text = serde_json::to_vec(&spec.template).unwrap_or_default();
    let hash = Sha256::new().chain_update(place).chain_update(text).finalize();
    let pods = (0..replicas).map(|n| uid(&hash, n)).collect();
    for n in 0..replicas {
        let meta = spec.template.metadata.clone().unwrap_or_default();
        let mut annotations = meta.annotations.unwrap_or_default();
        annotations.insert(DEPLOYMENT.into(), name.clone());
        let metadata = ObjectMeta {
            name: Some(format!("{name}-{}-{n}", hex::encode(&hash[..4]))),
            namespace: Some(namespace.clone()),
            uid: Some(uid(&hash, n)),
            labels: meta.labels,
            annotations: Some(annotations),
            ..ObjectMeta::default()
        };
        let pod = core::Pod { metadata, spec: spec.template.spec.clone(), status: None };
        input.pods.push(Arc::new(pod));
    }
    let kind = "Deployment".into();
    input.workloads.push(Workload { kind, namespace, name, replicas, pods });
}

/// A UUID that follows from template and number.
fn uid(hash: &[u8], n: u32) -> String {
    let digest = Sha256::new().chain_update(hash).chain_update(n.to_le_bytes()).finalize();
    let mut b: [u8; 16] = digest[..16].try_into().expect("a SHA-256 digest is longer than 16 bytes");
    // Version 8 and variant bits of RFC 9562, so that tools take it for a UUID.
    b[6] = b[6] & 0x0f | 0x80;
    b[8] = b[8] & 0x3f | 0x80;
    let x = hex::encode(b);
    format!("{}-{}-{}-{}-{}", &x[..8], &x[8..12], &x[12..16], &x[16..20], &x[20..])
}
