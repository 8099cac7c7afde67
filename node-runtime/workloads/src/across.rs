//! What objects of one set of manifests take from each other.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::{api::core::v1::PodSpec, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    Level, NamespaceLevels, Object, Origin, Problem, Violation, Workload, namespace_levels, pod_of, pod_security,
    template::full_path,
};

/// Objects of the same kind and name.
pub(crate) fn duplicates(workloads: &[Workload]) -> Vec<Problem> {
    let mut seen: HashMap<String, &Origin> = HashMap::new();
    let mut problems = vec![];
    for w in workloads {
        // Names that are made from a prefix are different names.
        if w.value["metadata"]["name"].is_null() {
            continue;
        }
        let title = w.object.title();
        if let Some(first) = seen.get(&title) {
            let message = format!("already defined in {}, document {}", first.file, first.document);
            problems.push(w.problem("metadata.name", message));
        } else {
            seen.insert(title, &w.origin);
        }
    }
    problems
}

/// Node ports that two Services want.
pub(crate) fn node_ports(workloads: &[Workload]) -> Vec<Problem> {
    let mut taken: BTreeMap<(i32, String), String> = BTreeMap::new();
    let mut problems = vec![];
    for w in workloads {
        let Object::Service(s) = &w.object else { continue };
        let ports = s.spec.as_ref().and_then(|s| s.ports.as_deref()).unwrap_or_default();
        for (i, p) in ports.iter().enumerate() {
            let Some(port) = p.node_port else { continue };
            let key = (port, p.protocol.clone().unwrap_or_else(|| "TCP".into()));
            if let Some(other) = taken.insert(key, w.object.title()) {
                let message = format!("{port} is already taken by {other}");
                problems.push(w.problem(&format!("spec.ports[{i}].nodePort"), message));
            }
        }
    }
    problems
}

/// What the Pod Security Standards say about a set of manifests. The profile
/// of a namespace is that of its Namespace object in the set, else `default`.
/// One problem for each field.
pub fn check_security(workloads: &[Workload], default: Level) -> Vec<Problem> {
    workloads.iter().flat_map(|w| security_problems(w, levels(workloads, w, default).enforce)).collect()
}

/// [`check_security`] with "restricted" where a namespace does not say
/// otherwise: what a node does unless told otherwise.
pub fn check_restricted(workloads: &[Workload]) -> Vec<Problem> {
    check_security(workloads, Level::Restricted)
}

/// The profiles that apply to an object of the set.
pub(crate) fn levels(set: &[Workload], w: &Workload, default: Level) -> NamespaceLevels {
    let (namespace, _) = w.object.key();
    let labels = set.iter().find_map(|n| match &n.object {
        Object::Namespace(n) if n.metadata.name.as_deref() == Some(namespace) => n.metadata.labels.clone(),
        _ => None,
    });
    namespace_levels(&labels.unwrap_or_default(), default).0
}

/// What a profile says about the pods of one object.
pub(crate) fn violations(w: &Workload, level: Level) -> Vec<Violation> {
    let Some(pod) = pod_of(w.kind, &w.value) else { return vec![] };
    let metadata = ObjectMeta::deserialize(pod.get("metadata").unwrap_or(&Value::Null)).ok();
    let spec = PodSpec::deserialize(pod.get("spec").unwrap_or(&Value::Null)).unwrap_or_default();
    pod_security(level, metadata.as_ref(), &spec)
}

/// One problem for each field that violates the profile.
pub(crate) fn security_problems(w: &Workload, level: Level) -> Vec<Problem> {
    let mut problems = vec![];
    for v in violations(w, level) {
        let message = crate::security::message(level, std::slice::from_ref(&v));
        problems.extend(v.fields.iter().map(|f| w.problem(&full_path(w.kind, f), message.clone())));
    }
    problems
}

impl Workload {
    fn problem(&self, field: &str, message: String) -> Problem {
        let Origin { file, document } = self.origin.clone();
        Problem { file, document, object: self.object.title(), field: field.into(), message }
    }
}
