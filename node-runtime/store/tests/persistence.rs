//! What is on the disk after a stop, a crash, and damage.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use common::{any, key, named, plain, registry_with};
use serde_json::{Value, json};
use skerry_machinery::Stored;
use skerry_store::{AllowAll, Durability, EVENT_TTL_SECS, Opened, Part, Store, StoreError, StoreOptions};

fn open(path: &Path) -> Opened {
    Store::open(path, &StoreOptions { first_revision: 1000, ..Default::default() }).unwrap()
}

fn map(name: &str, data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n", "uid": format!("u-{name}")}, "data": {"d": data}})
}

/// A database with objects of several sizes, and what they are.
fn filled(path: &Path) -> Vec<Arc<Stored>> {
    let store = open(path).store;
    for n in 0..40 {
        store.put(map(&format!("c{n}"), &"x".repeat(n * 300)), Durability::Durable).unwrap();
    }
    for n in (0..40).step_by(4) {
        store.remove(&key("ConfigMap", &format!("c{n}")), Durability::Durable).unwrap();
    }
    store.list(any("ConfigMap"), None).1
}

#[test]
fn everything_is_there_after_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (registry, _) = registry_with(open(&path).store, Arc::new(AllowAll));
    registry.create(any("Deployment"), "n", json!({"metadata": {"name": "d"}, "spec": {}}), &plain()).unwrap();
    registry.update(&key("Deployment", "d"), json!({"status": {"replicas": 3}}), Part::Status, &plain()).unwrap();
    registry.create(any("Event"), "n", named("e"), &plain()).unwrap();
    let (revision, before) = registry.store().list(any("Deployment"), None);
    drop(registry);
    let store = open(&path).store;
    assert_eq!(store.list(any("Deployment"), None).1, before);
    assert!(store.get(&key("Event", "e")).is_some() && store.revision() > revision);
    assert_eq!(store.by_uid(&before[0].meta.uid).unwrap(), before[0]);
}

#[test]
fn events_go_on_ageing_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (registry, _) = registry_with(open(&path).store, Arc::new(AllowAll));
    for (name, last) in [("old", "1970-01-01T00:00:00Z"), ("odd", "yesterday"), ("new", "1970-01-01T00:30:00.5Z")] {
        let event = json!({"metadata": {"name": name}, "lastTimestamp": last});
        registry.create(any("Event"), "n", event, &plain()).unwrap();
    }
    drop(registry);
    let (registry, known) = registry_with(open(&path).store, Arc::new(AllowAll));
    assert_eq!((registry.expire_events(), registry.store().list(any("Event"), None).1.len()), (0, 3));
    known.seconds.store(EVENT_TTL_SECS + 1, SeqCst);
    assert_eq!(registry.expire_events(), 2);
    assert!(registry.get(&key("Event", "new")).is_ok());
}

#[test]
fn closing_and_later_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("db")).store;
    store.put(map("a", ""), Durability::Durable).unwrap().1.wait_blocking().unwrap();
    store.close();
    let (_, ack) = store.put(map("b", ""), Durability::Durable).unwrap();
    let error = ack.wait_blocking().unwrap_err();
    assert!(error.code() == 500 && error.message.contains("closed"), "{error}");
    drop(store);
    assert_eq!(open(&dir.path().join("db")).store.len(), 1);
}

#[tokio::test]
async fn many_writes_are_acknowledged_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = open(&path).store;
    let writes: Vec<_> = (0..200)
        .map(|n| {
            let (_, ack) = store.put(map(&format!("c{n}"), ""), Durability::Durable).unwrap();
            tokio::spawn(async move { ack.wait().await })
        })
        .collect();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    store.put(map("c0", "batched"), Durability::Batched).unwrap().1.wait().await.unwrap();
    store.flush().await.unwrap();
}

