//! App images: from an OCI image to a file tree and what its config says.
//!
//! Sources are an OCI layout folder, an OCI archive or a registry; from there
//! on all are the same: blobs by digest, each checked before it is read. The
//! flattened tree is kept in the cache by manifest digest.

mod error;
mod layers;
mod registry;
mod source;

use std::path::Path;

use oci_spec::image::{ImageConfiguration, ImageManifest};
use skerry_formats::{Sha256Digest, baked::AppConfig};
use skerry_plan::{board::Arch, spec::AppSpec};

pub use error::AppError;
use registry::RegistryAccess;
use source::Source;

use super::model::Tree;
use crate::{packages::cache::Cache, progress::Progress};

/// An app image as the image step needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppImage {
    /// Name from the image spec.
    pub name: String,
    /// Reference that manifests use.
    pub image: String,
    /// Digest of the manifest for the board's architecture.
    pub manifest_digest: Sha256Digest,
    /// How to run it.
    pub config: AppConfig,
    /// Its files.
    pub tree: Tree,
}

/// Load an app image for an architecture. `base_dir` is the image spec's folder.
/// Credentials for its registry come from where container tools keep them.
///
/// # Errors
/// The image cannot be found, does not match its digests, is not for this
/// architecture, or holds paths that leave its root.
pub fn load(
    app: &AppSpec,
    arch: Arch,
    base_dir: &Path,
    cache: &Cache,
    progress: &Progress,
) -> Result<AppImage, AppError> {
    load_with(app, arch, base_dir, cache, progress, &RegistryAccess::from_env())
}

fn load_with(
    app: &AppSpec,
    arch: Arch,
    base_dir: &Path,
    cache: &Cache,
    progress: &Progress,
    access: &RegistryAccess,
) -> Result<AppImage, AppError> {
    let step = progress.start(&format!("app {}", app.name), None, "layers");
    let source = Source::open(app, base_dir, cache, access)?;
    let manifest_digest = source.manifest(arch)?;
    let manifest: ImageManifest = parse(app, "manifest", &source.blob_bytes(&manifest_digest)?)?;
    let config_digest = source::digest_of(app, manifest.config())?;
    let config: ImageConfiguration = parse(app, "config", &source.blob_bytes(&config_digest)?)?;
    if config.architecture().to_string() != arch.debian() {
        let found = config.architecture().to_string();
        return Err(AppError::Platform { app: app.name.clone(), wanted: arch.debian(), found });
    }
    let mut blobs = Vec::new();
    for layer in manifest.layers() {
        blobs.push(source.blob_file(&source::digest_of(app, layer)?)?);
        step.advance(1);
    }
    let tree = layers::flatten_cached(&app.name, &manifest_digest, &blobs, cache)?;
    let bytes: u64 = tree.files().map(|(_, _, c)| c.size_bytes()).sum();
    step.done(format!("{} layers, {} entries, {:.1} MB", blobs.len(), tree.entries.len(), bytes as f64 / 1e6));
    Ok(AppImage {
        name: app.name.clone(),
        image: app.image.clone(),
        manifest_digest,
        config: app_config(&config),
        tree,
    })
}

fn parse<T: serde::de::DeserializeOwned>(app: &AppSpec, what: &'static str, bytes: &[u8]) -> Result<T, AppError> {
    serde_json::from_slice(bytes).map_err(|e| AppError::Malformed {
        app: app.name.clone(),
        what,
        detail: e.to_string(),
    })
}

fn app_config(config: &ImageConfiguration) -> AppConfig {
    let Some(c) = config.config() else { return AppConfig::default() };
    AppConfig {
        entrypoint: c.entrypoint().clone().unwrap_or_default(),
        cmd: c.cmd().clone().unwrap_or_default(),
        env: c.env().clone().unwrap_or_default(),
        working_dir: c.working_dir().clone().unwrap_or_default(),
        user: c.user().clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
