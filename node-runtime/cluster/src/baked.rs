//! What the image brings: the node's configuration and manifests, which are
//! applied at every start as field manager [`MANAGER`]. Baked objects that the
//! running release no longer has go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::Context;
use jiff::Timestamp;
use serde_json::{Value, json};
use skerry_formats::{baked::NodeConfig, versioned::Document};
use skerry_machinery::{
    ApiError, KINDS, Key, Kind, Reason, Source, kind,
    patch::{Writer, apply},
};
use skerry_store::{DeleteOptions, Part, Registry, WriteOptions};
use skerry_workloads::Workload;

/// Who owns what the image says.
pub(crate) const MANAGER: &str = "skerry-baked";
/// Annotation of what the image brought.
pub(crate) const BAKED: &str = "os.skerry.dev/baked";

/// Configuration and manifests of the running release.
#[derive(Debug)]
pub(crate) struct Baked {
    /// Configuration.
    pub node: NodeConfig,
    /// Objects of the manifests in the order in which they are applied.
    pub workloads: Vec<Workload>,
    /// What is wrong with the manifests, one line each.
    pub errors: Vec<String>,
}

impl Baked {
    /// Read them. Problems of manifests are part of the result: the node must
    /// come up to say so.
    ///
    /// # Errors
    /// The node's configuration is unreadable.
    pub(crate) fn read(config: &skerry_orchestrator::Config) -> anyhow::Result<Self> {
        let path = &config.node_config;
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let node = NodeConfig::parse(&bytes).with_context(|| format!("reading {}", path.display()))?;
        let parsed = files(&config.manifests).map_err(|e| vec![format!("{e:#}")]).and_then(|f| {
            skerry_workloads::parse_manifests(&f).map_err(|p| p.iter().map(ToString::to_string).collect())
        });
        let (mut workloads, errors) = match parsed {
            Ok(workloads) => (workloads, vec![]),
            Err(errors) => (vec![], errors),
        };
        workloads.sort_by_key(|w| rank(w.kind));
        Ok(Self { node, workloads, errors })
    }

    /// Make the store hold what the image says; what failed, one line each.
    pub(crate) fn apply(&self, registry: &Registry, now: Timestamp) -> Vec<String> {
        if !self.errors.is_empty() {
            // Better the objects of the release before than half of this one's.
            return vec![];
        }
        let mut errors = vec![];
        let mut wanted = BTreeSet::new();
        for w in &self.workloads {
            match key(w) {
                Some(key) => {
                    errors.extend(one(registry, &key, &w.value, now).err().map(|e| format!("{key}: {}", e.message)));
                    wanted.insert(key);
                }
                None => errors.push(format!("{}: a baked object needs a metadata.name", w.object.title())),
            }
        }
        for key in leftovers(registry, &wanted) {
            tracing::info!("{key} is no longer part of the image and goes");
            if let Err(e) = registry.delete(&key, &DeleteOptions::default()) {
                errors.push(format!("{key}: {}", e.message));
            }
        }
        errors
    }

    /// Keys of all baked objects.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.workloads.iter().filter_map(key)
    }
}

/// Manifest files in order of their names; no folder means no manifests.
fn files(dir: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let reading = || format!("reading {}", dir.display());
    let mut files = vec![];
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        other => other.with_context(reading)?,
    };
    for entry in entries {
        let path = entry.with_context(reading)?.path();
        let known = path.extension().and_then(|e| e.to_str()).is_some_and(|e| ["yaml", "yml", "json"].contains(&e));
        if known {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, fs::read(&path).with_context(|| format!("reading {}", path.display()))?));
        }
    }
    files.sort();
    Ok(files)
}

fn rank(kind: &'static Kind) -> usize {
    KINDS.iter().position(|k| k == kind).unwrap_or(KINDS.len())
}

fn key(w: &Workload) -> Option<Key> {
    let text = |at: &str| w.value.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let name = text("/metadata/name");
    (!name.is_empty()).then(|| Key::new(w.kind, text("/metadata/namespace"), name))
}

fn options() -> WriteOptions {
    WriteOptions { field_manager: MANAGER.into(), user: MANAGER.into(), ..WriteOptions::default() }
}

/// Server-side apply, and what people would do by hand where that fails.
fn one(registry: &Registry, key: &Key, object: &Value, now: Timestamp) -> Result<(), ApiError> {
    ensure_namespace(registry, &key.namespace)?;
    match try_one(registry, key, object, now) {
        // Of a Job hardly anything can change: another one takes its place.
        Err(e) if key.kind.kind == "Job" && e.reason == Reason::Invalid => {
            registry.delete(key, &DeleteOptions::default())?;
            try_one(registry, key, object, now)
        }
        other => other,
    }
}

