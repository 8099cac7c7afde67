//! Software bill of materials, SPDX 2.3 JSON: one entry per Debian package,
//! app image and program of Skerry's own.
//!
//! Source: SPDX specification 2.3; purl-spec types `deb`, `oci`, `generic`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
};

use serde_json::{Value, json};
use skerry_formats::Sha256Digest;
use skerry_plan::lock::{Lock, LockedPackage};

use super::write::{AppInput, ReleaseInputs};
use crate::tree::model::Origin;

/// File name in the output folder.
pub const SBOM_JSON: &str = "sbom.spdx.json";

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

/// The document as bytes. `release_json` gives it its unique name, and the
/// build epoch its date, so that it is as reproducible as the release.
///
/// # Errors
/// The content of a program could not be read.
pub fn render(inputs: &ReleaseInputs<'_>, release_json: &[u8]) -> Result<Vec<u8>, (PathBuf, io::Error)> {
    let mut packages = vec![image(inputs)];
    packages.extend(debian_packages(inputs));
    packages.extend(programs(inputs)?);
    let mut apps = inputs.apps.clone();
    apps.sort_by_key(|a| a.name);
    packages.extend(apps.iter().map(app));

    let mut relationships = vec![relation(DOCUMENT, "DESCRIBES", IMAGE)];
    relationships
        .extend(packages[1..].iter().map(|p| relation(IMAGE, "CONTAINS", p["SPDXID"].as_str().unwrap_or_default())));
    let digest = Sha256Digest::of(release_json);
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": format!("{}-{}-{}", inputs.product, inputs.board, inputs.version),
        "documentNamespace": format!("https://spdx.org/spdxdocs/{}-{}-{}-{digest}", inputs.product, inputs.board, inputs.sequence),
        "creationInfo": {
            "created": created(inputs.epoch),
            "creators": [concat!("Tool: skerry-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    let mut bytes = serde_json::to_vec_pretty(&document).expect("a JSON value always serializes");
    bytes.push(b'\n');
    Ok(bytes)
}

fn created(epoch: u64) -> String {
    let seconds = i64::try_from(epoch).unwrap_or(0);
    jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

/// Fields that every package has.
fn package(id: &str, name: &str, version: &str, purl: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }],
    })
}

fn checksum(sum: &Sha256Digest) -> Value {
    json!([{ "algorithm": "SHA256", "checksumValue": sum }])
}

fn image(inputs: &ReleaseInputs<'_>) -> Value {
    let purl =
        format!("pkg:generic/{}@{}?board={}", encode(inputs.product), encode(inputs.version), encode(inputs.board));
    let mut p = package(IMAGE, inputs.product, inputs.version, &purl);
    p["primaryPackagePurpose"] = "OPERATING-SYSTEM".into();
    p["summary"] = format!("release {} for board {}", inputs.sequence, inputs.board).into();
    p
}

/// Packages of the lock that really put something into the image.
fn debian_packages(inputs: &ReleaseInputs<'_>) -> Vec<Value> {
    let mut used: BTreeSet<&str> = inputs.boot_packages.iter().map(String::as_str).collect();
    used.extend(inputs.os.tree.entries.values().filter_map(|e| match &e.origin {
        Origin::Package { name, .. } => Some(name.as_str()),
        _ => None,
    }));
    let mut packages: Vec<_> =
        inputs.lock.packages.iter().filter(|p| is_for(p, inputs) && used.contains(p.name.as_str())).collect();
    packages.sort_by_key(|p| (&p.name, &p.arch));
    packages.into_iter().map(|p| debian_package(p, inputs.lock)).collect()
}

fn is_for(p: &LockedPackage, inputs: &ReleaseInputs<'_>) -> bool {
    (p.boards.is_empty() || p.boards.iter().any(|b| b == inputs.board)) && (p.arch == "all" || p.arch == inputs.arch)
}

fn debian_package(p: &LockedPackage, lock: &Lock) -> Value {
    let (source, source_version) = p.source.split_once('=').unwrap_or((&p.source, &p.version));
    let base = lock.suites.first().map_or("", |s| s.name.split('-').next().unwrap_or_default());
    let purl = format!(
        "pkg:deb/debian/{}@{}?arch={}&distro=debian-{}&upstream={}",
        encode(&p.name),
        encode(&p.version),
        encode(&p.arch),
        encode(base),
        encode(&format!("{source}@{source_version}")),
    );
    let mut out =
        package(&format!("SPDXRef-Package-deb-{}-{}", id_text(&p.name), id_text(&p.arch)), &p.name, &p.version, &purl);
    out["packageFileName"] = p.path.as_str().into();
    out["checksums"] = checksum(&p.sha256);
    out["sourceInfo"] = format!("built package from: {source} {source_version}").into();
    out["supplier"] = "Organization: Debian".into();
    out
}

