//! Publish: adds a release to a TUF update repository of plain static files.
//!
//! A web server may serve the folder while it is written. Objects come first,
//! then targets, then metadata under names that nobody refers to yet, and last
//! `timestamp.json`, one rename that switches all clients from the old state to
//! the new one. Nothing that an older state refers to is touched, but for objects
//! that no client can use: a damaged one is replaced.

mod objects;
mod repo;
mod store;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use skerry_formats::{
    FormatError, Release, Sequence, Sha256Digest,
    channel::{Channel, channel_target, release_target},
    index::Index,
    layout::{INDEX_FILE, INDEX_ZST_FILE, RELEASE_FILE, RELEASE_SIG_FILE},
    versioned::Document as _,
};
use tough::schema::RoleType;

pub use self::store::{FolderStore, Store};
use self::{
    objects::Copied,
    repo::{Metadata, Roles},
};
use crate::{
    progress::Progress,
    release::{
        keys::{KeysError, TufKeys},
        objects::zstd_frame,
        tuf_keys::SignError,
    },
};

/// Folder of TUF metadata in the repository.
pub const METADATA: &str = "metadata";
/// Folder of TUF targets.
pub const TARGETS: &str = "targets";
/// Folder of objects.
pub const OBJECTS: &str = "objects";

/// For how long metadata stays valid. Nodes are offline for long: dates are
/// generous, and a node that is behind them keeps running what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// `timestamp.json`: how long a node may be shown an old state.
    pub timestamp_days: u32,
    /// Snapshot and targets.
    pub others_days: u32,
}

impl Default for Expiry {
    fn default() -> Self {
        Self { timestamp_days: 90, others_days: 365 }
    }
}

/// What to publish and where.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Output folder of `skerry build`, verified by the caller.
    pub release_dir: &'a Path,
    /// Channel to offer it on.
    pub channel: &'a str,
    /// Validity of the metadata.
    pub expiry: Expiry,
    /// Current time.
    pub now: Timestamp,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The channel already offers exactly this release.
    AlreadyPublished {
        /// Objects that were missing or damaged, and are there now.
        objects_repaired: u64,
    },
    /// The channel offers it now.
    Published {
        /// Objects that were not there yet.
        objects_new: u64,
        /// Their compressed size in bytes.
        bytes_new: u64,
        /// Objects that were there, damaged, and were replaced.
        objects_repaired: u64,
        /// Sequence that the channel offered before.
        previous: Option<Sequence>,
    },
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Key files.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Signing.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A file could not be read or written.
    #[error("{operation} {}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Someone else is publishing.
    #[error("another `skerry publish` is writing to {}; wait for it, then try again", .0.display())]
    Locked(PathBuf),
    /// The repository is there but does not hold together.
    #[error("the update repository in {} is not valid for the keys given; use the keys it was made with, or another folder", .repo.display())]
    Repository {
        /// Its folder.
        repo: PathBuf,
        /// What tough said.
        #[source]
        source: Box<tough::error::Error>,
    },
    /// There is no repository to refresh.
    #[error("{} holds no update repository; publish a release to it first", .0.display())]
    NoRepository(PathBuf),
    /// A document of the release or the repository is malformed.
    #[error("{}", .path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
    /// The channel offers this sequence or a later one.
    #[error(
        "channel {channel} of {product}/{board} offers sequence {current} already; raise `sequence` in the image spec above {current} and build again (this release has {offered})"
    )]
    Sequence {
        /// Channel.
        channel: String,
        /// Product.
        product: String,
        /// Board.
        board: String,
        /// What is there.
        current: Sequence,
        /// What was to be published.
        offered: Sequence,
    },
    /// The sequence number was used for another release.
    #[error(
        "sequence {sequence} of {product}/{board} is published already with other content; raise `sequence` in the image spec and build again"
    )]
    SequenceTaken {
        /// Product.
        product: String,
        /// Board.
        board: String,
        /// The number.
        sequence: Sequence,
    },
    /// A channel name that cannot be part of a path.
    #[error("channel name {0:?} is not valid: use lower-case letters, digits and `-`, at most 40")]
    ChannelName(String),
    /// A file of the release is too large to be true or damaged.
    #[error("a tough operation failed: {0}")]
    Tuf(String),
}

