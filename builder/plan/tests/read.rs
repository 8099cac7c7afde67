//! Specs, boards and locks: what is accepted, and what is said about the rest.
#![allow(clippy::unwrap_used)]

use skerry_plan::{Problem, board, lock, spec};

const GOOD: &str = r#"product = "harbour"
version = "1.2.0"
sequence = 7
base = "trixie"
boards = ["x86_64-uefi"]
manifests = "manifests"

[packages]
extra = ["ethtool"]
files = ["usr/sbin/ethtool"]
from.forky = ["containerd"]

[[app]]
name = "hello"
image = "hello:1"
layout = "hello-layout"

[update]
url = "https://updates.example/harbour/"
channel = "stable"
root = "keys/root.json"

[health]
timeout_secs = 120
[[health.check]]
name = "site"
url = "http://127.0.0.1:30080/health"

[node]
status_listen = "0.0.0.0:9180"

[limits]
image_mib_max = 50

[kernel]
args = ["quiet"]

[images]
plain_http = ["registry.lan:80", "[fd00::1]:5000"]
"#;

/// The good spec with one line replaced.
fn with(line: &str, by: &str) -> String {
    assert!(GOOD.contains(line), "{line}");
    GOOD.replace(line, by)
}

fn messages(problems: Vec<Problem>) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn problems_of(text: &str) -> Vec<String> {
    messages(spec::parse("harbour.toml", text).unwrap_err())
}

#[test]
fn a_full_and_a_minimal_spec_are_read() {
    let spec = spec::parse("harbour.toml", GOOD).unwrap();
    assert_eq!((spec.sequence, spec.apps.len(), spec.health.checks[0].expect_status), (7, 1, 200));
    let minimal = "product = \"a\"\nversion = \"1\"\nsequence = 1\nboards = [\"b\"]\n";
    assert_eq!(spec::parse("a.toml", minimal).unwrap().base, "trixie");
}

#[test]
fn each_mistake_is_placed_and_explained() {
    let table = [
        (
            "channel = \"stable\"",
            "chanel = \"stable\"",
            "harbour.toml:20:1: unknown key \"chanel\" in [update]; did you mean \"channel\"?",
        ),
        (
            "sequence = 7",
            "sequence = 0",
            "harbour.toml:3:12: sequence = 0 is out of range; it must be from 1 to 4294967295",
        ),
        ("sequence = 7", "sequence = \"7\"", "harbour.toml:3:12: sequence must be an integer, found a string"),
        ("sequence = 7", "", "harbour.toml:1:1: missing key \"sequence\"; add `sequence = 1`"),
        (
            "product = \"harbour\"",
            "product = \"Harbour\"",
            "harbour.toml:1:11: product = \"Harbour\": must be 1 to 40 characters of a-z, 0-9 and -, not beginning or ending with -",
        ),
        (
            "boards = [\"x86_64-uefi\"]",
            "boards = []",
            "harbour.toml:5:10: boards is empty; name at least one, `skerry boards` lists them",
        ),
        (
            "boards = [\"x86_64-uefi\"]",
            "boards = [\"a\", 3]",
            "harbour.toml:5:16: boards must contain strings only, found an integer",
        ),
        ("boards = [\"x86_64-uefi\"]", "boards = [\"a\", \"a\"]", "harbour.toml:5:16: \"a\" stands twice in boards"),
        (
            "manifests = \"manifests\"",
            "zzzzzzz = 1",
            "harbour.toml:6:1: unknown key \"zzzzzzz\"; known keys: product, version, sequence, base, boards, manifests, packages, app, update, health, node, api, images, limits, kernel",
        ),
        (
            "layout = \"hello-layout\"",
            "",
            "harbour.toml:15:9: app.image = \"hello:1\" is neither pinned nor local; add @sha256:… so that every build takes the same image, or give `layout` or `archive`",
        ),
        (
            "layout = \"hello-layout\"",
            "layout = \"a\"\narchive = \"b\"",
            "harbour.toml:17:11: app \"hello\" has both a layout and an archive; keep one",
        ),
        (
            "image = \"hello:1\"",
            "image = \"hello@sha256:12\"",
            "harbour.toml:15:9: app.image = \"hello@sha256:12\": the part after @ must be sha256: and 64 lower-case hex characters",
        ),
        (
            "url = \"https://updates.example/harbour/\"",
            "url = \"updates.example\"",
            "harbour.toml:19:7: update.url = \"updates.example\": not a URL: relative URL without a base; write http://HOST/PATH or https://HOST/PATH",
        ),
        (
            "url = \"https://updates.example/harbour/\"",
            "url = \"https://a:b@updates.example/\"",
            "harbour.toml:19:7: update.url = \"https://a:b@updates.example/\": must not carry credentials: everyone with the image could read them",
        ),
        (
            "timeout_secs = 120",
            "timeout_secs = 10",
            "harbour.toml:23:1: health.stable_secs (10) must be less than health.timeout_secs (10)",
        ),
        (
            "status_listen = \"0.0.0.0:9180\"",
            "status_listen = \"9180\"",
            "harbour.toml:30:17: node.status_listen = \"9180\": must be ADDRESS:PORT, such as 0.0.0.0:9180 or [::]:9180",
        ),
        (
            "\"registry.lan:80\", ",
            "\"http://registry.lan\", ",
            "harbour.toml:39:15: images.plain_http = \"http://registry.lan\": must be HOST or HOST:PORT, such as registry.lan:5000, in lower case",
        ),
        (
            "args = [\"quiet\"]",
            "args = [\"root=/dev/sda\"]",
            "harbour.toml:36:9: kernel.args = \"root=/dev/sda\": root is set by the builder; remove it",
        ),
        (
            "files = [\"usr/sbin/ethtool\"]",
            "files = [\"/usr/sbin/ethtool\"]",
            "harbour.toml:10:10: packages.files = \"/usr/sbin/ethtool\": must be a pattern relative to the root, such as usr/bin/ethtool",
        ),
        (
            "from.forky = [\"containerd\"]",
            "from.trixie = [\"containerd\"]",
            "harbour.toml:11:15: packages.from.trixie is the base suite itself; put these packages into packages.extra",
        ),
        ("[kernel]", "[[kernel]]", "harbour.toml:35:1: kernel must be a table `[kernel]`, found an array"),
    ];
    for (line, by, want) in table {
        assert_eq!(problems_of(&with(line, by)), [want], "{by}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = with("sequence = 7", "sequence = 0")
        .replace("channel", "chanel")
        .replace("[limits]\nimage_mib_max", "[limits]\nimage_mb_max");
    let found = problems_of(&text);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].contains(":3:12:") && found[1].contains("unknown key \"chanel\" in [update]"), "{found:#?}");
    assert!(found[2].contains("did you mean \"image_mib_max\"?"), "{found:#?}");
}