/// Programs of the node runtime, with the SHA-256 of what is in the image.
fn programs(inputs: &ReleaseInputs<'_>) -> Result<Vec<Value>, (PathBuf, io::Error)> {
    let mut found: BTreeMap<&str, Sha256Digest> = BTreeMap::new();
    for (path, entry, content) in inputs.os.tree.files() {
        if let Origin::Runtime { name } = &entry.origin {
            let bytes = content.read().map_err(|e| (PathBuf::from(path), e))?;
            found.entry(name).or_insert_with(|| Sha256Digest::of(&bytes));
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    Ok(found
        .into_iter()
        .map(|(name, sum)| {
            let purl = format!("pkg:generic/{}@{version}", encode(name));
            let mut p = package(&format!("SPDXRef-Package-program-{}", id_text(name)), name, version, &purl);
            p["checksums"] = checksum(&sum);
            p
        })
        .collect())
}

fn app(app: &AppInput<'_>) -> Value {
    let repository = app.image.split('@').next().unwrap_or_default();
    let (repository, tag) = match repository.rsplit_once(':') {
        Some((r, t)) if !t.contains('/') => (r, Some(t)),
        _ => (repository, None),
    };
    let name = repository.rsplit('/').next().unwrap_or(repository).to_lowercase();
    let version = format!("sha256:{}", app.manifest_digest);
    let mut purl = format!("pkg:oci/{}@{}?repository_url={}", encode(&name), encode(&version), encode(repository));
    if let Some(tag) = tag {
        purl.push_str(&format!("&tag={}", encode(tag)));
    }
    let mut p = package(&format!("SPDXRef-Package-app-{}", id_text(app.name)), app.image, &version, &purl);
    p["checksums"] = checksum(&app.manifest_digest);
    p["primaryPackagePurpose"] = "CONTAINER".into();
    p
}

/// Percent-encoding of a purl component.
fn encode(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => out.push(b as char),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

/// SPDX ids allow letters, digits, `.` and `-`; `+` and `_` are spelled out, so
/// that `g++` and `g--` stay apart.
fn id_text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '-' => out.push(c),
            '+' => out.push_str(".plus."),
            _ => out.push_str(&format!(".u{:x}.", c as u32)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::release::testing::{Sample, write_statement};

    fn bytes() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        write_statement(&dir.path().join("out"), &Sample::new(1), dir.path());
        std::fs::read(dir.path().join("out").join(SBOM_JSON)).unwrap()
    }

    /// Required by SPDX 2.3, clauses 6 (document) and 7 (package).
    #[test]
    fn required_fields_are_there_and_ids_are_unique() {
        let doc: Value = serde_json::from_slice(&bytes()).unwrap();
        assert_eq!(doc["spdxVersion"], "SPDX-2.3");
        assert_eq!(doc["dataLicense"], "CC0-1.0");
        assert_eq!(doc["SPDXID"], "SPDXRef-DOCUMENT");
        assert_eq!(doc["creationInfo"]["created"], "2026-09-21T14:13:20Z");
        assert!(!doc["creationInfo"]["creators"].as_array().unwrap().is_empty());
        assert!(doc["documentNamespace"].as_str().unwrap().starts_with("https://"));
        let mut ids = BTreeSet::from([DOCUMENT.to_string()]);
        for p in doc["packages"].as_array().unwrap() {
            let id = p["SPDXID"].as_str().unwrap();
            let ok = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
            assert!(id.strip_prefix("SPDXRef-").unwrap().chars().all(ok), "{id}");
            assert!(ids.insert(id.into()), "{id} twice");
            for key in
                ["name", "versionInfo", "downloadLocation", "licenseConcluded", "licenseDeclared", "copyrightText"]
            {
                assert!(p[key].is_string(), "{id} has no {key}");
            }
            assert_eq!(p["filesAnalyzed"], false);
            assert!(p["externalRefs"][0]["referenceLocator"].as_str().unwrap().starts_with("pkg:"));
        }
        let mut contained = BTreeSet::new();
        for r in doc["relationships"].as_array().unwrap() {
            let (from, to) = (r["spdxElementId"].as_str().unwrap(), r["relatedSpdxElement"].as_str().unwrap());
            assert!(ids.contains(from) && ids.contains(to), "{from} -> {to}");
            contained.insert(to.to_string());
        }
        assert_eq!(contained.len(), ids.len() - 1, "everything but the document is described or contained");
    }

    #[test]
    fn packages_programs_and_apps_that_are_in_the_image_and_no_other() {
        let doc: Value = serde_json::from_slice(&bytes()).unwrap();
        let purls: Vec<_> = doc["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["externalRefs"][0]["referenceLocator"].as_str().unwrap().to_string())
            .collect();
        assert_eq!(
            purls,
            [
                "pkg:generic/demo@1.1?board=x86_64-test".to_string(),
                "pkg:deb/debian/libchanging@1.1?arch=amd64&distro=debian-trixie&upstream=src-libchanging%401.1".into(),
                "pkg:deb/debian/libstable%2Bx@1%3A2.0%2Bdeb13u1?arch=amd64&distro=debian-trixie&upstream=src-libstable%2Bx%401%3A2.0%2Bdeb13u1".into(),
                "pkg:deb/debian/linux-image-test@6.12-1?arch=amd64&distro=debian-trixie&upstream=src-linux-image-test%406.12-1".into(),
                format!("pkg:generic/skerry-node@{}", env!("CARGO_PKG_VERSION")),
                format!("pkg:oci/hello@sha256%3A{}?repository_url=registry.example%2Fteam%2FHello&tag=1.0", Sha256Digest([9; 32])),
            ]
        );
    }

    #[test]
    fn the_same_release_gives_the_same_bytes() {
        assert_eq!(bytes(), bytes());
    }
}
