//! Baked workloads as the health gate asks about them: how many pods of the
//! newest template there are to be, and which they are. Pure.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;
use skerry_machinery::{Key, Kind, Stored, kind};
use skerry_orchestrator::desired::Workload;

/// Where controllers keep the number of a ReplicaSet's template.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Label with the template of a pod of StatefulSets and DaemonSets.
const HASH: &str = "controller-revision-hash";

/// Objects of a kind, all namespaces.
pub type List<'a> = &'a dyn Fn(&'static Kind) -> Vec<Arc<Stored>>;

/// The workload of an object; `None`: of a kind that the health gate does not
/// wait for (Jobs run when they run).
pub fn workload(object: &Stored, list: List<'_>) -> Option<Workload> {
    let value = object.value();
    let pods = list(kind("", "Pod"));
    let (replicas, uids) = match object.key.kind.kind {
        "Deployment" => (wanted(&value), of_deployment(object, &value, &pods, list)),
        "StatefulSet" => (wanted(&value), of_set(object, &value, &pods)),
        "DaemonSet" => (value["status"]["desiredNumberScheduled"].as_u64().unwrap_or(1), of_set(object, &value, &pods)),
        "Pod" => (1, BTreeSet::from([object.meta.uid.clone()])),
        _ => return None,
    };
    let Key { namespace, name, .. } = object.key.clone();
    let replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
    Some(Workload { kind: object.key.kind.kind.into(), namespace, name, replicas, pods: uids })
}

fn wanted(object: &Value) -> u64 {
    object["spec"]["replicas"].as_u64().unwrap_or(1)
}

/// Have the controllers seen the newest state? Before that, pods are those of
/// another template.
fn seen(object: &Stored, value: &Value) -> bool {
    value["status"]["observedGeneration"].as_i64() == Some(object.meta.generation)
}

fn owned<'a>(all: &'a [Arc<Stored>], owner: &'a str) -> impl Iterator<Item = &'a Arc<Stored>> {
    all.iter().filter(move |o| o.meta.controller().is_some_and(|c| c.uid == owner) && !o.meta.terminating())
}

fn of_deployment(object: &Stored, value: &Value, pods: &[Arc<Stored>], list: List<'_>) -> BTreeSet<String> {
    if !seen(object, value) {
        return BTreeSet::new();
    }
    let sets = list(kind("apps", "ReplicaSet"));
    let number = |s: &&Arc<Stored>| s.meta.annotations.get(REVISION).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let Some(newest) = owned(&sets, &object.meta.uid).max_by_key(number) else { return BTreeSet::new() };
    owned(pods, &newest.meta.uid).map(|p| p.meta.uid.clone()).collect()
}

fn of_set(object: &Stored, value: &Value, pods: &[Arc<Stored>]) -> BTreeSet<String> {
    if !seen(object, value) {
        return BTreeSet::new();
    }
    let revision = value["status"]["updateRevision"].as_str();
    let newest = |p: &&Arc<Stored>| match (revision, p.meta.labels.get(HASH)) {
        (Some(r), Some(hash)) => r == hash || r.ends_with(&format!("-{hash}")),
        _ => true,
    };
    owned(pods, &object.meta.uid).filter(newest).map(|p| p.meta.uid.clone()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn stored(api_version: &str, kind: &str, mut object: Value) -> Arc<Stored> {
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        object["metadata"]["resourceVersion"] = "1".into();
        Arc::new(Stored::from_json(object.to_string()).unwrap())
    }

    fn owner(uid: &str) -> Value {
        json!([{"apiVersion": "apps/v1", "kind": "X", "name": "x", "uid": uid, "controller": true}])
    }

    #[test]
    fn only_pods_of_the_newest_template_count() {
        let set = |uid: &str, revision: &str| {
            stored(
                "apps/v1",
                "ReplicaSet",
                json!({"metadata": {"name": uid, "namespace": "a", "uid": uid,
                "annotations": {REVISION: revision}, "ownerReferences": owner("d")}}),
            )
        };
        let pod = |uid: &str, of: &str| {
            stored(
                "v1",
                "Pod",
                json!({"metadata": {"name": uid, "namespace": "a", "uid": uid,
                "ownerReferences": owner(of)}}),
            )
        };
        let sets = vec![set("old", "9"), set("new", "10")];
        let pods = vec![pod("1", "old"), pod("2", "new"), pod("3", "new"), pod("4", "other")];
        let list = |k: &'static Kind| match k.kind {
            "ReplicaSet" => sets.clone(),
            _ => pods.clone(),
        };
        for (observed, uids) in [(2, vec!["2", "3"]), (1, vec![])] {
            let object = json!({"metadata": {"name": "w", "namespace": "a", "uid": "d", "generation": 2},
                "spec": {"replicas": 3}, "status": {"observedGeneration": observed}});
            let w = workload(&stored("apps/v1", "Deployment", object), &list).unwrap();
            assert_eq!((w.kind.as_str(), w.replicas), ("Deployment", 3));
            assert_eq!(w.pods.iter().map(String::as_str).collect::<Vec<_>>(), uids);
        }
    }

    #[test]
    fn kinds_that_nobody_waits_for() {
        let none = |_: &'static Kind| vec![];
        let job = stored("batch/v1", "Job", json!({"metadata": {"name": "j", "namespace": "a"}}));
        assert_eq!(workload(&job, &none), None);
        let pod = stored("v1", "Pod", json!({"metadata": {"name": "p", "namespace": "a", "uid": "u"}}));
        assert_eq!(workload(&pod, &none).unwrap().pods.len(), 1);
    }
}