#[test]
fn doubled_apps_and_syntax_errors() {
    let app = "[[app]]\nname = \"hello\"\nimage = \"other:1\"\nlayout = \"x\"\n\n[update]";
    assert_eq!(
        problems_of(&with("[update]", app)),
        ["harbour.toml:19:8: two [[app]] have the name \"hello\"; each needs its own"]
    );
    let found = problems_of("product = \n");
    assert!(found[0].starts_with("harbour.toml:1:") && found[0].contains("not valid TOML"), "{found:?}");
    assert!(problems_of("product = \"a\"\nproduct = \"b\"\n")[0].contains("not valid TOML"));
}

#[test]
fn missing_files_are_placed() {
    let spec = spec::parse("harbour.toml", GOOD).unwrap();
    let none = messages(spec::check_files("harbour.toml", GOOD, &spec, |_| spec::Found::Nothing));
    assert_eq!(
        none,
        [
            "harbour.toml:6:13: manifests = \"manifests\": no such folder; make it or remove the key",
            "harbour.toml:16:10: app.layout = \"hello-layout\": no such folder; build the app's image first",
            "harbour.toml:21:8: update.root = \"keys/root.json\": no such file; `skerry keys init` writes it",
        ]
    );
    let all_folders = messages(spec::check_files("harbour.toml", GOOD, &spec, |_| spec::Found::Folder));
    assert_eq!(all_folders, ["harbour.toml:21:8: update.root = \"keys/root.json\" is a folder, not a file"]);
}

#[test]
fn columns_count_characters() {
    let text = GOOD.replace("[update]", "[update] # größer").replace("channel = \"stable\"", "\"ché\" = 1");
    assert!(
        problems_of(&text).iter().any(|p| p.starts_with("harbour.toml:20:1: unknown key")),
        "{:?}",
        problems_of(&text)
    );
}

#[test]
fn boards_are_read_and_checked() {
    let (name, text) = board::BUILTIN[0];
    assert_eq!(board::parse("x.toml", text).unwrap().name, name);
    let small = text.replace("system_mib = 512", "system_mib = 100");
    assert!(messages(board::parse("x.toml", &small).unwrap_err())[0].contains("SYSTEM only grows"));
    let arch = text.replace("arch = \"x86_64\"", "arch = \"amd64\"");
    assert!(messages(board::parse("x.toml", &arch).unwrap_err())[0].contains("must be x86_64 or aarch64"));
}

#[test]
fn locks_that_were_tampered_with_or_of_another_version_are_refused() {
    let good = include_str!("fixtures/small.lock");
    assert_eq!(lock::render(&lock::parse("a.lock", good).unwrap()), good);
    for (from, to, want) in [
        ("version = 1\n", "version = 2\n", "version 2 of the lock is not known here"),
        ("path = \"pool/", "path = \"../pool/", "must be a path of the form pool/….deb"),
        ("path = \"pool/main", "path = \"pool/../main", "must be a path of the form pool/….deb"),
        ("sha256 = \"1", "sha256 = \"G", "must be 64 lower-case hex characters"),
        ("archive = \"main\"", "archive = \"other\"", "must be main or security"),
        ("size = ", "sizes = ", "did you mean \"size\"?"),
    ] {
        let found = messages(lock::parse("a.lock", &good.replace(from, to)).unwrap_err());
        assert!(found.iter().any(|m| m.contains(want)), "{to}: {found:?}");
    }
}
