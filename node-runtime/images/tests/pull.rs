//! Pulls from the real registry of the container world. `ci/setup` fetches it.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, process::Command, sync::atomic::Ordering};

use common::{Image, Link, Login, PASSWORD, Server, USER, files, layer, noise, options, pull, pull_with};
use skerry_images::{Keyring, RegistryError, Sealing, Store};
use skerry_platform::mount;

/// A program without libraries.
fn program(dir: &Path) -> Vec<u8> {
    let source = dir.join("hello.c");
    fs::write(&source, "#include <stdio.h>\nint main(void) { puts(\"hello from the image\"); return 0; }\n").unwrap();
    let out = dir.join("hello");
    let status = Command::new("cc").args(["-static", "-Os", "-s", "-o"]).arg(&out).arg(&source).status();
    assert!(status.expect("cc is needed; ci/setup installs it").success());
    fs::read(out).unwrap()
}

/// The image's root as a container gets it; unmounted when dropped.
struct Root {
    dir: tempfile::TempDir,
}

impl Root {
    fn mount(store: &Store, image: &skerry_images::PulledImage) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["image", "baked", "upper", "work", "root"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let at = |name: &str| dir.path().join(name);
        let file = fs::File::open(store.objects_folder().join(image.composefs.object_path())).unwrap();
        mount::mount_erofs(std::os::fd::AsFd::as_fd(&file), &at("image")).unwrap();
        let verity = if store.sealing() == Sealing::Kernel { ",verity=require" } else { "" };
        let data = format!(
            "lowerdir={}::{}::{},upperdir={},workdir={},metacopy=on,redirect_dir=on{verity}",
            at("image").display(),
            at("baked").display(),
            store.objects_folder().display(),
            at("upper").display(),
            at("work").display(),
        );
        let data = std::ffi::CString::new(data).unwrap();
        rustix::mount::mount("overlay", at("root"), "overlay", rustix::mount::MountFlags::empty(), &*data).unwrap();
        Self { dir }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("root")
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = mount::unmount_detach(&self.path());
        let _ = mount::unmount_detach(&self.dir.path().join("image"));
    }
}

#[tokio::test]
async fn an_image_is_pulled_mounted_and_run() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let (hello, big) = (program(dir.path()), noise(1, 300_000));
    let image = Image::of(vec![
        layer(&[
            ("hello", 0o755, &hello),
            ("etc/", 0o750, b""),
            ("etc/small", 0o600, b"a few bytes"),
            ("etc/gone", 0o600, &big[..5000]),
            ("old/x", 0o644, b"x"),
            ("link", 0o777, b"->etc/small"),
        ]),
        layer(&[("etc/.wh.gone", 0o644, b""), ("old/.wh..wh..opq", 0o644, b""), ("old/big", 0o640, &big)]),
    ]);
    server.push(&image, "team/hello:1");
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let name = format!("{}/team/hello:1", server.address);
    let pulled = pull(&store, &name).await.unwrap();

    assert_eq!((pulled.manifest_digest, pulled.reference.as_str()), (image.digest(), name.as_str()));
    assert_eq!((pulled.config.user.as_str(), pulled.config.working_dir.as_str()), ("65532:65532", "/w"));
    assert_eq!((&pulled.config.entrypoint[..], &pulled.config.env[..]), (&["/hello".into()][..], &["A=b".into()][..]));
    let root = Root::mount(&store, &pulled);
    assert_eq!(files(&root.path()), ["etc/small", "hello", "link", "old/big"]);
    assert!(fs::read(root.path().join("hello")).unwrap() == hello);
    assert!(fs::read(root.path().join("old/big")).unwrap() == big);
    assert_eq!(fs::read(root.path().join("link")).unwrap(), b"a few bytes");
    for (path, mode) in [("hello", 0o755), ("etc", 0o750), ("etc/small", 0o600), ("old/big", 0o640)] {
        let meta = fs::symlink_metadata(root.path().join(path)).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (mode, 7, 8), "{path}");
    }
    let output = Command::new("chroot").arg(root.path()).arg("/hello").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello from the image\n", "{output:?}");
    fs::write(root.path().join("etc/small"), b"changed").unwrap();
    assert!(files(&dir.path().join("store/partial")).is_empty(), "nothing is left of the download");
}

#[tokio::test]
async fn a_cut_pull_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let blob = layer(&[("data", 0o644, &noise(2, 3_000_000))]);
    server.push(&Image::of(vec![blob.clone()]), "a:1");
    let link = Link::to(&server.address);
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let name = format!("{}/a:1", link.address);

    link.cut_after(1_000_000);
    let (result, first) = pull_with(&store, &name, &Keyring::default(), 1).await;
    let error = result.unwrap_err();
    assert!(matches!(&error, skerry_images::PullError::Registry(RegistryError::Network { .. })), "{error:?}");
    assert!(first > 500_000 && first < 1_000_000, "{first}");
    assert!(store.list().is_empty());

    // As after a power cut: another process goes on with it.
    drop(store);
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    link.cut_after(i64::MAX);
    let (result, second) = pull_with(&store, &name, &Keyring::default(), 1).await;
    result.unwrap();
    assert_eq!(first + second, blob.len() as u64, "no byte of the layer came twice");
    assert!(link.received.load(Ordering::SeqCst) < 1_000_000 + second + 10_000);

    let (result, third) = pull_with(&store, &name, &Keyring::default(), 1).await;
    assert_eq!((result.unwrap().manifest_digest, third), (store.list()[0].image.manifest_digest, 0));
}

