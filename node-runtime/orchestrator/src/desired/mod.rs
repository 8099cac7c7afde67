//! What shall run: pods and services made from objects. Pure.
//!
//! A pod's identity is the uid of its object. What a container needs and is
//! not there (an image, a ConfigMap) makes that container wait, with the reason
//! that Kubernetes gives; it stops nothing else.

pub mod baked;
mod container;
mod environment;
pub mod pods;
pub mod services;
mod types;
mod volumes;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::networking::v1::NetworkPolicy;

pub use pods::{Sources, from_object};
pub use services::{Service, ServicePort, Target};
pub use types::*;

use crate::{input::Input, network::policy::Namespaces};

/// Everything that shall be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// Pods by uid.
    pub pods: BTreeMap<String, Pod>,
    /// Services in order of their names.
    pub services: Vec<Service>,
    /// Network policies.
    pub policies: Vec<Arc<NetworkPolicy>>,
    /// Labels of the namespaces.
    pub namespaces: Namespaces,
    /// Workloads for the status document.
    pub workloads: Vec<Workload>,
}

/// A baked workload, as far as the status document tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Kubernetes kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Pods wanted.
    pub replicas: u32,
    /// Uids of its pods, as far as they are of its newest template.
    pub pods: BTreeSet<String>,
}

/// Build the desired state; with one line for each Service that cannot be.
pub fn build(input: &Input) -> (Desired, Vec<String>) {
    let sources = Sources::of(input);
    let pods = input.pods.iter().map(|p| from_object(p, &sources));
    let mut desired = Desired {
        pods: pods.map(|p| (p.uid.clone(), p)).collect(),
        workloads: input.workloads.clone(),
        policies: input.policies.clone(),
        namespaces: input.namespaces.clone(),
        ..Desired::default()
    };
    let (services, problems) = services::all(&input.services, input.ipv6);
    desired.services = services;
    (desired, problems)
}
