//! Watches: what they see equals what lists say, and nobody waits for the slow.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use common::{any, key, named, plain, registry, registry_with};
use proptest::{
    prelude::{Just, ProptestConfig, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof},
    proptest,
};
use serde_json::json;
use skerry_machinery::{Key, Reason, Stored};
use skerry_store::{
    AllowAll, DeleteOptions, Durability, EventType, Part, Propagation, Registry, Store, StoreOptions, Watch,
};

fn small() -> StoreOptions {
    StoreOptions { history_events_max: 8, ..Default::default() }
}

#[tokio::test]
async fn several_watchers_see_the_same() {
    let (registry, _) = registry();
    let kind = any("ConfigMap");
    let start = registry.store().revision();
    let watchers: Vec<_> = (0..20)
        .map(|_| {
            let mut watch = registry.store().watch(kind, Some("n"), start).unwrap();
            tokio::spawn(async move {
                let mut seen = vec![];
                while seen.len() < 30 {
                    let event = watch.next().await.unwrap();
                    seen.push((event.event, event.object.key.name.clone(), event.revision()));
                }
                seen
            })
        })
        .collect();
    for n in 0..10 {
        let name = format!("c{n}");
        registry.create(kind, "n", named(&name), &plain()).unwrap();
        registry.create(kind, "default", named(&name), &plain()).unwrap();
        tokio::task::yield_now().await;
        let key = key("ConfigMap", &name);
        registry.update(&key, json!({"data": {"a": "1"}}), Part::Main, &plain()).unwrap();
        registry.delete(&key, &DeleteOptions::default()).unwrap();
    }
    let mut all = vec![];
    for watcher in watchers {
        all.push(watcher.await.unwrap());
    }
    assert!(all.windows(2).all(|w| w[0] == w[1]));
    let types: Vec<_> = all[0].iter().map(|e| e.0).collect();
    assert_eq!(types, [EventType::Added, EventType::Modified, EventType::Deleted].repeat(10));
    assert!(all[0].windows(2).all(|w| w[0].2 < w[1].2));
}

#[tokio::test]
async fn a_watch_waits_and_may_be_interrupted() {
    let (registry, _) = registry();
    let kind = any("Secret");
    let mut watch = registry.store().watch(kind, None, registry.store().revision()).unwrap();
    for n in 0..50 {
        // Dropped while it waits: nothing may get lost.
        tokio::select! {
            biased;
            event = watch.next() => panic!("nothing has happened, but {event:?}"),
            () = tokio::task::yield_now() => {}
        }
        registry.create(any("ConfigMap"), "n", named(&format!("c{n}")), &plain()).unwrap();
        registry.create(kind, "n", named(&format!("s{n}")), &plain()).unwrap();
        assert_eq!(watch.next().await.unwrap().object.key.name, format!("s{n}"));
    }
    assert!(watch.try_next().unwrap().is_none());
    assert_eq!(watch.position(), registry.store().revision());
}

#[tokio::test]
async fn a_slow_watch_ends_and_holds_nothing() {
    let store = Store::in_memory(&small());
    let (registry, _) = registry_with(store.clone(), Arc::new(AllowAll));
    let kind = any("ConfigMap");
    let mut slow = store.watch(kind, None, store.revision()).unwrap();
    let mut idle = store.watch(any("Secret"), None, store.revision()).unwrap();
    registry.create(kind, "n", named("first"), &plain()).unwrap();
    let first = Arc::downgrade(&store.get(&key("ConfigMap", "first")).unwrap());
    registry.delete(&key("ConfigMap", "first"), &DeleteOptions::default()).unwrap();
    assert!(first.upgrade().is_some(), "the history has it");
    for n in 0..20 {
        registry.create(kind, "n", named(&format!("c{n}")), &plain()).unwrap();
    }
    assert!(first.upgrade().is_none(), "the slow watch does not");
    assert_eq!(slow.next().await.unwrap_err().reason, Reason::Expired);
    assert_eq!(slow.next().await.unwrap_err().reason, Reason::Expired);
    assert!(idle.try_next().unwrap().is_none(), "other kinds are not concerned");
    for wrong in [0, store.revision() + 1] {
        assert_eq!(store.watch(kind, None, wrong).unwrap_err().reason, Reason::Expired);
    }
}

