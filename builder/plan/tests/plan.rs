//! Golden plans, and locks as a round trip.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use skerry_formats::Sha256Digest;
use skerry_plan::{
    PlanInputs, base,
    board::{self, BoardSpec},
    lint,
    lock::{self, Archive, Lock, LockedPackage, LockedSuite},
    plan::{plan, wanted},
    spec::{self, ImageSpec},
};

const SPEC: &str = r#"product = "harbour"
version = "1.2.0"
sequence = 7
boards = ["x86_64-uefi"]
manifests = "manifests"
packages.extra = ["ethtool"]
packages.from.forky = ["containerd"]
kernel.args = ["quiet"]
kernel.modules = ["drivers/net/wireguard/*"]

[[app]]
name = "hello"
image = "hello:1"
layout = "hello-layout"

[[app]]
name = "pulled"
image = "registry.example/pulled@sha256:1111111111111111111111111111111111111111111111111111111111111111"
"#;

fn spec() -> ImageSpec {
    spec::parse("harbour.toml", SPEC).unwrap()
}

fn board() -> BoardSpec {
    board::parse("x86_64-uefi.toml", board::BUILTIN[0].1).unwrap()
}

fn package(name: &str, suite: &str, boards: &[&str]) -> LockedPackage {
    LockedPackage {
        name: name.into(),
        version: "1.0-1".into(),
        arch: "amd64".into(),
        source: format!("{name}=1.0-1"),
        size: 1000,
        sha256: Sha256Digest::of(name.as_bytes()),
        path: format!("pool/main/{name}_1.0-1_amd64.deb"),
        suite: suite.into(),
        archive: Archive::Main,
        boards: boards.iter().map(|b| (*b).into()).collect(),
    }
}

/// A lock with exactly what the spec wants.
fn lock_for(spec: &ImageSpec, board: &BoardSpec) -> Lock {
    let suite = LockedSuite {
        name: spec.base.clone(),
        archive: Archive::Main,
        date: 1_795_227_046,
        inrelease_sha256: Sha256Digest([1; 32]),
    };
    let name = board.name.as_str();
    let packages = wanted(spec, board)
        .iter()
        .map(|w| package(&w.name, w.suite.as_deref().unwrap_or(&spec.base), &[name]))
        .collect();
    let tools = base::TOOLS.iter().map(|(n, _)| package(n, &spec.base, &[])).collect();
    Lock { version: 1, epoch: 1_795_227_046, suites: vec![suite], packages, tools }
}

fn lint_lock(change: impl FnOnce(&mut Lock)) -> Vec<String> {
    let (spec, board) = (spec(), board());
    let mut lock = lock_for(&spec, &board);
    change(&mut lock);
    let inputs =
        PlanInputs { spec_file: "harbour.toml", lock_file: "harbour.lock", spec: &spec, board: &board, lock: &lock };
    lint(&plan(&inputs)).iter().map(ToString::to_string).collect()
}