#[tokio::test]
async fn a_part_with_other_content_is_fetched_anew() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let blob = layer(&[("data", 0o644, &noise(3, 200_000))]);
    server.push(&Image::of(vec![blob.clone()]), "a:1");
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let part = dir.path().join(format!("store/partial/{}.part", skerry_formats::Sha256Digest::of(&blob)));
    for damage in [vec![0; 1000], noise(9, blob.len()), noise(9, blob.len() + 5)] {
        fs::write(&part, &damage).unwrap();
        let name = format!("{}/a:1", server.address);
        let pulled = pull(&store, &name).await.unwrap();
        let digest = pulled.manifest_digest;
        drop(pulled);
        store.remove(&digest).unwrap();
    }
}

#[tokio::test]
async fn a_registry_that_asks_for_a_login() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Required);
    server.push(&Image::of(vec![layer(&[("x", 0o644, b"x")])]), "team/a:1");
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let name = format!("{}/team/a:1", server.address);
    let secret = |user: &str, password: &str| {
        let mut keyring = Keyring::default();
        let auth = serde_json::json!({"username": user, "password": password});
        let json = serde_json::json!({"auths": {format!("http://{}", server.address): auth}});
        keyring.add_config_json(json.to_string().as_bytes()).unwrap();
        keyring
    };
    for (keyring, want) in [
        (Keyring::default(), "asks for a login; name a secret for it in imagePullSecrets"),
        (secret(USER, "wrong"), "refuses user \"skerry\""),
        (secret("nobody", PASSWORD), "refuses user \"nobody\""),
    ] {
        let line = pull_with(&store, &name, &keyring, 1).await.0.unwrap_err().line();
        assert!(line.contains(want) && !line.contains("sesame"), "{line}");
    }
    pull_with(&store, &name, &secret(USER, PASSWORD), 1).await.0.unwrap();
}

#[tokio::test]
async fn what_a_registry_does_not_have_or_has_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let blob = layer(&[("x", 0o644, &noise(4, 10_000))]);
    let image = Image::of(vec![blob.clone()]);
    server.push(&image, "a:1");
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let name = format!("{}/a:1", server.address);
    let line = pull(&store, &name.replace("a:1", "a:2")).await.unwrap_err().line();
    assert!(line.contains("/a:2 is not there, or not for us"), "{line}");
    let ones = "1".repeat(64);
    pull(&store, &name.replace(":1", &format!("@sha256:{ones}"))).await.unwrap_err();

    let file = server.blob(&blob);
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[5000] ^= 1;
    fs::write(&file, bad).unwrap();
    let line = pull(&store, &name).await.unwrap_err().line();
    assert!(line.contains("has other content than its digest says"), "{line}");
    assert_eq!(files(&dir.path().join("store")), ["lock"], "nothing is left");
    fs::write(&file, &good[..9000]).unwrap();
    let line = pull(&store, &name).await.unwrap_err().line();
    assert!(line.contains("broke off after 9000 of"), "{line}");
    fs::write(&file, &good).unwrap();
    let by_digest = name.replace(":1", &format!("@sha256:{}", image.digest()));
    let pulled = pull(&store, &by_digest).await.unwrap();
    assert!(store.by_reference(&by_digest.parse().unwrap()).is_some());
    assert!(store.by_reference(&name.parse().unwrap()).is_none());

    // The same image by another name costs nothing and is the same.
    let (again, received) = pull_with(&store, &name, &Keyring::default(), 1).await;
    assert_eq!((again.unwrap(), received), (pulled, 0));

    drop(server);
    let line = pull(&store, &name).await.unwrap_err().line();
    assert!(line.contains("cannot be reached") && line.contains("onnection"), "{line}");
}

#[tokio::test]
async fn a_layer_that_cannot_be_unpacked_leaves_no_objects() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let good = layer(&[("x", 0o644, &noise(5, 10_000))]);
    server.push(&Image::of(vec![good, b"this is no archive, but long enough to be none".repeat(30)]), "a:1");
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let line = pull(&store, &format!("{}/a:1", server.address)).await.unwrap_err().line();
    assert!(line.contains("layer 2 cannot be unpacked"), "{line}");
    assert!(files(store.objects_folder()).is_empty() && store.list().is_empty());
}

#[tokio::test]
async fn pulls_at_the_same_time_share_what_they_can() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Login::Open);
    let shared = layer(&[("shared", 0o644, &noise(6, 500_000))]);
    for name in ["a", "b"] {
        let own = layer(&[(name, 0o644, &noise(name.len() as u64 + 7, 100))]);
        server.push(&Image::of(vec![shared.clone(), own]), &format!("{name}:1"));
    }
    let link = Link::to(&server.address);
    let store = Store::open(&options(&dir.path().join("store"))).unwrap();
    let name = |n: &str| format!("{}/{n}:1", link.address);
    let (a, b, again) = (name("a"), name("b"), name("a"));
    let (a, b, again) = tokio::join!(pull(&store, &a), pull(&store, &b), pull(&store, &again));
    assert_eq!(a.unwrap(), again.unwrap());
    b.unwrap();
    let received = link.received.load(Ordering::SeqCst);
    assert!(received < shared.len() as u64 + 50_000, "{received}");
    assert!(files(&dir.path().join("store/partial")).is_empty());
}
