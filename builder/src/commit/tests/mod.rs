//! Tests of the commit step against the real readers: composefs' own, fsck.erofs
//! and the ostree program.
#![allow(clippy::unwrap_used)]

mod composefs;
mod ostree;

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::tree::model::{Content, Entry, Kind, Origin, Tree};

pub(crate) fn origin() -> Origin {
    Origin::Builder { step: "test".into() }
}

/// Any tree: names, depths, modes, owners, links, xattrs, sizes around the
/// inline limit and the block size.
pub(crate) fn any_tree() -> impl Strategy<Value = Tree> {
    let name = "[g-j][a-zA-Z0-9._ é-]{0,3}";
    let path = prop::collection::vec(name, 1..5).prop_map(|p| p.join("/"));
    let size = prop::sample::select(vec![0usize, 1, 63, 64, 65, 4095, 4096, 4097, 70_000]);
    let kind = prop_oneof![
        2 => Just(Kind::Dir),
        1 => "[a-z/.]{1,200}".prop_map(Kind::Symlink),
        5 => (size, any::<u8>()).prop_map(|(n, b)| Kind::File(Content::Bytes(vec![b; n].into()))),
    ];
    let owner = || prop_oneof![Just(0u32), 1..1000u32, 65_530..100_000u32];
    let xattrs = prop::collection::btree_map("user\\.[a-z]{1,6}", prop::collection::vec(any::<u8>(), 0..40), 0..2);
    let entry = (kind, 0..0o10000u32, owner(), owner(), xattrs).prop_map(|(kind, mode, uid, gid, xattrs)| {
        let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { mode };
        let xattrs = if matches!(kind, Kind::File(_)) { xattrs } else { BTreeMap::new() };
        Entry { kind, mode, uid, gid, xattrs, origin: origin() }
    });
    prop::collection::vec((path, entry), 0..40).prop_map(|entries| {
        let mut tree = Tree::new(origin());
        for (path, entry) in entries {
            let under_a_leaf =
                path.match_indices('/').any(|(i, _)| tree.get(&path[..i]).is_some_and(|e| e.kind != Kind::Dir));
            if !under_a_leaf && tree.get(&path).is_none() {
                tree.insert(path, entry);
            }
        }
        tree
    })
}

/// A small system tree with everything that matters.
pub(crate) fn sample_tree(marker: &str) -> Tree {
    let mut tree = Tree::new(origin());
    let package = |name: &str| Origin::Package { name: name.into(), version: "1".into() };
    tree.insert("usr/bin/app", Entry::bytes(0o755, vec![7u8; 200_000], package("app")));
    tree.insert("usr/lib/libx.so.1", Entry::bytes(0o644, vec![9u8; 5000], package("libx")));
    tree.insert("usr/lib/libx.so", Entry::symlink("libx.so.1", package("libx")));
    tree.insert("etc/shadow", Entry { uid: 0, gid: 42, ..Entry::bytes(0o640, "root:*\n", origin()) });
    tree.insert("etc/manifest.yaml", Entry::bytes(0o644, marker.repeat(50), Origin::Spec { key: "manifests".into() }));
    tree.insert("var/lib/x", Entry { mode: 0o700, uid: 998, gid: 997, ..Entry::dir(origin()) });
    tree
}
