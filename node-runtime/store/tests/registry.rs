//! What the API promises about writes.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, atomic::Ordering::SeqCst};

use common::{any, key, named, plain, registry, registry_with};
use serde_json::{Value, json};
use skerry_machinery::{ApiError, Key, Reason};
use skerry_store::{
    Admission, DeleteOptions, EVENT_TTL_SECS, EVENTS_MAX, Lookup, OBJECT_SIZE_BYTES_MAX, Operation, Part, Propagation,
    Registry, Review, Store, StoreOptions, WriteOptions,
};

fn dry() -> WriteOptions {
    WriteOptions { dry_run: true, ..plain() }
}

fn grace(seconds: i64) -> DeleteOptions {
    DeleteOptions { grace_period_seconds: Some(seconds), ..Default::default() }
}

fn propagate(propagation: Propagation) -> DeleteOptions {
    DeleteOptions { propagation, ..Default::default() }
}

fn make(registry: &Registry, kind: &str, object: Value) -> Value {
    registry.create(any(kind), if any(kind).namespaced { "n" } else { "" }, object, &plain()).unwrap().object.value()
}

fn running_pod(registry: &Registry, name: &str) -> Key {
    make(
        registry,
        "Pod",
        json!({"metadata": {"name": name}, "spec": {"nodeName": "here", "terminationGracePeriodSeconds": 20}}),
    );
    let key = key("Pod", name);
    let status = json!({"status": {"phase": "Running"}});
    registry.update(&key, status, Part::Status, &plain()).unwrap();
    key
}

#[test]
fn create_sets_what_is_the_servers() {
    let (registry, known) = registry();
    known.seconds.store(1_000_000_000, SeqCst);
    let body = json!({
        "metadata": {"name": "web", "uid": "mine", "creationTimestamp": "1999-01-01T00:00:00Z", "generation": 9,
            "deletionTimestamp": "1999-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5, "finalizers": ["f"]},
        "spec": {"replicas": 1}, "status": {"replicas": 7},
    });
    let made = registry.create(any("Deployment"), "n", body, &plain()).unwrap();
    let value = made.object.value();
    let uid = made.object.meta.uid.clone();
    assert_eq!(uid.len(), 36);
    assert_eq!(
        value,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "n", "uid": uid, "creationTimestamp": "2001-09-09T01:46:40Z",
                "generation": 1, "finalizers": ["f"], "resourceVersion": made.object.revision.to_string()},
            "spec": {"replicas": 1}, "status": {},
        })
    );
    assert_eq!(registry.store().by_uid(&uid).unwrap(), made.object);
    assert_eq!(registry.get(&made.object.key).unwrap(), made.object);
    let pod = make(&registry, "Pod", json!({"metadata": {"name": "p"}, "status": {"phase": "Running"}}));
    assert_eq!(pod["status"], json!({"phase": "Pending"}));
    let node = make(&registry, "Node", json!({"metadata": {"name": "here"}, "status": {"capacity": {"cpu": "4"}}}));
    assert_eq!(node["status"]["capacity"]["cpu"], "4");
    assert!(make(&registry, "ConfigMap", named("c")).get("status").is_none());
}

