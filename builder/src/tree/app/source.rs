//! Where an app image comes from, reduced to "manifest digest" and "blob by
//! digest".

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use oci_client::{Client, Reference, errors::OciDistributionError};
use oci_spec::image::{Descriptor, ImageIndex};
use sha2::{Digest as _, Sha256};
use skerry_formats::Sha256Digest;
use skerry_plan::{board::Arch, spec::AppSpec};

use super::{
    error::AppError,
    registry::{Credentials, RegistryAccess},
};
use crate::packages::cache::{Cache, write_atomically};

/// Largest manifest, index or config in bytes.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Largest layer blob in bytes.
const BLOB_BYTES_MAX: u64 = 8 << 30;
/// Indexes inside indexes.
const INDEX_DEPTH_MAX: usize = 4;

const MANIFEST_TYPES: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// An opened image source.
pub struct Source<'a> {
    app: &'a AppSpec,
    /// Folder with blobs named by hex digest.
    blobs: PathBuf,
    /// Top-level `index.json`, or nothing for a registry.
    index: Option<Vec<u8>>,
    /// Digest in the reference, if it has one.
    pinned: Option<Sha256Digest>,
    registry: Option<Reference>,
    access: &'a RegistryAccess,
}

impl<'a> Source<'a> {
    /// Open the source that the image spec names.
    pub fn open(
        app: &'a AppSpec,
        base_dir: &Path,
        cache: &Cache,
        access: &'a RegistryAccess,
    ) -> Result<Self, AppError> {
        let pinned = pinned_digest(app)?;
        let base = Self { app, blobs: cache.blobs(), index: None, pinned, registry: None, access };
        match (&app.layout, &app.archive) {
            (Some(_), Some(_)) => Err(reference(app, "names both `layout` and `archive`; keep one")),
            (Some(layout), None) => {
                let folder = base_dir.join(layout);
                let path = folder.join("index.json");
                let index = fs::read(&path).map_err(io_error(app, "reading", &path))?;
                Ok(Self { blobs: folder.join("blobs/sha256"), index: Some(index), ..base })
            }
            (None, Some(archive)) => {
                let index = extract_archive(app, &base_dir.join(archive), &base.blobs)?;
                Ok(Self { index: Some(index), ..base })
            }
            (None, None) => {
                if pinned.is_none() {
                    return Err(reference(app, "is pulled from a registry, so `image` must end in `@sha256:…`"));
                }
                let parsed: Reference =
                    app.image.parse().map_err(|e| reference(app, format!("`image` is no reference: {e}")))?;
                Ok(Self { registry: Some(parsed), ..base })
            }
        }
    }

    /// Digest of the image manifest for an architecture.
    pub fn manifest(&self, arch: Arch) -> Result<Sha256Digest, AppError> {
        let Some(index) = &self.index else {
            let pinned = self.pinned.ok_or_else(|| reference(self.app, "has no digest"))?;
            return self.descend(pinned, arch, 0);
        };
        let index: ImageIndex = super::parse(self.app, "index.json", index)?;
        let top = self.pick(index.manifests(), arch)?;
        let found = self.descend(top, arch, 0)?;
        match self.pinned {
            Some(pinned) if pinned != top && pinned != found => {
                Err(reference(self.app, format!("`image` names sha256:{pinned}, but the image here is sha256:{found}")))
            }
            _ => Ok(found),
        }
    }

    /// From a digest that may be an index to the manifest.
    fn descend(&self, digest: Sha256Digest, arch: Arch, depth: usize) -> Result<Sha256Digest, AppError> {
        let bytes = match &self.registry {
            Some(registry) => self.registry_manifest(registry, &digest)?,
            None => self.blob_bytes(&digest)?,
        };
        let value: serde_json::Value = super::parse(self.app, "manifest", &bytes)?;
        if value.get("manifests").is_none() {
            return Ok(digest);
        }
        if depth >= INDEX_DEPTH_MAX {
            return Err(AppError::Malformed {
                app: self.app.name.clone(),
                what: "index",
                detail: "indexes are nested too deeply".into(),
            });
        }
        let index: ImageIndex = super::parse(self.app, "index", &bytes)?;
        self.descend(self.pick(index.manifests(), arch)?, arch, depth + 1)
    }

