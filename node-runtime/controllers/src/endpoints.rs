//! Service → EndpointSlices: which addresses answer, per family and set of
//! ports.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{Container, ObjectReference, Pod, Service, ServicePort, ServiceSpec},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use crate::{
    kinds, labels, pods,
    run::{Obj, Run},
};

/// Label: whose addresses these are.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label: who writes the slice.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Label of slices of Services without an address.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Addresses in one slice.
const ENDPOINTS_MAX: usize = 100;

/// A slice that there should be.
struct Wanted {
    family: String,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
}

pub(crate) fn run(run: &mut Run<'_>, services: &[Obj<Service>], slices: &[Obj<EndpointSlice>], all_pods: &[Obj<Pod>]) {
    for service in services.iter().filter(|s| !s.terminating()) {
        let Some(spec) = &service.spec else { continue };
        let Some(selector) = spec.selector.as_ref().filter(|s| !s.is_empty()) else { continue };
        if spec.type_.as_deref() == Some("ExternalName") {
            continue;
        }
        let mine = all_pods.iter().filter(|p| p.ns() == service.ns() && !pods::finished(p));
        let mine: Vec<&Obj<Pod>> = mine.filter(|p| labels::includes(&p.meta().labels, selector)).collect();
        let wanted = families(spec, &mine).iter().flat_map(|f| wanted(service, spec, f, &mine)).collect();
        sync(run, service, spec, wanted, slices);
    }
}

fn families(spec: &ServiceSpec, mine: &[&Obj<Pod>]) -> Vec<String> {
    if let Some(families) = spec.ip_families.as_ref().filter(|f| !f.is_empty()) {
        return families.clone();
    }
    let cluster_ip = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None");
    let first = cluster_ip.map(str::to_owned).or_else(|| mine.iter().find_map(|p| ips(p).into_iter().next()));
    vec![if first.is_some_and(|ip| ip.contains(':')) { "IPv6".into() } else { "IPv4".into() }]
}

fn ips(pod: &Pod) -> Vec<String> {
    let Some(status) = &pod.status else { return vec![] };
    let all: Vec<String> = status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect();
    if all.is_empty() { status.pod_ip.iter().filter(|ip| !ip.is_empty()).cloned().collect() } else { all }
}

fn wanted(service: &Obj<Service>, spec: &ServiceSpec, family: &str, mine: &[&Obj<Pod>]) -> Vec<Wanted> {
    let mut groups: Vec<(Vec<EndpointPort>, Vec<Endpoint>)> = vec![];
    for pod in mine {
        let Some(endpoint) = endpoint(service, spec, family, pod) else { continue };
        let ports = ports(spec, pod);
        match groups.iter_mut().find(|(p, _)| *p == ports) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => groups.push((ports, vec![endpoint])),
        }
    }
    if groups.is_empty() {
        // An empty slice says that there is nobody, none that nobody looked.
        return vec![Wanted { family: family.into(), ports: vec![], endpoints: vec![] }];
    }
    let mut out = vec![];
    for (ports, endpoints) in groups {
        for part in endpoints.chunks(ENDPOINTS_MAX) {
            out.push(Wanted { family: family.into(), ports: ports.clone(), endpoints: part.to_vec() });
        }
    }
    out
}

fn endpoint(service: &Obj<Service>, spec: &ServiceSpec, family: &str, pod: &Obj<Pod>) -> Option<Endpoint> {
    let address = ips(pod).into_iter().find(|ip| ip.contains(':') == (family == "IPv6"))?;
    let pod_spec = pod.spec.as_ref()?;
    let serving = pods::ready(pod);
    let terminating = pod.terminating();
    let ready = spec.publish_not_ready_addresses == Some(true) || (serving && !terminating);
    let here = pod_spec.subdomain.as_deref() == Some(service.name());
    Some(Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: pod_spec.hostname.clone().filter(|h| here && !h.is_empty()),
        node_name: pod_spec.node_name.clone(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: Some(pod.ns().into()),
            name: Some(pod.name().into()),
            uid: Some(pod.uid().into()),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    })
}

