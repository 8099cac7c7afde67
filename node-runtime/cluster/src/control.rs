//! The loop: what changed in the store goes through the controllers, what
//! comes of it to the kubelet part, and what that says back into the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use skerry_controllers::{Change, EventKind, World};
use skerry_machinery::{ApiError, Key, Kind, Reason, kind};
use skerry_orchestrator::input::{Event, ImageState, Input, Output};
use skerry_store::{DeleteOptions, Environment as _, Part, Registry, SystemEnvironment, WriteOptions};
use tokio::sync::{mpsc, watch};

use crate::{
    Config, api, backend,
    baked::{self, Baked},
    claims::Claims,
    events::{self, Note},
    images::{self, Images},
    node::{self, Facts},
    offline,
    rollback::Rollback,
    view::View,
    workloads,
};

/// Rounds of the controllers without a pause. More means that two of them
/// undo each other's work; then they go on at a walking pace.
const ROUNDS_MAX: usize = 50;
/// Pause after rounds that did not come to rest, and after writes that failed.
const RETRY: Duration = Duration::from_secs(10);
/// The node is looked at this often.
const LOOK: Duration = Duration::from_secs(10);
/// Events are looked through for old ones this often.
const EXPIRE: Duration = Duration::from_secs(600);
/// Who writes, in events and field managers.
const CONTROLLERS: &str = "skerry-controllers";
const KUBELET: &str = "kubelet";

/// Everything that the loop holds.
pub(crate) struct Control {
    registry: Registry,
    node: String,
    config: Config,
    baked: Arc<Baked>,
    baked_errors: Vec<String>,
    facts: Facts,
    state: node::State,
    view: View,
    claims: Claims,
    images: Images,
    rollback: Rollback,
    /// The state of each, as last seen.
    present: BTreeMap<String, ImageState>,
    /// What was said to have failed, so that it is said once.
    told: BTreeSet<String>,
    looked_at: Option<Instant>,
    expired_at: Instant,
}

/// What a run of the controllers came to.
struct Settled {
    /// Run again then.
    wake_in: Duration,
}

impl Control {
    pub(crate) fn new(config: &Config, node: &str, registry: Registry, baked: Arc<Baked>) -> Self {
        Self {
            facts: Facts::read(node, &baked.node, config.kubelet.pod_cidrs()),
            images: Images::open(config, &baked.node),
            rollback: Rollback::default(),
            present: BTreeMap::new(),
            claims: Claims::new(&config.volumes_dir),
            registry,
            node: node.into(),
            config: config.clone(),
            baked,
            baked_errors: vec![],
            state: node::State::default(),
            view: View::default(),
            told: BTreeSet::new(),
            looked_at: None,
            expired_at: Instant::now(),
        }
    }

    /// What must be there before the kubelet part starts: the node, the
    /// namespaces, what the image brings, pods for it.
    pub(crate) fn begin(&mut self) {
        let booted = api::first_since_boot(&self.config.run_dir);
        if booted {
            self.forget_readiness();
        }
        self.look();
        self.settle();
        self.baked_errors = self.baked.errors.clone();
        // A boot begins with what the image says. A restart of this process is
        // nobody's wish and changes nothing that people did since.
        if booted {
            self.baked_errors.extend(self.baked.apply(&self.registry, Timestamp::now()));
            api::note_start(&self.config.run_dir);
        }
        self.baked_errors.iter().for_each(|e| tracing::error!("baked manifest: {e}"));
        tracing::info!("baked objects: {:?}", baked::counted(&self.baked));
        self.settle();
    }