/// Publish a release into the folder `repo`.
///
/// # Errors
/// [`PublishError`]; the repository still holds the state from before.
pub fn publish(
    repo: &Path,
    request: &Request<'_>,
    keys: &TufKeys,
    progress: &Progress,
) -> Result<Outcome, PublishError> {
    let _lock = lock(repo)?;
    publish_to(&FolderStore::new(repo), request, keys, progress)
}

/// Sign snapshot and timestamp again with new dates, without a new release.
///
/// # Errors
/// [`PublishError`]; the repository still holds the state from before.
pub fn refresh(repo: &Path, keys: &TufKeys, expiry: Expiry, now: Timestamp) -> Result<(), PublishError> {
    if !repo.join(METADATA).is_dir() {
        return Err(PublishError::NoRepository(repo.into()));
    }
    let _lock = lock(repo)?;
    let store = FolderStore::new(repo);
    let current = Metadata::load(&store, &keys.root)?.ok_or_else(|| PublishError::NoRepository(repo.into()))?;
    current.write_next(&store, keys, Roles::SnapshotAndTimestamp, &dates(expiry, now))
}

/// Roles whose keys [`publish`] needs.
pub const PUBLISH_ROLES: [RoleType; 3] = [RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];
/// Roles whose keys [`refresh`] needs.
pub const REFRESH_ROLES: [RoleType; 2] = [RoleType::Snapshot, RoleType::Timestamp];

/// [`publish`] over any store; the caller holds the lock.
pub(crate) fn publish_to(
    store: &dyn Store,
    request: &Request<'_>,
    keys: &TufKeys,
    progress: &Progress,
) -> Result<Outcome, PublishError> {
    if !channel_name_is_valid(request.channel) {
        return Err(PublishError::ChannelName(request.channel.into()));
    }
    let files = ReleaseFiles::read(request.release_dir)?;
    let mut metadata = match Metadata::load(store, &keys.root)? {
        Some(current) => current,
        None => Metadata::empty(&keys.root)?,
    };
    let (channel_name, channel) = files.channel(request.channel);
    let previous = current_offer(store, &metadata, &channel_name)?;
    let targets = files.targets(&channel_name, &channel)?;
    let done = targets.iter().all(|(name, bytes)| metadata.digest_of(name) == Some(Sha256Digest::of(bytes)));
    if !done {
        check_sequence(&files.release, request.channel, previous, &metadata, &targets)?;
    }
    // Also if all is published: publishing again repairs the objects.
    let Copied { objects_new, bytes_new, objects_repaired } =
        objects::copy(store, request.release_dir, &files.index, progress)?;
    if done {
        return Ok(Outcome::AlreadyPublished { objects_repaired: objects_new + objects_repaired });
    }
    for (name, bytes) in &targets {
        let path = format!("{TARGETS}/{}.{name}", Sha256Digest::of(bytes));
        store.write(&path, bytes).map_err(|e| store.error("writing", &path, e))?;
        metadata.add_target(name, bytes)?;
    }
    metadata.write_next(store, keys, Roles::All, &dates(request.expiry, request.now))?;
    Ok(Outcome::Published { objects_new, bytes_new, objects_repaired, previous })
}

/// Expiry dates from now on.
pub(crate) struct Dates {
    pub(crate) timestamp: Timestamp,
    pub(crate) others: Timestamp,
}

fn dates(expiry: Expiry, now: Timestamp) -> Dates {
    let now = crate::release::keys::whole_seconds(now);
    let after = |days: u32| now + SignedDuration::from_hours(24 * i64::from(days));
    Dates { timestamp: after(expiry.timestamp_days), others: after(expiry.others_days) }
}

