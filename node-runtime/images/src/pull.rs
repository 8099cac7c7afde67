//! One pull, from a reference to an image that counts: manifest, config, layers,
//! unpack, record.

use std::{collections::BTreeMap, sync::Arc};

use skerry_formats::{Sha256Digest, baked::AppConfig, versioned::Document as _};
use skerry_platform::durable;

use crate::{
    credentials::Keyring,
    document::{self, Blob, DOCUMENT_BYTES_MAX, DocumentError, Manifest},
    download::{Held, Progress, blocking, open},
    erofs,
    layers::{LayerError, Merger},
    locks::lock,
    objects::{ObjectError, Sink, io_error},
    record::Record,
    reference::Reference,
    registry::{Registry, RegistryError, Session},
    store::{PulledImage, Store, StoreError},
};

/// Indexes inside indexes.
const INDEX_DEPTH_MAX: usize = 4;

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A document of the image.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The disk.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread of ours broke down.
    #[error("a worker broke down: {0}")]
    Worker(String),
}

impl PullError {
    /// Is the disk full?
    pub fn is_no_room(&self) -> bool {
        match self {
            Self::Object(e) | Self::Layer(LayerError::Contents(e)) | Self::Store(StoreError::Object(e)) => {
                e.is_no_room()
            }
            _ => false,
        }
    }

    /// The whole chain in one line.
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(e) = cause {
            let why = e.to_string();
            if !line.contains(&why) {
                line.push_str(": ");
                line.push_str(&why);
            }
            cause = e.source();
        }
        line.replace(['\n', '\r'], " ")
    }
}

/// What an image is made of.
struct Parts {
    manifest: Sha256Digest,
    config: AppConfig,
    layers: Vec<Blob>,
}

impl Store {
    /// Pull an image, unless the registry says that it is one that is here. If
    /// the future is dropped, what was downloaded stays for the next time.
    ///
    /// The same reference is pulled once at a time, others only so many at once
    /// as the store's options say; the rest waits. `now_secs` is the Unix time.
    ///
    /// # Errors
    /// [`PullError`]. After one that says that the disk is full, nothing of the
    /// image is left.
    pub async fn pull(
        self: &Arc<Self>,
        registry: &Registry,
        image: &Reference,
        keyring: &Keyring,
        progress: &Arc<Progress>,
        now_secs: u64,
    ) -> Result<Arc<PulledImage>, PullError> {
        let _one = self.references.lease(image.to_string()).await;
        let _few = self.pulls.acquire().await.map_err(|e| PullError::Worker(e.to_string()))?;
        let session = registry.session(image, keyring);
        let (manifest, found) = resolve(&session, image).await?;
        if let Some(known) = self.name(manifest, image, now_secs).await? {
            return Ok(known);
        }
        let Found { config, layers } = found;
        if config.size_bytes > DOCUMENT_BYTES_MAX {
            let what = session.blob_name(&config.digest);
            return Err(RegistryError::TooLarge { what, allowed: DOCUMENT_BYTES_MAX }.into());
        }
        let config = document::config(&session.document(&config.digest).await?, document::architecture())?;
        let parts = Parts { manifest, config, layers };
        let held = self.hold(&parts.layers).await;
        let result = self.fetch_and_unpack(parts, &held, &session, image, progress, now_secs).await;
        if result.is_ok() || result.as_ref().is_err_and(PullError::is_no_room) {
            held.values().for_each(Held::remove);
        }
        result
    }

    async fn fetch_and_unpack(
        self: &Arc<Self>,
        parts: Parts,
        held: &BTreeMap<Sha256Digest, Held>,
        session: &Session<'_>,
        image: &Reference,
        progress: &Arc<Progress>,
        now_secs: u64,
    ) -> Result<Arc<PulledImage>, PullError> {
        progress.set_total(held.values().map(|h| h.blob.size_bytes).sum());
        self.room.check(held.values().map(Held::missing_bytes).sum())?;
        for blob in held.values() {
            blob.download(self, session, progress).await?;
        }
        let paths: Vec<_> = parts.layers.iter().map(|l| held[&l.digest].path().to_path_buf()).collect();
        let (store, reference) = (self.clone(), image.to_string());
        blocking(move || store.unpack(&parts, &paths, reference, now_secs)).await?
    }