#[test]
fn create_refuses() {
    let (registry, _) = registry();
    make(&registry, "ConfigMap", named("taken"));
    let long = "x".repeat(OBJECT_SIZE_BYTES_MAX);
    for (kind, namespace, body, code, part) in [
        ("ConfigMap", "n", named("taken"), 409, "configmaps \"taken\" already exists"),
        ("ConfigMap", "m", named("a"), 404, "namespaces \"m\" not found"),
        ("ConfigMap", "", named("a"), 400, "empty namespace"),
        ("ConfigMap", "n", json!({"metadata": {"name": "a", "namespace": "default"}}), 400, "does not match"),
        ("ConfigMap", "n", json!({"kind": "Secret", "metadata": {"name": "a"}}), 400, "does not match"),
        ("ConfigMap", "n", json!({"metadata": {"name": "a", "resourceVersion": "1"}}), 400, "should not be set"),
        ("ConfigMap", "n", json!({}), 422, "name or generateName is required"),
        ("ConfigMap", "n", named("a/b"), 422, "Invalid value"),
        ("ConfigMap", "n", json!({"metadata": {"generateName": "a/"}}), 422, "Invalid value"),
        ("ConfigMap", "n", json!({"metadata": {"name": 7}}), 422, "required"),
        ("ConfigMap", "n", json!({"metadata": {"name": "a", "labels": {"l": 7}}}), 400, "object"),
        ("ConfigMap", "n", json!({"metadata": {"name": "a"}, "data": {"d": long}}), 413, "at most 1572864"),
        ("ConfigMap", "n", json!([]), 400, "not a JSON object"),
        ("PodMetrics", "n", named("a"), 405, "cannot be written"),
    ] {
        let before = registry.store().revision();
        for options in [plain(), dry()] {
            let error = registry.create(any(kind), namespace, body.clone(), &options).unwrap_err();
            assert!(error.code() == code && error.message.contains(part), "{part}: {} {error}", error.code());
        }
        assert_eq!(registry.store().revision(), before, "{part}");
    }
}

