//! The documents of an image, parsed from bytes whose digest was checked:
//! index, manifest and config (OCI image-spec v1.1, and Docker's manifest
//! version 2, schema 2, which is the same in other words).

use serde::Deserialize;
use skerry_formats::{Sha256Digest, baked::AppConfig};

/// Largest index, manifest or config in bytes.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Layers that one image may have.
pub const LAYERS_MAX: usize = 256;
/// Largest layer, compressed.
pub const BLOB_BYTES_MAX: u64 = 8 << 30;

/// Media types that the registry is asked for.
pub const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is not what it should be.
    #[error("the {what} cannot be read: {detail}")]
    Malformed {
        /// `manifest`, `config`.
        what: &'static str,
        /// Why.
        detail: String,
    },
    /// It holds no image for this machine.
    #[error("there is no image for linux/{wanted}, only for {found}")]
    Platform {
        /// Architecture of this machine.
        wanted: &'static str,
        /// What there is.
        found: String,
    },
}

/// A blob by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Sha256Digest,
    /// Its length.
    pub size_bytes: u64,
}

/// What a manifest document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// A list; the manifest for this machine is the one with this digest.
    Index(Sha256Digest),
    /// One image.
    Image {
        /// Config document.
        config: Blob,
        /// Layers, the lowest first.
        layers: Vec<Blob>,
    },
}

#[derive(Deserialize)]
struct Document {
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    size: u64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

impl Descriptor {
    fn blob(&self) -> Result<Blob, DocumentError> {
        let digest = self.digest.strip_prefix("sha256:").and_then(|h| h.parse().ok());
        let shown: String = self.digest.chars().take(100).collect();
        let digest = digest.ok_or_else(|| malformed("manifest", format!("{shown:?} is no sha256 digest")))?;
        if self.size > BLOB_BYTES_MAX {
            return Err(malformed("manifest", format!("a blob has {} bytes; {BLOB_BYTES_MAX} are allowed", self.size)));
        }
        Ok(Blob { digest, size_bytes: self.size })
    }
}

/// Architecture of this machine in the words of images.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Read a manifest or an index.
///
/// # Errors
/// [`DocumentError`].
pub fn manifest(bytes: &[u8], architecture: &'static str) -> Result<Manifest, DocumentError> {
    let document: Document = parse("manifest", bytes)?;
    if let Some(manifests) = document.manifests {
        return Ok(Manifest::Index(pick(&manifests, architecture)?));
    }
    let (Some(config), Some(layers)) = (document.config, document.layers) else {
        return Err(malformed("manifest", "it has neither `manifests` nor `config` and `layers`".into()));
    };
    if layers.len() > LAYERS_MAX {
        return Err(malformed("manifest", format!("it has {} layers; {LAYERS_MAX} are allowed", layers.len())));
    }
    let layers = layers.iter().map(Descriptor::blob).collect::<Result<_, _>>()?;
    Ok(Manifest::Image { config: config.blob()?, layers })
}

/// The first image of an index for this machine.
fn pick(manifests: &[Descriptor], wanted: &'static str) -> Result<Sha256Digest, DocumentError> {
    let fits = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| p.os == "linux" && p.architecture == wanted);
    let open = || manifests.iter().filter(|d| d.platform.is_none());
    // An index with one image often leaves the platform out; the config tells.
    let only = || open().next().filter(|_| open().count() == 1);
    match manifests.iter().find(fits).or_else(only) {
        Some(one) => Ok(one.blob()?.digest),
        None => {
            let names = manifests.iter().filter_map(|d| d.platform.as_ref());
            let names: Vec<_> = names.take(20).map(|p| format!("{}/{}", p.os, p.architecture)).collect();
            let found = if names.is_empty() { "nothing that says for what".into() } else { names.join(", ") };
            Err(DocumentError::Platform { wanted, found })
        }
    }
}

#[derive(Deserialize)]
struct ConfigDocument {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    config: Option<Execution>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
}