fn channel_name_is_valid(name: &str) -> bool {
    (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// What the channel offers now.
fn current_offer(store: &dyn Store, metadata: &Metadata, name: &str) -> Result<Option<Sequence>, PublishError> {
    let Some(digest) = metadata.digest_of(name) else { return Ok(None) };
    let path = format!("{TARGETS}/{digest}.{name}");
    let bytes = store.read(&path).map_err(|e| store.error("reading", &path, e))?;
    let channel = Channel::parse(&bytes).map_err(|source| PublishError::Format { path: path.into(), source })?;
    Ok(Some(channel.sequence))
}

fn check_sequence(
    release: &Release,
    channel: &str,
    previous: Option<Sequence>,
    metadata: &Metadata,
    targets: &BTreeMap<String, Vec<u8>>,
) -> Result<(), PublishError> {
    let (product, board) = (release.product.clone(), release.board.clone());
    let name = release_target(&product, &board, release.sequence, RELEASE_FILE);
    let there = metadata.digest_of(&name);
    if there.is_some() && there != targets.get(&name).map(|b| Sha256Digest::of(b)) {
        return Err(PublishError::SequenceTaken { product, board, sequence: release.sequence });
    }
    match previous {
        Some(current) if current >= release.sequence => {
            Err(PublishError::Sequence { channel: channel.into(), product, board, current, offered: release.sequence })
        }
        _ => Ok(()),
    }
}

/// The parts of a release that become targets.
struct ReleaseFiles {
    release: Release,
    release_json: Vec<u8>,
    release_sig: Vec<u8>,
    index: Index,
    index_bytes: Vec<u8>,
}

impl ReleaseFiles {
    fn read(dir: &Path) -> Result<Self, PublishError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read(&path).map_err(|source| PublishError::Io { operation: "reading", path, source })
        };
        let format = |name: &str| {
            let path = dir.join(name);
            move |source| PublishError::Format { path, source }
        };
        let (release_json, release_sig, index_bytes) =
            (read(RELEASE_FILE)?, read(RELEASE_SIG_FILE)?, read(INDEX_FILE)?);
        let release = Release::parse(&release_json).map_err(format(RELEASE_FILE))?;
        let index = Index::parse(&index_bytes).map_err(format(INDEX_FILE))?;
        Ok(Self { release, release_json, release_sig, index, index_bytes })
    }

    fn channel(&self, channel: &str) -> (String, Channel) {
        let r = &self.release;
        let document = Channel {
            format: Channel::header(),
            channel: channel.into(),
            product: r.product.clone(),
            board: r.board.clone(),
            sequence: r.sequence,
            version: r.version.clone(),
        };
        (channel_target(channel, &r.product, &r.board), document)
    }

    /// Target names and bytes.
    fn targets(&self, channel_name: &str, channel: &Channel) -> Result<BTreeMap<String, Vec<u8>>, PublishError> {
        let r = &self.release;
        let name = |file: &str| release_target(&r.product, &r.board, r.sequence, file);
        let index_zst = zstd_frame(&self.index_bytes).map_err(|source| PublishError::Io {
            operation: "compressing",
            path: INDEX_FILE.into(),
            source,
        })?;
        Ok(BTreeMap::from([
            (name(RELEASE_FILE), self.release_json.clone()),
            (name(RELEASE_SIG_FILE), self.release_sig.clone()),
            (name(INDEX_ZST_FILE), index_zst),
            (channel_name.to_string(), channel.to_bytes()),
        ]))
    }
}

/// One publisher at a time; the lock goes with the file handle, also when the
/// process is killed.
fn lock(repo: &Path) -> Result<fs::File, PublishError> {
    let path = repo.join(".lock");
    let io = |operation, source| PublishError::Io { operation, path: path.clone(), source };
    fs::create_dir_all(repo).map_err(|e| io("creating the folder of", e))?;
    let file =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|e| io("opening", e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(PublishError::Locked(repo.into())),
        Err(fs::TryLockError::Error(e)) => Err(io("locking", e)),
    }
}
