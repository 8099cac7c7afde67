#![allow(clippy::unwrap_used)]
//! A real TUF client looks at the repository after every single write.

use std::cell::Cell;

use skerry_formats::index::IndexEntry;
use tough::{ExpirationEnforcement, FilesystemTransport, IntoVec as _, RepositoryLoader, TargetName};

use super::*;
use crate::release::{
    keys,
    objects::{check_compressed, compressed_path},
    testing::{BOARD, PRODUCT, Sample, write_statement},
    tuf_keys::block_on,
};

/// Keys, releases and a repository in one folder.
struct Bench {
    dir: tempfile::TempDir,
    keys: TufKeys,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        keys::init(&dir.path().join("keys"), 3650, now(), &mut rand_core::OsRng).unwrap();
        let keys = TufKeys::load(&dir.path().join("keys"), &PUBLISH_ROLES).unwrap();
        Self { dir, keys }
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("updates")
    }

    fn release(&self, sample: &Sample) -> PathBuf {
        let dir = self.dir.path().join(format!("release-{}-{}", sample.sequence, sample.seed));
        if !dir.exists() {
            write_statement(&dir, sample, &self.dir.path().join("cache"));
        }
        dir
    }

    fn publish_sample(&self, sample: &Sample, channel: &str) -> Result<Outcome, PublishError> {
        let dir = self.release(sample);
        publish(&self.repo(), &request(&dir, channel), &self.keys, &Progress::none())
    }

    fn publish(&self, sequence: u32) -> Result<Outcome, PublishError> {
        self.publish_sample(&Sample::new(sequence), "stable")
    }

    fn client(&self, channel: &str) -> Option<Sequence> {
        client(&self.repo(), &self.keys.root, &self.dir.path().join("datastore"), channel)
    }
}

fn now() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

fn request<'a>(release_dir: &'a Path, channel: &'a str) -> Request<'a> {
    Request { release_dir, channel, expiry: Expiry::default(), now: now() }
}

/// What a node does: TUF check with a lasting datastore, then the release on
/// offer with every object of it. Panics on anything that does not fit.
fn client(repo: &Path, root: &[u8], datastore: &Path, channel: &str) -> Option<Sequence> {
    if !repo.join("metadata/timestamp.json").exists() {
        return None;
    }
    fs::create_dir_all(datastore).unwrap();
    let url = |name: &str| url::Url::from_directory_path(repo.join(name)).unwrap();
    let loader = RepositoryLoader::new(&root, url(METADATA), url(TARGETS))
        .transport(FilesystemTransport)
        .datastore(datastore)
        .expiration_enforcement(ExpirationEnforcement::Unsafe);
    let loaded = block_on(loader.load()).unwrap();
    let get = |name: &str| {
        let name = TargetName::new(name).unwrap();
        block_on(async { Some(loaded.read_target(&name).await.unwrap()?.into_vec().await.unwrap()) })
    };
    let offer = Channel::parse(&get(&channel_target(channel, PRODUCT, BOARD))?).unwrap();
    let target = |file: &str| get(&release_target(PRODUCT, BOARD, offer.sequence, file)).unwrap();
    let release = Release::parse(&target(RELEASE_FILE)).unwrap();
    assert_eq!(release.sequence, offer.sequence);
    target(RELEASE_SIG_FILE);
    let index_bytes = zstd::decode_all(&target(INDEX_ZST_FILE)[..]).unwrap();
    assert_eq!(Sha256Digest::of(&index_bytes), release.index.sha256);
    for e in Index::parse(&index_bytes).unwrap().entries() {
        let file = fs::File::open(repo.join(OBJECTS).join(compressed_path(&e.digest))).unwrap();
        assert!(file.metadata().unwrap().len() <= e.file_bytes_max());
        check_compressed(file, &e.digest, e.size_bytes).unwrap();
    }
    Some(offer.sequence)
}