    fn pick(&self, manifests: &[Descriptor], arch: Arch) -> Result<Sha256Digest, AppError> {
        let platform =
            |d: &Descriptor| d.platform().as_ref().map(|p| (p.os().to_string(), p.architecture().to_string()));
        let wanted = ("linux".to_string(), arch.debian().to_string());
        let exact: Vec<_> = manifests.iter().filter(|d| platform(d).as_ref() == Some(&wanted)).collect();
        let open: Vec<_> = manifests.iter().filter(|d| platform(d).is_none()).collect();
        // A layout often names its one image without a platform; the config
        // is compared afterwards.
        match (exact.as_slice(), open.as_slice()) {
            ([one], _) | ([], [one]) => digest_of(self.app, one),
            ([], []) => {
                let found: Vec<_> =
                    manifests.iter().filter_map(platform).map(|(os, arch)| format!("{os}/{arch}")).collect();
                let found = if found.is_empty() { "nothing".into() } else { found.join(", ") };
                Err(AppError::Platform { app: self.app.name.clone(), wanted: arch.debian(), found })
            }
            (several, open) => {
                let candidates = if several.is_empty() { open } else { several };
                self.pick_pinned(candidates)
            }
        }
    }

    /// Among several images, the one that the reference's digest names.
    fn pick_pinned(&self, candidates: &[&Descriptor]) -> Result<Sha256Digest, AppError> {
        for candidate in candidates {
            let digest = digest_of(self.app, candidate)?;
            if Some(digest) == self.pinned {
                return Ok(digest);
            }
        }
        Err(reference(self.app, "stands for several images; add `@sha256:…` of the wanted one to `image`"))
    }

    /// A small blob, checked.
    pub fn blob_bytes(&self, digest: &Sha256Digest) -> Result<Vec<u8>, AppError> {
        let path = self.blob_file(digest)?;
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).map_err(io_error(self.app, "opening", &path))?;
        file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes).map_err(io_error(self.app, "reading", &path))?;
        if Sha256Digest::of(&bytes) != *digest {
            return Err(AppError::Digest { app: self.app.name.clone(), digest: *digest });
        }
        Ok(bytes)
    }

    /// Path of a blob whose content was compared with its digest just now.
    pub fn blob_file(&self, digest: &Sha256Digest) -> Result<PathBuf, AppError> {
        let path = self.blobs.join(digest.to_hex());
        if let Some(registry) = &self.registry
            && !path.is_file()
        {
            self.registry_blob(registry, digest, &path)?;
        }
        if !path.is_file() {
            return Err(AppError::MissingBlob { app: self.app.name.clone(), digest: *digest });
        }
        let mut file = fs::File::open(&path).map_err(io_error(self.app, "opening", &path))?;
        let mut hasher = Sha256::new();
        io::copy(&mut file, &mut hasher).map_err(io_error(self.app, "reading", &path))?;
        if hasher.finalize().as_slice() != digest.0 {
            if self.registry.is_some() {
                // Half a file of our own; the next run fetches it again.
                let _ = fs::remove_file(&path);
            }
            return Err(AppError::Digest { app: self.app.name.clone(), digest: *digest });
        }
        Ok(path)
    }

    fn registry_manifest(&self, registry: &Reference, digest: &Sha256Digest) -> Result<Vec<u8>, AppError> {
        let path = self.blobs.join(digest.to_hex());
        if !path.is_file() {
            let by_digest = registry.clone_with_digest(format!("sha256:{digest}"));
            let credentials = self.credentials(registry)?;
            let auth = credentials.auth();
            let (bytes, _) = self.ask(registry, digest, &credentials, async move |client| {
                client.pull_manifest_raw(&by_digest, &auth, MANIFEST_TYPES).await
            })?;
            self.store(digest, &path, &bytes)?;
        }
        self.blob_bytes(digest)
    }

    fn registry_blob(&self, registry: &Reference, digest: &Sha256Digest, path: &Path) -> Result<(), AppError> {
        let (image, name) = (registry.clone(), format!("sha256:{digest}"));
        let credentials = self.credentials(registry)?;
        let auth = credentials.auth();
        let bytes = self.ask(registry, digest, &credentials, async move |client| {
            client.auth(&image, &auth, oci_client::RegistryOperation::Pull).await?;
            let mut bytes = Vec::new();
            client.pull_blob(&image, name.as_str(), &mut bytes).await?;
            Ok(bytes)
        })?;
        self.store(digest, path, &bytes)
    }

    fn store(&self, digest: &Sha256Digest, path: &Path, bytes: &[u8]) -> Result<(), AppError> {
        if Sha256Digest::of(bytes) != *digest {
            return Err(AppError::Digest { app: self.app.name.clone(), digest: *digest });
        }
        write_atomically(path, bytes).map_err(io_error(self.app, "writing", path))
    }

    fn credentials(&self, registry: &Reference) -> Result<Credentials, AppError> {
        let (app, image) = (self.app.name.clone(), self.app.image.clone());
        self.access
            .credentials(registry.resolve_registry(), registry.repository())
            .map_err(|detail| AppError::Credentials { app, image, detail })
    }

    /// Run a request for a digest to its end, on a thread of its own: the caller
    /// may be inside another runtime.
    fn ask<T, F>(
        &self,
        registry: &Reference,
        digest: &Sha256Digest,
        credentials: &Credentials,
        request: F,
    ) -> Result<T, AppError>
    where
        T: Send,
        F: AsyncFnOnce(Client) -> Result<T, OciDistributionError> + Send,
    {
        let failed =
            |detail: String| AppError::Registry { app: self.app.name.clone(), image: self.app.image.clone(), detail };
        let host = registry.resolve_registry();
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| failed(e.to_string()))?;
            runtime.block_on(request(Client::new(self.access.client_config(host)))).map_err(|e| match e {
                OciDistributionError::DigestError(_) => {
                    AppError::Digest { app: self.app.name.clone(), digest: *digest }
                }
                e => failed(credentials.explain(host, &e)),
            })
        };
        std::thread::scope(|scope| scope.spawn(run).join())
            .unwrap_or_else(|_| Err(failed("the request panicked".into())))
    }
}

