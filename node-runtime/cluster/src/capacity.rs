//! Capacity of volumes: held by the file system where it counts projects (DATA
//! as a node makes it), else watched, and told when it is exceeded.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use skerry_platform::{quota, usage};

/// Pause between two looks at what is only watched.
const PAUSE: Duration = Duration::from_secs(60);
/// A look of this length makes the pause this many times as long.
const PAUSE_FACTOR: u32 = 50;

/// A volume that has a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sized {
    /// Namespace, name and uid of its claim.
    pub claim: (String, String, String),
    /// Its folder.
    pub path: PathBuf,
    /// Its capacity, as it was asked for.
    pub capacity: String,
    /// The same in bytes.
    pub bytes: u64,
}

/// Something to tell about a claim, as an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub claim: (String, String, String),
    pub reason: &'static str,
    pub message: String,
}

/// What is known of the volumes, by name.
#[derive(Debug, Default)]
pub(crate) struct Capacity {
    held: BTreeMap<String, u64>,
    watched: BTreeMap<String, Sized>,
    /// Told to have exceeded their capacity.
    full: BTreeSet<String>,
    findings: Vec<Finding>,
    measured: Arc<Mutex<Measured>>,
}

#[derive(Debug, Default)]
struct Measured {
    /// `None`: at once.
    next: Option<Instant>,
    going: bool,
    bytes: BTreeMap<String, u64>,
}

impl Capacity {
    /// Let the volume have its size, if it has not. A capacity of 0 is none.
    pub(crate) fn hold(&mut self, volume: &str, sized: Sized) {
        let known = self.held.get(volume) == Some(&sized.bytes) || self.watched.get(volume) == Some(&sized);
        if known || sized.bytes == 0 {
            return;
        }
        match limit(&sized.path, sized.bytes) {
            Ok(()) => {
                self.watched.remove(volume);
                self.held.insert(volume.into(), sized.bytes);
            }
            Err(why) => {
                tracing::warn!("the capacity of volume {volume} is watched, not enforced: {why}");
                let message = format!("its capacity of {} is watched, not enforced: {why}", sized.capacity);
                self.findings.push(Finding { claim: sized.claim.clone(), reason: "CapacityNotEnforced", message });
                self.held.remove(volume);
                self.watched.insert(volume.into(), sized);
            }
        }
    }

    /// Forget volumes that are no more.
    pub(crate) fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.held.retain(|name, _| exists(name));
        self.watched.retain(|name, _| exists(name));
        self.full.retain(|name| exists(name));
    }

    /// What is to be told since the last time. Volumes that are only watched
    /// are measured beside everything else.
    pub(crate) fn look(&mut self) -> Vec<Finding> {
        self.measure();
        let bytes = self.lock().bytes.clone();
        for (name, sized) in &self.watched {
            let Some(used) = bytes.get(name) else { continue };
            if *used <= sized.bytes {
                self.full.remove(name);
            } else if self.full.insert(name.clone()) {
                let message = format!("it takes more than its capacity of {}", sized.capacity);
                self.findings.push(Finding { claim: sized.claim.clone(), reason: "CapacityExceeded", message });
            }
        }
        std::mem::take(&mut self.findings)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measure(&self) {
        let mut state = self.lock();
        if self.watched.is_empty() || state.going || state.next.is_some_and(|at| Instant::now() < at) {
            return;
        }
        state.going = true;
        let paths: Vec<(String, PathBuf)> = self.watched.iter().map(|(n, s)| (n.clone(), s.path.clone())).collect();
        let measured = self.measured.clone();
        tokio::task::spawn_blocking(move || {
            let since = Instant::now();
            let bytes = paths.into_iter().filter_map(|(name, path)| Some((name, usage::bytes(&path).ok()?))).collect();
            let took = since.elapsed();
            let next = Instant::now() + PAUSE.max(took * PAUSE_FACTOR);
            let mut state = measured.lock().unwrap_or_else(PoisonError::into_inner);
            *state = Measured { next: Some(next), going: false, bytes };
        });
    }
}

fn limit(path: &Path, bytes: u64) -> Result<(), String> {
    if !quota::available(path) {
        return Err("the file system has no project quotas".into());
    }
    quota::limit(path, bytes).map_err(|e| format!("setting a project quota: {e}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Nothing that tests run on counts projects.
    #[tokio::test]
    async fn without_quotas_a_claim_works_and_its_size_is_watched() {
        let d = tempfile::tempdir().unwrap();
        let claim = ("a".to_owned(), "c".to_owned(), "u".to_owned());
        let sized = Sized { claim: claim.clone(), path: d.path().into(), capacity: "1Mi".into(), bytes: 1 << 20 };
        let mut capacity = Capacity::default();
        capacity.hold("none", Sized { bytes: 0, ..sized.clone() });
        for _ in 0..2 {
            capacity.hold("v", sized.clone());
        }
        let message = "its capacity of 1Mi is watched, not enforced: the file system has no project quotas".into();
        assert_eq!(capacity.look(), [Finding { claim: claim.clone(), reason: "CapacityNotEnforced", message }]);
        std::fs::write(d.path().join("big"), vec![1; 2 << 20]).unwrap();
        std::fs::File::open(d.path().join("big")).unwrap().sync_all().unwrap();
        let found = until_told(&mut capacity).await;
        let message = "it takes more than its capacity of 1Mi".into();
        assert_eq!(found, [Finding { claim, reason: "CapacityExceeded", message }]);
        assert_eq!(capacity.look(), [], "once");
        capacity.retain(|_| false);
        assert!(capacity.watched.is_empty() && capacity.full.is_empty());
    }

    async fn until_told(capacity: &mut Capacity) -> Vec<Finding> {
        for _ in 0..600 {
            capacity.lock().next = None;
            let found = capacity.look();
            if !found.is_empty() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never told");
    }
}
