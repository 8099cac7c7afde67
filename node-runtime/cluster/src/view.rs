//! The store as the kubelet part sees it: typed objects, each parsed once per
//! change and shared.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::{
    core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service},
    networking::v1::NetworkPolicy,
};
use serde::de::DeserializeOwned;
use skerry_machinery::{Key, Kind, kind};
use skerry_orchestrator::input::Name;
use skerry_store::Store;

/// Objects of a kind as their type.
#[derive(Debug)]
pub struct Cache<T> {
    kind: &'static Kind,
    objects: BTreeMap<Key, (u64, Arc<T>)>,
}

impl<T: DeserializeOwned> Cache<T> {
    /// Nothing yet.
    pub fn new(group: &str, name: &str) -> Self {
        Self { kind: kind(group, name), objects: BTreeMap::new() }
    }

    /// Look again; has anything changed?
    pub fn refresh(&mut self, store: &Store) -> bool {
        let (_, now) = store.list(self.kind, None);
        let keys: BTreeSet<&Key> = now.iter().map(|o| &o.key).collect();
        let before = self.objects.len();
        self.objects.retain(|key, _| keys.contains(key));
        let mut changed = self.objects.len() != before;
        for o in &now {
            if self.objects.get(&o.key).is_some_and(|(revision, _)| *revision == o.revision) {
                continue;
            }
            changed = true;
            match o.typed() {
                Ok(typed) => drop(self.objects.insert(o.key.clone(), (o.revision, Arc::new(typed)))),
                // Admission lets nothing in that has not its type's form.
                Err(e) => {
                    tracing::error!("{}", e.message);
                    self.objects.remove(&o.key);
                }
            }
        }
        changed
    }

    /// All, in the order of their keys.
    pub fn all(&self) -> impl Iterator<Item = &Arc<T>> {
        self.objects.values().map(|(_, o)| o)
    }

    /// By namespace and name.
    pub fn by_name(&self) -> BTreeMap<Name, Arc<T>> {
        self.objects.iter().map(|(k, (_, o))| ((k.namespace.clone(), k.name.clone()), o.clone())).collect()
    }

    /// One.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.objects.get(&Key::new(self.kind, namespace, name)).map(|(_, o)| o)
    }
}

/// Everything that the kubelet part needs.
#[derive(Debug)]
pub struct View {
    /// Pods.
    pub pods: Cache<Pod>,
    /// Services.
    pub services: Cache<Service>,
    /// Network policies.
    pub policies: Cache<NetworkPolicy>,
    /// ConfigMaps.
    pub config_maps: Cache<ConfigMap>,
    /// Secrets.
    pub secrets: Cache<Secret>,
    /// Claims.
    pub claims: Cache<PersistentVolumeClaim>,
    /// Volumes.
    pub volumes: Cache<PersistentVolume>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            pods: Cache::new("", "Pod"),
            services: Cache::new("", "Service"),
            policies: Cache::new("networking.k8s.io", "NetworkPolicy"),
            config_maps: Cache::new("", "ConfigMap"),
            secrets: Cache::new("", "Secret"),
            claims: Cache::new("", "PersistentVolumeClaim"),
            volumes: Cache::new("", "PersistentVolume"),
        }
    }
}

impl View {
    /// Look again; has anything changed?
    pub fn refresh(&mut self, store: &Store) -> bool {
        [
            self.pods.refresh(store),
            self.services.refresh(store),
            self.policies.refresh(store),
            self.config_maps.refresh(store),
            self.secrets.refresh(store),
            self.claims.refresh(store),
            self.volumes.refresh(store),
        ]
        .contains(&true)
    }

    /// Pods of this node.
    pub fn pods_of(&self, node: &str) -> Vec<Arc<Pod>> {
        let here = |p: &&Arc<Pod>| p.spec.as_ref().and_then(|s| s.node_name.as_deref()) == Some(node);
        self.pods.all().filter(here).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;
    use skerry_store::{Durability, StoreOptions};

    use super::*;

    #[test]
    fn only_what_changed_is_parsed_again() {
        let store = Store::in_memory(&StoreOptions::default());
        let put = |name: &str, v: &str| {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"v": v},
                "metadata": {"name": name, "namespace": "a"}});
            store.put(object, Durability::Batched).unwrap();
        };
        let mut view = View::default();
        assert!(!view.refresh(&store));
        put("one", "1");
        put("two", "1");
        assert!(view.refresh(&store));
        let before = view.config_maps.get("a", "one").unwrap().clone();
        put("two", "2");
        assert!(view.refresh(&store));
        assert!(Arc::ptr_eq(&before, view.config_maps.get("a", "one").unwrap()));
        assert_eq!(view.config_maps.by_name().len(), 2);
        store.remove(&Key::new(kind("", "ConfigMap"), "a", "one"), Durability::Batched).unwrap();
        assert!(view.refresh(&store) && view.config_maps.get("a", "one").is_none());
        assert!(!view.refresh(&store));
    }
}