    /// The right to all blobs of an image. In the order of their digests, so
    /// that two pulls never wait for each other.
    async fn hold(&self, layers: &[Blob]) -> BTreeMap<Sha256Digest, Held> {
        let wanted: BTreeMap<_, _> = layers.iter().map(|l| (l.digest, l)).collect();
        let mut held = BTreeMap::new();
        for (digest, blob) in wanted {
            held.insert(digest, Held::new(self, blob.clone()).await);
        }
        held
    }

    /// If the image is here, let the reference name it.
    async fn name(
        self: &Arc<Self>,
        manifest: Sha256Digest,
        image: &Reference,
        now_secs: u64,
    ) -> Result<Option<Arc<PulledImage>>, PullError> {
        // Held from here on, so that it is not collected in between.
        let Some(known) = self.by_digest(&manifest) else { return Ok(None) };
        if self.index().references.get(&image.to_string()) == Some(&manifest) {
            return Ok(Some(known));
        }
        let (store, reference) = (self.clone(), image.to_string());
        let named = blocking(move || -> Result<_, StoreError> {
            let _change = lock(&store.change);
            let Some(mut record) = store.index().images.get(&manifest).map(|h| h.record.clone()) else {
                return Ok(None);
            };
            record.references.insert(reference, store.next_number());
            record.used_secs = now_secs;
            store.records.update(&record)?;
            store.enter(record).map(Some)
        });
        Ok(named.await?.map(|i| i.map(|_| known))?)
    }

    /// Higher than that of any reference.
    fn next_number(&self) -> u64 {
        let index = self.index();
        index.images.values().flat_map(|h| h.record.references.values()).max().map_or(1, |n| n + 1)
    }

    /// Layers to objects, an EROFS image and a record.
    fn unpack(
        &self,
        parts: &Parts,
        layers: &[std::path::PathBuf],
        reference: String,
        now_secs: u64,
    ) -> Result<Arc<PulledImage>, PullError> {
        let _change = lock(&self.change);
        let mut sink = Sink::new(&self.objects, &self.room, self.unpacked_bytes_max);
        let mut merger = Merger::new(&mut sink);
        for path in layers {
            merger.layer(open(path).map_err(io_error("open", path))?)?;
        }
        let image = erofs::write(&merger.finish());
        let composefs = sink.put_bytes(&image)?;
        drop(image);
        // Everything before the record: what counts is complete.
        durable::sync_fs(&self.objects.folder).map_err(ObjectError::from)?;
        let objects = sink.objects();
        let record = Record {
            format: Record::header(),
            references: BTreeMap::from([(reference.clone(), self.next_number())]),
            reference,
            manifest_digest: parts.manifest,
            composefs,
            config: parts.config.clone(),
            size_bytes: objects.values().sum(),
            objects_sha256: Sha256Digest([0; 32]),
            used_secs: now_secs,
        };
        let record = self.records.create(record, objects.keys())?;
        sink.keep();
        Ok(self.enter(record)?)
    }
}

/// What a manifest names.
struct Found {
    config: Blob,
    layers: Vec<Blob>,
}

/// From a reference to the manifest for this machine.
async fn resolve(session: &Session<'_>, image: &Reference) -> Result<(Sha256Digest, Found), PullError> {
    let mut wanted = image.wanted();
    for _ in 0..INDEX_DEPTH_MAX {
        let bytes = session.manifest(&wanted).await?;
        match document::manifest(&bytes, document::architecture())? {
            Manifest::Index(digest) => wanted = format!("sha256:{digest}"),
            Manifest::Image { config, layers } => return Ok((Sha256Digest::of(&bytes), Found { config, layers })),
        }
    }
    let detail = format!("more than {INDEX_DEPTH_MAX} indexes inside each other");
    Err(DocumentError::Malformed { what: "manifest", detail }.into())
}
