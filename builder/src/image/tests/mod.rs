//! Tests of the image step on real images: host tools, firmware-side readers
//! and the running kernel judge what was written.
#![allow(clippy::unwrap_used)]

mod disk;
mod kernel;
mod system;
mod uki;

use std::{collections::BTreeMap, process::Command};

use skerry_formats::{ObjectDigest, Sequence};

use super::{Tools, system_fs::SystemSpec};
use crate::{
    commit::{DigestCache, SealedObject, SealedTree, composefs::seal},
    tree::model::{Entry, Origin, Tree},
};

/// e2fsprogs of the host; a build takes those of the lock.
pub(super) struct HostTools;

impl Tools for HostTools {
    fn run(&self, program: &str, args: &[&str], env: &[(&str, &str)]) -> std::io::Result<std::process::Output> {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        Command::new(program).args(args).envs(env.iter().copied()).env("PATH", path).output()
    }
}

pub(super) fn run(program: &str, args: &[&str]) -> (bool, String) {
    let out = HostTools.run(program, args, &[]).unwrap();
    (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

pub(super) fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 32) as u8
    })
    .take(n)
    .collect()
}

/// Files of all Merkle tree heights, one of them generated from `marker`.
pub(super) fn tree(marker: &str) -> Tree {
    let package = |name: &str| Origin::Package { name: name.into(), version: "1".into() };
    let mut tree = Tree::new(package("base"));
    for (i, n) in
        [65, 4096, 4097, 65_535, 65_536, 65_537, 128 * 4096, 128 * 4096 + 1, 3_000_000].into_iter().enumerate()
    {
        tree.insert(format!("usr/lib/f{i}"), Entry::bytes(0o644, noise(n, i as u64), package("files")));
    }
    tree.insert("usr/bin/app", Entry::bytes(0o755, noise(500_000, 77), package("app")));
    tree.insert("usr/bin/link", Entry::symlink("app", package("app")));
    tree.insert("etc/small", Entry::bytes(0o600, "inline", package("app")));
    tree.insert(
        "etc/manifest",
        Entry { gid: 42, ..Entry::bytes(0o640, marker.repeat(40), Origin::Spec { key: "manifests".into() }) },
    );
    tree
}

pub(super) fn sealed(marker: &str) -> SealedTree {
    seal(&tree(marker), &DigestCache::in_memory()).unwrap()
}

pub(super) fn spec<'a>(
    objects: &'a BTreeMap<ObjectDigest, SealedObject>,
    release_files: &'a [(&'a str, &'a [u8])],
) -> SystemSpec<'a> {
    SystemSpec {
        identity: "demo x86_64-uefi",
        size_mib: 48,
        epoch: 1_790_000_000,
        objects,
        sequence: Sequence(1),
        release_files,
    }
}
