//! OfflineReady: if the power goes now and the WAN is down, does everything
//! come back? Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;
use skerry_machinery::{Key, Kind, Stored, kind};
use skerry_orchestrator::input::ImageState;
use skerry_workloads::pod_of;

use crate::workloads::List;

/// Kinds whose templates must be able to start.
pub(crate) const WORKLOADS: [(&str, &str); 7] = [
    ("", "Pod"),
    ("apps", "Deployment"),
    // Those without pods too: they are what `kubectl rollout undo` goes back to.
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("batch", "Job"),
    ("batch", "CronJob"),
];

/// Everything that the desired state needs and that is not on the node, one
/// line each, in order.
pub fn missing(list: List<'_>, images: &BTreeMap<String, ImageState>) -> Vec<String> {
    let mut out = BTreeSet::new();
    for (group, name) in WORKLOADS {
        for object in list(kind(group, name)) {
            let value = object.value();
            if let Some(pod) = lives(&object, &value) {
                template(&object.key, pod, list, images, &mut out);
            }
        }
    }
    out.into_iter().collect()
}

/// The pod or template of an object that is neither over nor on its way out.
pub(crate) fn lives<'a>(object: &Stored, value: &'a Value) -> Option<&'a Value> {
    let over = matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        || value["status"]["completionTime"].is_string();
    pod_of(object.key.kind, value).filter(|_| !over && !object.meta.terminating())
}

/// References of the images of a pod or template.
pub(crate) fn images(pod: &Value) -> impl Iterator<Item = &str> {
    containers(&pod["spec"]).filter_map(|c| c["image"].as_str())
}

fn template(key: &Key, pod: &Value, list: List<'_>, images: &BTreeMap<String, ImageState>, out: &mut BTreeSet<String>) {
    let spec = &pod["spec"];
    for c in containers(spec) {
        let image = c["image"].as_str().unwrap_or_default();
        if !matches!(images.get(image), Some(ImageState::Present(_))) {
            out.insert(format!("image {image} of {key} is not on the node"));
        } else if c["imagePullPolicy"] == "Always" {
            out.insert(format!(
                "container {} of {key} asks its registry at every start (imagePullPolicy: Always)",
                c["name"]
            ));
        }
    }
    for (what, name) in references(spec) {
        let found = find(list, what, &key.namespace, &name);
        match (what, found) {
            (_, None) => drop(out.insert(format!("{what} {name} of {key} does not exist"))),
            ("PersistentVolumeClaim", Some(claim)) if claim.value()["status"]["phase"] != "Bound" => {
                out.insert(format!("{what} {name} of {key} is not bound"));
            }
            _ => {}
        }
    }
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|list| spec[list].as_array().into_iter().flatten())
}

/// Kind and name of everything that must be there for a pod to start.
fn references(spec: &Value) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    let mut add = |kind: &'static str, source: &Value, field: &str| {
        let optional = source["optional"].as_bool().unwrap_or(false);
        if let Some(name) = source[field].as_str().filter(|_| !optional) {
            found.insert((kind, name.to_owned()));
        }
    };
    for c in containers(spec) {
        for e in c["env"].as_array().into_iter().flatten() {
            add("ConfigMap", &e["valueFrom"]["configMapKeyRef"], "name");
            add("Secret", &e["valueFrom"]["secretKeyRef"], "name");
        }
        for e in c["envFrom"].as_array().into_iter().flatten() {
            add("ConfigMap", &e["configMapRef"], "name");
            add("Secret", &e["secretRef"], "name");
        }
    }
    for v in spec["volumes"].as_array().into_iter().flatten() {
        add("ConfigMap", &v["configMap"], "name");
        add("Secret", &v["secret"], "secretName");
        add("PersistentVolumeClaim", &v["persistentVolumeClaim"], "claimName");
        for s in v["projected"]["sources"].as_array().into_iter().flatten() {
            add("ConfigMap", &s["configMap"], "name");
            add("Secret", &s["secret"], "name");
        }
    }
    found
}

fn find(list: List<'_>, what: &'static str, namespace: &str, name: &str) -> Option<Arc<Stored>> {
    let kind: &'static Kind = kind("", what);
    list(kind).into_iter().find(|o| o.key.namespace == namespace && o.key.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn stored(mut object: Value) -> Arc<Stored> {
        object["metadata"]["resourceVersion"] = "1".into();
        object["metadata"]["namespace"] = "a".into();
        Arc::new(Stored::from_json(object.to_string()).unwrap())
    }

    fn cron_job(pod: Value) -> Arc<Stored> {
        stored(json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "sync"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}))
    }

    fn image() -> ImageState {
        let image = skerry_orchestrator::input::Image {
            app: "a".into(),
            id: "sha256:0".into(),
            composefs: skerry_formats::ObjectDigest([0; 32]),
            config: skerry_formats::baked::AppConfig::default(),
        };
        ImageState::Present(Arc::new(image))
    }

    #[test]
    fn everything_that_a_pod_needs_is_looked_for() {
        let images = BTreeMap::from([("localhost/here:1".to_owned(), image())]);
        let config = stored(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}));
        let claim = stored(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p"},
            "status": {"phase": "Pending"}}));
        for (pod, lines) in [
            (json!({"containers": [{"name": "m", "image": "localhost/here:1"}]}), vec![]),
            (
                json!({"containers": [{"name": "m", "image": "far/away:2"}]}),
                vec!["image far/away:2 of CronJob a/sync is not on the node"],
            ),
            (
                json!({"containers": [{"name": "m", "image": "localhost/here:1", "imagePullPolicy": "Always"}]}),
                vec!["container \"m\" of CronJob a/sync asks its registry at every start (imagePullPolicy: Always)"],
            ),
            (
                json!({"containers": [{"name": "m", "image": "localhost/here:1", "envFrom": [
                    {"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}},
                    {"secretRef": {"name": "o", "optional": true}}]}],
                    "volumes": [{"persistentVolumeClaim": {"claimName": "p"}}]}),
                vec![
                    "PersistentVolumeClaim p of CronJob a/sync is not bound",
                    "Secret s of CronJob a/sync does not exist",
                ],
            ),
        ] {
            let all = [cron_job(pod), config.clone(), claim.clone()];
            let list = |k: &'static Kind| all.iter().filter(|o| o.key.kind == k).cloned().collect::<Vec<_>>();
            assert_eq!(missing(&list, &images), lines);
        }
    }

    #[test]
    fn what_is_over_needs_nothing() {
        let job = stored(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
            "status": {"completionTime": "2026-01-01T00:00:00Z"},
            "spec": {"template": {"spec": {"containers": [{"name": "m", "image": "x"}]}}}}));
        let list = |k: &'static Kind| if k == job.key.kind { vec![job.clone()] } else { vec![] };
        assert_eq!(missing(&list, &BTreeMap::new()), Vec::<String>::new());
    }
}