    /// After a boot nothing runs, whatever the pods said before it.
    fn forget_readiness(&self) {
        let pod_kind = kind("", "Pod");
        for pod in self.registry.store().list(pod_kind, None).1 {
            let was = pod.value();
            if matches!(was["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
                continue;
            }
            let done = self.registry.update_with(&pod.key, Part::Status, &writer(KUBELET), |was| {
                let mut new = was.clone();
                unready(&mut new["status"]);
                Ok(new)
            });
            self.warn(done.map(drop), "forgetting the readiness of pods");
        }
    }

    fn warn(&self, result: Result<(), ApiError>, doing: &str) {
        if let Err(e) = result {
            tracing::warn!("{doing}: {}", e.message);
        }
    }

    /// What the kubelet part shall do.
    pub(crate) fn input(&mut self) -> Input {
        self.view.refresh(self.registry.store());
        self.claims.erase(&self.view, &self.registry);
        let store = self.registry.store().clone();
        let list = move |k: &'static Kind| store.list(k, None).1;
        let namespaces = list(kind("", "Namespace"));
        let namespaces = namespaces.iter().map(|n| (n.key.name.clone(), n.meta.labels.clone())).collect();
        let of_key = |key: Key| workloads::workload(&*self.registry.store().get(&key)?, &list);
        let pods = self.view.pods_of(&self.node);
        self.present = self.images.update(&pods, &self.view, &list);
        Input {
            pods,
            services: self.view.services.all().cloned().collect(),
            policies: self.view.policies.all().cloned().collect(),
            namespaces,
            ipv6: self.config.kubelet.ipv6(),
            config_maps: self.view.config_maps.by_name(),
            secrets: self.view.secrets.by_name(),
            claims: self.claims.folders(&self.view),
            images: self.present.clone(),
            workloads: self.baked.keys().filter_map(of_key).collect(),
            errors: self.baked_errors.clone(),
        }
    }

    /// Where the kubelet part finds root file systems of images.
    pub(crate) fn app_roots(&self) -> skerry_orchestrator::AppRoots {
        self.images.roots(self.config.kubelet.app_roots.clone())
    }

    /// Events of pulls, and whether a state is another than the kubelet part
    /// knows.
    fn pulls(&mut self) -> bool {
        for event in self.images.events() {
            let (uid, container) = images::whose(&event.key);
            let Some(pod) = self.registry.store().by_uid(uid) else { continue };
            let kind = if event.warning { EventKind::Warning } else { EventKind::Normal };
            let path = images::field_path(&pod.value(), container);
            self.event(&pod.key, uid, &path, kind, event.reason, &event.message, KUBELET);
        }
        let store = self.registry.store().clone();
        let list = move |k: &'static Kind| store.list(k, None).1;
        self.images.update(&self.view.pods_of(&self.node), &self.view, &list) != self.present
    }

    /// Until the kubelet part has ended.
    pub(crate) async fn run(mut self, mut outputs: mpsc::Receiver<Output>, inputs: watch::Sender<Arc<Input>>) {
        let mut revisions = self.registry.store().revisions();
        let mut sent = None;
        self.images.start();
        let mut pulled = self.images.changes();
        loop {
            while let Ok(output) = outputs.try_recv() {
                self.take(output);
            }
            revisions.borrow_and_update();
            let settled = self.settle();
            if self.looked_at.is_none_or(|at| at.elapsed() >= LOOK) {
                self.look();
            }
            let revision = self.registry.store().revision();
            if self.pulls() || sent != Some(revision) {
                inputs.send_replace(Arc::new(self.input()));
                sent = Some(revision);
            }
            let pause = settled.wake_in.min(LOOK);
            tokio::select! {
                output = outputs.recv() => match output {
                    Some(output) => self.take(output),
                    None => return,
                },
                () = changed(&mut pulled) => {}
                changed = revisions.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Run the controllers until they want nothing more.
    fn settle(&mut self) -> Settled {
        let mut failed = false;
        for _ in 0..ROUNDS_MAX {
            let outcome = self.controllers();
            for problem in &outcome.problems {
                self.tell(problem);
            }
            let mut wrote = false;
            for change in outcome.changes {
                match self.carry_out(change) {
                    Ok(counts) => wrote |= counts,
                    Err(()) => failed = true,
                }
            }
            if !wrote {
                let due = outcome.wake_at.map(|at| at.as_second() - Timestamp::now().as_second());
                let due = due.map_or(LOOK, |secs| Duration::from_secs(u64::try_from(secs).unwrap_or(0).max(1)));
                return Settled { wake_in: if failed { due.min(RETRY) } else { due } };
            }
        }
        Settled { wake_in: Duration::from_millis(500) }
    }

    fn controllers(&self) -> skerry_controllers::Outcome {
        let store = self.registry.store();
        let list = |k: &'static Kind| store.list(k, None).1;
        let world = World { now: Timestamp::now(), node: &self.node, list: &list, seed: SystemEnvironment.random() };
        skerry_controllers::run(&world)
    }

    fn tell(&mut self, text: &str) {
        if self.told.len() > 1000 {
            self.told.clear();
        }
        if self.told.insert(text.into()) {
            tracing::warn!("{text}");
        }
    }

    /// One change; does it count as progress? An event does not: nobody acts
    /// on it.
    fn carry_out(&mut self, change: Change) -> Result<bool, ()> {
        let options = writer(CONTROLLERS);
        let (what, result, object) = match change {
            Change::Create { kind, namespace, object } => {
                let result = self.registry.create(kind, &namespace, object.clone(), &options).map(drop);
                (format!("creating a {}", kind.kind), result, Some(object))
            }
            Change::Update { key, object } => {
                let result = self.registry.update(&key, object, Part::Main, &options).map(drop);
                (format!("updating {key}"), result, None)
            }
            Change::UpdateStatus { key, object } => {
                let result = self.registry.update(&key, object, Part::Status, &options).map(drop);
                (format!("updating the status of {key}"), result, None)
            }
            Change::Delete { key, uid } => {
                let options = DeleteOptions { uid: Some(uid), ..DeleteOptions::default() };
                (format!("deleting {key}"), self.registry.delete(&key, &options).map(drop), None)
            }
            Change::Event { about, uid, kind, reason, message } => {
                self.event(&about, &uid, "", kind, reason, &message, CONTROLLERS);
                return Ok(false);
            }
        };
        match result {
            Ok(()) => Ok(true),
            // Another state is there already; the next round sees it.
            Err(e) if matches!(e.reason, Reason::Conflict | Reason::NotFound | Reason::AlreadyExists) => Err(()),
            Err(e) => {
                self.tell(&format!("{what}: {}", e.message));
                if let Some(object) = object {
                    self.creation_failed(&object, &e);
                }
                Err(())
            }
        }
    }

    /// Its owner says so too, once.
    fn creation_failed(&mut self, object: &Value, e: &ApiError) {
        let owner = &object["metadata"]["ownerReferences"][0];
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        let Some(kind) = skerry_machinery::by_kind(text("apiVersion"), text("kind")) else { return };
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let (about, uid) = (Key::new(kind, namespace, text("name")), text("uid").to_owned());
        let message = format!("Error creating: {}", e.message);
        if self.told.insert(format!("{uid} {message}")) {
            self.event(&about, &uid, "", EventKind::Warning, "FailedCreate", &message, CONTROLLERS);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one event")]
    fn event(
        &self,
        about: &Key,
        uid: &str,
        field_path: &str,
        kind: EventKind,
        reason: &str,
        message: &str,
        source: &str,
    ) {
        let note = Note { about, uid, field_path, kind, reason, message, source };
        events::write(&self.registry, &self.node, Timestamp::now(), &note);
    }

    /// What the kubelet part says.
    fn take(&mut self, output: Output) {
        let pod = |namespace: String, name: String| Key::new(kind("", "Pod"), namespace, name);
        match output {
            Output::Status { namespace, name, uid, status } => {
                let key = pod(namespace, name);
                let written = self.registry.update_with(&key, Part::Status, &writer(KUBELET), |was| {
                    if was["metadata"]["uid"] != uid.as_str() {
                        return Err(ApiError::conflict(key.kind, &key.name, "it is another pod of the same name"));
                    }
                    let mut new = was.clone();
                    new["status"] = serde_json::to_value(&*status).map_err(|e| ApiError::internal(e.to_string()))?;
                    keep_foreign_conditions(&was["status"], &mut new["status"]);
                    Ok(new)
                });
                if let Err(e) = written {
                    tracing::debug!("status of {key}: {}", e.message);
                }
            }
            Output::Event(Event { namespace, pod: name, uid, field_path, warning, reason, message }) => {
                let kind = if warning { EventKind::Warning } else { EventKind::Normal };
                self.event(&pod(namespace, name), &uid, &field_path, kind, reason, &message, KUBELET);
            }
            Output::Deleted { namespace, name, uid } => {
                let key = pod(namespace, name);
                let now = DeleteOptions { uid: Some(uid), grace_period_seconds: Some(0), ..DeleteOptions::default() };
                match self.registry.delete(&key, &now) {
                    Err(e) if !matches!(e.reason, Reason::NotFound | Reason::Conflict) => {
                        tracing::warn!("{key}: {}", e.message);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Claims whose capacity does not hold, or is exceeded.
    fn tell_sizes(&mut self) {
        for f in self.claims.findings() {
            let (namespace, name, uid) = f.claim;
            let key = Key::new(kind("", "PersistentVolumeClaim"), namespace, name);
            self.event(&key, &uid, "", EventKind::Warning, f.reason, &f.message, KUBELET);
        }
    }

    /// Look at the node and say how it is.
    fn look(&mut self) {
        node::look(&mut self.state, &self.config.kubelet.pods_dir);
        let status = backend::read::<skerry_formats::status::OrchestratorStatus>(&self.config.kubelet.status);
        self.state.not_ready = match status {
            None => Some("the kubelet part has not looked yet".into()),
            Some(s) => s.containerd_error.map(|e| format!("containerd: {e}")),
        };
        self.tell_sizes();
        let store = self.registry.store().clone();
        let list = move |k: &'static Kind| store.list(k, None).1;
        self.state.missing = offline::missing(&list, &self.present);
        let target = self.rollback.target(&self.config.updater_status, &self.config.sysroot);
        // What is not there now has its line already.
        let local = |image: &str| {
            !matches!(self.present.get(image), Some(ImageState::Present(_))) || self.images.is_pulled(image)
        };
        self.state.missing.extend(target.iter().flat_map(|t| t.missing(&list, &local)));
        self.state.fallback = target.map(|t| t.name());
        let present =
            |(name, state): (&String, &ImageState)| matches!(state, ImageState::Present(_)).then(|| name.clone());
        self.state.images = self.present.iter().filter_map(present).collect();
        self.images.collect(&list);
        let published = node::publish(&self.registry, &self.facts, &self.state, Timestamp::now());
        self.warn(published, "the Node object");
        if self.expired_at.elapsed() >= EXPIRE {
            self.registry.expire_events();
            self.expired_at = Instant::now();
        }
        self.looked_at = Some(Instant::now());
    }
}

/// Wait for a change; for ever if there is nothing that could.
async fn changed<T>(what: &mut Option<watch::Receiver<T>>) {
    let alive = match what {
        Some(receiver) => receiver.changed().await.is_ok(),
        None => std::future::pending().await,
    };
    if !alive {
        *what = None;
    }
}

fn writer(who: &str) -> WriteOptions {
    WriteOptions { field_manager: who.into(), user: format!("system:{who}"), ..WriteOptions::default() }
}

/// Conditions that others write stay: the kubelet part knows its own only.
fn keep_foreign_conditions(was: &Value, new: &mut Value) {
    let Some(list) = new["conditions"].as_array_mut() else { return };
    let foreign = was["conditions"].as_array().into_iter().flatten();
    let foreign: Vec<Value> = foreign.filter(|c| !list.iter().any(|n| n["type"] == c["type"])).cloned().collect();
    list.extend(foreign);
}

/// Nothing of a pod is Ready.
fn unready(status: &mut Value) {
    for c in status["conditions"].as_array_mut().into_iter().flatten() {
        if matches!(c["type"].as_str(), Some("Ready" | "ContainersReady")) {
            c["status"] = json!("False");
            c["reason"] = json!("NodeRestarted");
        }
    }
    for list in ["containerStatuses", "initContainerStatuses"] {
        for c in status[list].as_array_mut().into_iter().flatten() {
            c["ready"] = json!(false);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn conditions_of_others_stay() {
        let was = json!({"conditions": [{"type": "Ready", "status": "False"}, {"type": "example.com/gate"}]});
        let mut new = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        keep_foreign_conditions(&was, &mut new);
        assert_eq!(new, json!({"conditions": [{"type": "Ready", "status": "True"}, {"type": "example.com/gate"}]}));
    }

    #[test]
    fn after_a_boot_nothing_is_ready() {
        let mut status = json!({"conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}],
            "containerStatuses": [{"name": "m", "ready": true}]});
        unready(&mut status);
        assert_eq!(status["conditions"][0]["status"], "False");
        assert_eq!(status["conditions"][1]["status"], "True");
        assert_eq!(status["containerStatuses"][0]["ready"], false);
    }
}
