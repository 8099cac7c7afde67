//! What shall run: pods and services made from manifests and the node's
//! configuration. Pure.
//!
//! A pod's identity is its place (namespace, Deployment, number) and the hash
//! of everything that its containers depend on; the uid is made from both. So
//! a changed manifest gives another uid, and the old pod is replaced.

mod pods;
mod services;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use skerry_formats::baked::{BakedApp, NodeConfig};
use skerry_workloads::{Object, Workload};

pub use pods::{Container, Env, EnvSource, Pod, Probe, Seccomp, Volume, VolumeMount};
pub use services::{Service, ServicePort};

/// Everything that shall be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// Pods by uid.
    pub pods: BTreeMap<String, Pod>,
    /// Services in order of their names.
    pub services: Vec<Service>,
    /// Deployments for the status document.
    pub deployments: Vec<Deployment>,
}

/// A Deployment as far as it is not in its pods.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Pods wanted.
    pub replicas: u32,
    /// How pods of an older hash are replaced.
    pub strategy: Strategy,
}

/// How pods of an older spec are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// All old pods go, then the new ones come.
    Recreate,
    /// One after the other, the next only when the last is Ready.
    Rolling,
}

/// Build the desired state.
///
/// # Errors
/// One line for each thing that cannot be: above all an image that is not
/// baked.
pub fn build(workloads: &[Workload], node: &NodeConfig) -> Result<Desired, Vec<String>> {
    let apps: BTreeMap<&str, &BakedApp> = node.apps.iter().map(|a| (a.image.as_str(), a)).collect();
    let mut desired = Desired::default();
    let mut problems = vec![];
    for w in workloads {
        let Object::Deployment(d) = &w.object else { continue };
        match pods::deployment(d, &apps) {
            Ok((deployment, pods)) => {
                desired.deployments.push(deployment);
                desired.pods.extend(pods.into_iter().map(|p| (p.uid.clone(), p)));
            }
            Err(more) => problems.extend(more.into_iter().map(|m| format!("{}: {m}", w.object.title()))),
        }
    }
    let mut taken: BTreeSet<Ipv4Addr> = BTreeSet::new();
    for fixed in [true, false] {
        for w in workloads {
            let Object::Service(s) = &w.object else { continue };
            if services::has_fixed_ip(s) == fixed {
                match services::service(s, &mut taken) {
                    Ok(s) => desired.services.push(s),
                    Err(m) => problems.push(format!("{}: {m}", w.object.title())),
                }
            }
        }
    }
    desired.services.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    if problems.is_empty() { Ok(desired) } else { Err(problems) }
}