fn try_one(registry: &Registry, key: &Key, object: &Value, now: Timestamp) -> Result<(), ApiError> {
    let writer = Writer { manager: MANAGER, subresource: "" };
    let mut object = object.clone();
    object["metadata"]["annotations"][BAKED] = "true".into();
    let made = |live: Option<&Value>| apply(live, &object, writer, true, now, key.kind);
    let updated = registry.update_with(key, Part::Main, &options(), |was| {
        let applied = made(Some(was))?;
        Ok(if applied.changed { applied.object } else { was.clone() })
    });
    match updated {
        Err(e) if e.code() == 404 => {
            registry.create(key.kind, &key.namespace, made(None)?.object, &options()).map(drop)
        }
        other => other.map(drop),
    }
}

/// Manifests may use a namespace without saying that it shall be there.
fn ensure_namespace(registry: &Registry, namespace: &str) -> Result<(), ApiError> {
    let key = Key::new(kind("", "Namespace"), "", namespace);
    if namespace.is_empty() || registry.store().get(&key).is_some() {
        return Ok(());
    }
    let object = json!({"metadata": {"name": namespace}});
    registry.create(key.kind, "", object, &options()).map(drop)
}

/// Objects that an image once brought and this one does not. What controllers
/// made of them carries copies of their annotations, and an owner.
fn leftovers(registry: &Registry, wanted: &BTreeSet<Key>) -> Vec<Key> {
    let kinds = KINDS.iter().filter(|k| k.source == Source::Stored);
    let objects = kinds.flat_map(|kind| registry.store().list(kind, None).1);
    let left = objects.filter(|o| {
        let baked = o.meta.annotations.contains_key(BAKED) && o.meta.owner_references.is_empty();
        baked && !o.meta.terminating() && !wanted.contains(&o.key)
    });
    left.map(|o| o.key.clone()).collect()
}

/// Baked objects by kind, for messages.
pub(crate) fn counted(baked: &Baked) -> BTreeMap<&'static str, usize> {
    baked.workloads.iter().fold(BTreeMap::new(), |mut map, w| {
        *map.entry(w.kind.kind).or_default() += 1;
        map
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::admission::registry_in_memory;

    fn baked(text: &str) -> Baked {
        let workloads = skerry_workloads::parse_manifests(&[("m.yaml".into(), text.into())]).unwrap();
        let node = crate::node::tests::node_config();
        Baked { node, workloads, errors: vec![] }
    }

    const TWO: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: edge}\ndata: {k: v}\n---\n\
                       apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: edge}\n";

    #[test]
    fn objects_come_stay_and_go_with_the_image() {
        let registry = registry_in_memory();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(baked(TWO).apply(&registry, now), Vec::<String>::new());
        let config_map = kind("", "ConfigMap");
        let names = || -> Vec<String> {
            registry.store().list(config_map, None).1.iter().map(|o| o.key.name.clone()).collect()
        };
        assert_eq!(names(), ["a", "b"]);
        // The same again writes nothing.
        let revision = registry.store().revision();
        baked(TWO).apply(&registry, now);
        assert_eq!(registry.store().revision(), revision);
        // What somebody else made stays.
        let mine = json!({"metadata": {"name": "mine"}});
        registry.create(config_map, "edge", mine, &WriteOptions::default()).unwrap();
        let one = TWO.split("---").next().unwrap().replace("k: v", "k: w");
        assert_eq!(baked(&one).apply(&registry, now), Vec::<String>::new());
        assert_eq!(names(), ["a", "mine"]);
        let a = registry.get(&Key::new(config_map, "edge", "a")).unwrap().value();
        assert_eq!(a["data"]["k"], "w");
    }

    #[test]
    fn what_people_changed_is_set_back() {
        let registry = registry_in_memory();
        baked(TWO).apply(&registry, Timestamp::UNIX_EPOCH);
        let key = Key::new(kind("", "ConfigMap"), "edge", "a");
        let change = |was: &Value| {
            let mut new = was.clone();
            new["data"] = json!({"k": "other", "more": "x"});
            Ok(new)
        };
        registry.update_with(&key, Part::Main, &WriteOptions::default(), change).unwrap();
        baked(TWO).apply(&registry, Timestamp::UNIX_EPOCH);
        assert_eq!(registry.get(&key).unwrap().value()["data"], json!({"k": "v", "more": "x"}));
    }
}
