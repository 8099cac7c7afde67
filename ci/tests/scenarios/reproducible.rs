//! Same spec, lock and keys: the same bytes.

use std::collections::BTreeMap;

use skerry_ci::{fixture::Fixture, product::Variant};

/// File name to sum.
fn sums(dir: &std::path::Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(dir.join("SHA256SUMS")).unwrap();
    text.lines().filter_map(|l| l.split_once("  ")).map(|(sum, name)| (name.into(), sum.into())).collect()
}

#[test]
fn two_builds_in_different_folders_at_different_times_are_bit_identical() {
    let fixture = Fixture::get().unwrap();
    let first = fixture.product.built(&Variant::V1);
    let second = fixture.product.rebuild_elsewhere(&Variant::V1, &fixture.scenario("reproducible").unwrap()).unwrap();
    let (a, b) = (sums(&first), sums(&second));
    assert!(a.contains_key("disk.img.zst") && a.contains_key("release.json"), "{:?}", a.keys());
    let differ: Vec<_> = a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).collect();
    assert!(differ.is_empty(), "these files differ: {differ:?}");
}
