//! The pipelines that `skerry new` writes and those in `ci/templates`: their
//! shell steps run, in a product, as the CI systems run them. What takes
//! packages is left out: `skerry` on the PATH only records its command line,
//! which the real parser then has to accept.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Parser as _;
use serde_json::Value;
use skerry::cli::{Cli, Command as Sub};

const RECORDER: &str = r#"#!/bin/sh
{ printf '%s\0' "$@"; printf '\n\0'; } >> "$RECORD"
[ "$1" != publish ] || cp -r keys "$RECORD.keys"
"#;

/// Keys that a pipeline needs; the root key stays offline.
const KEYS: [&str; 4] = ["release", "targets", "snapshot", "timestamp"];

/// A product with keys, and a folder with the recorder.
struct Product {
    dir: tempfile::TempDir,
}

impl Product {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let product = Self { dir };
        product.skerry(&["new", "harbour"], product.dir.path());
        product.skerry(&["keys", "init", "--dir", "keys"], &product.path());
        fs::rename(product.path().join("keys"), product.safe()).unwrap();
        // What is committed: everything but the secret halves.
        fs::create_dir(product.path().join("keys")).unwrap();
        for file in fs::read_dir(product.safe()).unwrap().map(|e| e.unwrap().path()) {
            if file.extension().is_none_or(|e| e != "key") {
                fs::copy(&file, product.path().join("keys").join(file.file_name().unwrap())).unwrap();
            }
        }
        let bin = product.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("skerry"), RECORDER).unwrap();
        fs::set_permissions(bin.join("skerry"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        product
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("harbour")
    }

    /// Where the keys lie, outside the product.
    fn safe(&self) -> PathBuf {
        self.dir.path().join("safe")
    }

    fn record(&self) -> PathBuf {
        self.dir.path().join("record")
    }

    fn skerry(&self, args: &[&str], at: &Path) {
        let status = Command::new(env!("CARGO_BIN_EXE_skerry")).args(args).current_dir(at).output().unwrap().status;
        assert!(status.success(), "{args:?}");
    }

    /// All keys as the templates take them: base64 of a tar.gz.
    fn packed_keys(&self) -> String {
        let script = "mkdir p && cp -r safe p/keys && rm p/keys/root.key && tar -cz -C p keys | base64 -w0";
        let output = Command::new("sh").args(["-ec", script]).current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, shell: &str, script: &str, env: &[(String, String)]) {
        let path = format!("{}:{}", self.dir.path().join("bin").display(), std::env::var("PATH").unwrap());
        let output = Command::new(shell)
            .args(["-e", "-c", script])
            .envs(env.iter().cloned())
            .env("PATH", path)
            .env("RECORD", self.record())
            .current_dir(self.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// After all steps: build, verify and publish of the same folder were asked
    /// for in a way that `skerry` understands, with the right keys, which are
    /// gone now.
    fn check(&self) {
        let record = fs::read_to_string(self.record()).unwrap();
        let calls: Vec<Vec<&str>> = record
            .split("\n\0")
            .filter(|c| !c.is_empty())
            .map(|c| c.trim_end_matches('\0').split('\0').collect())
            .collect();
        let names: Vec<_> = calls.iter().map(|c| c[0]).collect();
        assert_eq!(names, ["build", "verify", "publish"]);
        for call in &calls {
            let parsed = Cli::try_parse_from(std::iter::once(&"skerry").chain(call)).unwrap_or_else(|e| panic!("{e}"));
            assert!(matches!(parsed.command, Sub::Build(_) | Sub::Verify(_) | Sub::Publish(_)));
            assert!(call.iter().all(|a| !a.is_empty() && !a.contains(['$', '@'])), "{call:?}");
        }
        assert!(calls[0][1].ends_with(".toml") && self.path().join(calls[0][1]).is_file(), "{:?}", calls[0]);
        assert!(calls[1..].iter().all(|c| c[1] == "out"), "{calls:?}");
        let repo = calls[2].iter().position(|a| *a == "--repo").unwrap() + 1;
        assert!(calls[2][repo].starts_with("/srv/updates"), "a repository that outlives the job: {:?}", calls[2]);
        let used = self.dir.path().join("record.keys");
        for key in KEYS.map(|k| format!("{k}.key")) {
            let read = |dir: &Path| fs::read_to_string(dir.join(&key)).unwrap();
            assert_eq!(read(&used).trim_end(), read(&self.safe()).trim_end(), "{key}");
            assert!(!self.path().join("keys").join(&key).exists(), "{key} stays behind");
        }
        assert!(!used.join("root.key").exists());
    }
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// Entries of a mapping of texts; nothing if it is not there.
fn texts(value: &Value, resolve: &dyn Fn(&str) -> String) -> Vec<(String, String)> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(k, v)| (k.clone(), resolve(v.as_str().unwrap()))).collect()
}

fn lines(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(|l| l.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The content of a secret or, for GitLab, variable.
fn secret(product: &Product, name: &str) -> String {
    match name {
        "SKERRY_KEYS" => product.packed_keys(),
        _ => {
            let file = format!("{}.key", name.strip_suffix("_KEY").unwrap().to_lowercase());
            fs::read_to_string(product.safe().join(file)).unwrap()
        }
    }
}

fn github(product: &Product, text: &str) {
    let workspace = product.path().display().to_string();
    let resolve = |text: &str| match text.strip_prefix("${{ ").and_then(|t| t.split_once(" }}")) {
        None => text.to_string(),
        Some(("github.workspace", rest)) => format!("{workspace}{rest}"),
        Some((name, "")) => secret(product, name.strip_prefix("secrets.").unwrap()),
        Some(other) => panic!("{other:?}"),
    };
    let file = yaml(text);
    let job = file["jobs"].as_object().unwrap().values().next().unwrap();
    let mut env = texts(&job["env"], &resolve);
    env.extend([("GITHUB_REF_NAME".into(), "v1.2.3".into()), ("GITHUB_RUN_NUMBER".into(), "7".into())]);
    let steps = job["steps"].as_array().unwrap();
    for step in steps.iter().filter(|s| s.get("run").is_some()) {
        let env = [env.clone(), texts(&step["env"], &resolve)].concat();
        product.run("bash", step["run"].as_str().unwrap(), &env);
    }
}

/// Secrets are variables of type File, which hold a path, but for the packed keys.
fn gitlab(product: &Product, text: &str, secrets: &[&str]) {
    let file = yaml(text);
    let keep = |text: &str| text.replace("$CI_PROJECT_DIR", &product.path().display().to_string());
    let job = file.as_object().unwrap().values().find(|v| v.get("script").is_some()).unwrap();
    let mut env = [texts(&file["variables"], &keep), texts(&job["variables"], &keep)].concat();
    env.extend([("CI_COMMIT_TAG".into(), "v1.2.3".into()), ("CI_PIPELINE_IID".into(), "7".into())]);
    for name in secrets {
        let value = secret(product, name);
        let path = product.dir.path().join(name);
        fs::write(&path, &value).unwrap();
        let as_file = *name != "SKERRY_KEYS";
        env.push((name.to_string(), if as_file { path.display().to_string() } else { value }));
    }
    product.run("sh", &format!("{}\n{}", lines(&job["before_script"]), lines(&job["script"])), &env);
    product.run("sh", &lines(&job["after_script"]), &env);
}

#[test]
fn pipelines_of_a_new_product() {
    let product = Product::new();
    github(&product, &fs::read_to_string(product.path().join(".github/workflows/release.yml")).unwrap());
    product.check();
    let product = Product::new();
    let keys = ["RELEASE_KEY", "TARGETS_KEY", "SNAPSHOT_KEY", "TIMESTAMP_KEY"];
    gitlab(&product, &fs::read_to_string(product.path().join(".gitlab-ci.yml")).unwrap(), &keys);
    product.check();
}

#[test]
fn templates_for_users() {
    let of_product = |text: &str| text.replace("SPEC: product.toml", "SPEC: harbour.toml");
    let product = Product::new();
    github(&product, &of_product(include_str!("../../ci/templates/github-actions.yml")));
    product.check();
    let product = Product::new();
    gitlab(&product, &of_product(include_str!("../../ci/templates/gitlab-ci.yml")), &["SKERRY_KEYS"]);
    product.check();
}
