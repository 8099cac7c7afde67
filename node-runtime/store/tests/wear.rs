//! What a day costs the flash. One test, for the counters are the process's.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use common::{any, key, plain, registry_with};
use serde_json::{Value, json};
use skerry_machinery::Key;
use skerry_store::{AllowAll, Part, Registry, Store, StoreOptions};

const DAY_SECS: i64 = 24 * 60 * 60;
const BYTES_PER_DAY_MAX: u64 = 5_000_000;
const PODS: usize = 20;

/// Bytes that this process has passed to `write` and its kin.
fn written_bytes() -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap();
    counters.lines().find_map(|l| l.strip_prefix("wchar: ")).unwrap().parse().unwrap()
}

fn pod(n: usize) -> Value {
    json!({"metadata": {"name": format!("p{n}"), "labels": {"app": "a".repeat(40)}},
        "spec": {"nodeName": "here", "containers": [{"name": "c", "image": "i".repeat(80), "env": "e".repeat(900)}]}})
}

fn node_status(now: i64) -> Value {
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "lastHeartbeatTime": now, "message": "m".repeat(60)});
    let kinds = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"].map(condition);
    json!({"status": {"conditions": kinds, "images": "i".repeat(1200)}})
}

fn pod_status(now: i64) -> Value {
    json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "at": now}], "containerStatuses": "s".repeat(1500)}})
}

/// A quiet day: the node's heartbeat every ten seconds, a probe that fails for
/// a moment twice an hour, with an event each.
fn live(registry: &Registry, second: i64) {
    if second % 10 == 0 {
        let node = Key::new(any("Node"), "", "here");
        registry.update(&node, node_status(second), Part::Status, &plain()).unwrap();
    }
    if second % 1800 < 20 && second % 10 == 0 {
        let n = (second / 1800) as usize % PODS;
        registry.update(&key("Pod", &format!("p{n}")), pod_status(second), Part::Status, &plain()).unwrap();
        let event = json!({"metadata": {"generateName": "e-"}, "message": "m".repeat(300), "reason": "Unhealthy"});
        registry.create(any("Event"), "n", event, &plain()).unwrap();
    }
}

#[test]
fn an_idle_day_writes_little() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::default();
    let (registry, known) =
        registry_with(Store::open(&dir.path().join("db"), &options).unwrap().store, Arc::new(AllowAll));
    registry.create(any("Node"), "", json!({"metadata": {"name": "here"}}), &plain()).unwrap();
    for n in 0..PODS {
        registry.create(any("Pod"), "n", pod(n), &plain()).unwrap();
        registry.update(&key("Pod", &format!("p{n}")), pod_status(0), Part::Status, &plain()).unwrap();
    }
    registry.store().flush_blocking().unwrap();
    let before = written_bytes();
    let batch_secs = options.batch_interval.as_secs() as i64;
    for second in 0..DAY_SECS {
        known.seconds.store(second, SeqCst);
        live(&registry, second);
        if second % batch_secs == batch_secs - 1 {
            registry.store().flush_blocking().unwrap();
        }
    }
    // The last checkpoint too.
    drop(registry);
    let written = written_bytes() - before;
    println!("{written} bytes written in a day");
    assert!((100_000..BYTES_PER_DAY_MAX).contains(&written), "{written} bytes");
}