#[tokio::test]
async fn revisions_can_be_waited_for() {
    let (registry, _) = registry();
    let mut revisions = registry.store().revisions();
    let before = *revisions.borrow_and_update();
    let waiting = tokio::spawn(async move {
        revisions.changed().await.unwrap();
        *revisions.borrow()
    });
    tokio::task::yield_now().await;
    registry.create(any("ConfigMap"), "n", named("c"), &plain()).unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap().unwrap(), before + 1);
}

/// A step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Create(u8, bool),
    Update(u8, u8),
    Status(u8, u8),
    Delete(u8, bool),
    Release(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..5u8;
    prop_oneof![
        4 => (name.clone(), prop::bool::ANY).prop_map(|(n, f)| Step::Create(n, f)),
        4 => (name.clone(), 0..3u8).prop_map(|(n, v)| Step::Update(n, v)),
        4 => (name.clone(), 0..3u8).prop_map(|(n, v)| Step::Status(n, v)),
        3 => (name.clone(), prop::bool::ANY).prop_map(|(n, f)| Step::Delete(n, f)),
        2 => name.prop_map(Step::Release),
        1 => Just(Step::Restart),
    ]
}

/// What the model knows of an object.
#[derive(Debug, Clone, Default, PartialEq)]
struct Modelled {
    spec: u8,
    status: Option<u8>,
    generation: i64,
    finalizers: Vec<String>,
    terminating: bool,
}

type Model = BTreeMap<String, Modelled>;

fn name(n: u8) -> String {
    format!("d{n}")
}

/// Do it to both; they must agree on success.
fn apply(registry: &Registry, model: &mut Model, step: &Step) {
    let kind = any("Deployment");
    match *step {
        Step::Create(n, held) => {
            let finalizers: Vec<&str> = if held { vec!["f"] } else { vec![] };
            let body = json!({"metadata": {"name": name(n), "finalizers": finalizers}, "spec": {"v": 0}});
            let made = registry.create(kind, "n", body, &plain());
            assert_eq!(made.is_ok(), !model.contains_key(&name(n)));
            let finalizers = finalizers.into_iter().map(Into::into).collect();
            model.entry(name(n)).or_insert(Modelled { generation: 1, finalizers, ..Default::default() });
        }
        Step::Update(n, v) => {
            let change = |old: &serde_json::Value| {
                let mut new = old.clone();
                new["spec"]["v"] = v.into();
                new["status"]["v"] = 99.into();
                Ok(new)
            };
            let done = registry.update_with(&key("Deployment", &name(n)), Part::Main, &plain(), change);
            assert_eq!(done.is_ok(), model.contains_key(&name(n)));
            if let Some(m) = model.get_mut(&name(n)) {
                m.generation += i64::from(m.spec != v);
                m.spec = v;
            }
        }
        Step::Status(n, v) => {
            let body = json!({"spec": {"v": 98}, "status": {"v": v}});
            let done = registry.update(&key("Deployment", &name(n)), body, Part::Status, &plain());
            assert_eq!(done.is_ok(), model.contains_key(&name(n)));
            model.entry(name(n)).and_modify(|m| m.status = Some(v)).or_default();
            if done.is_err() {
                model.remove(&name(n));
            }
        }
        Step::Delete(n, foreground) => {
            let propagation = if foreground { Propagation::Foreground } else { Propagation::Background };
            let options = DeleteOptions { propagation, ..Default::default() };
            let done = registry.delete(&key("Deployment", &name(n)), &options);
            assert_eq!(done.is_ok(), model.contains_key(&name(n)));
            let Some(m) = model.get_mut(&name(n)) else { return };
            if foreground && !m.finalizers.iter().any(|f| f == "foregroundDeletion") {
                m.finalizers.push("foregroundDeletion".into());
            }
            if m.finalizers.is_empty() {
                model.remove(&name(n));
            } else {
                m.generation += i64::from(!m.terminating);
                m.terminating = true;
            }
        }
        Step::Release(n) => {
            let change = |old: &serde_json::Value| {
                let mut new = old.clone();
                new["metadata"]["finalizers"] = json!([]);
                Ok(new)
            };
            let _ = registry.update_with(&key("Deployment", &name(n)), Part::Main, &plain(), change);
            let Some(m) = model.get_mut(&name(n)) else { return };
            m.finalizers.clear();
            if m.terminating {
                model.remove(&name(n));
            }
        }
        Step::Restart => {}
    }
}

