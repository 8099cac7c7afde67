//! What the store keeps, collects, and is left with after a crash.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeSet, fs, path::Path, process::Command, sync::Arc, time::Duration};

use common::{Image, Login, Server, files, layer, noise, options, pull, pull_with};
use skerry_formats::Sha256Digest;
use skerry_images::{Keyring, Store, StoreError, StoreOptions};

/// Images `a` to `d` in a registry: a file of their own and one that all share.
fn four(server: &Server) -> Vec<Sha256Digest> {
    let shared = layer(&[("shared", 0o644, &noise(1, 200_000))]);
    let push = |(n, name): (usize, &str)| {
        let image = Image::of(vec![shared.clone(), layer(&[("own", 0o644, &noise(n as u64 + 2, 100_000))])]);
        server.push(&image, &format!("{name}:1"));
        image.digest()
    };
    ["a", "b", "c", "d"].into_iter().enumerate().map(push).collect()
}

/// Every object has the content that its name says.
fn assert_sound(store: &Store) {
    for file in files(store.objects_folder()) {
        let digest = skerry_formats::fsverity_digest(&fs::read(store.objects_folder().join(&file)).unwrap());
        assert_eq!(digest.object_path(), file);
    }
}

#[tokio::test]
async fn collection_takes_the_oldest_and_never_what_is_used_or_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let [a, b, c, d] = four(&server)[..] else { panic!() };
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    for (name, now) in [("a", 10), ("b", 20), ("c", 30), ("d", 40)] {
        pull_with(&store, &format!("{}/{name}:1", server.address), &Keyring::default(), now).await.0.unwrap();
    }
    let none = BTreeSet::new();
    assert_eq!(store.gc(0, &none, &none).unwrap(), Default::default());

    // Older than all others, but used since.
    store.mark_used(&[a].into(), 50).unwrap();
    let held = store.by_digest(&b).unwrap();
    let done = store.gc(1, &none, &none).unwrap();
    assert_eq!(done.images, [c], "b is held, a was used later");
    assert!(done.freed_bytes >= 100_000 && done.freed_bytes < 200_000, "what others share stays: {done:?}");
    assert_sound(&store);

    let done = store.gc(u64::MAX, &[a].into(), &[d].into()).unwrap();
    assert_eq!(done.images, [], "in use, held and pinned");
    assert!(matches!(store.remove(&b), Err(StoreError::InUse(_))));
    drop(held);
    assert_eq!(store.gc(u64::MAX, &[a].into(), &[d].into()).unwrap().images, [b]);
    assert_eq!(store.gc(u64::MAX, &[].into(), &[].into()).unwrap().images, [d, a]);
    assert_eq!(files(&dir.path().join("store")), ["lock"], "nothing is left of them");
    assert!(matches!(store.remove(&b), Err(StoreError::Unknown(_))));
}

#[tokio::test]
async fn downloads_that_nobody_waits_for_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    four(&server);
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    pull(&store, &format!("{}/a:1", server.address)).await.unwrap();
    fs::write(dir.path().join(format!("store/partial/{}.part", Sha256Digest([3; 32]))), noise(1, 50_000)).unwrap();
    let done = store.gc(40_000, &[].into(), &[].into()).unwrap();
    assert_eq!((done.downloads, done.images.len()), (1, 0));
}

#[tokio::test]
async fn a_tag_that_moves_and_a_store_that_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let image = |seed| Image::of(vec![layer(&[("x", 0o644, &noise(seed, 1000))])]);
    let name = format!("{}/app:latest", server.address);
    let root = dir.path().join("store");
    let store = Store::open(&options(&root)).unwrap();
    assert!(matches!(Store::open(&options(&root)), Err(StoreError::Locked(_))));
    for seed in [1, 2, 1, 2] {
        server.push(&image(seed), "app:latest");
        assert_eq!(pull(&store, &name).await.unwrap().manifest_digest, image(seed).digest());
    }
    let before = store.list();
    drop(store);
    let store = Store::open(&options(&root)).unwrap();
    assert_eq!(store.list(), before);
    let found = store.by_reference(&name.parse().unwrap()).unwrap();
    assert_eq!((found.manifest_digest, store.list().len()), (image(2).digest(), 2));
    let names: Vec<_> = store.list().into_iter().filter(|l| !l.references.is_empty()).collect();
    assert_eq!((names.len(), &names[0].references[..]), (1, &[name][..]));
    store.mark_used(&[image(1).digest()].into(), 5_000_000).unwrap();
    drop(store);
    let store = Store::open(&options(&root)).unwrap();
    assert!(store.list().iter().any(|l| l.used_secs == 5_000_000), "the last use is kept");
}

