//! A small publisher on tough's editor: releases into a folder of static files.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};
use skerry_formats::{
    ObjectDigest, Sequence, Sha256Digest,
    channel::{Channel, channel_target, release_target},
    fsverity_digest,
    index::{Index, IndexEntry, Role},
    release::{IndexRef, OsTree, Release, Totals, UkiRef},
    sign::{DOMAIN_RELEASE, sign_bytes},
    versioned::Document as _,
};
use tough::{
    editor::{RepositoryEditor, signed::SignedRole},
    key_source::{KeySource, LocalKeySource},
    schema::{KeyHolder, RoleKeys, RoleType, Root, Target},
};

pub const PRODUCT: &str = "demo";
pub const BOARD: &str = "pc";
pub const CHANNEL: &str = "stable";

/// Bytes that do not compress and differ by seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 32) as u8
        })
        .collect()
}

/// A release as content.
#[derive(Clone)]
pub struct Made {
    pub release: Release,
    pub release_bytes: Vec<u8>,
    pub sig_bytes: Vec<u8>,
    pub index: Index,
    pub index_bytes: Vec<u8>,
    pub objects: BTreeMap<ObjectDigest, Vec<u8>>,
}

impl Made {
    /// `common` objects shared by all releases, own ones by sequence, one large.
    pub fn new(sequence: u32, key: &SigningKey) -> Self {
        Self::with(sequence, key, |_| {})
    }

    pub fn with(sequence: u32, key: &SigningKey, change: impl FnOnce(&mut Release)) -> Self {
        let seq = u64::from(sequence);
        let mut files: Vec<(Vec<u8>, Role)> = (0..4).map(|i| (noise(i, 3000), Role::Data)).collect();
        files.push((vec![], Role::Data));
        files.extend((0..3).map(|i| (noise(100 * seq + i, 2000 + 5000 * i as usize), Role::Data)));
        files.push((noise(100 * seq + 50, 300_000), Role::Data));
        let erofs = noise(100 * seq + 60, 8192);
        let uki = noise(100 * seq + 70, 50_000);
        files.push((erofs.clone(), Role::Erofs));
        files.push((uki.clone(), Role::Uki));
        let mut objects = BTreeMap::new();
        let mut entries = vec![];
        for (bytes, role) in files {
            let digest = fsverity_digest(&bytes);
            let compressed_bytes = compress(&bytes).len() as u64;
            entries.push(IndexEntry { digest, size_bytes: bytes.len() as u64, compressed_bytes, role });
            objects.insert(digest, bytes);
        }
        let index = Index::new(entries);
        let index_bytes = index.to_bytes();
        let mut release = Release {
            format: Release::header(),
            product: PRODUCT.into(),
            board: BOARD.into(),
            arch: "x86_64".into(),
            version: format!("1.{sequence}"),
            sequence: Sequence(sequence),
            built_at: 1_700_000_000 + seq,
            kernel: "6.12".into(),
            os: OsTree { composefs: fsverity_digest(&erofs), ostree_commit: Sha256Digest([0; 32]) },
            apps: vec![],
            uki: UkiRef { object: fsverity_digest(&uki), size_bytes: uki.len() as u64, sha256: Sha256Digest::of(&uki) },
            index: IndexRef { sha256: Sha256Digest::of(&index_bytes), size_bytes: index_bytes.len() as u64 },
            totals: Totals {
                objects: objects.len() as u64,
                bytes: objects.values().map(|o| o.len() as u64).sum(),
                compressed_bytes: index.entries().iter().map(|e| e.compressed_bytes).sum(),
            },
        };
        change(&mut release);
        let release_bytes = release.to_bytes();
        let sig_bytes = sign_bytes(DOMAIN_RELEASE, &release_bytes, key);
        Self { release, release_bytes, sig_bytes, index, index_bytes, objects }
    }
}

pub fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// The update repository and its keys.
pub struct Publisher {
    pub dir: PathBuf,
    pub repo: PathBuf,
    pub release_key: SigningKey,
    pub targets: BTreeMap<String, Vec<u8>>,
    pub version: u64,
    pub expires_hours: i64,
}

