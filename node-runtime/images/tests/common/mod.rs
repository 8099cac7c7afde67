//! A real registry, a link to it that can be cut, images to push.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use skerry_formats::Sha256Digest;
use skerry_images::{
    Keyring, Progress, PullError, PulledImage, Reference, Registry, RegistryOptions, Store, StoreOptions,
};

pub const USER: &str = "skerry";
pub const PASSWORD: &str = "open:sesame";
/// bcrypt of [`PASSWORD`], cost 5.
const HTPASSWD: &str = "skerry:$2y$05$abcdefghijklmnopqrstuubMHTpw5uKdtLGvKw5uzYhbpqtktcY3.\n";

#[derive(Clone, Copy, PartialEq)]
pub enum Login {
    Open,
    Required,
}

/// docker-registry on this machine.
pub struct Server {
    child: Child,
    pub address: String,
    storage: PathBuf,
    login: Login,
}

impl Server {
    pub fn start(dir: &Path, login: Login) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let storage = dir.join("storage");
        let mut config = json!({"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": storage}}, "http": {"addr": address}});
        if login == Login::Required {
            fs::write(dir.join("htpasswd"), HTPASSWD).unwrap();
            config["auth"] = json!({"htpasswd": {"realm": "skerry", "path": dir.join("htpasswd")}});
        }
        // JSON is YAML.
        fs::write(dir.join("config.yml"), config.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(dir.join("config.yml")).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(dir.join("log")).unwrap());
        skerry_platform::process::die_with_parent(&mut command);
        let child = command.spawn().expect("docker-registry is needed; ci/setup fetches it");
        let mut server = Self { child, address, storage, login };
        while TcpStream::connect(&server.address).is_err() {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "docker-registry: {}", fs::read_to_string(dir.join("log")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Push an image with skopeo.
    pub fn push(&self, image: &Image, name: &str) {
        let layout = tempfile::tempdir().unwrap();
        image.write_layout(layout.path());
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]);
        if self.login == Login::Required {
            command.arg(format!("--dest-creds={USER}:{PASSWORD}"));
        }
        command.arg(format!("oci:{}", layout.path().display())).arg(format!("docker://{}/{name}", self.address));
        let output = command.output().expect("skopeo is needed; ci/setup installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// File of a blob in the registry's own storage.
    pub fn blob(&self, bytes: &[u8]) -> PathBuf {
        let hex = Sha256Digest::of(bytes).to_hex();
        self.storage.join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A way to a server that counts what comes back, and ends after some of it.
pub struct Link {
    pub address: String,
    pub received: Arc<AtomicU64>,
    left: Arc<AtomicI64>,
}

impl Link {
    pub fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Self {
            address: listener.local_addr().unwrap().to_string(),
            received: Arc::default(),
            left: Arc::new(AtomicI64::new(i64::MAX)),
        };
        let (server, received, left) = (server.to_string(), link.received.clone(), link.left.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, upstream) = (client.unwrap(), TcpStream::connect(&server));
                let Ok(upstream) = upstream else { continue };
                let (received, left) = (received.clone(), left.clone());
                let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                std::thread::spawn(move || pass(upstream, client, &received, &left));
            }
        });
        link
    }

    /// Let so many more bytes through, then nothing.
    pub fn cut_after(&self, bytes: i64) {
        self.left.store(bytes, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, received: &AtomicU64, left: &AtomicI64) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n) = from.read(&mut buffer) {
        let before = left.fetch_sub(n as i64, Ordering::SeqCst);
        let n = n.min(before.max(0) as usize);
        received.fetch_add(n as u64, Ordering::SeqCst);
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}

/// An image in the making.
#[derive(Default)]
pub struct Image {
    pub layers: Vec<Vec<u8>>,
}

impl Image {
    pub fn of(layers: Vec<Vec<u8>>) -> Self {
        Self { layers }
    }

    /// Config and manifest.
    pub fn documents(&self) -> (Vec<u8>, Vec<u8>) {
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({"architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
            "config": {"User": "65532:65532", "Env": ["A=b"], "Entrypoint": ["/hello"], "WorkingDir": "/w"}});
        let config = serde_json::to_vec(&config).unwrap();
        let layers: Vec<_> = self.layers.iter().map(|l| descriptor("layer.v1.tar+gzip", l)).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", &config), "layers": layers});
        (config, serde_json::to_vec(&manifest).unwrap())
    }

    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(&self.documents().1)
    }

    fn write_layout(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let (config, manifest) = self.documents();
        for blob in self.layers.iter().chain([&config, &manifest]) {
            fs::write(blobs.join(Sha256Digest::of(blob).to_hex()), blob).unwrap();
        }
        let index = json!({"schemaVersion": 2, "manifests": [descriptor("manifest.v1+json", &manifest)]});
        fs::write(folder.join("index.json"), index.to_string()).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "size": bytes.len(),
        "digest": format!("sha256:{}", Sha256Digest::of(bytes))})
}

/// A gzip layer of files: path, mode, content. A path that ends in `/` is a
/// folder, content that begins with `->` a link.
pub fn layer(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (path, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_size(0);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, path, std::io::empty()).unwrap();
        } else if let Some(target) = content.strip_prefix(b"->") {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, path, std::str::from_utf8(target).unwrap()).unwrap();
        } else {
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, *content).unwrap();
        }
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Bytes that do not compress; the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

pub fn options(root: &Path) -> StoreOptions {
    StoreOptions { root: root.into(), free_margin_bytes: 0, ..StoreOptions::default() }
}

pub async fn pull(store: &Arc<Store>, image: &str) -> Result<Arc<PulledImage>, PullError> {
    pull_with(store, image, &Keyring::default(), 1).await.0
}

/// Pull at a time; also the bytes of layers that came over the network.
pub async fn pull_with(
    store: &Arc<Store>,
    image: &str,
    keyring: &Keyring,
    now_secs: u64,
) -> (Result<Arc<PulledImage>, PullError>, u64) {
    let registry = Registry::new(&RegistryOptions::default()).unwrap();
    let (progress, image): (_, Reference) = (Arc::new(Progress::default()), image.parse().unwrap());
    let result = store.pull(&registry, &image, keyring, &progress, now_secs).await;
    (result, progress.received_bytes())
}

/// Files below a folder with their sizes.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|f| format!("{name}/{f}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}