fn read(object: &Stored) -> (String, Modelled) {
    let value = object.value();
    let number = |v: &serde_json::Value| v.as_u64().and_then(|v| u8::try_from(v).ok());
    let modelled = Modelled {
        spec: number(&value["spec"]["v"]).unwrap(),
        status: number(&value["status"]["v"]),
        generation: object.meta.generation,
        finalizers: object.meta.finalizers.clone(),
        terminating: object.meta.terminating(),
    };
    (object.key.name.clone(), modelled)
}

/// Objects as a watch has told them.
#[derive(Default)]
struct Replay {
    objects: BTreeMap<Key, Arc<Stored>>,
    last: u64,
}

impl Replay {
    fn follow(&mut self, watch: &mut Watch) {
        while let Some(event) = watch.try_next().unwrap() {
            assert!(event.revision() > self.last, "revisions ascend");
            self.last = event.revision();
            let key = event.object.key.clone();
            let previous = match event.event {
                EventType::Deleted => self.objects.remove(&key),
                _ => self.objects.insert(key, event.object.clone()),
            };
            assert_eq!(previous, event.previous);
            assert_eq!(event.previous.is_none(), event.event == EventType::Added);
            assert_eq!(event.object.meta.resource_version, event.revision().to_string());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn histories_agree_with_a_model(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(&dir.path().join("db"), &StoreOptions::default()).unwrap();
        let kind = any("Deployment");
        let (mut registry, _) = registry_with(open().store, Arc::new(AllowAll));
        let mut watch = registry.store().watch(kind, None, registry.store().revision()).unwrap();
        let (mut model, mut replay) = (Model::new(), Replay::default());
        for step in &steps {
            apply(&registry, &mut model, step);
            if let Step::Restart = step {
                replay.follow(&mut watch);
                let (before, listed) = registry.store().list(kind, None);
                drop((watch, registry));
                let opened = open();
                prop_assert_eq!(opened.recovered, None);
                prop_assert!(opened.store.revision() >= before);
                prop_assert_eq!(&opened.store.list(kind, None).1, &listed);
                // Revisions that were given out are never given out again.
                let resumed = opened.store.watch(kind, None, before);
                prop_assert_eq!(resumed.is_ok(), opened.store.revision() == before);
                registry = registry_with(opened.store, Arc::new(AllowAll)).0;
                watch = registry.store().watch(kind, None, registry.store().revision()).unwrap();
            }
        }
        replay.follow(&mut watch);
        let (revision, listed) = registry.store().list(kind, None);
        prop_assert!(replay.objects.values().eq(listed.iter()));
        prop_assert!(listed.iter().all(|o| o.revision <= revision));
        let read: Model = listed.iter().map(|o| read(o)).collect();
        prop_assert_eq!(read, model);
    }

    /// Whatever the bounds: a watch sees everything in order, or is told that
    /// it does not.
    #[test]
    fn expiry_is_told(
        events_max in 1..12usize,
        writes in prop::collection::vec((0..3u8, 0..4u8), 1..40),
        reads in prop::collection::vec(prop::bool::ANY, 40),
    ) {
        let store = Store::in_memory(&StoreOptions { history_events_max: events_max, ..Default::default() });
        let kinds = [any("ConfigMap"), any("Secret"), any("Pod")];
        let mut watch = store.watch(kinds[0], None, 0).unwrap();
        let (mut written, mut seen) = (vec![], vec![]);
        let mut expired = false;
        for (n, (kind, name)) in writes.iter().enumerate() {
            let kind = kinds[usize::from(*kind)];
            let body = json!({"apiVersion": "v1", "kind": kind.kind, "metadata": {"name": format!("o{name}"), "namespace": "n"}});
            let (object, _) = store.put(body, Durability::Durable).unwrap();
            if kind == kinds[0] {
                written.push(object.revision);
            }
            while reads[n] && !expired {
                match watch.try_next() {
                    Ok(Some(event)) => seen.push(event.revision()),
                    Ok(None) => break,
                    Err(error) => {
                        prop_assert_eq!(error.reason, Reason::Expired);
                        expired = true;
                    }
                }
            }
            prop_assert!(written.starts_with(&seen));
            if reads[n] && !expired {
                prop_assert_eq!(&written, &seen);
            }
            // What is within the bound can always be watched.
            let from = store.revision() - (events_max as u64).min(store.revision());
            prop_assert!(store.watch(kinds[0], None, from).is_ok());
        }
    }
}
