//! Which images there are: baked ones, pinned as long as their release is, and
//! pulled ones, which pods ask for and disk pressure takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1 as core;
use serde_json::Value;
use skerry_formats::{Sha256Digest, baked::NodeConfig};
use skerry_images::{
    Event, ImageState as Pulled, Keyring, PullPolicy, PulledImage, Puller, PullerHandle, Reference, Registry,
    RegistryOptions, Request, Sealing, Store, StoreOptions, by_image, pressure,
};
use skerry_orchestrator::{
    AppRoots,
    input::{Image, ImageState, baked_images},
};
use skerry_platform::clock;
use skerry_workloads::pod_of;
use tokio::sync::watch;

use crate::{
    Config,
    offline::{self, WORKLOADS},
    view::View,
    workloads::List,
};

/// Room is made above the first share of DATA in use, down to the second,
/// percent.
const PRESSURE: (u8, u8) = (85, 80);
/// The disk is looked at this often.
const COLLECT: Duration = Duration::from_secs(300);

/// All images.
pub(crate) struct Images {
    baked: BTreeMap<String, ImageState>,
    pulled: Option<Pulling>,
    collected_at: Instant,
}

/// What pulls.
struct Pulling {
    store: Arc<Store>,
    handle: PullerHandle,
    puller: Option<Puller>,
}

impl Images {
    /// Open the store of pulled images. Without one, baked images run all the
    /// same.
    pub(crate) fn open(config: &Config, node: &NodeConfig) -> Self {
        let options = StoreOptions { root: config.images_dir.clone(), ..StoreOptions::default() };
        let registries = RegistryOptions { plain_http: node.images.plain_http.clone(), ..RegistryOptions::default() };
        let opened = Store::open(&options).map_err(anyhow::Error::from);
        let opened = opened.and_then(|store| Ok((store, Registry::new(&registries)?)));
        let pulled = match opened {
            Ok((store, registry)) => {
                let (puller, handle) = Puller::new(store.clone(), registry);
                Some(Pulling { store, handle, puller: Some(puller) })
            }
            Err(e) => {
                tracing::error!("images cannot be pulled: {e:#}");
                None
            }
        };
        Self { baked: baked_images(&node.apps), pulled, collected_at: Instant::now() }
    }

    /// Where the kubelet part finds root file systems.
    pub(crate) fn roots(&self, baked: AppRoots) -> AppRoots {
        match (baked, &self.pulled) {
            (AppRoots::Objects(objects), Some(p)) => AppRoots::ObjectsAndPulled {
                objects,
                pulled: p.store.objects_folder().into(),
                pulled_sealed: p.store.sealing() == Sealing::Kernel,
            },
            (roots, _) => roots,
        }
    }

    /// Begin to pull. Must be called within the runtime.
    pub(crate) fn start(&mut self) {
        if let Some(puller) = self.pulled.as_mut().and_then(|p| p.puller.take()) {
            tokio::spawn(puller.run());
        }
    }

    /// Wakes when an image has come or failed.
    pub(crate) fn changes(&self) -> Option<watch::Receiver<BTreeMap<String, Pulled>>> {
        self.pulled.as_ref().map(|p| p.handle.states.clone())
    }

    /// What there is to tell; the key of an event is that of a request.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        let Some(p) = &mut self.pulled else { return vec![] };
        std::iter::from_fn(|| p.handle.events.try_recv().ok()).collect()
    }

    /// Ask for what these pods need; the state of every image that a pod or a
    /// template names.
    pub(crate) fn update(
        &mut self,
        pods: &[Arc<core::Pod>],
        view: &View,
        list: List<'_>,
    ) -> BTreeMap<String, ImageState> {
        let mut out = self.baked.clone();
        let Some(p) = &self.pulled else { return out };
        let requests: Vec<Request> =
            pods.iter().flat_map(|pod| requests(pod, view)).filter(|r| !self.baked.contains_key(&r.image)).collect();
        p.handle.requests.send_if_modified(|old| {
            let new = *old != requests;
            if new {
                old.clone_from(&requests);
            }
            new
        });
        for name in named(list).into_iter().filter(|n| !self.baked.contains_key(n)) {
            if let Some(image) = name.parse::<Reference>().ok().and_then(|r| p.store.by_reference(&r)) {
                out.insert(name, ImageState::Present(Arc::new(image_of(&image))));
            }
        }
        let states = by_image(&requests, &p.handle.states.borrow());
        out.extend(states.into_iter().map(|(name, state)| (name, converted(&state))));
        out
    }

    /// Is the image here, whatever the running release brings?
    pub(crate) fn is_pulled(&self, image: &str) -> bool {
        let Some(p) = &self.pulled else { return false };
        image.parse::<Reference>().is_ok_and(|r| p.store.by_reference(&r).is_some())
    }

    /// Make room if the disk is full, off this thread.
    pub(crate) fn collect(&mut self, list: List<'_>) {
        let Some(p) = self.pulled.as_ref().filter(|_| self.collected_at.elapsed() >= COLLECT) else { return };
        self.collected_at = Instant::now();
        let found = named(list).into_iter().filter_map(|n| p.store.by_reference(&n.parse::<Reference>().ok()?));
        let in_use: BTreeSet<Sha256Digest> = found.map(|i| i.manifest_digest).collect();
        let store = p.store.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(e) = store.mark_used(&in_use, clock::now_secs()) {
                tracing::warn!("images in use: {e}");
            }
            let wanted = store.space().map_or(0, |space| pressure(space, PRESSURE.0, PRESSURE.1));
            if wanted == 0 {
                return;
            }
            match store.gc(wanted, &in_use, &BTreeSet::new()) {
                Ok(done) => tracing::info!("the disk is full: {} bytes of images removed", done.freed_bytes),
                Err(e) => tracing::warn!("removing images: {e}"),
            }
        });
    }
}