/// SHA-256 digest of a descriptor.
pub fn digest_of(app: &AppSpec, descriptor: &Descriptor) -> Result<Sha256Digest, AppError> {
    let text = descriptor.digest().to_string();
    let hex = text.strip_prefix("sha256:").and_then(|h| h.parse().ok());
    hex.ok_or_else(|| AppError::Malformed {
        app: app.name.clone(),
        what: "descriptor",
        detail: format!("{text} is no sha256 digest"),
    })
}

fn pinned_digest(app: &AppSpec) -> Result<Option<Sha256Digest>, AppError> {
    let Some((_, digest)) = app.image.split_once('@') else { return Ok(None) };
    let parsed = digest.strip_prefix("sha256:").and_then(|h| h.parse().ok());
    parsed.map(Some).ok_or_else(|| reference(app, format!("`image` ends in {digest:?}, which is no sha256 digest")))
}

fn reference(app: &AppSpec, detail: impl Into<String>) -> AppError {
    AppError::Reference { app: app.name.clone(), detail: detail.into() }
}

pub(super) fn io_error(
    app: &AppSpec,
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> AppError + use<> {
    let (app, path) = (app.name.clone(), path.to_path_buf());
    move |source| AppError::Io { app, operation, path, source }
}

/// Put the blobs of an OCI archive into the cache; returns its `index.json`.
fn extract_archive(app: &AppSpec, archive: &Path, blobs: &Path) -> Result<Vec<u8>, AppError> {
    let failed = |e| io_error(app, "reading", archive)(e);
    let mut file = io::BufReader::new(fs::File::open(archive).map_err(io_error(app, "opening", archive))?);
    let gzip = io::BufRead::fill_buf(&mut file).map_err(failed)?.starts_with(&[0x1f, 0x8b]);
    let reader: Box<dyn Read> = if gzip { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut index = None;
    let mut tar = tar::Archive::new(reader);
    for entry in tar.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_string();
        if path == "index.json" {
            let mut bytes = Vec::new();
            (&mut entry).take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
            index = Some(bytes);
        } else if let Some(digest) = path.strip_prefix("blobs/sha256/").and_then(|h| h.parse::<Sha256Digest>().ok()) {
            let target = blobs.join(digest.to_hex());
            if target.is_file() || !entry.header().entry_type().is_file() || entry.size() > BLOB_BYTES_MAX {
                continue;
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(failed)?;
            if Sha256Digest::of(&bytes) != digest {
                return Err(AppError::Digest { app: app.name.clone(), digest });
            }
            write_atomically(&target, &bytes).map_err(io_error(app, "writing", &target))?;
        }
    }
    let missing = || AppError::Malformed {
        app: app.name.clone(),
        what: "archive",
        detail: "it has no index.json; is it an OCI archive?".into(),
    };
    index.ok_or_else(missing)
}
