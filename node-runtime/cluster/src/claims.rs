//! Folders of volumes of the class `local-path`: made when a claim is bound,
//! erased when their volume goes, and only then is the volume let go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Value, json};
use skerry_machinery::{Key, kind};
use skerry_orchestrator::input::Name;
use skerry_platform::quota;
use skerry_store::{Part, Registry, WriteOptions};
use skerry_workloads::quantity;

use crate::{
    capacity::{Capacity, Finding, Sized},
    view::View,
};

/// Finalizer of volumes whose folder is ours.
const ERASE: &str = "skerry.dev/local-path";
/// Folders on their way out have this in front of their name, so that no claim
/// finds them.
const ERASED: &str = ".erased-";

/// The folders.
#[derive(Debug)]
pub(crate) struct Claims {
    dir: PathBuf,
    /// Volumes that are being erased.
    erasing: BTreeSet<String>,
    capacity: Capacity,
}

impl Claims {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.into(), erasing: BTreeSet::new(), capacity: Capacity::default() }
    }

    /// Folders of bound claims; makes those that are missing, with the size
    /// that their volume has.
    pub(crate) fn folders(&mut self, view: &View) -> BTreeMap<Name, PathBuf> {
        let mut folders = BTreeMap::new();
        for claim in view.claims.all() {
            let meta = &claim.metadata;
            let bound = claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
            let volume = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()).filter(|_| bound);
            let Some(volume) = volume.and_then(|name| view.volumes.get("", name)) else { continue };
            let Some(path) = self.folder(volume) else { continue };
            match make(&path) {
                Ok(()) => {
                    let name = (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
                    if is_ours(volume) {
                        self.hold(volume, &name, meta.uid.as_deref().unwrap_or_default(), &path);
                    }
                    folders.insert(name, path);
                }
                Err(e) => tracing::error!("cannot make the volume {}: {e}", path.display()),
            }
        }
        self.capacity.retain(|name| view.volumes.get("", name).is_some());
        folders
    }

    /// What is to be told about the sizes of claims.
    pub(crate) fn findings(&mut self) -> Vec<Finding> {
        self.capacity.look()
    }

    fn hold(&mut self, volume: &PersistentVolume, (namespace, name): &Name, uid: &str, path: &Path) {
        let capacity = volume.spec.as_ref().and_then(|s| s.capacity.as_ref()?.get("storage"));
        let Some(capacity) = capacity.map(|q| q.0.clone()) else { return };
        let claim = (namespace.clone(), name.clone(), uid.into());
        let bytes = quantity::units(&capacity).unwrap_or(0);
        let sized = Sized { claim, path: path.into(), capacity, bytes };
        self.capacity.hold(volume.metadata.name.as_deref().unwrap_or_default(), sized);
    }

    /// Erase the folders of volumes that go. It may take long, so others do it;
    /// they let the volume go in the end.
    pub(crate) fn erase(&mut self, view: &View, registry: &Registry) {
        let going = |v: &&std::sync::Arc<PersistentVolume>| v.metadata.deletion_timestamp.is_some() && is_ours(v);
        let names: BTreeSet<String> =
            view.volumes.all().filter(going).filter_map(|v| v.metadata.name.clone()).collect();
        self.erasing.retain(|n| names.contains(n));
        for name in names {
            if !self.erasing.insert(name.clone()) {
                continue;
            }
            let (dir, registry) = (self.dir.clone(), registry.clone());
            tokio::task::spawn_blocking(move || match erase(&dir, &name) {
                Ok(()) => let_go(&registry, &name),
                Err(e) => tracing::error!("cannot erase volume {name}, it stays: {e}"),
            });
        }
    }

    /// Ours by its own name; one that an administrator made, where it says.
    fn folder(&self, volume: &PersistentVolume) -> Option<PathBuf> {
        let name = volume.metadata.name.as_deref()?;
        if is_ours(volume) {
            return Some(self.dir.join(name));
        }
        Some(volume.spec.as_ref()?.host_path.as_ref()?.path.clone().into())
    }
}

/// Was it made for a claim?
fn is_ours(volume: &PersistentVolume) -> bool {
    volume.metadata.finalizers.iter().flatten().any(|f| f == ERASE)
}

/// Any user may write to a new volume, as on other clusters with this class.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}

/// A power cut in between leaves a folder that nobody finds and the next run
/// removes.
fn erase(dir: &Path, name: &str) -> io::Result<()> {
    let ignore_missing = |r: io::Result<()>| match r {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    let aside = dir.join(format!("{ERASED}{name}"));
    ignore_missing(fs::remove_dir_all(&aside))?;
    ignore_missing(fs::rename(dir.join(name), &aside))?;
    // Or the limit would wait for the next folder with this inode number,
    // which gets one of its own anyway.
    let _ = quota::release(&aside);
    ignore_missing(fs::remove_dir_all(&aside))
}

fn let_go(registry: &Registry, name: &str) {
    let key = Key::new(kind("", "PersistentVolume"), "", name);
    let done = registry.update_with(&key, Part::Main, &WriteOptions::default(), |was| {
        let mut new = was.clone();
        let finalizers: Vec<Value> =
            was["metadata"]["finalizers"].as_array().into_iter().flatten().filter(|f| *f != ERASE).cloned().collect();
        new["metadata"]["finalizers"] = json!(finalizers);
        Ok(new)
    });
    if let Err(e) = done {
        tracing::error!("{key}: {}", e.message);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_is_erased_whole_and_again_after_a_power_cut() {
        let d = tempfile::tempdir().unwrap();
        make(&d.path().join("v")).unwrap();
        fs::write(d.path().join("v/data"), "x").unwrap();
        make(&d.path().join(".erased-v/left")).unwrap();
        make(&d.path().join("other")).unwrap();
        erase(d.path(), "v").unwrap();
        erase(d.path(), "v").unwrap();
        let left: Vec<_> = fs::read_dir(d.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["other"]);
    }
}