#[test]
fn names_are_generated_until_one_is_free() {
    let (registry, known) = registry();
    let body = json!({"metadata": {"generateName": "web-"}});
    let names: Vec<_> = (0..50)
        .map(|_| make(&registry, "Pod", body.clone())["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.iter().all(|n| n.len() == 9 && n.starts_with("web-")));
    known.stuck.store(true, SeqCst);
    make(&registry, "ConfigMap", body.clone());
    let error = registry.create(any("ConfigMap"), "n", body, &plain()).unwrap_err();
    assert_eq!(error.reason, Reason::AlreadyExists);
    let long = json!({"metadata": {"generateName": "ä".repeat(90)}});
    let name = make(&registry, "ConfigMap", long)["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(name.chars().count(), 63);
}

#[test]
fn update_follows_optimistic_concurrency() {
    let (registry, _) = registry();
    let first = make(&registry, "ConfigMap", json!({"metadata": {"name": "c"}, "data": {"a": "1"}}));
    let key = key("ConfigMap", "c");
    let mut second = first.clone();
    second["data"]["a"] = "2".into();
    registry.update(&key, second.clone(), Part::Main, &plain()).unwrap();
    let error = registry.update(&key, second.clone(), Part::Main, &plain()).unwrap_err();
    assert!(error.reason == Reason::Conflict && error.message.contains("has been modified"), "{error}");
    let unconditional = json!({"data": {"a": "3"}});
    assert_eq!(registry.update(&key, unconditional, Part::Main, &plain()).unwrap().object.value()["data"]["a"], "3");
    let other = json!({"metadata": {"uid": "other"}});
    assert_eq!(registry.update(&key, other, Part::Main, &plain()).unwrap_err().reason, Reason::Conflict);
    make(&registry, "ServiceAccount", named("s"));
    let error = registry.update(&common::key("ServiceAccount", "s"), json!({}), Part::Main, &plain()).unwrap_err();
    assert_eq!(error.code(), 422);
    let gone = registry.update(&common::key("ConfigMap", "none"), json!({}), Part::Main, &plain()).unwrap_err();
    assert_eq!(gone.code(), 404);
    assert_eq!(registry.update(&key, json!({}), Part::Status, &plain()).unwrap_err().code(), 405);
}

#[test]
fn update_keeps_what_is_the_servers() {
    let (registry, _) = registry();
    let first = make(&registry, "Deployment", json!({"metadata": {"name": "d"}, "spec": {"replicas": 1}}));
    let key = key("Deployment", "d");
    let body = json!({"metadata": {"creationTimestamp": "1999-01-01T00:00:00Z", "generation": 77, "labels": {"l": "1"}},
        "spec": {"replicas": 1}, "status": {"replicas": 5}});
    let second = registry.update(&key, body, Part::Main, &plain()).unwrap().object.value();
    for field in ["uid", "creationTimestamp", "generation", "name", "namespace"] {
        assert_eq!(second["metadata"][field], first["metadata"][field], "{field}");
    }
    assert_eq!((&second["status"], &second["metadata"]["labels"]), (&json!({}), &json!({"l": "1"})));
    let deleting = json!({"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z"}, "spec": {}});
    let error = registry.update(&key, deleting, Part::Main, &plain()).unwrap_err();
    assert!(error.code() == 422 && error.message.contains("metadata.deletionTimestamp"), "{error}");
    for other in [json!({"metadata": {"name": "e"}}), json!({"metadata": {"namespace": "default"}})] {
        assert_eq!(registry.update(&key, other, Part::Main, &plain()).unwrap_err().code(), 400);
    }
}

#[test]
fn status_and_main_do_not_touch_each_other() {
    let (registry, _) = registry();
    let body = json!({"metadata": {"name": "s", "labels": {"l": "1"}}, "spec": {"replicas": 1}});
    make(&registry, "StatefulSet", body.clone());
    let key = key("StatefulSet", "s");
    let status = json!({"metadata": {"annotations": {"a": "1"}, "ownerReferences": [{"uid": "x"}]},
        "spec": {"replicas": 9}, "status": {"replicas": 1}});
    let object = registry.update(&key, status, Part::Status, &plain()).unwrap().object;
    let value = object.value();
    assert_eq!((&value["spec"]["replicas"], &value["status"]["replicas"]), (&json!(1), &json!(1)));
    assert_eq!((object.meta.generation, object.meta.owner_references.len()), (1, 0));
    assert_eq!((object.meta.labels.len(), object.meta.annotations.len()), (1, 1));
    let object = registry.update(&key, json!({"spec": {"replicas": 2}}), Part::Main, &plain()).unwrap().object;
    assert_eq!((object.meta.generation, object.value()["status"]["replicas"].as_i64()), (2, Some(1)));
    make(&registry, "Deployment", body);
    let labelled = json!({"metadata": {"labels": {"l": "2"}}, "status": {}});
    let object = registry.update(&common::key("Deployment", "s"), labelled, Part::Status, &plain()).unwrap().object;
    assert_eq!(object.meta.labels["l"], "1");
}

#[test]
fn nothing_new_writes_nothing() {
    let (registry, _) = registry();
    let first = make(
        &registry,
        "Deployment",
        json!({"metadata": {"name": "d", "managedFields": [{"manager": "m", "time": "1"}]}, "spec": {"replicas": 1}}),
    );
    let key = key("Deployment", "d");
    let before = registry.store().revision();
    let mut same = first.clone();
    same["metadata"]["managedFields"][0]["time"] = "2".into();
    for part in [Part::Main, Part::Status] {
        let written = registry.update(&key, same.clone(), part, &plain()).unwrap();
        assert_eq!(written.object.value(), first);
    }
    assert_eq!(registry.store().revision(), before);
}

#[test]
fn managers_of_fields_are_kept() {
    let (registry, _) = registry();
    let managers = json!([{"manager": "m"}]);
    make(&registry, "ConfigMap", json!({"metadata": {"name": "c", "managedFields": managers}}));
    let key = key("ConfigMap", "c");
    let put = |body: Value| registry.update(&key, body, Part::Main, &plain()).unwrap().object.value();
    assert_eq!(put(json!({"data": {"a": "1"}}))["metadata"]["managedFields"], managers);
    assert_eq!(put(json!({"metadata": {"managedFields": []}}))["metadata"]["managedFields"], managers);
    assert_eq!(put(json!({"metadata": {"managedFields": [{}]}}))["metadata"].get("managedFields"), None);
}

#[test]
fn update_with_sees_what_it_changes() {
    let (registry, _) = registry();
    make(&registry, "ConfigMap", json!({"metadata": {"name": "c"}, "data": {"n": 0}}));
    let key = key("ConfigMap", "c");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let add = |old: &Value| {
                        let mut new = old.clone();
                        new["data"]["n"] = (old["data"]["n"].as_i64().unwrap() + 1).into();
                        Ok(new)
                    };
                    registry.update_with(&key, Part::Main, &plain(), add).unwrap();
                }
            });
        }
    });
    assert_eq!(registry.get(&key).unwrap().value()["data"]["n"], 200);
    let error = registry.update_with(&key, Part::Main, &plain(), |_| Err(ApiError::bad_request("no"))).unwrap_err();
    assert_eq!(error.message, "no");
}

