//! Check: from TUF metadata to a release and index that are genuine.

use std::{fs, io::Read as _, path::Path};

use skerry_formats::{
    Sequence, Sha256Digest,
    baked::{NodeConfig, UpdateConfig},
    channel::{Channel, channel_target, release_target},
    index::{Index, Role},
    layout::{BAKED_RELEASE_KEY, BAKED_TUF_ROOT, INDEX_FILE, INDEX_ZST_FILE, RELEASE_FILE, RELEASE_SIG_FILE},
    release::Release,
    sign::{DOMAIN_RELEASE, parse_public_key, verify_bytes},
    versioned::Document as _,
};
use skerry_update_core::{Plan, TufFloor};
use tough::{ExpirationEnforcement, IntoVec as _, Limits, Repository, RepositoryLoader, TargetName};

use crate::{
    Config, UpdateError, config,
    error::io,
    facilities::Facilities,
    source::Source,
    store::{self, Store},
};

/// Largest index that is accepted, in bytes.
pub const INDEX_BYTES_MAX: u64 = 64 << 20;
/// Largest release statement or signature, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 1 << 20;

/// A genuine release: parsed, and as the bytes that were signed.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The statement.
    pub release: Release,
    /// Its bytes.
    pub release_bytes: Vec<u8>,
    /// Its signature's bytes.
    pub sig_bytes: Vec<u8>,
    /// The index.
    pub index: Index,
    /// Its bytes, uncompressed.
    pub index_bytes: Vec<u8>,
}

/// Load and verify the metadata.
///
/// # Errors
/// [`UpdateError::Tuf`], [`UpdateError::TufRollback`], [`UpdateError::Http`].
pub async fn load(
    cfg: &Config,
    fac: &dyn Facilities,
    source: &Source,
    floor: TufFloor,
) -> Result<(Repository, TufFloor), UpdateError> {
    let root_path = cfg.path(BAKED_TUF_ROOT);
    let root = fs::read(&root_path).map_err(io("read", &root_path))?;
    let datastore = cfg.tuf_datastore();
    fac.create_dir_all(&datastore).map_err(io("create", &datastore))?;
    // The client refuses to work when the clock stands before its last note of
    // the time. Our own floor takes care of that, and a clock that was once
    // ahead must not stop updates for ever.
    let note = datastore.join("latest_known_time.json");
    fac.remove(&note).map_err(io("remove", &note))?;
    let limits = Limits {
        max_root_size: 256 << 10,
        max_targets_size: 8 << 20,
        max_timestamp_size: 64 << 10,
        max_snapshot_size: 256 << 10,
        max_root_updates: 256,
    };
    let repo = RepositoryLoader::new(&root, source.url("metadata/")?, source.url("targets/")?)
        .transport(source.clone())
        .limits(limits)
        .datastore(datastore)
        .expiration_enforcement(ExpirationEnforcement::Safe)
        .load()
        .await
        .map_err(|e| UpdateError::Tuf(Box::new(e)))?;
    let seen = TufFloor { root: repo.root().signed.version.get(), timestamp: repo.timestamp().signed.version.get() };
    // The client's own notes are not written durably; these are.
    let older = |what, found, known| Err(UpdateError::TufRollback { what, found, known });
    if seen.root < floor.root {
        return older("root", seen.root, floor.root);
    }
    if seen.root == floor.root && seen.timestamp < floor.timestamp {
        return older("timestamp", seen.timestamp, floor.timestamp);
    }
    Ok((repo, seen))
}

async fn read_target(repo: &Repository, name: &str, bytes_max: usize) -> Result<Vec<u8>, UpdateError> {
    let tuf = |e| UpdateError::Tuf(Box::new(e));
    let target = TargetName::new(name).map_err(tuf)?;
    let listed = repo.targets().signed.find_target(&target, false).map_err(|_| UpdateError::NoTarget(name.into()))?;
    if listed.length > bytes_max as u64 {
        return Err(crate::source::HttpError::TooLarge(name.into()).into());
    }
    let stream = repo.read_target(&target).await.map_err(tuf)?.ok_or_else(|| UpdateError::NoTarget(name.into()))?;
    stream.into_vec().await.map_err(tuf)
}

/// Read the channel pointer.
///
/// # Errors
/// [`UpdateError::Channel`] if it is for another node, and those of [`load`].
pub async fn channel(repo: &Repository, node: &NodeConfig, update: &UpdateConfig) -> Result<Channel, UpdateError> {
    let name = channel_target(&update.channel, &node.product, &node.board);
    let bytes = read_target(repo, &name, STATEMENT_BYTES_MAX).await?;
    let c = Channel::parse(&bytes).map_err(|e| UpdateError::Channel(e.to_string()))?;
    if (&c.channel, &c.product, &c.board) != (&update.channel, &node.product, &node.board) {
        return Err(UpdateError::Channel(format!(
            "it is for {}/{}/{}, this node is {}/{}/{}",
            c.channel, c.product, c.board, update.channel, node.product, node.board
        )));
    }
    Ok(c)
}