impl Publisher {
    pub async fn new(dir: &Path) -> Self {
        let repo = dir.join("repo");
        for d in ["metadata", "targets", "objects"] {
            fs::create_dir_all(repo.join(d)).unwrap();
        }
        let rng = aws_lc_rs::rand::SystemRandom::new();
        let der = aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
        fs::write(dir.join("tuf.der"), der.as_ref()).unwrap();
        let this = Self {
            dir: dir.into(),
            repo,
            release_key: SigningKey::from_bytes(&[7; 32]),
            targets: BTreeMap::new(),
            version: 0,
            expires_hours: 24 * 30,
        };
        let key = this.keys()[0].as_sign().await.unwrap().tuf_key();
        let id = key.key_id().unwrap();
        let one = NonZeroU64::new(1).unwrap();
        let role = RoleKeys { keyids: vec![id.clone()], threshold: one, _extra: HashMap::new() };
        let roles = [RoleType::Root, RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];
        let root = Root {
            spec_version: "1.0.0".into(),
            consistent_snapshot: true,
            version: one,
            expires: Timestamp::now() + SignedDuration::from_hours(24 * 3650),
            keys: HashMap::from([(id, key)]),
            roles: roles.into_iter().map(|r| (r, role.clone())).collect(),
            _extra: HashMap::new(),
        };
        let signed = SignedRole::new(root.clone(), &KeyHolder::Root(root), &this.keys(), &rng).await.unwrap();
        fs::write(this.root_json(), signed.buffer()).unwrap();
        this
    }

    pub fn root_json(&self) -> PathBuf {
        self.dir.join("root.json")
    }

    fn keys(&self) -> Vec<Box<dyn KeySource>> {
        vec![Box::new(LocalKeySource { path: self.dir.join("tuf.der") })]
    }

    /// Add a release and point the channel to it.
    pub async fn publish(&mut self, made: &Made) {
        self.publish_as(made, made.release.sequence, PRODUCT, BOARD).await;
    }

    pub async fn publish_as(&mut self, made: &Made, sequence: Sequence, product: &str, board: &str) {
        for (digest, bytes) in &made.objects {
            let path = self.object(digest);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, compress(bytes)).unwrap();
        }
        let target = |file| release_target(PRODUCT, BOARD, sequence, file);
        self.targets.insert(target("release.json"), made.release_bytes.clone());
        self.targets.insert(target("release.json.sig"), made.sig_bytes.clone());
        self.targets.insert(target("index.skx.zst"), compress(&made.index_bytes));
        let channel = Channel {
            format: Channel::header(),
            channel: CHANNEL.into(),
            product: product.into(),
            board: board.into(),
            sequence,
            version: format!("1.{sequence}"),
        };
        self.targets.insert(channel_target(CHANNEL, PRODUCT, BOARD), channel.to_bytes());
        self.sign().await;
    }

    /// New metadata over the targets, one version up.
    pub async fn sign(&mut self) {
        self.version += 1;
        let v = NonZeroU64::new(self.version).unwrap();
        let expires = Timestamp::now() + SignedDuration::from_hours(self.expires_hours);
        let mut ed = RepositoryEditor::new(self.root_json()).await.unwrap();
        ed.targets_expires(expires).unwrap().targets_version(v).unwrap();
        ed.snapshot_expires(expires).snapshot_version(v).timestamp_expires(expires).timestamp_version(v);
        for (name, bytes) in &self.targets {
            let tmp = self.dir.join("target");
            fs::write(&tmp, bytes).unwrap();
            ed.add_target(name.as_str(), Target::from_path(&tmp).await.unwrap()).unwrap();
            let at = self.target_file(name, bytes);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, bytes).unwrap();
        }
        ed.sign(&self.keys()).await.unwrap().write(self.repo.join("metadata")).await.unwrap();
    }

    pub fn target_file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        self.repo.join("targets").join(format!("{}.{name}", Sha256Digest::of(bytes)))
    }

    /// File of a published target.
    pub fn target(&self, name: &str) -> PathBuf {
        self.target_file(name, &self.targets[name])
    }

    pub fn release_file(&self, sequence: u32, file: &str) -> PathBuf {
        self.target(&release_target(PRODUCT, BOARD, Sequence(sequence), file))
    }

    pub fn object(&self, digest: &ObjectDigest) -> PathBuf {
        self.repo.join("objects").join(format!("{}.zst", digest.object_path()))
    }
}

/// Flip one bit in the middle of a file.
pub fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}