#[test]
fn dry_runs_change_nothing_and_use_no_revision() {
    let (registry, _) = registry();
    let key = key("ConfigMap", "c");
    let made = registry.create(key.kind, "n", named("c"), &dry()).unwrap().object;
    assert!(made.meta.resource_version.is_empty() && made.value()["metadata"].get("resourceVersion").is_none());
    assert!(!made.meta.uid.is_empty() && registry.get(&key).is_err());
    let real = make(&registry, "ConfigMap", named("c"));
    let before = registry.store().revision();
    let updated = registry.update(&key, json!({"data": {"a": "1"}}), Part::Main, &dry()).unwrap().object;
    assert_eq!((updated.value()["data"]["a"].as_str(), updated.revision), (Some("1"), before));
    let options = DeleteOptions { dry_run: true, ..Default::default() };
    assert!(registry.delete(&key, &options).unwrap().gone);
    let foreground = DeleteOptions { propagation: Propagation::Foreground, ..options.clone() };
    let deleted = registry.delete(&key, &foreground).unwrap();
    assert!(!deleted.gone && deleted.object.meta.terminating());
    assert_eq!(registry.delete_collection(key.kind, Some("n"), &options, |_| true).unwrap().len(), 1);
    assert_eq!((registry.get(&key).unwrap().value(), registry.store().revision()), (real, before));
}

#[test]
fn plain_objects_go_at_once() {
    let (registry, _) = registry();
    let made = make(&registry, "ConfigMap", named("c"));
    let key = key("ConfigMap", "c");
    let wrong = DeleteOptions { uid: Some("other".into()), ..Default::default() };
    assert_eq!(registry.delete(&key, &wrong).unwrap_err().reason, Reason::Conflict);
    let wrong = DeleteOptions { resource_version: Some("1".into()), ..Default::default() };
    assert_eq!(registry.delete(&key, &wrong).unwrap_err().reason, Reason::Conflict);
    let uid = made["metadata"]["uid"].as_str().map(str::to_owned);
    let deleted = registry.delete(&key, &DeleteOptions { uid, ..Default::default() }).unwrap();
    let wanted = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": "c", "kind": "configmaps", "uid": made["metadata"]["uid"]}});
    assert_eq!((deleted.gone, deleted.answer()), (true, wanted));
    assert!(registry.get(&key).is_err() && registry.store().by_uid(&deleted.object.meta.uid).is_none());
    assert_eq!(registry.delete(&key, &grace(0)).unwrap_err().code(), 404);
}