/// The Service's ports as this pod has them; named ones that it has not are
/// left out.
fn ports(spec: &ServiceSpec, pod: &Pod) -> Vec<EndpointPort> {
    let ports = spec.ports.iter().flatten();
    let resolved = ports.filter_map(|p| {
        Some(EndpointPort {
            name: Some(p.name.clone().unwrap_or_default()),
            protocol: Some(p.protocol.clone().unwrap_or_else(|| "TCP".into())),
            port: Some(target(p, pod)?),
            app_protocol: p.app_protocol.clone(),
        })
    });
    resolved.collect()
}

fn target(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(n)) => return Some(*n),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(sidecar);
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let mut ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    let found = ports.find(|p| p.name.as_ref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == protocol);
    found.map(|p| p.container_port)
}

fn sync(
    run: &mut Run<'_>,
    service: &Obj<Service>,
    spec: &ServiceSpec,
    mut wanted: Vec<Wanted>,
    slices: &[Obj<EndpointSlice>],
) {
    let labels = slice_labels(service, spec);
    let is = |s: &Obj<EndpointSlice>, label: &str, value: &str| s.meta().labels.get(label).is_some_and(|v| v == value);
    let ours = slices.iter().filter(|s| {
        let named = is(s, SERVICE_NAME, service.name()) && is(s, MANAGED_BY, MANAGER);
        named && s.ns() == service.ns() && !s.terminating()
    });
    let mut ours: Vec<&Obj<EndpointSlice>> = ours.collect();
    // First slices whose ports stay, then any of the family.
    for same_ports in [true, false] {
        ours.retain(|slice| {
            let fits = |w: &Wanted| {
                let ports = slice.ports.as_deref().unwrap_or_default() == w.ports;
                w.family == slice.address_type && (ports || !same_ports)
            };
            let Some(at) = wanted.iter().position(fits) else { return true };
            write(run, slice, wanted.remove(at), &labels);
            false
        });
    }
    for surplus in ours {
        run.delete(&surplus.stored);
    }
    for w in wanted {
        create(run, service, w, &labels);
    }
}

fn slice_labels(service: &Obj<Service>, spec: &ServiceSpec) -> BTreeMap<String, String> {
    let mut labels = service.meta().labels.clone();
    labels.remove(HEADLESS);
    if spec.cluster_ip.as_deref() == Some("None") {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(SERVICE_NAME.into(), service.name().into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

fn write(run: &mut Run<'_>, slice: &Obj<EndpointSlice>, wanted: Wanted, labels: &BTreeMap<String, String>) {
    let same = slice.endpoints == wanted.endpoints
        && slice.ports.as_deref().unwrap_or_default() == wanted.ports
        && slice.meta().labels == *labels;
    if same {
        return;
    }
    let mut new = slice.v.clone();
    new.endpoints = wanted.endpoints;
    new.ports = Some(wanted.ports);
    new.metadata.labels = Some(labels.clone());
    run.update(slice.key(), &new);
}

fn create(run: &mut Run<'_>, service: &Obj<Service>, wanted: Wanted, labels: &BTreeMap<String, String>) {
    let prefix = format!("{}-", service.name());
    let name = pods::random_name(run, &prefix, service.uid());
    let slice = EndpointSlice {
        metadata: ObjectMeta {
            name: Some(name),
            generate_name: Some(prefix),
            namespace: Some(service.ns().into()),
            labels: Some(labels.clone()),
            owner_references: Some(vec![service.as_controller()]),
            ..ObjectMeta::default()
        },
        address_type: wanted.family,
        endpoints: wanted.endpoints,
        ports: Some(wanted.ports),
    };
    run.create(kinds::endpoint_slice(), service.ns(), &slice);
}
