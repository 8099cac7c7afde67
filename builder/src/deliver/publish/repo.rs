//! The TUF metadata of a repository: load what is there, add targets, write the
//! next version.

use std::{collections::HashMap, num::NonZeroU64, path::Path};

use skerry_formats::Sha256Digest;
use tough::{
    ExpirationEnforcement, FilesystemTransport, RepositoryLoader, TargetName,
    schema::{Hashes, Metafile, Role as _, Root, Signed, Snapshot, Target, Targets, Timestamp},
};
use url::Url;

use super::{Dates, METADATA, PublishError, Store, TARGETS};
use crate::release::{
    keys::TufKeys,
    tuf_keys::{SPEC_VERSION, SignedFile, block_on, sign_role},
};

/// Which roles to sign anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Roles {
    /// Targets, snapshot, timestamp.
    All,
    /// Only the two that a refresh needs; the targets stay as they are.
    SnapshotAndTimestamp,
}

/// Metadata of one state of the repository.
pub(crate) struct Metadata {
    root: Root,
    /// Root as stored bytes, to be served.
    root_bytes: Vec<u8>,
    targets: Targets,
    /// 0: none was written yet, as for the two below.
    targets_version: u64,
    /// What a snapshot says about the targets file; `None`: not written yet.
    targets_meta: Option<Metafile>,
    snapshot_version: u64,
    timestamp_version: u64,
}

impl Metadata {
    /// A repository without targets.
    pub(crate) fn empty(root_bytes: &[u8]) -> Result<Self, PublishError> {
        let root = parse_root(root_bytes)?;
        // Replaced when it is signed.
        let never = jiff::Timestamp::UNIX_EPOCH;
        let mut targets = Targets::new(SPEC_VERSION.into(), NonZeroU64::MIN, never);
        targets.delegations = None;
        Ok(Self {
            root,
            root_bytes: root_bytes.into(),
            targets,
            targets_version: 0,
            targets_meta: None,
            snapshot_version: 0,
            timestamp_version: 0,
        })
    }

    /// The current state, verified from the trusted root on; `None` if there is
    /// no repository. Expired metadata is accepted: publishing is its cure.
    pub(crate) fn load(store: &dyn Store, root_bytes: &[u8]) -> Result<Option<Self>, PublishError> {
        let timestamp = format!("{METADATA}/timestamp.json");
        if store.size(&timestamp).map_err(|e| store.error("looking at", &timestamp, e))?.is_none() {
            return Ok(None);
        }
        let loader = RepositoryLoader::new(
            &root_bytes,
            folder_url(&store.root().join(METADATA))?,
            folder_url(&store.root().join(TARGETS))?,
        )
        .transport(FilesystemTransport)
        .expiration_enforcement(ExpirationEnforcement::Unsafe);
        let repo = block_on(loader.load())
            .map_err(|source| PublishError::Repository { repo: store.root().into(), source: Box::new(source) })?;
        let snapshot = &repo.snapshot().signed;
        Ok(Some(Self {
            root: repo.root().signed.clone(),
            root_bytes: root_bytes.into(),
            targets: repo.targets().signed.clone(),
            targets_version: repo.targets().signed.version.get(),
            targets_meta: snapshot.meta.get("targets.json").cloned(),
            snapshot_version: snapshot.version.get(),
            timestamp_version: repo.timestamp().signed.version.get(),
        }))
    }

    /// SHA-256 of a target, if it is there.
    pub(crate) fn digest_of(&self, name: &str) -> Option<Sha256Digest> {
        let target = self.targets.targets.get(&TargetName::new(name).ok()?)?;
        Some(Sha256Digest(target.hashes.sha256.as_ref().try_into().ok()?))
    }

    /// Add or replace a target.
    pub(crate) fn add_target(&mut self, name: &str, bytes: &[u8]) -> Result<(), PublishError> {
        let name = TargetName::new(name).map_err(|e| PublishError::Tuf(e.to_string()))?;
        let hashes = Hashes { sha256: Sha256Digest::of(bytes).0.to_vec().into(), _extra: HashMap::new() };
        let target = Target { length: bytes.len() as u64, hashes, custom: HashMap::new(), _extra: HashMap::new() };
        self.targets.add_target(name, target);
        Ok(())
    }

