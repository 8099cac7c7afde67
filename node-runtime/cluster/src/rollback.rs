//! The release that the node goes back to if the running one fails: is all of
//! it on the disk, and does it bring what objects made by hand need?
//!
//! Nothing is kept here. The updater removes no object that the index of this
//! release names, and pulled images stay as long as an object names them;
//! this says what is missing all the same.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use skerry_formats::{
    index::{Index, Role},
    layout::{INDEX_FILE, OBJECTS_DIR, RELEASE_FILE, RELEASES_DIR},
    release::Release,
    status::{ReleaseRef, UpdaterStatus},
    versioned::Document,
};

use crate::{baked::BAKED, offline, workloads::List};

/// The disk is looked at this often.
const LOOK: Duration = Duration::from_secs(600);

/// The release to go back to, as it is on the disk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    release: ReleaseRef,
    /// References of the images that it brings.
    images: BTreeSet<String>,
    /// What of it is not there, one line each.
    missing: Vec<String>,
}

/// Looks at the disk now and then, off the loop.
#[derive(Debug, Default)]
pub(crate) struct Rollback {
    found: Arc<Mutex<Option<Target>>>,
    asked: Option<(ReleaseRef, Instant)>,
}

impl Rollback {
    /// What was seen of the release that the updater would go back to; `None`:
    /// there is none, or nobody has looked yet. Must be called within the
    /// runtime.
    pub(crate) fn target(&mut self, updater: &Path, sysroot: &Path) -> Option<Target> {
        let status = UpdaterStatus::parse(&fs::read(updater).ok()?).ok()?;
        let release = status.previous?;
        let fresh = |(asked, at): &(ReleaseRef, Instant)| *asked == release && at.elapsed() < LOOK;
        if !self.asked.as_ref().is_some_and(fresh) {
            self.asked = Some((release.clone(), Instant::now()));
            let (found, wanted, sysroot) = (self.found.clone(), release.clone(), PathBuf::from(sysroot));
            tokio::task::spawn_blocking(move || {
                let target = Target::read(&sysroot, wanted);
                *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
            });
        }
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        found.filter(|t| t.release == release)
    }
}

impl Target {
    fn read(sysroot: &Path, release: ReleaseRef) -> Self {
        let dir = sysroot.join(RELEASES_DIR).join(release.sequence.padded());
        let statement = fs::read(dir.join(RELEASE_FILE)).ok().and_then(|b| Release::parse(&b).ok());
        let index = fs::read(dir.join(INDEX_FILE)).ok().and_then(|b| Index::parse(&b).ok());
        let (Some(statement), Some(index)) = (statement, index) else {
            let missing = vec![lost("its record is", &release)];
            return Self { release, images: BTreeSet::new(), missing };
        };
        let objects = sysroot.join(OBJECTS_DIR);
        let missing = absent(&release, &statement, &index, &|path, bytes| {
            fs::metadata(objects.join(path)).is_ok_and(|m| m.is_file() && m.len() == bytes)
        });
        Self { release, images: statement.apps.into_iter().map(|a| a.image).collect(), missing }
    }

    /// `release 6 (1.1.0)`.
    pub(crate) fn name(&self) -> String {
        name(&self.release)
    }

    /// What would be missing after going back, one line each. `local` says of
    /// an image whether it was pulled.
    pub(crate) fn missing(&self, list: List<'_>, local: &dyn Fn(&str) -> bool) -> Vec<String> {
        let mut out = self.missing.clone();
        for (key, image) in by_hand(list) {
            if !self.images.contains(&image) && !local(&image) {
                out.push(lost(&format!("image {image} of {key} is"), &self.release));
            }
        }
        out
    }
}

fn name(release: &ReleaseRef) -> String {
    format!("release {} ({})", release.sequence, release.version)
}

fn lost(what: &str, release: &ReleaseRef) -> String {
    format!("{what} missing for going back to {}", name(release))
}

