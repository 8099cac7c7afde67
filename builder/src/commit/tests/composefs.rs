use std::{collections::BTreeMap, ffi::OsStr, os::unix::ffi::OsStrExt, process::Command};

use composefs::{
    erofs::reader::{collect_objects, erofs_to_filesystem},
    fsverity::{FsVerityHashValue, Sha256HashValue},
    tree::{Directory, FileSystem, Inode, LeafContent, RegularFile, Stat},
};
use proptest::prelude::*;
use skerry_formats::{fsverity_digest, index::Role};

use super::{any_tree, origin, sample_tree};
use crate::{
    commit::{CommitError, DigestCache, composefs::seal},
    tree::model::{Content, Entry, Kind, Tree},
};

/// What the image says about a path: kind with content, mode, owner, xattrs.
type Facts = (String, u32, u32, u32, BTreeMap<String, Vec<u8>>);

fn facts(stat: &Stat, what: String) -> Facts {
    assert_eq!((stat.st_mtim_sec, stat.st_mtim_nsec), (0, 0));
    let xattrs = stat.xattrs.iter().map(|(k, v)| (k.to_str().unwrap().to_string(), v.to_vec())).collect();
    (what, stat.st_mode & 0o7777, stat.st_uid, stat.st_gid, xattrs)
}

fn read_back(image: &[u8]) -> BTreeMap<String, Facts> {
    let fs: FileSystem<Sha256HashValue> = erofs_to_filesystem(image).unwrap();
    let mut found = BTreeMap::new();
    walk(&fs, &fs.root, "", &mut found);
    found
}

fn walk(
    fs: &FileSystem<Sha256HashValue>,
    dir: &Directory<Sha256HashValue>,
    at: &str,
    found: &mut BTreeMap<String, Facts>,
) {
    found.insert(at.to_string(), facts(&dir.stat, "dir".into()));
    for (name, inode) in dir.entries() {
        let path = format!("{at}{}{}", if at.is_empty() { "" } else { "/" }, name.to_str().unwrap());
        let leaf = match inode {
            Inode::Directory(dir) => {
                walk(fs, dir, &path, found);
                continue;
            }
            Inode::Leaf(id, _) => fs.leaf(*id),
        };
        let what = match &leaf.content {
            LeafContent::Regular(RegularFile::Inline(b)) => format!("file {} inline", fsverity_digest(b)),
            LeafContent::Regular(RegularFile::External(d, n)) => format!("file {} {n}", d.to_hex()),
            LeafContent::Symlink(t) => format!("link {}", t.to_str().unwrap()),
            other => panic!("{path}: {other:?}"),
        };
        found.insert(path, facts(&leaf.stat, what));
    }
}

fn expected(tree: &Tree) -> BTreeMap<String, Facts> {
    let what = |entry: &Entry| match &entry.kind {
        Kind::Dir => "dir".into(),
        Kind::Symlink(t) => format!("link {t}"),
        Kind::File(c) if c.size_bytes() <= 64 => format!("file {} inline", fsverity_digest(&c.read().unwrap())),
        Kind::File(c) => format!("file {} {}", fsverity_digest(&c.read().unwrap()), c.size_bytes()),
    };
    tree.entries.iter().map(|(p, e)| (p.clone(), (what(e), e.mode, e.uid, e.gid, e.xattrs.clone()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn image_holds_exactly_the_tree(tree in any_tree()) {
        let sealed = seal(&tree, &DigestCache::in_memory()).unwrap();
        prop_assert_eq!(read_back(&sealed.erofs), expected(&tree));
        prop_assert_eq!(sealed.digest, fsverity_digest(&sealed.erofs));
        let again = seal(&tree, &DigestCache::in_memory()).unwrap();
        prop_assert_eq!(&again.erofs, &sealed.erofs);

        let referred: Vec<_> = collect_objects::<Sha256HashValue>(&sealed.erofs).unwrap().into_iter().map(|d| d.to_hex()).collect();
        let mut data = 0;
        for (digest, object) in &sealed.objects {
            prop_assert_eq!(*digest, fsverity_digest(&object.content.read().unwrap()));
            if object.role == Role::Data {
                data += 1;
                prop_assert!(referred.contains(&digest.to_hex()));
            }
        }
        prop_assert_eq!(data, referred.len());
        prop_assert_eq!(sealed.objects[&sealed.digest].role, Role::Erofs);
    }
}

#[test]
fn fsck_erofs_finds_nothing_to_complain_about() {
    let sealed = seal(&sample_tree("a"), &DigestCache::in_memory()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &sealed.erofs).unwrap();
    let out = Command::new("fsck.erofs").arg(file.path()).output().unwrap();
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn origin_does_not_change_the_image_but_mode_and_owner_do() {
    let seal = |t: &Tree| seal(t, &DigestCache::in_memory()).unwrap().digest;
    let tree = sample_tree("a");
    let same = |change: fn(&mut Entry)| {
        let mut other = tree.clone();
        change(other.entries.get_mut("usr/bin/app").unwrap());
        seal(&other) == seal(&tree)
    };
    assert!(same(|e| e.origin = origin()));
    assert!(!same(|e| e.mode = 0o700));
    assert!(!same(|e| e.uid = 1));
    assert!(!same(|e| e.kind = Kind::File(Content::Bytes(vec![8; 200_000].into()))));
}

#[test]
fn trees_that_no_image_can_hold_are_refused() {
    let refused = |change: fn(&mut Tree)| {
        let mut tree = sample_tree("a");
        change(&mut tree);
        matches!(seal(&tree, &DigestCache::in_memory()), Err(CommitError::Tree { .. }))
    };
    assert!(refused(|t| drop(t.entries.remove(""))));
    assert!(refused(|t| drop(t.entries.remove("usr/bin"))));
    assert!(refused(|t| drop(t.entries.insert("usr/bin/app/x".into(), Entry::dir(origin())))));
    assert!(refused(|t| drop(t.entries.insert("usr/..".into(), Entry::dir(origin())))));
    assert!(refused(|t| drop(t.entries.insert("x".repeat(256), Entry::dir(origin())))));
    assert!(refused(|t| drop(t.entries.insert("l".into(), Entry::symlink("", origin())))));
}

#[test]
fn a_missing_file_is_reported_with_its_path_in_the_tree() {
    let mut tree = sample_tree("a");
    let content = Content::File { path: "/nonexistent/file".into(), size_bytes: 100 };
    tree.insert("usr/bin/gone", Entry { kind: Kind::File(content), ..Entry::bytes(0o755, "", origin()) });
    let error = seal(&tree, &DigestCache::in_memory()).unwrap_err();
    assert_eq!(error.to_string(), "reading the content of /usr/bin/gone");
}

#[test]
fn stat_names_are_bytes() {
    // The reader gives xattr names back as they were written.
    let mut tree = sample_tree("a");
    let capability = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    let entry = tree.entries.get_mut("usr/bin/app").unwrap();
    entry.xattrs.insert("security.capability".into(), capability.clone());
    let sealed = seal(&tree, &DigestCache::in_memory()).unwrap();
    let fs: FileSystem<Sha256HashValue> = erofs_to_filesystem(&sealed.erofs).unwrap();
    let (dir, name) = fs.root.split(OsStr::new("usr/bin/app")).unwrap();
    let leaf = fs.leaf(dir.leaf_id(name).unwrap());
    assert_eq!(&leaf.stat.xattrs[OsStr::from_bytes(b"security.capability")][..], &capability[..]);
}