/// All files of the repository with their content.
fn snapshot(repo: &Path) -> BTreeMap<String, Sha256Digest> {
    crate::release::sums::sum_all(repo).unwrap()
}

#[test]
fn two_releases_one_after_the_other() {
    let b = Bench::new();
    assert!(matches!(b.publish(1).unwrap(), Outcome::Published { previous: None, .. }));
    assert_eq!(b.client("stable"), Some(Sequence(1)));
    let Outcome::Published { objects_new, previous, .. } = b.publish(2).unwrap() else { panic!("nothing published") };
    assert_eq!((objects_new, previous), (3, Some(Sequence(1))), "library, metadata image, kernel image");
    assert_eq!(b.client("stable"), Some(Sequence(2)));
    let names: Vec<_> = snapshot(&b.repo()).into_keys().filter(|n| n.ends_with("/release.json")).collect();
    assert_eq!(names.len(), 2, "the first release is still there: {names:?}");
    assert_eq!(b.client("beta"), None, "no such channel");
}

#[test]
fn publishing_again_changes_no_byte() {
    let b = Bench::new();
    b.publish(1).unwrap();
    let before = snapshot(&b.repo());
    assert_eq!(b.publish(1).unwrap(), Outcome::AlreadyPublished { objects_repaired: 0 });
    assert_eq!(snapshot(&b.repo()), before);
}

#[test]
fn lower_and_used_sequences_are_refused() {
    let b = Bench::new();
    b.publish(1).unwrap();
    b.publish(2).unwrap();
    let before = snapshot(&b.repo());
    let lower = b.publish(1).unwrap_err();
    assert!(matches!(&lower, PublishError::Sequence { current: Sequence(2), .. }), "{lower}");
    let other = b.publish_sample(&Sample { seed: 77, ..Sample::new(2) }, "stable").unwrap_err();
    assert!(matches!(other, PublishError::SequenceTaken { .. }), "{other}");
    assert_eq!(snapshot(&b.repo()), before);
    // Another channel may stand at an older release; its files are there.
    let Outcome::Published { objects_new, .. } = b.publish_sample(&Sample::new(1), "beta").unwrap() else { panic!() };
    assert_eq!(objects_new, 0);
    assert_eq!((b.client("beta"), b.client("stable")), (Some(Sequence(1)), Some(Sequence(2))));
}

/// Fails at the n-th write; a client looks before every write.
struct Failing<'a> {
    inner: FolderStore,
    left: Cell<usize>,
    look: &'a dyn Fn(),
}

impl Failing<'_> {
    fn tick(&self) -> io::Result<()> {
        (self.look)();
        match self.left.get() {
            0 => Err(io::Error::other("power cut")),
            n => {
                self.left.set(n - 1);
                Ok(())
            }
        }
    }
}

impl Store for Failing<'_> {
    fn size(&self, path: &str) -> io::Result<Option<u64>> {
        self.inner.size(path)
    }
    fn open(&self, path: &str) -> io::Result<Box<dyn io::Read>> {
        self.inner.open(path)
    }
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.inner.read(path)
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.tick()?;
        self.inner.write(path, bytes)
    }
    fn copy_in(&self, from: &Path, path: &str) -> io::Result<()> {
        self.tick()?;
        self.inner.copy_in(from, path)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }
    fn root(&self) -> &Path {
        self.inner.root()
    }
}

/// Publish `sequence` with a power cut at every write in turn; the client sees
/// `before` all the time. Then publish it for good.
fn crash_everywhere(b: &Bench, sequence: u32, before: Option<Sequence>) {
    let dir = b.release(&Sample::new(sequence));
    for cut in 0.. {
        let look = || assert_eq!(b.client("stable"), before, "cut at write {cut}");
        let store = Failing { inner: FolderStore::new(&b.repo()), left: Cell::new(cut), look: &look };
        match publish_to(&store, &request(&dir, "stable"), &b.keys, &Progress::none()) {
            Err(PublishError::Io { .. }) => look(),
            Ok(_) => {
                assert!(cut > 0 && store.left.get() == 0, "every write was cut once");
                break;
            }
            Err(e) => panic!("cut at write {cut}: {e}"),
        }
    }
    assert_eq!(b.client("stable"), Some(Sequence(sequence)));
}

