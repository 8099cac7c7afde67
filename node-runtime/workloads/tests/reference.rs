//! docs/kubernetes.md says what the code does.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kubernetes.md");
    let wanted = skerry_workloads::reference();
    if std::env::var_os("SKERRY_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/kubernetes.md is not what the code says; run with SKERRY_UPDATE_DOCS=1");
}

/// Every kind that is stored has fields, and every shared part is linked.
#[test]
fn the_page_is_whole() {
    let page = skerry_workloads::reference();
    for k in skerry_machinery::KINDS.iter().filter(|k| k.source == skerry_machinery::Source::Stored) {
        assert!(skerry_workloads::shape_of(k).is_some() && page.contains(&format!("\n## {}\n", k.kind)), "{}", k.kind);
    }
    for link in page.split("](#").skip(1).filter_map(|l| l.split(')').next()) {
        let heading = |l: &str| l.strip_prefix("## ").map(|t| t.to_lowercase().replace(' ', "-"));
        assert!(page.lines().filter_map(heading).any(|h| h == link), "no heading {link}");
    }
}