#[test]
fn a_database_in_use_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let _first = open(&path).store;
    let second = Store::open(&path, &StoreOptions::default());
    assert!(matches!(second, Err(StoreError::Open { .. })), "{second:?}");
    let nowhere = Store::open(&dir.path().join("none/db"), &StoreOptions::default());
    assert!(matches!(nowhere, Err(StoreError::Open { .. })), "{nowhere:?}");
    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(!files.iter().any(|f| f.to_string_lossy().contains("corrupt")), "{files:?}");
}

/// Opening gives either all objects as they were, or a new store and a reason.
fn check_damaged(path: &Path, before: &[Arc<Stored>], what: &str) -> bool {
    let opened = open(path);
    match &opened.recovered {
        None => assert!(opened.store.list(any("ConfigMap"), None).1 == before, "{what}: other objects, and no reason"),
        Some(why) => {
            assert!(why.contains("is kept as"), "{why}");
            assert!(opened.store.is_empty() && opened.store.revision() == 1000, "{what}");
        }
    }
    let (_, ack) = opened.store.put(map("new", ""), Durability::Durable).unwrap();
    ack.wait_blocking().unwrap();
    opened.recovered.is_some()
}

#[test]
fn a_damaged_file_never_stops_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join("good");
    let before = filled(&good);
    let bytes = fs::read(&good).unwrap();
    assert!(!dir.path().join("good-wal").exists(), "a closed database is one file");
    let path = dir.path().join("bad");
    let mut damaged = 0;
    let mut try_with = |content: &[u8], what: &str| {
        fs::write(&path, content).unwrap();
        let found = check_damaged(&path, &before, what);
        damaged += usize::from(found);
        found
    };
    assert!(try_with(b"garbage, and not even a page of it", "garbage"));
    assert!(try_with(&vec![0xA5; 3 * 4096], "pages of garbage"));
    assert!(!try_with(&bytes, "the file as it was"));
    for length in [1, 99, 4095, 4096, 5000, bytes.len() / 2] {
        assert!(try_with(&bytes[..length], &format!("cut to {length} bytes")));
    }
    // The last page may be a free one.
    for length in [bytes.len() - 4096, bytes.len() - 1] {
        try_with(&bytes[..length], &format!("cut to {length} bytes"));
    }
    // Bits of the header one by one, of the rest here and there.
    let positions = (0..100).chain((100..bytes.len()).step_by(bytes.len() / 100));
    for position in positions {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1 << (position % 8);
        try_with(&flipped, &format!("flipped at {position}"));
    }
    assert!(damaged > 70, "only {damaged} were noticed: what was flipped?");
    let kept = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let kept: Vec<_> = kept.filter(|f| f.contains("corrupt") && !f.contains("-wal")).collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
}

#[test]
fn a_newer_file_is_kept_for_the_program_that_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    filled(&path);
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let opened = open(&path);
    let why = opened.recovered.unwrap();
    assert!(why.contains("schema 99") && why.contains("db.corrupt-1"), "{why}");
    assert!(opened.store.is_empty());
    let kept = rusqlite::Connection::open(dir.path().join("db.corrupt-1")).unwrap();
    let count: i64 = kept.query_row("SELECT count(*) FROM objects", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 30);
}

/// Names of the first objects, in the order of their writing.
fn prefix(store: &Store) -> usize {
    let (_, mut objects) = store.list(any("ConfigMap"), None);
    objects.sort_by_key(|o| o.revision);
    for (n, object) in objects.iter().enumerate() {
        assert_eq!(object.value()["data"]["d"], "z".repeat(n * 100), "each object is whole");
        assert_eq!(object.key.name, format!("c{n}"), "none is missing in between");
    }
    objects.len()
}