#[test]
fn power_cut_at_every_write_leaves_the_old_or_the_new_state() {
    let b = Bench::new();
    fs::create_dir(b.repo()).unwrap();
    crash_everywhere(&b, 1, None);
    crash_everywhere(&b, 2, Some(Sequence(1)));
}

#[test]
fn numbers_of_a_publisher_that_was_killed_are_not_used_again() {
    let b = Bench::new();
    b.publish(1).unwrap();
    let left = b.repo().join("metadata/7.targets.json");
    fs::write(&left, "half").unwrap();
    b.publish(2).unwrap();
    assert_eq!(fs::read(&left).unwrap(), b"half");
    assert!(b.repo().join("metadata/8.targets.json").exists());
    assert_eq!(b.client("stable"), Some(Sequence(2)));
}

#[test]
fn two_publishers_at_once() {
    let b = Bench::new();
    let held = lock(&b.repo()).unwrap();
    assert!(matches!(b.publish(1), Err(PublishError::Locked(_))));
    drop(held);
    b.publish(1).unwrap();
}

#[test]
fn refresh_needs_no_targets_key_and_moves_only_the_dates() {
    let b = Bench::new();
    let two = TufKeys::load(&b.dir.path().join("keys"), &REFRESH_ROLES).unwrap();
    let expiry = Expiry { timestamp_days: 10, others_days: 20 };
    assert!(matches!(refresh(&b.repo(), &two, expiry, now()), Err(PublishError::NoRepository(_))));
    b.publish(1).unwrap();
    assert_eq!(b.client("stable"), Some(Sequence(1)));
    let before = snapshot(&b.repo());
    refresh(&b.repo(), &two, expiry, now()).unwrap();
    assert_eq!(b.client("stable"), Some(Sequence(1)));
    let after = snapshot(&b.repo());
    let changed: Vec<_> = after.iter().filter(|(n, d)| before.get(*n) != Some(d)).map(|(n, _)| n.as_str()).collect();
    assert_eq!(changed, ["metadata/2.snapshot.json", "metadata/timestamp.json"]);
    let expires = |name: &str| {
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(b.repo().join("metadata").join(name)).unwrap()).unwrap();
        json["signed"]["expires"].as_str().unwrap().to_string()
    };
    assert_eq!(expires("timestamp.json"), "2026-03-11T00:00:00Z");
    assert_eq!(expires("2.snapshot.json"), "2026-03-21T00:00:00Z");
    assert_eq!(expires("1.targets.json"), "2027-03-01T00:00:00Z");
}

#[test]
fn keys_of_a_stranger() {
    let (b, stranger) = (Bench::new(), Bench::new());
    b.publish(1).unwrap();
    let before = snapshot(&b.repo());
    let dir = b.release(&Sample::new(2));
    let whole = publish(&b.repo(), &request(&dir, "stable"), &stranger.keys, &Progress::none()).unwrap_err();
    assert!(matches!(whole, PublishError::Repository { .. }), "{whole}");
    let mixed = TufKeys { root: b.keys.root.clone(), ..stranger.keys.clone() };
    let mixed = publish(&b.repo(), &request(&dir, "stable"), &mixed, &Progress::none()).unwrap_err();
    assert!(matches!(mixed, PublishError::Sign(_)), "{mixed}");
    assert_eq!(b.client("stable"), Some(Sequence(1)));
    let metadata = |s: &BTreeMap<String, Sha256Digest>| {
        s.iter().filter(|(n, _)| n.starts_with(METADATA)).map(|(n, d)| (n.clone(), *d)).collect::<Vec<_>>()
    };
    assert_eq!(metadata(&snapshot(&b.repo())), metadata(&before));
}