#[test]
fn golden_plan() {
    let (spec, board) = (spec(), board());
    let lock = lock_for(&spec, &board);
    let inputs =
        PlanInputs { spec_file: "harbour.toml", lock_file: "harbour.lock", spec: &spec, board: &board, lock: &lock };
    let made = plan(&inputs);
    assert_eq!(lint(&made), []);
    // Packages are the lock's own words; the rest is what the plan decides.
    let mut json = serde_json::to_value(&made).unwrap();
    for key in ["packages", "tools"] {
        let names: Vec<_> = json[key].as_array().unwrap().iter().map(|p| p["name"].clone()).collect();
        json[key] = names.into();
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn a_file_that_is_package_and_tool_is_counted_once() {
    let (spec, board) = (spec(), board());
    let lock = lock_for(&spec, &board);
    let inputs = PlanInputs { spec_file: "a", lock_file: "b", spec: &spec, board: &board, lock: &lock };
    let names: std::collections::BTreeSet<_> = lock.packages.iter().chain(&lock.tools).map(|p| &p.name).collect();
    assert!(names.len() < lock.packages.len() + lock.tools.len());
    assert_eq!(plan(&inputs).download_bytes, 1000 * names.len() as u64);
}

#[test]
fn locks_that_do_not_fit_are_named_with_the_remedy() {
    assert_eq!(
        lint_lock(|l| l.packages.retain(|p| p.name != "ethtool")),
        ["harbour.lock: lacks the package ethtool (spec: packages.extra); run `skerry lock harbour.toml`"]
    );
    assert_eq!(
        lint_lock(|l| l.suites[0].name = "bookworm".into()),
        ["harbour.lock: made for bookworm, but the spec's base is trixie; run `skerry lock harbour.toml`"]
    );
    assert_eq!(
        lint_lock(|l| l.packages.iter_mut().for_each(|p| p.boards = vec!["other".into()])),
        ["harbour.lock: has no packages for the board x86_64-uefi; run `skerry lock harbour.toml`"]
    );
    assert_eq!(
        lint_lock(|l| l.packages.iter_mut().filter(|p| p.name == "containerd").for_each(|p| p.suite = "trixie".into())),
        ["harbour.lock: has containerd from trixie, but the spec wants it from forky; run `skerry lock harbour.toml`"]
    );
    assert_eq!(
        lint_lock(|l| l.tools.retain(|p| p.name != "kmod")),
        [
            "harbour.lock: lacks the tool package kmod (depmod indexes the kernel's modules); run `skerry lock harbour.toml`"
        ]
    );
    assert_eq!(lint_lock(|l| l.packages[0].arch = "arm64".into()).len(), 1, "a package for another architecture");
    let doubled = |l: &mut Lock| l.packages.push(LockedPackage { version: "2".into(), ..l.packages[0].clone() });
    assert_eq!(
        lint_lock(doubled),
        ["harbour.lock: names a package twice for the board x86_64-uefi; run `skerry lock harbour.toml`"]
    );
}

#[test]
fn the_lists_have_no_package_twice_and_exclude_nothing_they_want() {
    let names = |list: &[base::Reason]| list.iter().map(|(n, _)| *n).collect::<Vec<_>>();
    for list in [base::BASE, base::TOOLS, base::EXCLUDED] {
        let all = names(list);
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }
    let excluded = names(base::EXCLUDED);
    assert!(names(base::BASE).iter().chain(&names(base::TOOLS)).all(|n| !excluded.contains(n)));
}

prop_compose! {
    fn any_package()(
        name in "[a-z0-9][a-z0-9+.-]{1,12}",
        version in "[0-9]:[0-9A-Za-z.+~-]{1,12}",
        size in 1..=i64::MAX as u64,
        digest in any::<[u8; 32]>(),
        security in any::<bool>(),
        boards in prop::collection::btree_set("[a-z0-9]{1,8}", 0..3),
    ) -> LockedPackage {
        LockedPackage {
            path: format!("pool/main/{name}.deb"),
            source: format!("{name}={version} \"quoted\\"),
            name, version, size,
            arch: "amd64".into(),
            sha256: Sha256Digest(digest),
            suite: "trixie".into(),
            archive: if security { Archive::Security } else { Archive::Main },
            boards: boards.into_iter().collect(),
        }
    }
}

proptest! {
    #[test]
    fn locks_survive_render_and_parse(
        mut packages in prop::collection::vec(any_package(), 0..6),
        mut tools in prop::collection::vec(any_package(), 0..4),
        epoch in 1..=i64::MAX as u64,
        suites in prop::collection::vec(("[a-z]{1,8}", any::<[u8; 32]>()), 0..3),
    ) {
        packages.sort();
        tools.sort();
        let suites = suites.into_iter().map(|(name, d)| LockedSuite { name, archive: Archive::Security, date: 5, inrelease_sha256: Sha256Digest(d) }).collect();
        let made = Lock { version: 1, epoch, suites, packages, tools };
        let text = lock::render(&made);
        prop_assert_eq!(lock::parse("a.lock", &text).unwrap(), made);
    }

    #[test]
    fn any_text_gives_problems_and_never_a_panic(text in "(?s).{0,80}", at in 0usize..600) {
        let _ = spec::parse("a.toml", &text);
        let mut good = SPEC.to_string();
        let at = (0..=at.min(good.len())).rev().find(|i| good.is_char_boundary(*i)).unwrap();
        good.insert_str(at, &text);
        if let Err(problems) = spec::parse("a.toml", &good) {
            prop_assert!(!problems.is_empty());
        }
    }
}