#[test]
fn a_torn_wal_loses_only_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = open(&path).store;
    for n in 0..30 {
        let (_, ack) = store.put(map(&format!("c{n}"), &"z".repeat(n * 100)), Durability::Durable).unwrap();
        ack.wait_blocking().unwrap();
    }
    let (database, wal) = (fs::read(&path).unwrap(), fs::read(dir.path().join("db-wal")).unwrap());
    let torn = dir.path().join("torn");
    let open_with = |wal: &[u8]| {
        fs::write(&torn, &database).unwrap();
        fs::write(dir.path().join("torn-wal"), wal).unwrap();
        open(&torn)
    };
    assert_eq!(prefix(&open_with(&wal).store), 30);
    let mut before = 0;
    for cut in (0..=20).map(|n| wal.len() * n / 20) {
        let opened = open_with(&wal[..cut]);
        let found = prefix(&opened.store);
        assert!(found >= before && opened.recovered.is_none(), "{found} after {before} of {cut} bytes");
        drop(opened);
        before = found;
        let mut flipped = wal.clone();
        flipped[cut.min(wal.len() - 1)] ^= 4;
        assert!(prefix(&open_with(&flipped).store) <= 30);
    }
    assert_eq!(before, 30);
}

#[test]
fn an_empty_file_is_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("db"), b"").unwrap();
    let opened = open(&dir.path().join("db"));
    assert!(opened.recovered.is_none() && opened.store.revision() == 1000);
}

const CHILD: &str = "SKERRY_STORE_TEST_CHILD";
const ROUNDS: usize = 8;
const ACKS_PER_ROUND: usize = 60;

/// Not a test of its own: what [`acknowledged_writes_survive_a_kill`] kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let store = open(Path::new(&path)).store;
    let started = std::time::Instant::now();
    for n in (0..).take_while(|_| started.elapsed() < Duration::from_secs(120)) {
        let name = format!("c{}", n % 17);
        let revision = if n % 5 == 4 {
            let Some((last, ack)) = store.remove(&key("ConfigMap", &name), Durability::Durable).unwrap() else {
                continue;
            };
            ack.wait_blocking().unwrap();
            (last.revision, "gone")
        } else {
            store.put(map("status", &n.to_string()), Durability::Batched).unwrap();
            let (object, ack) = store.put(map(&name, &"y".repeat(n % 5000)), Durability::Durable).unwrap();
            ack.wait_blocking().unwrap();
            (object.revision, "there")
        };
        println!("ACK {name} {} {}", revision.0, revision.1);
    }
}

/// Newest acknowledged revision by name, and whether the object was there.
type Acked = BTreeMap<String, (u64, bool)>;

fn kill_after_acks(path: &Path, acked: &mut Acked, count: usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = 0;
    while let Some(Ok(line)) = lines.next() {
        let Some((_, ack)) = line.split_once("ACK ") else { continue };
        let [name, revision, state] = ack.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        acked.insert(name.into(), (revision.parse().unwrap(), state == "there"));
        seen += 1;
        if seen == count {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= count, "the child ended by itself after {seen}");
}

#[test]
fn acknowledged_writes_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let mut acked = Acked::new();
    let mut floor = 0;
    for round in 0..ROUNDS {
        kill_after_acks(&path, &mut acked, ACKS_PER_ROUND + round * 7);
        let opened = open(&path);
        assert_eq!(opened.recovered, None);
        for (name, (revision, there)) in &acked {
            assert!(*revision < opened.store.revision() && *revision > 1000);
            let found = opened.store.get(&key("ConfigMap", name));
            // A write after the last acknowledged one may have come through.
            let newer = found.as_ref().is_some_and(|o| o.revision > *revision);
            match found {
                Some(object) => assert!(newer || *there && object.revision == *revision, "{name} in round {round}"),
                None => assert!(!there || unacknowledged_removal(&acked, *revision), "{name} in round {round}"),
            }
        }
        assert!(opened.store.revision() > floor, "revisions ascend over crashes");
        floor = opened.store.revision();
    }
}

/// Only the object whose turn came next can have been removed unacknowledged:
/// its last acknowledged write is 16 to 18 turns back.
fn unacknowledged_removal(acked: &Acked, revision: u64) -> bool {
    let newer = acked.values().filter(|(r, _)| *r > revision).count();
    newer >= 15
}