#[test]
fn finalizers_hold_an_object() {
    let (registry, known) = registry();
    known.seconds.store(1000, SeqCst);
    make(&registry, "Deployment", json!({"metadata": {"name": "d", "finalizers": ["a", "b"]}, "spec": {}}));
    let key = key("Deployment", "d");
    let deleted = registry.delete(&key, &grace(99)).unwrap();
    assert!(!deleted.gone);
    let meta = &deleted.object.meta;
    assert_eq!(meta.deletion_timestamp.as_deref(), Some("1970-01-01T00:16:40Z"));
    assert_eq!((meta.deletion_grace_period_seconds, meta.generation), (Some(0), 2));
    known.seconds.store(2000, SeqCst);
    let again = registry.delete(&key, &DeleteOptions::default()).unwrap();
    assert_eq!((again.gone, &again.object), (false, &deleted.object));
    let set = |list: Value| {
        registry.update(&key, json!({"metadata": {"finalizers": list}, "spec": {}}), Part::Main, &plain())
    };
    let error = set(json!(["a", "c"])).unwrap_err();
    assert!(error.code() == 422 && error.message.contains("no new finalizers"), "{error}");
    assert!(set(json!(["b"])).unwrap().object.meta.terminating());
    let mut watch = registry.store().watch(key.kind, None, registry.store().revision()).unwrap();
    let last = set(json!([])).unwrap().object;
    assert!(registry.get(&key).is_err());
    let event = watch.try_next().unwrap().unwrap();
    assert_eq!((event.event, event.revision()), (skerry_store::EventType::Deleted, last.revision));
}

#[test]
fn propagation_is_a_finalizer() {
    let (registry, _) = registry();
    for (propagation, finalizer) in [(Propagation::Foreground, "foregroundDeletion"), (Propagation::Orphan, "orphan")] {
        make(&registry, "ReplicaSet", json!({"metadata": {"name": "r"}, "spec": {}}));
        let key = key("ReplicaSet", "r");
        let deleted = registry.delete(&key, &propagate(propagation)).unwrap();
        assert_eq!((deleted.gone, deleted.object.meta.finalizers.as_slice()), (false, &[finalizer.to_owned()][..]));
        assert!(!registry.delete(&key, &DeleteOptions::default()).unwrap().gone);
        registry.update(&key, json!({"metadata": {"finalizers": []}, "spec": {}}), Part::Main, &plain()).unwrap();
        assert!(registry.get(&key).is_err());
    }
    make(&registry, "ReplicaSet", json!({"metadata": {"name": "r"}, "spec": {}}));
    let key = key("ReplicaSet", "r");
    registry.delete(&key, &propagate(Propagation::Orphan)).unwrap();
    let changed = registry.delete(&key, &propagate(Propagation::Foreground)).unwrap();
    assert_eq!(changed.object.meta.finalizers, ["foregroundDeletion"]);
}

#[test]
fn pods_are_given_time() {
    let (registry, known) = registry();
    known.seconds.store(100, SeqCst);
    let key = running_pod(&registry, "p");
    let stamp = |options: &DeleteOptions| {
        let deleted = registry.delete(&key, options).unwrap();
        assert!(!deleted.gone);
        let meta = deleted.object.meta.clone();
        (meta.deletion_timestamp.unwrap(), meta.deletion_grace_period_seconds.unwrap(), meta.generation)
    };
    let first = stamp(&DeleteOptions::default());
    assert_eq!(first, ("1970-01-01T00:02:00Z".into(), 20, 2));
    known.seconds.store(105, SeqCst);
    assert_eq!(stamp(&DeleteOptions::default()), first);
    assert_eq!(stamp(&grace(60)), first, "never longer");
    assert_eq!(stamp(&grace(5)), ("1970-01-01T00:01:45Z".into(), 5, 2));
    let status = json!({"status": {"phase": "Running", "message": "ending"}});
    assert!(registry.update(&key, status, Part::Status, &plain()).unwrap().object.meta.terminating());
    let deleted = registry.delete(&key, &grace(0)).unwrap();
    assert!(deleted.gone && deleted.answer()["kind"] == "Pod" && registry.get(&key).is_err());
}

