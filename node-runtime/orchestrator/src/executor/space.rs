//! Disk space of pods: measured beside the loop, since there may be many files;
//! a pod that takes more than it may is evicted.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use skerry_platform::usage;

use super::{Executor, Happened};
use crate::{
    config::Config,
    containerd::Runtime,
    desired::{Desired, Pod},
    host::{Host, layer_dir, log_file, volumes_dir},
    storage::{self, Usage},
};

/// Pause between measurements, as with the kubelet.
const PAUSE_SECS: f64 = 10.0;
/// Measuring takes no more than this share of the time.
const TIME_SHARE_MAX: f64 = 0.02;

/// Where the files of a pod are.
struct Places {
    uid: String,
    /// Folders of each container.
    containers: Vec<(String, Vec<PathBuf>)>,
    volumes: Vec<(String, PathBuf)>,
}

impl<R: Runtime, H: Host> Executor<R, H> {
    /// Begin to measure the pods that have limits, if it is time.
    pub(crate) fn measure(&mut self, desired: &Desired, now: f64) {
        if self.memory.measuring || now < self.memory.measure_at {
            return;
        }
        let due = |p: &&Pod| !p.finished && !self.memory.evicted.contains_key(&p.uid) && storage::is_limited(p);
        let all: Vec<Places> = desired.pods.values().filter(due).map(|p| places(&self.config, p)).collect();
        if all.is_empty() {
            return;
        }
        self.memory.measuring = true;
        let report = self.happened.clone();
        tokio::task::spawn_blocking(move || {
            let since = Instant::now();
            let usages = all.iter().map(|p| (p.uid.clone(), measured(p))).collect();
            // Nobody listens: everything ends.
            let _ = report.blocking_send(Happened::Measured { usages, took: since.elapsed() });
        });
    }

    /// What was measured: who has to go?
    pub(super) fn note_usage(&mut self, usages: &[(String, Usage)], took: Duration, desired: &Desired, now: f64) {
        self.memory.measuring = false;
        self.memory.measure_at = now + PAUSE_SECS.max(took.as_secs_f64() / TIME_SHARE_MAX);
        for (uid, usage) in usages {
            let Some(pod) = desired.pods.get(uid).filter(|p| !p.finished) else { continue };
            if let Some(why) = storage::excess(pod, usage) {
                self.memory.tell(pod, None, true, "Evicted", &why);
                self.memory.event(format!("{}/{}: evicted: {why}", pod.namespace, pod.name));
                self.memory.evicted.insert(uid.clone(), why);
            }
        }
    }
}

fn places(config: &Config, pod: &Pod) -> Places {
    let container = |name: &String| {
        let log = log_file(config, &pod.namespace, &pod.name, &pod.uid, name, 0);
        let logs = log.parent().map(Into::into);
        let layer = layer_dir(config, &pod.uid, name).join("upper");
        (name.clone(), [Some(layer), logs].into_iter().flatten().collect())
    };
    let volume = |name: &String| (name.clone(), volumes_dir(config, &pod.uid).join(name));
    Places {
        uid: pod.uid.clone(),
        containers: pod.containers.iter().map(|c| container(&c.name)).collect(),
        volumes: storage::volumes(pod).map(|(name, _)| volume(name)).collect(),
    }
}

fn measured(places: &Places) -> Usage {
    // What cannot be read now is measured again soon.
    let bytes = |path: &PathBuf| {
        usage::bytes(path).unwrap_or_else(|error| {
            tracing::warn!(%error, "{} is not measured", path.display());
            0
        })
    };
    let sum = |paths: &[PathBuf]| paths.iter().map(bytes).fold(0, u64::saturating_add);
    Usage {
        containers: places.containers.iter().map(|(name, paths)| (name.clone(), sum(paths))).collect(),
        volumes: places.volumes.iter().map(|(name, path)| (name.clone(), bytes(path))).collect(),
    }
}