    /// Sign and write the next state; `timestamp.json` is the last write.
    pub(crate) fn write_next(
        mut self,
        store: &dyn Store,
        keys: &TufKeys,
        roles: Roles,
        dates: &Dates,
    ) -> Result<(), PublishError> {
        let used = UsedVersions::scan(store)?;
        self.write_root(store)?;
        let targets_meta = match (roles, self.targets_meta.take()) {
            (Roles::SnapshotAndTimestamp, Some(meta)) => meta,
            _ => {
                self.targets.version = next(used.targets.max(self.targets_version));
                self.targets.expires = dates.others;
                let file = sign_role(self.targets, &self.root, &keys.keys)?;
                put(store, &file)?;
                describe(&file)
            }
        };
        let version = next(used.snapshot.max(self.snapshot_version));
        let mut snapshot = Snapshot::new(SPEC_VERSION.into(), version, dates.others);
        snapshot.meta.insert("targets.json".into(), targets_meta);
        let file = sign_role(snapshot, &self.root, &keys.keys)?;
        put(store, &file)?;
        let mut timestamp = Timestamp::new(SPEC_VERSION.into(), next(self.timestamp_version), dates.timestamp);
        timestamp.meta.insert("snapshot.json".into(), describe(&file));
        put(store, &sign_role(timestamp, &self.root, &keys.keys)?)
    }

    /// Nodes look for roots newer than theirs; serve the one we trust.
    fn write_root(&self, store: &dyn Store) -> Result<(), PublishError> {
        let trusted = parse_root(&self.root_bytes)?;
        let path = format!("{METADATA}/{}", trusted.filename(true));
        match store.size(&path).map_err(|e| store.error("looking at", &path, e))? {
            Some(_) => Ok(()),
            None => store.write(&path, &self.root_bytes).map_err(|e| store.error("writing", &path, e)),
        }
    }
}

/// Highest version numbers in file names. A publisher that was killed may have
/// left files that nobody refers to; their numbers are not used again, because
/// a cache in between may hold them.
struct UsedVersions {
    targets: u64,
    snapshot: u64,
}

impl UsedVersions {
    fn scan(store: &dyn Store) -> Result<Self, PublishError> {
        let names = store.list(METADATA).map_err(|e| store.error("reading the folder", METADATA, e))?;
        let highest =
            |suffix: &str| names.iter().filter_map(|n| n.strip_suffix(suffix)?.parse().ok()).max().unwrap_or(0);
        Ok(Self { targets: highest(".targets.json"), snapshot: highest(".snapshot.json") })
    }
}

fn next(version: u64) -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(version)
}

fn put(store: &dyn Store, file: &SignedFile) -> Result<(), PublishError> {
    let path = format!("{METADATA}/{}", file.name);
    store.write(&path, &file.bytes).map_err(|e| store.error("writing", &path, e))
}

fn describe(file: &SignedFile) -> Metafile {
    Metafile {
        length: Some(file.bytes.len() as u64),
        hashes: Some(Hashes { sha256: Sha256Digest::of(&file.bytes).0.to_vec().into(), _extra: HashMap::new() }),
        version: file.version,
        _extra: HashMap::new(),
    }
}

fn parse_root(bytes: &[u8]) -> Result<Root, PublishError> {
    let signed: Signed<Root> = serde_json::from_slice(bytes)
        .map_err(|e| PublishError::Tuf(format!("root.json is no TUF root metadata: {e}")))?;
    Ok(signed.signed)
}

fn folder_url(path: &Path) -> Result<Url, PublishError> {
    let absolute = std::path::absolute(path).map_err(|source| PublishError::Io {
        operation: "resolving",
        path: path.into(),
        source,
    })?;
    Url::from_directory_path(&absolute).map_err(|()| PublishError::Tuf(format!("{} makes no URL", absolute.display())))
}
