//! A small registry and kubelet in memory. What a container does is said by
//! its image: `ok`, `slow` (runs, never ready), `done` (ends well), `broken`
//! (ends badly).

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use skerry_controllers::{Change, Outcome, World};
use skerry_machinery::{Key, Kind, Stored, by_kind, kind};

/// Name of the node.
pub const NODE: &str = "box";

/// The whole world.
pub struct Cluster {
    pub objects: BTreeMap<Key, Arc<Stored>>,
    pub now: Timestamp,
    pub events: Vec<String>,
    pub wake_at: Option<Timestamp>,
    count: u64,
}

impl Cluster {
    /// A world with a node of 2 CPUs and 1 GiB at the beginning of 2026.
    pub fn new() -> Self {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut c = Self { objects: BTreeMap::new(), now, events: vec![], wake_at: None, count: 0 };
        c.create(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE, "disk": "ssd"}},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "110"}},
        }));
        c
    }

    /// Create an object; its key.
    pub fn create(&mut self, mut object: Value) -> Key {
        self.count += 1;
        let kind = by_kind(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap()).unwrap();
        let meta = &mut object["metadata"];
        if kind.namespaced && meta["namespace"].is_null() {
            meta["namespace"] = "default".into();
        }
        meta["uid"] = format!("uid-{}", self.count).into();
        meta["generation"] = 1.into();
        meta["creationTimestamp"] = self.now.to_string().into();
        let key = Key::new(kind, meta["namespace"].as_str().unwrap_or_default(), meta["name"].as_str().unwrap());
        assert!(!self.objects.contains_key(&key), "{key} exists");
        self.put(key.clone(), object);
        key
    }

    fn put(&mut self, key: Key, mut object: Value) {
        self.count += 1;
        object["metadata"]["resourceVersion"] = self.count.to_string().into();
        let meta = &object["metadata"];
        let held = meta["finalizers"].as_array().is_some_and(|f| !f.is_empty())
            || object["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        let waiting = key.kind.kind == "Pod" && meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
        if !meta["deletionTimestamp"].is_null() && !held && !waiting {
            self.objects.remove(&key);
            return;
        }
        let stored = Stored::from_json(object.to_string()).unwrap();
        self.objects.insert(key, Arc::new(stored));
    }

    pub fn key(&self, group: &str, kind_name: &str, name: &str) -> Key {
        Key::new(kind(group, kind_name), "default", name)
    }

    pub fn get(&self, key: &Key) -> Option<Value> {
        self.objects.get(key).map(|s| s.value())
    }

    /// Change an object as a user would.
    pub fn edit(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let old = self.get(key).unwrap_or_else(|| panic!("{key} is not there"));
        let mut new = old.clone();
        change(&mut new);
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap() + 1).into();
        }
        if new != old {
            self.put(key.clone(), new);
        }
    }

    pub fn delete(&mut self, key: &Key) {
        let now = self.now.to_string();
        self.edit(key, |o| {
            if o["metadata"]["deletionTimestamp"].is_null() {
                o["metadata"]["deletionTimestamp"] = now.into();
                let runs = o["kind"] == "Pod" && o["spec"]["nodeName"].is_string() && !finished(o);
                o["metadata"]["deletionGracePeriodSeconds"] = i64::from(runs).into();
            }
        });
    }

    pub fn all(&self, group: &str, kind_name: &str) -> Vec<Value> {
        let kind = kind(group, kind_name);
        self.objects.values().filter(|s| s.key.kind == kind).map(|s| s.value()).collect()
    }

    pub fn pods(&self) -> Vec<Value> {
        self.all("", "Pod")
    }

    pub fn pod_names(&self) -> Vec<String> {
        self.pods().iter().map(|p| text(&p["metadata"]["name"])).collect()
    }

    pub fn controllers(&self) -> Outcome {
        let list = |kind: &'static Kind| -> Vec<Arc<Stored>> {
            self.objects.values().filter(|s| s.key.kind == kind).cloned().collect()
        };
        let outcome = skerry_controllers::run(&World { now: self.now, node: NODE, list: &list, seed: self.count });
        assert_eq!(outcome.problems, Vec::<String>::new());
        outcome
    }

    /// One run of the controllers; did it change something?
    pub fn step(&mut self) -> bool {
        let outcome = self.controllers();
        self.wake_at = outcome.wake_at;
        let some = !outcome.changes.is_empty();
        for change in outcome.changes {
            self.carry_out(change);
        }
        some
    }

    pub fn carry_out(&mut self, change: Change) {
        match change {
            Change::Create { kind, namespace, object } => {
                assert_eq!(object["kind"], kind.kind);
                assert_eq!(object["metadata"]["namespace"].as_str().unwrap_or_default(), namespace);
                self.create(object);
            }
            Change::Update { key, object } => {
                let old = self.get(&key).unwrap();
                assert_eq!(old["metadata"]["resourceVersion"], object["metadata"]["resourceVersion"], "{key}");
                assert_ne!(old, object, "{key}: nothing new");
                self.edit(&key, |o| {
                    let status = o["status"].take();
                    *o = object;
                    if key.kind.has(skerry_machinery::Subresource::Status) {
                        set_or_remove(o, status);
                    }
                });
            }
            Change::UpdateStatus { key, mut object } => {
                let old = self.get(&key).unwrap();
                assert_eq!(old["metadata"]["resourceVersion"], object["metadata"]["resourceVersion"], "{key}");
                assert_ne!(old["status"], object["status"], "{key}: nothing new");
                self.edit(&key, |o| set_or_remove(o, object["status"].take()));
            }
            Change::Delete { key, uid } => {
                assert_eq!(self.objects[&key].meta.uid, uid);
                self.delete(&key);
            }
            Change::Event { about, reason, message, uid, kind } => {
                self.events.push(format!("{about} {kind:?} {reason}: {message}"));
                self.count += 1;
                let name = format!("event-{}", self.count);
                self.create(json!({
                    "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"},
                    "involvedObject": {"uid": uid}, "reason": reason,
                }));
            }
        }
    }

    /// The kubelet's next step for one pod; is there one?
    pub fn kubelet(&mut self, key: &Key) -> bool {
        let Some(pod) = self.get(key) else { return false };
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            if pod["metadata"]["deletionGracePeriodSeconds"] == 0 {
                return false;
            }
            self.edit(key, |p| {
                if !finished(p) {
                    p["status"]["phase"] = "Failed".into();
                }
                p["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            });
            return true;
        }
        if !pod["spec"]["nodeName"].is_string() || finished(&pod) {
            return false;
        }
        let image = text(&pod["spec"]["containers"][0]["image"]);
        let phase = pod["status"]["phase"].as_str().unwrap_or("Pending").to_owned();
        let ready = is_ready(&pod);
        match (phase.as_str(), image.as_str()) {
            ("Pending", _) => {
                let n = self.count % 250 + 2;
                self.pod_status(
                    key,
                    json!({"phase": "Running", "podIP": format!("10.0.0.{n}"),
                    "podIPs": [{"ip": format!("10.0.0.{n}")}, {"ip": format!("fd00::{n}")}]}),
                );
                self.set_ready(key, false);
            }
            ("Running", "done") => self.end(key, "Succeeded", 0),
            ("Running", "broken") => self.end(key, "Failed", 1),
            ("Running", image) if !ready && image != "slow" => self.set_ready(key, true),
            _ => return false,
        }
        true
    }

    /// A pod's containers have ended.
    pub fn end(&mut self, key: &Key, phase: &str, code: i32) {
        let now = self.now.to_string();
        self.pod_status(
            key,
            json!({"phase": phase, "containerStatuses": [{
                "name": "main", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "finishedAt": now}},
            }]}),
        );
        self.set_ready(key, false);
    }

    pub fn pod_status(&mut self, key: &Key, fields: Value) {
        self.edit(key, |p| {
            for (k, v) in fields.as_object().unwrap() {
                p["status"][k] = v.clone();
            }
        });
    }

    pub fn set_ready(&mut self, key: &Key, ready: bool) {
        let now = self.now.to_string();
        let status = if ready { "True" } else { "False" };
        self.pod_status(key, json!({"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": now}]}));
    }

    pub fn pod_keys(&self) -> Vec<Key> {
        let kind = kind("", "Pod");
        self.objects.keys().filter(|k| k.kind == kind).cloned().collect()
    }

    /// Controllers and kubelet in turns until both rest, without time.
    pub fn settle(&mut self) {
        self.settle_watching(|_| {});
    }

    /// The same, looking at every state on the way.
    pub fn settle_watching(&mut self, mut look: impl FnMut(&Self)) {
        for _ in 0..2000 {
            let mut moved = self.step();
            look(self);
            if !moved {
                for key in self.pod_keys() {
                    moved |= self.kubelet(&key);
                    look(self);
                }
                moved |= self.erase();
            }
            if !moved {
                return;
            }
        }
        panic!("no rest: {:#?}", self.controllers().changes);
    }

    /// Let time pass, waking when the controllers asked for it.
    pub fn pass(&mut self, secs: i64) {
        let end = self.now + SignedDuration::from_secs(secs);
        self.settle();
        while let Some(at) = self.wake_at.filter(|at| *at <= end) {
            self.now = at;
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// Erase the folders of volumes that go.
    fn erase(&mut self) -> bool {
        let kind = kind("", "PersistentVolume");
        let going = self.objects.values().filter(|s| s.key.kind == kind && s.meta.terminating());
        let going: Vec<Key> = going.map(|s| s.key.clone()).collect();
        for key in &going {
            self.edit(key, |v| v["metadata"]["finalizers"] = json!([]));
        }
        !going.is_empty()
    }

    pub fn has_event(&self, part: &str) -> bool {
        self.events.iter().any(|e| e.contains(part))
    }
}

fn set_or_remove(object: &mut Value, status: Value) {
    if status.is_null() {
        object.as_object_mut().unwrap().remove("status");
    } else {
        object["status"] = status;
    }
}

pub fn text(v: &Value) -> String {
    v.as_str().unwrap_or_default().to_owned()
}

pub fn finished(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

pub fn is_ready(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && pod["status"]["conditions"]
            .as_array()
            .is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

pub fn going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// A pod template of app `app`.
pub fn template(app: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": image, "resources": {}}]}})
}

/// The condition of a type.
pub fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|c| c["type"] == kind).unwrap_or(Value::Null)
}