/// Read release statement, signature and index of a release and check them
/// against each other and this node.
///
/// # Errors
/// [`UpdateError::Release`] if what was published cannot be used here.
pub async fn release(
    cfg: &Config,
    repo: &Repository,
    node: &NodeConfig,
    sequence: Sequence,
) -> Result<Candidate, UpdateError> {
    let target = |file| release_target(&node.product, &node.board, sequence, file);
    let release_bytes = read_target(repo, &target(RELEASE_FILE), STATEMENT_BYTES_MAX).await?;
    let sig_bytes = read_target(repo, &target(RELEASE_SIG_FILE), STATEMENT_BYTES_MAX).await?;
    let release = statement(cfg, node, sequence, &release_bytes, &sig_bytes)?;
    // A copy from an earlier attempt saves the second largest download.
    let copy = store::staged_release_dir(cfg, sequence).join(INDEX_FILE);
    let index_bytes = match fs::read(&copy) {
        Ok(bytes) if Sha256Digest::of(&bytes) == release.index.sha256 => bytes,
        _ => {
            let zst = read_target(repo, &target(INDEX_ZST_FILE), INDEX_BYTES_MAX as usize).await?;
            unpack_index(&release, &zst)?
        }
    };
    let index = check_index(&release, &index_bytes)?;
    Ok(Candidate { release, release_bytes, sig_bytes, index, index_bytes })
}

fn bad(sequence: Sequence, detail: impl ToString) -> UpdateError {
    UpdateError::Release { sequence: sequence.0, detail: detail.to_string() }
}

/// Verify and parse a release statement for this node.
///
/// # Errors
/// [`UpdateError::Release`]; [`UpdateError::Format`] for an unusable key file.
pub fn statement(
    cfg: &Config,
    node: &NodeConfig,
    sequence: Sequence,
    release_bytes: &[u8],
    sig_bytes: &[u8],
) -> Result<Release, UpdateError> {
    let key_path = cfg.path(BAKED_RELEASE_KEY);
    let key_text = fs::read_to_string(&key_path).map_err(io("read", &key_path))?;
    let key = parse_public_key(&key_text).map_err(|source| UpdateError::Format { path: key_path, source })?;
    verify_bytes(RELEASE_FILE, DOMAIN_RELEASE, release_bytes, sig_bytes, &[key]).map_err(|e| bad(sequence, e))?;
    let r = Release::parse(release_bytes).map_err(|e| bad(sequence, e))?;
    if (&r.product, &r.board) != (&node.product, &node.board) {
        let detail = format!("it is for {}/{}, this node is {}/{}", r.product, r.board, node.product, node.board);
        return Err(bad(sequence, detail));
    }
    if r.sequence != sequence {
        return Err(bad(sequence, format!("its statement says release {}", r.sequence)));
    }
    Ok(r)
}

fn unpack_index(release: &Release, zst: &[u8]) -> Result<Vec<u8>, UpdateError> {
    let size = release.index.size_bytes;
    if size > INDEX_BYTES_MAX {
        return Err(bad(release.sequence, format!("its index of {size} bytes is too large")));
    }
    let mut out = vec![];
    let decoder = zstd::stream::read::Decoder::new(zst).map_err(|e| bad(release.sequence, format!("index: {e}")))?;
    decoder.take(size + 1).read_to_end(&mut out).map_err(|e| bad(release.sequence, format!("index: {e}")))?;
    Ok(out)
}

/// Check an index against its release statement.
///
/// # Errors
/// [`UpdateError::Release`].
pub fn check_index(release: &Release, bytes: &[u8]) -> Result<Index, UpdateError> {
    let sequence = release.sequence;
    if bytes.len() as u64 != release.index.size_bytes || Sha256Digest::of(bytes) != release.index.sha256 {
        return Err(bad(sequence, "its index is not the one that the signed statement names"));
    }
    let index = Index::parse(bytes).map_err(|e| bad(sequence, e))?;
    let trees = std::iter::once(&release.os.composefs).chain(release.apps.iter().map(|a| &a.composefs));
    for tree in trees {
        if index.get(tree).is_none_or(|e| e.role != Role::Erofs) {
            return Err(bad(sequence, format!("its index lacks the tree {tree}")));
        }
    }
    let uki = index.get(&release.uki.object).filter(|e| e.role == Role::Uki);
    if uki.is_none_or(|e| e.size_bytes != release.uki.size_bytes) {
        return Err(bad(sequence, "its index lacks the kernel image"));
    }
    if index.entries().iter().filter(|e| e.role == Role::Uki).count() != 1 {
        return Err(bad(sequence, "its index names several kernel images"));
    }
    Ok(index)
}

/// What fetching the candidate costs this node.
///
/// # Errors
/// Local read errors.
pub fn plan(store: &Store<'_>, c: &Candidate) -> Result<Plan, UpdateError> {
    let missing = store.missing(&c.index)?;
    Ok(Plan {
        candidate: skerry_formats::status::ReleaseRef {
            sequence: c.release.sequence,
            version: c.release.version.clone(),
        },
        planned_bytes: missing.iter().map(|e| e.compressed_bytes).sum(),
        objects: missing.len() as u64,
        full_bytes: c.index.entries().iter().map(|e| e.compressed_bytes).sum(),
    })
}

/// The floor that the clock never goes below: the later of what is on record
/// and what a signed statement says. Returns the floor.
///
/// # Errors
/// The record cannot be written.
pub fn raise_time_floor(cfg: &Config, fac: &dyn Facilities, signed_secs: u64) -> Result<u64, UpdateError> {
    let path = cfg.time_floor();
    let known = read_floor(&path);
    let floor = known.max(signed_secs);
    if floor > known {
        fac.write_file(&path, format!("{floor}\n").as_bytes()).map_err(io("write", &path))?;
    }
    fac.raise_clock(floor);
    Ok(floor)
}

fn read_floor(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

/// The running release's own build time, if its record is on SYSTEM.
pub fn running_built_at(cfg: &Config, node: &NodeConfig) -> u64 {
    let path = store::release_dir(cfg, config::running(node).sequence).join(RELEASE_FILE);
    fs::read(path).ok().and_then(|b| Release::parse(&b).ok()).map_or(0, |r| r.built_at)
}