#[tokio::test]
async fn leftovers_are_swept_and_damaged_images_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let [a, b, c, _] = four(&server)[..] else { panic!() };
    let root = dir.path().join("store");
    let store = Store::open(&options(&root)).unwrap();
    for name in ["a", "b", "c"] {
        pull(&store, &format!("{}/{name}:1", server.address)).await.unwrap();
    }
    let erofs = |d| store.by_digest(&d).unwrap().composefs.object_path();
    let (of_b, part) = (erofs(b), format!("{}.part", Sha256Digest([3; 32])));
    drop(store);
    fs::remove_file(root.join("objects").join(of_b)).unwrap();
    fs::write(root.join(format!("images/{c}.objects")), [0; 64]).unwrap();
    for name in ["partial/unpack-17", "images/.x.json.tmp", "images/x.json", "images/y.objects", "objects/ab/short"] {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), b"half").unwrap();
    }
    let orphan = skerry_formats::fsverity_digest(b"nobody's").object_path();
    fs::create_dir_all(root.join("objects").join(&orphan[..2])).unwrap();
    fs::write(root.join("objects").join(&orphan), b"nobody's").unwrap();
    fs::write(root.join("partial").join(&part), b"half").unwrap();

    let store = Store::open(&options(&root)).unwrap();
    let left: Vec<_> = store.list().into_iter().map(|l| l.image.manifest_digest).collect();
    assert_eq!(left, [a]);
    assert_eq!(files(&root.join("partial")), [part], "downloads are resumed");
    assert_eq!(files(&root.join("images")), [format!("{a}.json"), format!("{a}.objects")]);
    assert_eq!(files(&root.join("objects")).len(), 3, "shared, own, image");
    assert_sound(&store);
}

#[tokio::test]
async fn an_image_that_does_not_fit_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    // Small over the network, large on the disk.
    let large = layer(&[("a", 0o644, &noise(1, 200_000)), ("zeros", 0o644, &vec![0; 20_000_000])]);
    server.push(&Image::of(vec![large]), "large:1");
    server.push(&Image::of(vec![layer(&[("a", 0o644, &noise(1, 200_000))])]), "small:1");
    let name = format!("{}/large:1", server.address);

    let root = dir.path().join("limited");
    let store = Store::open(&StoreOptions { unpacked_bytes_max: 1_000_000, ..options(&root) }).unwrap();
    let line = pull(&store, &name).await.unwrap_err().line();
    assert!(line.contains("unpacks to more than 1000000 bytes"), "{line}");
    assert!(files(store.objects_folder()).is_empty());

    let root = dir.path().join("margin");
    let store = Store::open(&StoreOptions { free_margin_bytes: u64::MAX, ..options(&root) }).unwrap();
    let error = pull(&store, &name).await.unwrap_err();
    assert!(error.is_no_room() && error.line().contains("remove images or pods"), "{}", error.line());
    assert_eq!(files(&root), ["lock"]);

    if rustix::process::geteuid().is_root() {
        let root = dir.path().join("full");
        fs::create_dir(&root).unwrap();
        let none = skerry_platform::mount::MountAttrFlags::empty();
        skerry_platform::mount::mount_virtual("tmpfs", &root, none, "size=4m").unwrap();
        let store = Store::open(&options(&root)).unwrap();
        let error = pull(&store, &name).await.unwrap_err();
        assert!(error.is_no_room() && error.line().contains("No space left"), "{}", error.line());
        assert_eq!(files(&root), ["lock"]);
        pull(&store, &name.replace("large", "small")).await.unwrap();
        drop(store);
        skerry_platform::mount::unmount(&root).unwrap();
    }
}

/// Not a test: what the next one kills.
#[tokio::test]
#[ignore = "run by a_kill_at_any_moment"]
async fn child_that_pulls() {
    let (Ok(root), Ok(address)) = (std::env::var("SKERRY_TEST_STORE"), std::env::var("SKERRY_TEST_REGISTRY")) else {
        return;
    };
    let store = Store::open(&options(Path::new(&root))).unwrap();
    for name in ["a", "b", "c", "d"] {
        pull(&store, &format!("{address}/{name}:1")).await.unwrap();
        store.gc(1, &[].into(), &[].into()).unwrap();
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_leaves_whole_images_only() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let known: BTreeSet<_> = four(&server).into_iter().collect();
    let root = dir.path().join("store");
    let mut killed = 0;
    for round in 0..12 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "child_that_pulls", "-q"]);
        command.env("SKERRY_TEST_STORE", &root).env("SKERRY_TEST_REGISTRY", &server.address);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        skerry_platform::process::die_with_parent(&mut command);
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + 25 * round));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        let store: Arc<Store> = Store::open(&options(&root)).unwrap();
        assert!(store.list().iter().all(|l| known.contains(&l.image.manifest_digest)));
        assert_sound(&store);
        let whole = |l: &skerry_images::Listed| store.objects_folder().join(l.image.composefs.object_path()).exists();
        assert!(store.list().iter().all(whole));
    }
    assert!(killed > 0, "every child was faster than its end");
    let store = Store::open(&options(&root)).unwrap();
    pull(&store, &format!("{}/a:1", server.address)).await.unwrap();
}