#[test]
fn pods_that_need_no_time_go_at_once() {
    let (registry, _) = registry();
    make(&registry, "Pod", json!({"metadata": {"name": "waiting"}, "spec": {}}));
    assert!(registry.delete(&key("Pod", "waiting"), &grace(30)).unwrap().gone);
    for phase in ["Succeeded", "Failed"] {
        let key = running_pod(&registry, "ended");
        registry.update(&key, json!({"status": {"phase": phase}}), Part::Status, &plain()).unwrap();
        assert!(registry.delete(&key, &DeleteOptions::default()).unwrap().gone);
    }
    let key = running_pod(&registry, "p");
    let least = registry.delete(&key, &grace(-5)).unwrap();
    assert_eq!(least.object.meta.deletion_grace_period_seconds, Some(1));
}

#[test]
fn a_pod_with_finalizers_needs_both() {
    let (registry, _) = registry();
    let pod = json!({"metadata": {"name": "p", "finalizers": ["f"]}, "spec": {"nodeName": "here"}});
    for confirm_first in [true, false] {
        make(&registry, "Pod", pod.clone());
        let key = key("Pod", "p");
        assert_eq!(
            registry.delete(&key, &DeleteOptions::default()).unwrap().object.meta.deletion_grace_period_seconds,
            Some(30)
        );
        let free = || {
            registry.update_with(&key, Part::Main, &plain(), |old| {
                let mut new = old.clone();
                new["metadata"].as_object_mut().unwrap().remove("finalizers");
                Ok(new)
            })
        };
        if confirm_first {
            assert!(!registry.delete(&key, &grace(0)).unwrap().gone);
            free().unwrap();
        } else {
            free().unwrap();
            assert!(registry.get(&key).is_ok(), "the node has not confirmed");
            assert!(registry.delete(&key, &grace(0)).unwrap().gone);
        }
        assert!(registry.get(&key).is_err());
    }
}

#[test]
fn namespaces_go_when_they_are_empty() {
    let (registry, _) = registry();
    let made = make(&registry, "Namespace", named("x"));
    assert_eq!((&made["spec"]["finalizers"], &made["status"]["phase"]), (&json!(["kubernetes"]), &json!("Active")));
    registry.create(any("ConfigMap"), "x", named("c"), &plain()).unwrap();
    registry.create(any("Event"), "x", named("e"), &plain()).unwrap();
    let key = Key::new(any("Namespace"), "", "x");
    let empty = |old: &Value| {
        let mut new = old.clone();
        new["spec"]["finalizers"] = json!([]);
        Ok(new)
    };
    let kept = registry.update_with(&key, Part::Main, &plain(), empty).unwrap().object.value();
    assert_eq!(kept["spec"]["finalizers"], json!(["kubernetes"]), "it is not terminating");
    let deleted = registry.delete(&key, &grace(0)).unwrap();
    assert_eq!((deleted.gone, &deleted.object.value()["status"]["phase"]), (false, &json!("Terminating")));
    let error = registry.create(any("ConfigMap"), "x", named("d"), &plain()).unwrap_err();
    assert!(error.code() == 403 && error.message.contains("is being terminated"), "{error}");
    let error = registry.update_with(&key, Part::Main, &plain(), empty).unwrap_err();
    assert!(error.reason == Reason::Conflict && error.message.contains("ConfigMap x/c"), "{error}");
    registry.delete(&Key::new(any("ConfigMap"), "x", "c"), &DeleteOptions::default()).unwrap();
    registry.update_with(&key, Part::Main, &plain(), empty).unwrap();
    assert!(registry.get(&key).is_err());
    assert!(registry.get(&Key::new(any("Event"), "x", "e")).is_err(), "events go with their namespace");
    let default = Key::new(any("Namespace"), "", "default");
    assert_eq!(registry.delete(&default, &DeleteOptions::default()).unwrap_err().code(), 403);
}

