//! The same bytes as the composefs library writes.
#![allow(clippy::unwrap_used)]

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use composefs::{
    erofs::{
        format::FormatVersion,
        writer::{ValidatedFileSystem, mkfs_erofs_versioned},
    },
    fsverity::{FsVerityHashValue as _, Sha256HashValue},
    tree::{Directory, FileSystem, Inode, LeafContent, RegularFile, Stat},
};
use proptest::prelude::*;
use skerry_formats::ObjectDigest;

use crate::tree::{Entry, Kind, Tree, split};

/// The tree as the builder hands it to the library.
fn library(tree: &Tree) -> Vec<u8> {
    let stat = |e: &Entry| Stat {
        st_mode: e.mode,
        st_uid: e.uid,
        st_gid: e.gid,
        st_mtim_sec: 0,
        st_mtim_nsec: 0,
        xattrs: e.xattrs.iter().map(|(k, v)| (OsStr::from_bytes(k).into(), v.clone().into())).collect(),
    };
    let mut fs = FileSystem::<Sha256HashValue>::new(stat(tree.get("").unwrap()));
    for (path, entry) in tree.iter().skip(1) {
        let leaf = match &entry.kind {
            Kind::Dir => None,
            Kind::Inline(bytes) => Some(LeafContent::Regular(RegularFile::Inline(bytes.clone().into()))),
            Kind::Symlink(target) => Some(LeafContent::Symlink(OsStr::from_bytes(target).into())),
            Kind::Object { digest, size_bytes } => {
                let digest = Sha256HashValue::from_hex(digest.to_hex()).unwrap();
                Some(LeafContent::Regular(RegularFile::External(digest, *size_bytes)))
            }
        };
        let inode = match leaf {
            None => Inode::Directory(Box::new(Directory::new(stat(entry)))),
            Some(leaf) => Inode::leaf(fs.push_leaf(stat(entry), leaf)),
        };
        let (folder, name) = split(path);
        let dir = match folder {
            "" => &mut fs.root,
            folder => fs.root.get_directory_mut(OsStr::new(folder)).unwrap(),
        };
        dir.insert(OsStr::new(name), inode);
    }
    mkfs_erofs_versioned(&ValidatedFileSystem::new(fs).unwrap(), FormatVersion::V1).into()
}

fn assert_same(tree: &Tree) {
    let (ours, theirs) = (super::write(tree), library(tree));
    let differs = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert!(ours == theirs, "{} and {} bytes, first difference at {differs:?}", ours.len(), theirs.len());
}

fn file(size_bytes: u64) -> Entry {
    Entry {
        kind: Kind::Object { digest: ObjectDigest([size_bytes as u8; 32]), size_bytes },
        mode: 0o644,
        ..Entry::dir()
    }
}

#[test]
fn an_empty_tree() {
    assert_same(&Tree::default());
}

#[test]
fn folders_with_many_entries() {
    for n in [100, 150, 200, 300, 500, 1000, 5000] {
        let mut tree = Tree::default();
        for i in 0..n {
            tree.put(&format!("usr/lib/a-somewhat-long-name-{i}"), file(65 + i * 977));
            tree.put(&format!("{i}"), Entry { kind: Kind::Inline(vec![7; i as usize % 65]), ..file(1) });
        }
        assert_same(&tree);
    }
}

#[test]
fn large_files_and_large_owners() {
    let mut tree = Tree::default();
    // What is smaller lies in the image, what is larger fits on no disk.
    for shift in 7..43 {
        for add in [0, 1] {
            tree.put(&format!("{shift}-{add}"), file((1 << shift) + add));
        }
    }
    tree.put("owner", Entry { uid: 65_536, ..file(100) });
    tree.put("group", Entry { gid: 100_000, ..Entry::dir() });
    assert_same(&tree);
}

#[test]
fn names_of_object_folders_in_the_root() {
    let mut tree = Tree::default();
    tree.put("0a", Entry::dir());
    tree.put("ff", file(3));
    tree.put("0a/0b", file(4));
    assert_same(&tree);
}

fn xattr() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    const NAMES: [&str; 10] = [
        "security.selinux",
        "security.capability",
        "user.a",
        "user.overlay.x",
        "trusted.overlay.opaque",
        "trusted.b",
        "system.posix_acl_access",
        "system.posix_acl_default",
        "lustre.x",
        "other",
    ];
    (proptest::sample::select(&NAMES[..]), proptest::collection::vec(0u8..3, 0..40))
        .prop_map(|(name, value)| (name.as_bytes().to_vec(), value))
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        Just(Kind::Dir),
        proptest::collection::vec(any::<u8>(), 0..65).prop_map(Kind::Inline),
        proptest::collection::vec(1u8.., 1..1000).prop_map(Kind::Symlink),
        (0u8..9, 65u64..10_000_000_000)
            .prop_map(|(d, size_bytes)| Kind::Object { digest: ObjectDigest([d; 32]), size_bytes }),
    ];
    let id = prop_oneof![Just(0u32), Just(1000), any::<u32>()];
    (kind, 0u32..0o10000, id.clone(), id, proptest::collection::vec(xattr(), 0..4))
        .prop_map(|(kind, mode, uid, gid, xattrs)| Entry { kind, mode, uid, gid, xattrs: xattrs.into_iter().collect() })
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[!-.0-~]{1,40}", 1..4)
        .prop_map(|parts| parts.join("/"))
        .prop_filter("no dots", |p| p.split('/').all(|n| n != "." && n != ".."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn random_trees(root in entry(), entries in proptest::collection::vec((path(), entry()), 0..120)) {
        let mut tree = Tree::default();
        tree.put("", Entry { kind: Kind::Dir, ..root });
        for (path, entry) in entries {
            if tree.blocked_by(&path).is_none() {
                tree.put(&path, entry);
            }
        }
        assert_same(&tree);
    }
}
