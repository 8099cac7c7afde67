use std::{collections::BTreeMap, path::Path, process::Command};

use ed25519_dalek::SigningKey;
use ostree_ext::ostree::Repo;

use super::sample_tree;
use crate::{
    commit::{
        CommitError,
        ostree::{Checksum, commit, export_oci, open_or_init, resolve, sign, verify},
    },
    tree::model::Tree,
};

const EPOCH: u64 = 1_790_000_000;

fn meta() -> BTreeMap<String, String> {
    BTreeMap::from([("version".into(), "1.0".into()), ("skerry.sequence".into(), "1".into())])
}

fn commit_into(repo: &Repo, tree: &Tree, parent: Option<&Checksum>) -> Checksum {
    commit(repo, tree, "demo/x86_64-uefi", parent, EPOCH, &meta()).unwrap()
}

fn ostree(repo: &Path, args: &[&str]) -> (bool, String) {
    let out = Command::new("ostree").arg(format!("--repo={}", repo.display())).args(args).output().unwrap();
    (out.status.success(), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let n = part.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - part.len()));
        for i in 0..4 {
            out.push(if i <= part.len() { ALPHABET[(n >> (18 - 6 * i)) as usize & 63] as char } else { '=' });
        }
    }
    out
}

#[test]
fn the_ostree_program_reads_the_commit_as_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let repo = open_or_init(dir.path()).unwrap();
    let sum = commit_into(&repo, &sample_tree("a"), None);
    let (ok, text) = ostree(dir.path(), &["fsck", "--all"]);
    assert!(ok, "{text}");
    let (_, text) = ostree(dir.path(), &["ls", "-R", "demo/x86_64-uefi"]);
    for line in [
        "d00755 0 0      0 /usr",
        "-00755 0 0 200000 /usr/bin/app",
        "l00777 0 0      0 /usr/lib/libx.so -> libx.so.1",
        "-00640 0 42      7 /etc/shadow",
        "d00700 998 997      0 /var/lib/x",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} not in:\n{text}");
    }
    assert_eq!(resolve(&repo, "demo/x86_64-uefi").unwrap(), Some(sum));
    assert_eq!(resolve(&repo, "demo/other").unwrap(), None);
    let (_, shown) = ostree(dir.path(), &["show", "--print-metadata-key=version", &sum.to_hex()]);
    assert_eq!(shown.trim(), "'1.0'");
}

#[test]
fn same_tree_is_the_same_commit_in_any_repository_and_writes_nothing_new() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (repo_a, repo_b) = (open_or_init(a.path()).unwrap(), open_or_init(b.path()).unwrap());
    let sum = commit_into(&repo_a, &sample_tree("a"), None);
    assert_eq!(commit_into(&repo_b, &sample_tree("a"), None), sum);
    let count = || walk(&a.path().join("objects"));
    let before = count();
    assert_eq!(commit_into(&open_or_init(a.path()).unwrap(), &sample_tree("a"), None), sum);
    assert_eq!(count(), before);
    // One changed file: the file, its folder, the root folder and the commit.
    let next = commit_into(&repo_a, &sample_tree("b"), Some(&sum));
    assert_ne!(next, sum);
    assert_eq!(count(), before + 4);
    let (_, log) = ostree(a.path(), &["log", "demo/x86_64-uefi"]);
    assert!(log.contains(&sum.to_hex()) && log.contains(&next.to_hex()), "{log}");
}

fn walk(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).unwrap().map(|e| e.unwrap());
    entries.map(|e| if e.path().is_dir() { walk(&e.path()) } else { 1 }).sum()
}

#[test]
fn ostree_sign_accepts_the_signature_and_only_with_the_right_key() {
    let dir = tempfile::tempdir().unwrap();
    let repo = open_or_init(dir.path()).unwrap();
    let sum = commit_into(&repo, &sample_tree("a"), None);
    let (key, other) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
    assert!(matches!(verify(&repo, &sum, &[key.verifying_key()]), Err(CommitError::Signature { .. })));
    sign(&repo, &sum, &key).unwrap();
    verify(&repo, &sum, &[other.verifying_key(), key.verifying_key()]).unwrap();
    assert!(matches!(verify(&repo, &sum, &[other.verifying_key()]), Err(CommitError::Signature { .. })));
    // Some builds of ostree (Debian 12's) cannot check ed25519; what they show is
    // then compared with what the others check.
    let stored = ed25519_dalek::Signer::sign(&key, &std::fs::read(object_path(dir.path(), &sum)).unwrap());
    let (_, text) = ostree(dir.path(), &["show", "--print-detached-metadata-key=ostree.sign.ed25519", &sum.to_hex()]);
    let bytes: Vec<_> = stored.to_bytes().iter().map(|b| format!("0x{b:02x}")).collect();
    assert_eq!(text.trim().trim_start_matches("[[byte ").trim_end_matches("]]"), bytes.join(", "));
    if ostree(dir.path(), &["--version"]).1.contains("sign-ed25519") {
        let check = |key: &SigningKey| {
            let public = base64(key.verifying_key().as_bytes());
            ostree(dir.path(), &["sign", "--verify", "--sign-type=ed25519", &sum.to_hex(), &public])
        };
        let (ok, text) = check(&key);
        assert!(ok, "{text}");
        assert!(!check(&other).0);
    }
}

fn object_path(repo: &Path, commit: &Checksum) -> std::path::PathBuf {
    let hex = commit.to_hex();
    repo.join("objects").join(&hex[..2]).join(format!("{}.commit", &hex[2..]))
}

#[test]
fn a_changed_commit_object_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let repo = open_or_init(dir.path()).unwrap();
    let sum = commit_into(&repo, &sample_tree("a"), None);
    let key = SigningKey::from_bytes(&[7; 32]);
    sign(&repo, &sum, &key).unwrap();
    let path = object_path(dir.path(), &sum);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(3).position(|w| w == b"1.0").unwrap();
    bytes[at] = b'2';
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let repo = open_or_init(dir.path()).unwrap();
    assert!(verify(&repo, &sum, &[key.verifying_key()]).is_err());
}

#[test]
fn oci_export_is_deterministic_and_skopeo_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let repo = open_or_init(&dir.path().join("repo")).unwrap();
    let sum = commit_into(&repo, &sample_tree("a"), None);
    let (a, b) = (dir.path().join("a.oci"), dir.path().join("b.oci"));
    export_oci(&repo, &sum, "amd64", &a, &dir.path().join("cache")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100)); // another second
    export_oci(&repo, &sum, "amd64", &b, &dir.path().join("other-cache")).unwrap();
    let diff = Command::new("diff").arg("-r").args([&a, &b]).output().unwrap();
    assert!(diff.status.success(), "{diff:?}");
    let out = Command::new("skopeo").arg("inspect").arg(format!("oci:{}", a.display())).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success() && text.contains(&sum.to_hex()) && text.contains("2026-09-21T"), "{text}");
}