#[test]
fn collections() {
    let (registry, _) = registry();
    for name in ["a", "b", "c"] {
        make(&registry, "ConfigMap", json!({"metadata": {"name": name, "labels": {"l": name}}}));
    }
    registry.create(any("ConfigMap"), "default", named("a"), &plain()).unwrap();
    let kind = any("ConfigMap");
    let not_b = |o: &skerry_machinery::Stored| o.meta.labels.get("l").is_none_or(|l| l != "b");
    let gone = registry.delete_collection(kind, Some("n"), &DeleteOptions::default(), not_b).unwrap();
    assert_eq!(gone.iter().map(|d| d.object.key.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(registry.store().list(kind, None).1.len(), 2);
    assert_eq!(registry.delete_collection(kind, None, &DeleteOptions::default(), |_| true).unwrap().len(), 2);
}

#[test]
fn events_are_bounded_in_age_and_number() {
    let (registry, known) = registry();
    let event = |name: String| json!({"metadata": {"name": name}, "count": 1});
    make(&registry, "Event", event("old".into()));
    make(&registry, "Event", event("renewed".into()));
    known.seconds.store(EVENT_TTL_SECS, SeqCst);
    registry.update(&key("Event", "renewed"), json!({"count": 2}), Part::Main, &plain()).unwrap();
    assert_eq!(registry.store().list(any("Event"), None).1.len(), 2);
    known.seconds.store(EVENT_TTL_SECS + 1, SeqCst);
    assert_eq!(registry.expire_events(), 1);
    assert!(registry.get(&key("Event", "old")).is_err() && registry.get(&key("Event", "renewed")).is_ok());
    for n in 0..EVENTS_MAX {
        make(&registry, "Event", event(format!("e{n}")));
    }
    assert_eq!(registry.store().list(any("Event"), None).1.len(), EVENTS_MAX);
    assert!(registry.get(&key("Event", "renewed")).is_err() && registry.get(&key("Event", "e0")).is_ok());
    registry.delete(&key("Event", "e0"), &DeleteOptions::default()).unwrap();
    make(&registry, "Event", event("last".into()));
    assert!(registry.get(&key("Event", "e1")).is_ok());
}

/// Sets a default, counts what it sees, warns, refuses one name.
struct Strict;

impl Admission for Strict {
    fn review(&self, review: &mut Review<'_>, store: &dyn Lookup) -> Result<(), ApiError> {
        if review.kind.kind != "ConfigMap" {
            return Ok(());
        }
        let name = match review.operation {
            Operation::Delete => review.old.unwrap().key.name.clone(),
            _ => review.object["metadata"]["name"].as_str().unwrap().to_owned(),
        };
        if name == "bad" {
            return Err(ApiError::forbidden(review.kind, &name, "bad"));
        }
        if review.operation == Operation::Create {
            review.object["data"]["seen"] = store.list(review.kind, Some("n")).len().into();
        }
        assert_eq!(store.get(review.kind, "n", &name).is_some(), review.operation != Operation::Create);
        review.warnings.push(format!("{:?} {name}", review.operation));
        Ok(())
    }
}

#[test]
fn admission_decides() {
    let (registry, _) = registry_with(Store::in_memory(&StoreOptions::default()), Arc::new(Strict));
    for n in 0..3 {
        let written = registry
            .create(any("ConfigMap"), "n", json!({"metadata": {"name": format!("c{n}")}, "data": {}}), &plain())
            .unwrap();
        assert_eq!(written.object.value()["data"]["seen"], n);
        assert_eq!(written.warnings, [format!("Create c{n}")]);
    }
    let error = registry.create(any("ConfigMap"), "n", named("bad"), &plain()).unwrap_err();
    assert_eq!(error.code(), 403);
    let key = key("ConfigMap", "c0");
    let written = registry.update(&key, json!({"data": {}}), Part::Main, &plain()).unwrap();
    assert_eq!(written.warnings, ["Update(Main) c0"]);
    assert_eq!(registry.delete(&key, &DeleteOptions::default()).unwrap().warnings, ["Delete c0"]);
}