/// The largest object of the second release that the first does not have.
fn new_object(b: &Bench) -> (IndexEntry, PathBuf) {
    let index =
        |sequence| Index::parse(&fs::read(b.release(&Sample::new(sequence)).join(INDEX_FILE)).unwrap()).unwrap();
    let (one, two) = (index(1), index(2));
    let fresh = two.entries().iter().filter(|e| one.get(&e.digest).is_none());
    let e = fresh.max_by_key(|e| e.size_bytes).unwrap().clone();
    let path = b.repo().join(OBJECTS).join(compressed_path(&e.digest));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    (e, path)
}

fn content(b: &Bench, e: &IndexEntry) -> Vec<u8> {
    let file = b.release(&Sample::new(2)).join(OBJECTS).join(compressed_path(&e.digest));
    zstd::decode_all(&fs::read(file).unwrap()[..]).unwrap()
}

#[test]
fn an_object_of_another_compressor_stays_as_it_is() {
    let b = Bench::new();
    b.publish(1).unwrap();
    let (e, path) = new_object(&b);
    let mut encoder = zstd::stream::Encoder::new(vec![], 1).unwrap();
    encoder.include_checksum(true).unwrap();
    io::Write::write_all(&mut encoder, &content(&b, &e)).unwrap();
    let other = encoder.finish().unwrap();
    assert_ne!(other.len() as u64, e.compressed_bytes);
    fs::write(&path, &other).unwrap();
    let Outcome::Published { objects_new, objects_repaired, .. } = b.publish(2).unwrap() else { panic!() };
    assert_eq!((objects_new, objects_repaired), (2, 0));
    assert_eq!(fs::read(&path).unwrap(), other, "clients may be in the middle of it");
    assert_eq!(b.client("stable"), Some(Sequence(2)));
}

#[test]
fn damaged_objects_in_the_repository_are_replaced() {
    let b = Bench::new();
    b.publish(1).unwrap();
    let (e, path) = new_object(&b);
    let good = fs::read(b.release(&Sample::new(2)).join(OBJECTS).join(compressed_path(&e.digest))).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let mut padded = good.clone();
    padded.extend([0x50, 0x2a, 0x4d, 0x18]);
    padded.extend((e.size_bytes as u32 + 2000).to_le_bytes());
    padded.resize(padded.len() + e.size_bytes as usize + 2000, 0);
    let attacks = [
        ("garbage", b"other bytes".to_vec()),
        ("empty", vec![]),
        ("flipped-byte-same-size", flipped),
        ("cut-short", good[..good.len() - 1].to_vec()),
        ("bytes-after-the-end", [&good[..], b"more"].concat()),
        ("other-content", zstd::encode_all(&vec![5; e.size_bytes as usize][..], 3).unwrap()),
        ("zstd-bomb", zstd::encode_all(&vec![0; 64 << 20][..], 3).unwrap()),
        ("padded", padded),
    ];
    for (n, (name, bytes)) in attacks.iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        let repaired = match b.publish(2).unwrap() {
            Outcome::Published { objects_repaired, .. } if n == 0 => objects_repaired,
            Outcome::AlreadyPublished { objects_repaired } if n > 0 => objects_repaired,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(repaired, 1, "{name}");
        assert_eq!(fs::read(&path).unwrap(), good, "{name}");
        assert_eq!(b.client("stable"), Some(Sequence(2)), "{name}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(b.publish(2).unwrap(), Outcome::AlreadyPublished { objects_repaired: 1 }, "a lost object comes back");
    assert_eq!(fs::read(&path).unwrap(), good);
}

#[test]
fn channel_names_are_checked() {
    let b = Bench::new();
    for bad in ["", "Stable", "a/b", "..", "with space", &"x".repeat(41)] {
        assert!(matches!(b.publish_sample(&Sample::new(1), bad), Err(PublishError::ChannelName(_))), "{bad}");
    }
}