/// Every image that a pod or template names: what must not be collected. Those
/// that the running release bakes in are among them: under the release before,
/// a copy that was pulled may be the only one.
fn named(list: List<'_>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (group, name) in WORKLOADS {
        for object in list(skerry_machinery::kind(group, name)) {
            let value = object.value();
            let pod = pod_of(object.key.kind, &value);
            out.extend(pod.into_iter().flat_map(offline::images).map(str::to_owned));
        }
    }
    out
}

/// What a pod that is not over asks for. With `Always` the registry is asked
/// once for every start of a container, so the count of starts is in the key.
fn requests(pod: &core::Pod, view: &View) -> Vec<Request> {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    let Some(spec) = pod.spec.as_ref().filter(|_| !matches!(phase, Some("Succeeded" | "Failed"))) else {
        return vec![];
    };
    let keyring = keyring(pod, spec, view);
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    let one = |c: &core::Container| Request {
        key: format!("{uid}/{}/{}", c.name, restarts(pod, &c.name)),
        image: c.image.clone().unwrap_or_default(),
        policy: c.image_pull_policy.as_deref().and_then(|p| p.parse().ok()).unwrap_or(PullPolicy::IfNotPresent),
        keyring: keyring.clone(),
    };
    all.map(one).collect()
}

fn restarts(pod: &core::Pod, container: &str) -> i32 {
    let status = pod.status.as_ref();
    let main = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let init = status.and_then(|s| s.init_container_statuses.as_deref()).unwrap_or_default();
    main.iter().chain(init).find(|s| s.name == container).map_or(0, |s| s.restart_count)
}

fn keyring(pod: &core::Pod, spec: &core::PodSpec, view: &View) -> Keyring {
    let mut keyring = Keyring::default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    for reference in spec.image_pull_secrets.iter().flatten() {
        let Some(secret) = view.secrets.get(namespace, &reference.name) else { continue };
        let data = |key: &str| secret.data.as_ref()?.get(key).map(|b| b.0.as_slice());
        let added = match (data(".dockerconfigjson"), data(".dockercfg")) {
            (Some(bytes), _) => keyring.add_config_json(bytes),
            (None, Some(bytes)) => keyring.add_cfg(bytes),
            (None, None) => Ok(()),
        };
        if let Err(e) = added {
            tracing::warn!("Secret {namespace}/{}: {e}", reference.name);
        }
    }
    keyring
}

fn image_of(image: &PulledImage) -> Image {
    Image {
        app: image.reference.to_string(),
        id: format!("sha256:{}", hex::encode(image.manifest_digest.0)),
        composefs: image.composefs,
        config: image.config.clone(),
    }
}

fn converted(state: &Pulled) -> ImageState {
    match state {
        Pulled::Present(image) => ImageState::Present(Arc::new(image_of(image))),
        Pulled::Pulling => ImageState::Pulling,
        Pulled::Failed { reason, message } => ImageState::Failed { reason: (*reason).into(), message: message.clone() },
    }
}

/// Uid and container of a request's key.
pub(crate) fn whose(key: &str) -> (&str, &str) {
    let mut parts = key.split('/');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Field path of a container in events.
pub(crate) fn field_path(pod: &Value, container: &str) -> String {
    let init = pod["spec"]["initContainers"].as_array().into_iter().flatten().any(|c| c["name"] == container);
    format!("spec.{}{{{container}}}", if init { "initContainers" } else { "containers" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_asks_for_all_its_containers_until_it_is_over() {
        let pod = |phase: &str| -> core::Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "a", "uid": "u"},
                "spec": {"initContainers": [{"name": "i", "image": "x"}],
                    "containers": [{"name": "m", "image": "y", "imagePullPolicy": "Always"}]},
                "status": {"phase": phase, "containerStatuses":
                    [{"name": "m", "restartCount": 2, "ready": true, "image": "y", "imageID": ""}]},
            }))
            .unwrap()
        };
        let got = requests(&pod("Running"), &View::default());
        let keys: Vec<&str> = got.iter().map(|r| r.key.as_str()).collect();
        assert_eq!(keys, ["u/i/0", "u/m/2"]);
        assert_eq!((got[1].policy, whose(keys[1])), (PullPolicy::Always, ("u", "m")));
        assert!(requests(&pod("Succeeded"), &View::default()).is_empty());
    }

    #[test]
    fn every_template_holds_on_to_its_images() {
        let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": "s", "namespace": "a", "resourceVersion": "1"},
            "spec": {"replicas": 0, "template": {"spec": {"initContainers": [{"name": "i", "image": "example.com/a:1"}],
                "containers": [{"name": "m", "image": "localhost/baked:1"}]}}}});
        let set = Arc::new(skerry_machinery::Stored::from_json(set.to_string()).unwrap());
        let list = |k: &'static skerry_machinery::Kind| if k.kind == "ReplicaSet" { vec![set.clone()] } else { vec![] };
        assert_eq!(named(&list).into_iter().collect::<Vec<_>>(), ["example.com/a:1", "localhost/baked:1"]);
    }

    #[test]
    fn events_name_the_container() {
        let pod = json!({"spec": {"initContainers": [{"name": "i"}]}});
        assert_eq!(field_path(&pod, "i"), "spec.initContainers{i}");
        assert_eq!(field_path(&pod, "m"), "spec.containers{m}");
    }
}
