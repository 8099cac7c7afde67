//! Is every object of the release sealed under its own name?
//!
//! A sealed file cannot be changed and is verified on every read, so comparing
//! the digest the kernel enforces with the name is cheap and says everything.
//! `verity=require` would catch a wrong object on its first use; this catches
//! it before the release is called booted, and names it.

use std::{fs, io, path::Path};

use anyhow::{Context, Result};
use skerry_formats::{
    ObjectDigest,
    cmdline::BootArgs,
    index::{Index, Role},
    layout::{INDEX_FILE, OBJECTS_DIR, RELEASES_DIR},
};
use skerry_platform::fsverity;

use crate::{log, places};

/// The objects folder, as the check sees it.
trait Store {
    /// Digest that the kernel enforces; `None`: there, but not sealed.
    fn sealed_as(&self, object: &ObjectDigest) -> io::Result<Option<ObjectDigest>>;
    /// All objects in the folder, and how many names are no object names.
    fn all(&self) -> io::Result<(Vec<ObjectDigest>, usize)>;
}

/// What is wrong with an object.
#[derive(Debug, thiserror::Error)]
enum Unsealed {
    #[error("object {0} is missing")]
    Missing(ObjectDigest),
    #[error("object {0} cannot be read: {1}")]
    Unreadable(ObjectDigest, io::Error),
    #[error("object {0} is not sealed with fs-verity")]
    NotSealed(ObjectDigest),
    #[error("object {0} is sealed as {1}: its content is not what its name says")]
    Other(ObjectDigest, ObjectDigest),
}

fn check_one(store: &impl Store, object: &ObjectDigest) -> Result<(), Unsealed> {
    match store.sealed_as(object) {
        Ok(Some(found)) if found == *object => Ok(()),
        Ok(Some(found)) => Err(Unsealed::Other(*object, found)),
        Ok(None) => Err(Unsealed::NotSealed(*object)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Unsealed::Missing(*object)),
        Err(e) => Err(Unsealed::Unreadable(*object, e)),
    }
}

/// All of `needed` must be sealed; the first that is not is the error.
fn check_needed(store: &impl Store, needed: &[ObjectDigest]) -> Result<usize, Unsealed> {
    needed.iter().try_for_each(|o| check_one(store, o)).map(|()| needed.len())
}

/// Objects outside of the release that are not sealed; only worth a line each.
fn check_others(store: &impl Store, needed: &[ObjectDigest]) -> io::Result<(Vec<Unsealed>, usize)> {
    let (all, strangers) = store.all()?;
    let bad =
        all.iter().filter(|o| needed.binary_search(o).is_err()).filter_map(|o| check_one(store, o).err()).collect();
    Ok((bad, strangers))
}

/// What the index says must be on SYSTEM as a sealed object, sorted.
fn needed_objects(index: &Index) -> Vec<ObjectDigest> {
    let mut v: Vec<_> =
        index.entries().iter().filter(|e| matches!(e.role, Role::Data | Role::Erofs)).map(|e| e.digest).collect();
    v.sort_unstable();
    v
}

/// Check the release that is being booted.
pub fn check_release(boot: &BootArgs) -> Result<()> {
    let sysroot = Path::new(places::SYSROOT);
    let store = Folder(&sysroot.join(OBJECTS_DIR));
    let path = sysroot.join(RELEASES_DIR).join(boot.sequence.padded()).join(INDEX_FILE);
    let mut needed = match fs::read(&path) {
        Ok(bytes) => needed_objects(&Index::parse(&bytes).with_context(|| path.display().to_string())?),
        Err(e) => {
            log::warn(&format!("{}: {e}; only the root image is checked now, the rest on use", path.display()));
            vec![]
        }
    };
    if let Err(at) = needed.binary_search(&boot.composefs) {
        needed.insert(at, boot.composefs);
    }
    let n = check_needed(&store, &needed)?;
    log::info(&format!("{n} objects of the release are sealed"));
    match check_others(&store, &needed) {
        Ok((bad, strangers)) => {
            bad.iter().take(20).for_each(|e| log::warn(&format!("not part of this release: {e}")));
            if bad.len() > 20 || strangers > 0 {
                log::warn(&format!("{} other objects are not sealed, {strangers} files are no objects", bad.len()));
            }
        }
        Err(e) => log::warn(&format!("objects folder: {e}")),
    }
    Ok(())
}