/// Read an image config: how the image runs.
///
/// # Errors
/// [`DocumentError`].
pub fn config(bytes: &[u8], architecture: &'static str) -> Result<AppConfig, DocumentError> {
    let document: ConfigDocument = parse("config", bytes)?;
    if document.architecture != architecture || !matches!(document.os.as_str(), "linux" | "") {
        let clip = |s: &str| s.chars().take(40).collect::<String>();
        let found = format!("{}/{}", clip(&document.os), clip(&document.architecture));
        return Err(DocumentError::Platform { wanted: architecture, found });
    }
    let c = document.config.unwrap_or_default();
    Ok(AppConfig {
        entrypoint: c.entrypoint.unwrap_or_default(),
        cmd: c.cmd.unwrap_or_default(),
        env: c.env.unwrap_or_default(),
        working_dir: c.working_dir.unwrap_or_default(),
        user: c.user.unwrap_or_default(),
    })
}

fn parse<T: serde::de::DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DocumentError> {
    serde_json::from_slice(bytes).map_err(|e| malformed(what, e.to_string()))
}

fn malformed(what: &'static str, detail: String) -> DocumentError {
    DocumentError::Malformed { what, detail }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn digest(c: char) -> String {
        format!("sha256:{}", String::from(c).repeat(64))
    }

    #[test]
    fn an_index_yields_the_image_for_this_machine() {
        let of = |c, platform: &str| format!(r#"{{"digest":"{}","size":5{platform}}}"#, digest(c));
        let on = |os: &str, arch: &str| format!(r#","platform":{{"os":"{os}","architecture":"{arch}"}}"#);
        let (arm, amd, not) = (on("linux", "arm64"), on("linux", "amd64"), on("unknown", "unknown"));
        let read = |list: Vec<String>| manifest(format!(r#"{{"manifests":[{}]}}"#, list.join(",")).as_bytes(), "amd64");
        let b = Manifest::Index("b".repeat(64).parse().unwrap());
        assert_eq!(read(vec![of('a', &arm), of('b', &amd), of('c', &not)]).unwrap(), b);
        assert_eq!(read(vec![of('b', "")]).unwrap(), b);
        assert_eq!(read(vec![of('a', &arm), of('b', &amd), of('c', &amd)]).unwrap(), b, "the first");
        let said = read(vec![of('a', &arm), of('c', &not)]).unwrap_err().to_string();
        assert!(said.contains("linux/amd64, only for linux/arm64, unknown/unknown"), "{said}");
        assert!(read(vec![of('a', ""), of('b', "")]).is_err());
    }

    #[test]
    fn documents_that_are_none_are_refused() {
        let blob = format!(r#"{{"digest":"{}","size":1}}"#, digest('a'));
        let layers = vec![blob.as_str(); LAYERS_MAX + 1].join(",");
        let huge = format!(r#"{{"digest":"{}","size":{}}}"#, digest('a'), u64::MAX);
        for (name, json) in [
            ("not-json", "x".to_string()),
            ("schema-1", r#"{"schemaVersion":1,"fsLayers":[]}"#.into()),
            ("md5", format!(r#"{{"config":{{"digest":"md5:0"}},"layers":[{blob}]}}"#)),
            ("too-many-layers", format!(r#"{{"config":{blob},"layers":[{layers}]}}"#)),
            ("blob-too-large", format!(r#"{{"config":{blob},"layers":[{huge}]}}"#)),
        ] {
            assert!(matches!(manifest(json.as_bytes(), "amd64"), Err(DocumentError::Malformed { .. })), "{name}");
        }
    }

    #[test]
    fn a_config_says_how_it_runs_and_on_what() {
        let json = r#"{"architecture":"amd64","os":"linux","config":{"User":"1:2","Env":["A=b"],"Entrypoint":["/a"],"Cmd":null,"WorkingDir":"/w"}}"#;
        let read = config(json.as_bytes(), "amd64").unwrap();
        assert_eq!((read.user.as_str(), read.working_dir.as_str()), ("1:2", "/w"));
        assert_eq!((read.entrypoint, read.cmd, read.env), (vec!["/a".into()], vec![], vec!["A=b".into()]));
        let said = config(json.as_bytes(), "arm64").unwrap_err().to_string();
        assert!(said.contains("linux/arm64, only for linux/amd64"), "{said}");
    }
}
