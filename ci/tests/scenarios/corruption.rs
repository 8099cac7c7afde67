//! A flipped bit on the disk: refused with clear words, never executed.

use std::time::{Duration, Instant};

use skerry_ci::{
    disk::System,
    fixture::Fixture,
    product::{Variant, release},
};
use skerry_formats::ObjectDigest;

/// Long enough for several boots that fail.
const WATCH: Duration = Duration::from_secs(240);
/// The app must stay away for this long after the message too.
const AFTER: Duration = Duration::from_secs(20);

/// What the kernel says about a file whose data does not match its seal.
const KERNEL: &str = "FILE CORRUPTED";

fn refused(name: &str, object: impl Fn(&Fixture) -> ObjectDigest, words: &[&str]) {
    let fixture = Fixture::get().unwrap();
    let dir = fixture.scenario(name).unwrap();
    let mut node = fixture.node(&dir).unwrap();
    System::open(&node.disk()).unwrap().flip(&System::object(&object(&fixture))).unwrap();
    node.power_on().unwrap();
    let end = Instant::now() + WATCH;
    let mut said = None;
    while Instant::now() < end && said.is_none_or(|at: Instant| at.elapsed() < AFTER) {
        assert!(node.app().is_err(), "the app answers on a disk that is damaged");
        let text = node.serial_text();
        said = said.or_else(|| words.iter().any(|w| text.contains(w)).then(Instant::now));
        std::thread::sleep(Duration::from_secs(2));
    }
    assert!(said.is_some(), "none of {words:?} on the console\n{}", node.tail());
}

#[test]
fn in_the_erofs_image_of_the_os() {
    refused(
        "flipped-erofs",
        |f| release(&f.product.built(&Variant::V1)).unwrap().os.composefs,
        &["does not match its seal"],
    );
}

#[test]
fn in_the_erofs_image_of_the_app() {
    refused("flipped-app-erofs", |f| release(&f.product.built(&Variant::V1)).unwrap().apps[0].composefs, &[KERNEL]);
}

#[test]
fn in_an_object_of_the_os() {
    refused("flipped-object", |f| object_of(f, "/usr/lib/systemd/systemd"), &[KERNEL, "skerry-init:"]);
}

/// The object of a file, from the release's file list.
fn object_of(fixture: &Fixture, path: &str) -> ObjectDigest {
    let text = std::fs::read(fixture.product.built(&Variant::V1).join("files.json")).unwrap();
    let files: serde_json::Value = serde_json::from_slice(&text).unwrap();
    digest_at(&files, path.trim_start_matches('/'))
        .unwrap_or_else(|| panic!("{path} is not in files.json"))
        .parse()
        .unwrap()
}

/// Wherever in the document a file with this path stands.
fn digest_at<'a>(value: &'a serde_json::Value, path: &str) -> Option<&'a str> {
    match value {
        serde_json::Value::Object(map) => {
            let named = map.get("path").and_then(|p| p.as_str()).is_some_and(|p| p.trim_start_matches('/') == path);
            if named && let Some(digest) = ["object", "digest"].iter().find_map(|k| map.get(*k)?.as_str()) {
                return Some(digest);
            }
            if let Some(entry) = map.get(path).or_else(|| map.get(&format!("/{path}"))) {
                return ["object", "digest"].iter().find_map(|k| entry.get(*k)?.as_str());
            }
            map.values().find_map(|v| digest_at(v, path))
        }
        serde_json::Value::Array(list) => list.iter().find_map(|v| digest_at(v, path)),
        _ => None,
    }
}