/// The real folder.
struct Folder<'a>(&'a Path);

impl Store for Folder<'_> {
    fn sealed_as(&self, object: &ObjectDigest) -> io::Result<Option<ObjectDigest>> {
        let file = fs::File::open(self.0.join(object.object_path()))?;
        fsverity::measure(&file).map_err(io::Error::other)
    }

    fn all(&self) -> io::Result<(Vec<ObjectDigest>, usize)> {
        let (mut objects, mut strangers) = (Vec::new(), 0);
        for dir in fs::read_dir(self.0)?.flatten() {
            for file in fs::read_dir(dir.path()).into_iter().flatten().flatten() {
                let (d, f) = (dir.file_name(), file.file_name());
                match ObjectDigest::from_object_path(&d.to_string_lossy(), &f.to_string_lossy()) {
                    Ok(o) => objects.push(o),
                    Err(_) => strangers += 1,
                }
            }
        }
        Ok((objects, strangers))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use skerry_formats::index::IndexEntry;

    use super::*;

    struct Fake(BTreeMap<ObjectDigest, Option<ObjectDigest>>);

    impl Store for Fake {
        fn sealed_as(&self, o: &ObjectDigest) -> io::Result<Option<ObjectDigest>> {
            self.0.get(o).copied().ok_or(io::ErrorKind::NotFound.into())
        }
        fn all(&self) -> io::Result<(Vec<ObjectDigest>, usize)> {
            Ok((self.0.keys().copied().collect(), 0))
        }
    }

    fn d(b: u8) -> ObjectDigest {
        ObjectDigest([b; 32])
    }

    #[test]
    fn the_first_bad_object_is_named_with_what_is_wrong() {
        let sealed = |b| (d(b), Some(d(b)));
        let table: [(&str, Vec<_>, Option<&str>); 4] = [
            ("all-sealed", vec![sealed(1), sealed(2)], None),
            ("object-missing", vec![sealed(1)], Some("is missing")),
            ("object-not-sealed", vec![sealed(1), (d(2), None)], Some("is not sealed")),
            ("object-sealed-as-another", vec![sealed(1), (d(2), Some(d(9)))], Some("sealed as 0909")),
        ];
        for (name, objects, expected) in table {
            let r = check_needed(&Fake(objects.into_iter().collect()), &[d(1), d(2)]);
            match expected {
                None => assert_eq!(r.unwrap(), 2, "{name}"),
                Some(text) => {
                    let e = r.unwrap_err().to_string();
                    assert!(e.contains(text) && e.contains(&d(2).to_hex()), "{name}: {e}");
                }
            }
        }
    }

    #[test]
    fn leftovers_of_other_releases_do_not_stop_the_boot() {
        let store = Fake([(d(1), Some(d(1))), (d(5), None), (d(6), Some(d(6)))].into());
        let (bad, _) = check_others(&store, &[d(1)]).unwrap();
        assert!(matches!(bad[..], [Unsealed::NotSealed(o)] if o == d(5)));
    }

    #[test]
    fn kernel_images_are_not_expected_among_the_objects() {
        let e = |b, role| IndexEntry { digest: d(b), size_bytes: 1, compressed_bytes: 1, role };
        let ix = Index::new(vec![e(3, Role::Uki), e(2, Role::Erofs), e(1, Role::Data)]);
        assert_eq!(needed_objects(&ix), [d(1), d(2)]);
    }

    #[test]
    fn real_folder_names() {
        let t = tempfile::tempdir().unwrap();
        let at = t.path().join(d(0xab).object_path());
        fs::create_dir(at.parent().unwrap()).unwrap();
        fs::write(&at, b"x").unwrap();
        fs::write(t.path().join("ab/short"), b"x").unwrap();
        let store = Folder(t.path());
        assert_eq!(store.all().unwrap(), (vec![d(0xab)], 1));
        assert_eq!(store.sealed_as(&d(0xab)).unwrap(), None);
        assert_eq!(store.sealed_as(&d(1)).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
