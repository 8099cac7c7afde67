//! Pods → the node, if they fit; otherwise they say why not.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{Container, Node, PersistentVolumeClaim, Pod, PodCondition, PodSpec, Taint, Toleration},
    apimachinery::pkg::api::resource::Quantity,
};
use skerry_workloads::quantity;

use crate::{
    labels, pods,
    run::{Obj, Run},
};

/// What pods ask for and nodes have, in thousandths.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// What is in use or asked for.
#[derive(Debug, Default, Clone)]
struct Need {
    resources: [u64; 3],
    /// Protocol, address, port.
    ports: BTreeSet<(String, String, i32)>,
}

/// The node as the scheduler fills it.
struct Room<'o> {
    node: &'o Obj<Node>,
    allocatable: [Option<u64>; 3],
    pods_max: usize,
    pods: usize,
    used: Need,
}

pub(crate) fn run(
    run: &mut Run<'_>,
    nodes: &[Obj<Node>],
    all_pods: &[Obj<Pod>],
    claims: &[Obj<PersistentVolumeClaim>],
) {
    let mut room = nodes.iter().find(|n| n.name() == run.node).map(|node| room(node, all_pods));
    let mut waiting: Vec<&Obj<Pod>> = all_pods.iter().filter(|p| pods::active(p) && assigned(p).is_none()).collect();
    waiting.sort_by_key(|p| (p.created(), p.key().clone()));
    for pod in waiting {
        schedule(run, room.as_mut(), pod, claims);
    }
    for pod in all_pods.iter().filter(|p| assigned(p).is_some() && pods::active(p)) {
        if pods::condition(pod, "PodScheduled").is_some_and(|c| c.status == "False") {
            set_condition(run, pod, "True", None, None);
        }
    }
}

fn assigned(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|n| !n.is_empty())
}

fn schedule(run: &mut Run<'_>, room: Option<&mut Room<'_>>, pod: &Obj<Pod>, claims: &[Obj<PersistentVolumeClaim>]) {
    let Some(spec) = &pod.spec else { return };
    if spec.scheduling_gates.as_deref().is_some_and(|g| !g.is_empty()) {
        let text = "Scheduling is blocked due to non-empty scheduling gates".to_owned();
        return set_condition(run, pod, "False", Some("SchedulingGated"), Some(text));
    }
    let Some(room) = room else {
        return refuse(run, pod, "no nodes available to schedule pods".into());
    };
    if let Some(why) = unbound(pod, spec, claims) {
        return refuse(run, pod, format!("0/1 nodes are available: {why}"));
    }
    let need = need(spec);
    let reasons = room.reasons_against(spec, &need);
    if !reasons.is_empty() {
        let list: Vec<String> = reasons.iter().map(|r| format!("1 {r}")).collect();
        return refuse(run, pod, format!("0/1 nodes are available: {}.", list.join(", ")));
    }
    let mut new = pod.v.clone();
    new.spec.get_or_insert_default().node_name = Some(run.node.into());
    if run.update(pod.key(), &new) {
        room.add(&need);
        let text = format!("Successfully assigned {}/{} to {}", pod.ns(), pod.name(), run.node);
        run.normal(&pod.stored, "Scheduled", text);
    }
}

fn refuse(run: &mut Run<'_>, pod: &Obj<Pod>, message: String) {
    let old = pods::condition(pod, "PodScheduled");
    if old.is_none_or(|c| c.message.as_ref() != Some(&message)) {
        run.warning(&pod.stored, "FailedScheduling", message.clone());
    }
    set_condition(run, pod, "False", Some("Unschedulable"), Some(message));
}

fn set_condition(run: &mut Run<'_>, pod: &Obj<Pod>, state: &str, reason: Option<&str>, message: Option<String>) {
    let old = pods::condition(pod, "PodScheduled");
    let same_status = old.is_some_and(|c| c.status == state);
    if same_status && old.is_some_and(|c| c.message == message && c.reason.as_deref() == reason) {
        return;
    }
    let since = old.filter(|_| same_status).and_then(|c| c.last_transition_time.clone());
    let mut new = pod.v.clone();
    let status = new.status.get_or_insert_default();
    status.phase.get_or_insert_with(|| "Pending".into());
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|c| c.type_ != "PodScheduled");
    conditions.push(PodCondition {
        type_: "PodScheduled".into(),
        status: state.into(),
        reason: reason.map(Into::into),
        message,
        last_transition_time: since.or(Some(run.time())),
        ..PodCondition::default()
    });
    run.update_status(pod.key(), &new);
}

/// Claims that the pod waits for.
fn unbound(pod: &Obj<Pod>, spec: &PodSpec, claims: &[Obj<PersistentVolumeClaim>]) -> Option<String> {
    let names = spec.volumes.iter().flatten().filter_map(|v| Some(&v.persistent_volume_claim.as_ref()?.claim_name));
    for name in names {
        let Some(claim) = claims.iter().find(|c| c.name() == name && c.ns() == pod.ns()) else {
            return Some(format!("persistentvolumeclaim \"{name}\" not found."));
        };
        if claim.terminating() {
            return Some(format!("persistentvolumeclaim \"{name}\" is being deleted."));
        }
        if claim.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Bound") {
            return Some("pod has unbound immediate PersistentVolumeClaims.".into());
        }
    }
    None
}

