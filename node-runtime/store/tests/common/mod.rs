//! A registry whose clock and random numbers are known.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use skerry_machinery::{Key, Kind, kind};
use skerry_store::{Admission, AllowAll, Environment, Registry, Store, StoreOptions, WriteOptions};

/// Time stands still until it is set; random numbers count up.
#[derive(Default)]
pub struct Known {
    pub seconds: AtomicI64,
    random: AtomicU64,
    /// Every random number is the same.
    pub stuck: std::sync::atomic::AtomicBool,
}

impl Environment for Known {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds.load(SeqCst)).unwrap()
    }
    fn random(&self) -> u64 {
        match self.stuck.load(SeqCst) {
            true => 7,
            false => self.random.fetch_add(1, SeqCst),
        }
    }
}

pub fn registry_with(store: Store, admission: Arc<dyn Admission>) -> (Registry, Arc<Known>) {
    let known = Arc::new(Known::default());
    let registry = Registry::new(store, admission, known.clone());
    for name in ["default", "n"] {
        let made = registry.create(kind("", "Namespace"), "", json!({"metadata": {"name": name}}), &plain());
        assert!(made.is_ok() || made.is_err_and(|e| e.code() == 409));
    }
    (registry, known)
}

pub fn registry() -> (Registry, Arc<Known>) {
    registry_with(Store::in_memory(&StoreOptions::default()), Arc::new(AllowAll))
}

pub fn plain() -> WriteOptions {
    WriteOptions::default()
}

pub fn key(kind_name: &str, name: &str) -> Key {
    Key::new(any(kind_name), "n", name)
}

pub fn any(name: &str) -> &'static Kind {
    skerry_machinery::KINDS.iter().find(|k| k.kind == name).unwrap()
}

pub fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}
