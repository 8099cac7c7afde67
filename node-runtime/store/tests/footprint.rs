//! What objects and watchers cost in memory. One test, for memory is the
//! process's.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{any, named, plain, registry};
use serde_json::json;

const WATCHERS: usize = 10_000;
const OBJECTS: usize = 2_000;
const BYTES_PER_WATCHER_MAX: usize = 1_500;

/// Resident memory.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn objects_and_watchers_are_small() {
    let (registry, _) = registry();
    let kind = any("ConfigMap");
    let before = resident_bytes();
    let mut json_bytes = 0;
    for n in 0..OBJECTS {
        let body = json!({"metadata": {"name": format!("config-{n}"), "labels": {"app": "web"}}, "data": {"d": "x".repeat(1500)}});
        json_bytes += registry.create(kind, "n", body, &plain()).unwrap().object.json.len();
    }
    let per_object = (resident_bytes() - before) / OBJECTS;
    println!("{per_object} bytes per object of {} bytes of JSON", json_bytes / OBJECTS);
    let before = resident_bytes();
    let start = registry.store().revision();
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..WATCHERS {
        let mut watch = registry.store().watch(kind, Some("n"), start).unwrap();
        watchers.spawn(async move { watch.next().await.map(|e| e.object.key.name.clone()) });
    }
    tokio::task::yield_now().await;
    println!("{} bytes of them the watch itself", size_of::<skerry_store::Watch>());
    let per_watcher = resident_bytes().saturating_sub(before) / WATCHERS;
    println!("{per_watcher} bytes per waiting watcher, its task included");
    assert!(per_watcher < BYTES_PER_WATCHER_MAX, "{per_watcher} bytes");
    registry.create(kind, "n", named("last"), &plain()).unwrap();
    while let Some(name) = watchers.join_next().await {
        assert_eq!(name.unwrap().unwrap(), "last");
    }
}