fn room<'o>(node: &'o Obj<Node>, all_pods: &[Obj<Pod>]) -> Room<'o> {
    let status = node.status.as_ref();
    let allocatable = status.and_then(|s| s.allocatable.as_ref().or(s.capacity.as_ref()));
    let amount = |name: &str| allocatable.and_then(|a| a.get(name)).and_then(|q| quantity::millis(&q.0));
    let pods_max = amount("pods").and_then(|m| usize::try_from(m / 1000).ok()).unwrap_or(110);
    let mut room = Room { node, allocatable: RESOURCES.map(amount), pods_max, pods: 0, used: Need::default() };
    for pod in all_pods.iter().filter(|p| !pods::finished(p) && assigned(p) == Some(node.name())) {
        if let Some(spec) = &pod.spec {
            room.add(&need(spec));
        }
    }
    room
}

impl Room<'_> {
    fn add(&mut self, need: &Need) {
        self.pods += 1;
        for (used, n) in self.used.resources.iter_mut().zip(need.resources) {
            *used = used.saturating_add(n);
        }
        self.used.ports.extend(need.ports.iter().cloned());
    }

    fn reasons_against(&self, spec: &PodSpec, need: &Need) -> Vec<String> {
        let node = self.node.spec.as_ref();
        let mut reasons = vec![];
        if node.is_some_and(|n| n.unschedulable == Some(true)) && !tolerates_cordon(spec) {
            return vec!["node(s) were unschedulable".into()];
        }
        if let Some(t) = node.and_then(|n| untolerated(n.taints.as_deref().unwrap_or_default(), spec)) {
            let value = t.value.as_deref().unwrap_or_default();
            return vec![format!("node(s) had untolerated taint {{{}: {value}}}", t.key)];
        }
        if !selects(spec, &self.node.meta().labels) {
            return vec!["node(s) didn't match Pod's node affinity/selector".into()];
        }
        if need.ports.iter().any(|p| self.used.ports.iter().any(|u| same_port(p, u))) {
            reasons.push("node(s) didn't have free ports for the requested pod ports".into());
        }
        if self.pods >= self.pods_max {
            reasons.push("Too many pods".into());
        }
        for (i, name) in RESOURCES.iter().enumerate() {
            let after = self.used.resources[i].saturating_add(need.resources[i]);
            if need.resources[i] > 0 && self.allocatable[i].is_some_and(|have| after > have) {
                reasons.push(format!("Insufficient {name}"));
            }
        }
        reasons
    }
}

/// Does the pod's nodeSelector match labels of a node?
pub(crate) fn selects(spec: &PodSpec, node_labels: &BTreeMap<String, String>) -> bool {
    spec.node_selector.as_ref().is_none_or(|wanted| labels::includes(node_labels, wanted))
}

fn same_port(a: &(String, String, i32), b: &(String, String, i32)) -> bool {
    let any = |ip: &str| matches!(ip, "" | "0.0.0.0" | "::");
    a.0 == b.0 && a.2 == b.2 && (a.1 == b.1 || any(&a.1) || any(&b.1))
}

fn tolerates_cordon(spec: &PodSpec) -> bool {
    let taint =
        Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
    untolerated(&[taint], spec).is_none()
}

fn untolerated<'t>(taints: &'t [Taint], spec: &PodSpec) -> Option<&'t Taint> {
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let mut hard = taints.iter().filter(|t| t.effect == "NoSchedule" || t.effect == "NoExecute");
    hard.find(|t| !tolerations.iter().any(|o| tolerates(o, t)))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    (effect.is_empty() || effect == taint.effect)
        && (key == taint.key || (key.is_empty() && exists))
        && (exists || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default())
}

/// What a pod asks for: its containers together, or its neediest init
/// container with the sidecars started before it, whichever is more.
fn need(spec: &PodSpec) -> Need {
    let mut need = Need::default();
    let sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for (i, name) in RESOURCES.iter().enumerate() {
        let (mut sidecars, mut most) = (0u64, 0u64);
        for c in init {
            let asked = request(c, name);
            most = most.max(sidecars.saturating_add(asked));
            if sidecar(&c) {
                sidecars = sidecars.saturating_add(asked);
            }
        }
        let main = spec.containers.iter().map(|c| request(c, name)).fold(sidecars, u64::saturating_add);
        let overhead = spec.overhead.as_ref().and_then(|o| o.get(*name)).map_or(0, millis);
        need.resources[i] = main.max(most).saturating_add(overhead);
    }
    let ports = spec.containers.iter().chain(init.iter().filter(sidecar)).flat_map(|c| c.ports.iter().flatten());
    need.ports = ports
        .filter_map(|p| {
            let port = p.host_port.filter(|p| *p > 0)?;
            let protocol = p.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some((protocol, p.host_ip.clone().unwrap_or_default(), port))
        })
        .collect();
    need
}

fn request(container: &Container, resource: &str) -> u64 {
    let Some(resources) = &container.resources else { return 0 };
    let asked = resources.requests.as_ref().and_then(|r| r.get(resource));
    let asked = asked.or_else(|| resources.limits.as_ref().and_then(|l| l.get(resource)));
    asked.map_or(0, millis)
}

fn millis(q: &Quantity) -> u64 {
    quantity::millis(&q.0).unwrap_or(0)
}