/// What of a release is not there: apps by name, all else by number. `there`:
/// is an object of this path and size on the disk?
fn absent(release: &ReleaseRef, statement: &Release, index: &Index, there: &dyn Fn(&str, u64) -> bool) -> Vec<String> {
    // Its kernel image is on the ESP; the updater goes back to no other.
    let files = index.entries().iter().filter(|e| e.role != Role::Uki);
    let gone: BTreeSet<_> = files.filter(|e| !there(&e.digest.object_path(), e.size_bytes)).map(|e| e.digest).collect();
    let apps: Vec<_> = statement.apps.iter().filter(|a| gone.contains(&a.composefs)).collect();
    let mut out: Vec<String> =
        apps.iter().map(|a| lost(&format!("app {} ({}) is", a.name, a.image), release)).collect();
    match gone.len() - apps.iter().map(|a| a.composefs).collect::<BTreeSet<_>>().len() {
        0 => {}
        1 => out.push(lost("1 object is", release)),
        n => out.push(lost(&format!("{n} objects are"), release)),
    }
    out
}

/// Images of objects that no release brings and no other object made, with
/// the object.
fn by_hand(list: List<'_>) -> BTreeSet<(String, String)> {
    let mut out = BTreeSet::new();
    for (group, kind) in offline::WORKLOADS {
        for object in list(skerry_machinery::kind(group, kind)) {
            if object.meta.annotations.contains_key(BAKED) || object.meta.controller().is_some() {
                continue;
            }
            let value = object.value();
            if let Some(pod) = offline::lives(&object, &value) {
                let key = object.key.to_string();
                out.extend(offline::images(pod).map(|image| (key.clone(), image.to_owned())));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};
    use skerry_formats::{
        ObjectDigest, Sequence, Sha256Digest,
        index::IndexEntry,
        release::{AppTree, IndexRef, OsTree, Totals, UkiRef},
    };
    use skerry_machinery::{Kind, Stored};

    use super::*;

    fn release() -> ReleaseRef {
        ReleaseRef { sequence: Sequence(6), version: "1.1.0".into() }
    }

    fn entry(n: u8, role: Role) -> IndexEntry {
        IndexEntry { digest: ObjectDigest([n; 32]), size_bytes: u64::from(n), compressed_bytes: 1, role }
    }

    fn app(name: &str, n: u8) -> AppTree {
        AppTree {
            name: name.into(),
            image: format!("localhost/{name}:1"),
            manifest_digest: Sha256Digest([n; 32]),
            composefs: ObjectDigest([n; 32]),
        }
    }

    fn statement() -> Release {
        Release {
            format: Release::header(),
            product: "p".into(),
            board: "b".into(),
            arch: "amd64".into(),
            version: "1.1.0".into(),
            sequence: Sequence(6),
            built_at: 0,
            kernel: "6".into(),
            os: OsTree { composefs: ObjectDigest([1; 32]), ostree_commit: Sha256Digest([0; 32]) },
            apps: vec![app("web", 2), app("redis", 3)],
            uki: UkiRef { object: ObjectDigest([9; 32]), size_bytes: 9, sha256: Sha256Digest([9; 32]) },
            index: IndexRef { sha256: Sha256Digest([0; 32]), size_bytes: 0 },
            totals: Totals { objects: 6, bytes: 0, compressed_bytes: 0 },
        }
    }

    fn index() -> Index {
        let (e, d) = (Role::Erofs, Role::Data);
        Index::new(vec![entry(1, e), entry(2, e), entry(3, e), entry(4, d), entry(5, d), entry(9, Role::Uki)])
    }

    /// SYSTEM with the record and these objects.
    fn system(objects: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join(RELEASES_DIR).join("0000000006");
        fs::create_dir_all(&record).unwrap();
        fs::write(record.join(RELEASE_FILE), statement().to_bytes()).unwrap();
        fs::write(record.join(INDEX_FILE), index().to_bytes()).unwrap();
        for n in objects {
            let path = dir.path().join(OBJECTS_DIR).join(ObjectDigest([*n; 32]).object_path());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; usize::from(*n)]).unwrap();
        }
        dir
    }

    #[test]
    fn what_of_the_release_is_missing_is_named() {
        let end = "missing for going back to release 6 (1.1.0)";
        for (objects, lines) in [
            (&[1, 2, 3, 4, 5][..], vec![]),
            (&[1, 2, 4, 5], vec![format!("app redis (localhost/redis:1) is {end}")]),
            (&[2, 3, 4, 5], vec![format!("1 object is {end}")]),
            (&[3], vec![format!("app web (localhost/web:1) is {end}"), format!("3 objects are {end}")]),
        ] {
            let dir = system(objects);
            let target = Target::read(dir.path(), release());
            assert_eq!(target.missing, lines, "{objects:?}");
            assert_eq!(target.images.len(), 2);
        }
        // Cut short.
        let dir = system(&[1, 2, 3, 4, 5]);
        fs::write(dir.path().join(OBJECTS_DIR).join(ObjectDigest([5; 32]).object_path()), b"1").unwrap();
        assert_eq!(Target::read(dir.path(), release()).missing.len(), 1);
        fs::remove_file(dir.path().join(RELEASES_DIR).join("0000000006").join(INDEX_FILE)).unwrap();
        let found = Target::read(dir.path(), release()).missing;
        assert_eq!(found, [format!("its record is {end}")]);
    }

    fn deployment(name: &str, image: &str, metadata: Value) -> Arc<Stored> {
        let mut o = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template":
            {"spec": {"containers": [{"name": "m", "image": image}]}}}});
        for (k, v) in [("name", name), ("namespace", "a"), ("resourceVersion", "1")] {
            o["metadata"][k] = v.into();
        }
        Arc::new(Stored::from_json(o.to_string()).unwrap())
    }

    #[test]
    fn objects_made_by_hand_need_their_images_there_too() {
        let dir = system(&[1, 2, 3, 4, 5]);
        let target = Target::read(dir.path(), release());
        let owner = json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u", "controller": true}]);
        let all = [
            deployment("both", "localhost/web:1", json!({})),
            deployment("pulled", "example.com/pulled:1", json!({})),
            deployment("new", "localhost/new:1", json!({})),
            // The release before brings its own of these.
            deployment("baked", "localhost/new:1", json!({"annotations": {BAKED: "true"}})),
            deployment("owned", "localhost/new:1", json!({"ownerReferences": owner})),
        ];
        let list = |k: &'static Kind| if k.kind == "Deployment" { all.to_vec() } else { vec![] };
        let lines = target.missing(&list, &|image| image == "example.com/pulled:1");
        let want = "image localhost/new:1 of Deployment a/new is missing for going back to release 6 (1.1.0)";
        assert_eq!(lines, [want]);
    }

    #[tokio::test]
    async fn the_updater_says_which_release_it_is() {
        let dir = system(&[1, 2, 3, 4, 5]);
        let (status, mut rollback) = (dir.path().join("updater.json"), Rollback::default());
        assert_eq!(rollback.target(&status, dir.path()), None);
        let document = UpdaterStatus {
            format: UpdaterStatus::header(),
            product: "p".into(),
            board: "b".into(),
            running: ReleaseRef { sequence: Sequence(7), version: "2".into() },
            blessed: true,
            previous: Some(release()),
            candidate: None,
            state: "idle".into(),
            message: String::new(),
            progress: None,
            last_update: None,
            last_rollback: None,
            failed: vec![],
            last_check: None,
            last_error: None,
        };
        fs::write(&status, document.to_bytes()).unwrap();
        let target = loop {
            if let Some(target) = rollback.target(&status, dir.path()) {
                break target;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!((target.name().as_str(), target.missing.len()), ("release 6 (1.1.0)", 0));
    }
}
