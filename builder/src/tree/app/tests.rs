//! Images written here, loaded from a layout, an archive and a registry on this
//! machine; then images that attack.
#![allow(clippy::unwrap_used)]

mod registry;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, Read as _, Write as _},
    path::PathBuf,
};

use serde_json::json;

use super::{super::model::*, *};

/// One tar entry: path, what it is.
enum Item<'a> {
    Dir(&'a str, u32),
    File(&'a str, u32, &'a str),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Other(&'a str, tar::EntryType),
}

fn layer(items: &[Item<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = tar::Header::new_gnu();
        let (path, kind, mode, content, target) = match item {
            Item::Dir(p, mode) => (p, tar::EntryType::Directory, *mode, "", None),
            Item::File(p, mode, content) => (p, tar::EntryType::Regular, *mode, *content, None),
            Item::Link(p, target) => (p, tar::EntryType::Symlink, 0o777, "", Some(target)),
            Item::Hard(p, target) => (p, tar::EntryType::Link, 0o644, "", Some(target)),
            Item::Other(p, kind) => (p, *kind, 0o644, "", None),
        };
        // Written raw, so that paths of attacks get through.
        let name = &mut header.as_gnu_mut().unwrap().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(target) = target {
            header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    fn add(&mut self, kind: &str, bytes: Vec<u8>) -> serde_json::Value {
        let digest = Sha256Digest::of(&bytes).to_hex();
        let size = bytes.len();
        self.0.insert(digest.clone(), bytes);
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": format!("sha256:{digest}"), "size": size})
    }

    /// A manifest for an architecture; returns its descriptor.
    fn image(&mut self, arch: &str, layers: Vec<Vec<u8>>) -> serde_json::Value {
        let config = json!({"architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
            "config": {"Entrypoint": ["/app"], "Cmd": ["--x"], "Env": ["A=b"], "User": "65532:65532", "WorkingDir": "/w"}});
        let config = self.add("config.v1+json", serde_json::to_vec(&config).unwrap());
        let layers: Vec<_> = layers.into_iter().map(|l| self.add("layer.v1.tar+gzip", l)).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers});
        self.add("manifest.v1+json", serde_json::to_vec(&manifest).unwrap())
    }

    fn write_layout(&self, folder: &Path, manifests: &[serde_json::Value]) {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        fs::write(
            folder.join("index.json"),
            serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": manifests})).unwrap(),
        )
        .unwrap();
        for (digest, bytes) in &self.0 {
            fs::write(folder.join("blobs/sha256").join(digest), bytes).unwrap();
        }
    }
}

fn app(image: &str) -> AppSpec {
    AppSpec { name: "hello".into(), image: image.into(), layout: None, archive: None }
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn load(&self, app: &AppSpec) -> Result<AppImage, AppError> {
        let cache = Cache::new(self.dir.path().join("cache"));
        load_with(app, Arch::X86_64, self.dir.path(), &cache, &Progress::none(), &RegistryAccess::default())
    }

    /// Load an image of these layers from a layout.
    fn layers(&self, layers: &[&[Item<'_>]]) -> Result<AppImage, AppError> {
        let mut blobs = Blobs::default();
        let image = blobs.image("amd64", layers.iter().map(|l| gzip(&layer(l))).collect());
        blobs.write_layout(&self.dir.path().join("layout"), &[image]);
        self.load(&AppSpec { layout: Some("layout".into()), ..app("example/hello:1") })
    }
}

fn paths(image: &AppImage) -> Vec<&str> {
    image.tree.entries.keys().map(String::as_str).filter(|p| !p.is_empty()).collect()
}

fn text(image: &AppImage, path: &str) -> String {
    match &image.tree.get(path).unwrap().kind {
        Kind::File(c) => String::from_utf8(c.read().unwrap().to_vec()).unwrap(),
        other => panic!("{path} is {other:?}"),
    }
}

const HELLO: &[Item<'_>] = &[
    Item::Dir("./", 0o755),
    Item::File("./app", 0o755, "program"),
    Item::Dir("etc/", 0o750),
    Item::File("etc/x", 0o600, "x"),
];

#[test]
fn layout_gives_config_files_and_owners() {
    let bench = Bench::new();
    for run in ["unpacked", "from the cache"] {
        let image = bench.layers(&[HELLO]).unwrap();
        assert_eq!(paths(&image), ["app", "etc", "etc/x"], "{run}");
        assert_eq!(text(&image, "app"), "program");
        let x = image.tree.get("etc/x").unwrap();
        assert_eq!((x.mode, x.uid, x.gid), (0o600, 7, 8));
        assert_eq!(image.tree.get("etc").unwrap().mode, 0o750);
        assert_eq!((image.config.user.as_str(), image.config.working_dir.as_str()), ("65532:65532", "/w"));
        assert_eq!(
            (&image.config.entrypoint[..], &image.config.env[..]),
            (&["/app".to_string()][..], &["A=b".to_string()][..])
        );
    }
}

#[test]
fn later_layers_replace_remove_and_empty() {
    type Case<'a> = (&'a str, &'a [&'a [Item<'a>]], &'a [&'a str]);
    let base: &[Item<'_>] = &[
        Item::File("d/a", 0o644, "1"),
        Item::File("d/b", 0o644, "1"),
        Item::Link("l", "d"),
        Item::File("e", 0o644, ""),
    ];
    let cases: &[Case<'_>] = &[
        ("whiteout", &[base, &[Item::File("d/.wh.a", 0o644, "")]], &["d", "d/b", "e", "l"]),
        ("whiteout-of-folder", &[base, &[Item::File(".wh.d", 0o644, "")]], &["e", "l"]),
        (
            "opaque-after-own-file",
            &[base, &[Item::File("d/c", 0o644, ""), Item::File("d/.wh..wh..opq", 0o644, "")]],
            &["d", "d/c", "e", "l"],
        ),
        (
            "whiteout-spares-own-layer",
            &[base, &[Item::File("d/a", 0o644, "2"), Item::File("d/.wh.a", 0o644, "")]],
            &["d", "d/a", "d/b", "e", "l"],
        ),
        ("file-over-folder", &[base, &[Item::File("d", 0o644, "")]], &["d", "e", "l"]),
        ("folder-over-folder", &[base, &[Item::Dir("d", 0o700)]], &["d", "d/a", "d/b", "e", "l"]),
        ("through-link", &[base, &[Item::File("l/c", 0o644, "")]], &["d", "d/a", "d/b", "d/c", "e", "l"]),
        ("hard-link", &[base, &[Item::Hard("h", "d/a")]], &["d", "d/a", "d/b", "e", "h", "l"]),
    ];
    for (name, layers, want) in cases {
        assert_eq!(paths(&Bench::new().layers(layers).unwrap()), *want, "{name}");
    }
}

#[test]
fn link_out_of_the_root_stays_inside() {
    let image =
        Bench::new().layers(&[&[Item::Link("out", "../../../etc")], &[Item::File("out/x", 0o644, "x")]]).unwrap();
    assert_eq!(paths(&image), ["etc", "etc/x", "out"]);
}

#[test]
fn layers_that_attack_are_refused() {
    let cases: &[(&str, &[Item<'_>])] = &[
        ("path-leaves-root", &[Item::File("../x", 0o644, "")]),
        ("path-leaves-root-later", &[Item::File("a/../../x", 0o644, "")]),
        ("absolute-path", &[Item::File("/x", 0o644, "")]),
        ("hard-link-leaves-root", &[Item::Hard("x", "../../etc/passwd")]),
        ("hard-link-to-nothing", &[Item::Hard("x", "y")]),
        ("device", &[Item::Other("dev/sda", tar::EntryType::Block)]),
        ("fifo", &[Item::Other("x", tar::EntryType::Fifo)]),
        ("below-a-file", &[Item::File("a", 0o644, ""), Item::File("a/b", 0o644, "")]),
    ];
    for (name, items) in cases {
        let result = Bench::new().layers(&[items]);
        assert!(matches!(result, Err(AppError::Layer { layer: 1, .. })), "{name}: {result:?}");
    }
}

#[test]
fn flipped_byte_in_any_blob_is_refused() {
    let mut blobs = Blobs::default();
    let image = blobs.image("amd64", vec![gzip(&layer(HELLO))]);
    for digest in blobs.0.keys() {
        let bench = Bench::new();
        let folder = bench.dir.path().join("layout");
        blobs.write_layout(&folder, std::slice::from_ref(&image));
        let path = folder.join("blobs/sha256").join(digest);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let result = bench.load(&AppSpec { layout: Some("layout".into()), ..app("example/hello") });
        assert!(matches!(&result, Err(AppError::Digest { digest: d, .. }) if d.to_hex() == *digest), "{result:?}");
        fs::remove_file(&path).unwrap();
        let result = bench.load(&AppSpec { layout: Some("layout".into()), ..app("example/hello") });
        assert!(matches!(result, Err(AppError::MissingBlob { .. })), "{result:?}");
    }
}

/// A layout whose index names two architectures.
fn two_platforms(folder: &Path) -> (String, String) {
    let mut blobs = Blobs::default();
    let mut arm = blobs.image("arm64", vec![gzip(&layer(&[Item::File("arm", 0o755, "")]))]);
    let mut amd = blobs.image("amd64", vec![layer(&[Item::File("amd", 0o755, "")])]);
    arm["platform"] = json!({"os": "linux", "architecture": "arm64"});
    amd["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let attestation = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{}", "0".repeat(64)),
        "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}});
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [arm, amd, attestation]});
    let index = blobs.add("index.v1+json", serde_json::to_vec(&index).unwrap());
    blobs.write_layout(folder, std::slice::from_ref(&index));
    (index["digest"].as_str().unwrap().into(), amd["digest"].as_str().unwrap().into())
}

#[test]
fn index_yields_the_image_for_the_architecture_and_pins_hold() {
    let bench = Bench::new();
    let (index, amd) = two_platforms(&bench.dir.path().join("layout"));
    let spec = |image: String| AppSpec { layout: Some("layout".into()), ..app(&image) };
    for image in ["example/hello".to_string(), format!("example/hello@{index}"), format!("example/hello@{amd}")] {
        let loaded = bench.load(&spec(image)).unwrap();
        assert_eq!((paths(&loaded), format!("sha256:{}", loaded.manifest_digest)), (vec!["amd"], amd.clone()));
    }
    let other = bench.load(&spec(format!("example/hello@sha256:{}", "1".repeat(64))));
    assert!(matches!(other, Err(AppError::Reference { .. })), "{other:?}");
}

#[test]
fn wrong_architecture_is_named() {
    let bench = Bench::new();
    let mut blobs = Blobs::default();
    let image = blobs.image("arm64", vec![]);
    blobs.write_layout(&bench.dir.path().join("layout"), &[image]);
    let error = bench.load(&AppSpec { layout: Some("layout".into()), ..app("example/hello") }).unwrap_err();
    assert!(error.to_string().contains("no image for amd64 (found: arm64)"), "{error}");
}

#[test]
fn archive_plain_and_gzip() {
    for compress in [false, true] {
        let bench = Bench::new();
        let folder = bench.dir.path().join("layout");
        two_platforms(&folder);
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_dir_all(".", &folder).unwrap();
        let bytes = tar.into_inner().unwrap();
        fs::write(bench.dir.path().join("a.tar"), if compress { gzip(&bytes) } else { bytes }).unwrap();
        let image = bench.load(&AppSpec { archive: Some("a.tar".into()), ..app("example/hello") }).unwrap();
        assert_eq!(paths(&image), ["amd"]);
    }
}

/// Serve a layout as a registry; returns its address. The thread ends with the
/// test process.
fn serve(folder: PathBuf) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let mut header = String::new();
            while reader.read_line(&mut header).unwrap() > 2 {
                header.clear();
            }
            let path = line.split_whitespace().nth(1).unwrap_or("/").to_string();
            let blob =
                path.rsplit_once("sha256:").and_then(|(_, hex)| fs::read(folder.join("blobs/sha256").join(hex)).ok());
            let (status, body) = match blob {
                Some(body) => ("200 OK", body),
                None if path == "/v2/" => ("200 OK", vec![]),
                None => ("404 Not Found", vec![]),
            };
            let kind = if body.starts_with(b"{") && String::from_utf8_lossy(&body).contains("\"manifests\"") {
                "index"
            } else {
                "manifest"
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/vnd.oci.image.{kind}.v1+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = reader.read_to_end(&mut Vec::new());
        }
    });
    address
}

#[test]
fn registry_by_digest_then_from_the_cache_alone() {
    let bench = Bench::new();
    let folder = bench.dir.path().join("registry");
    let (index, _) = two_platforms(&folder);
    let address = serve(folder.clone());
    let image = format!("{address}/example/hello@{index}");
    assert_eq!(paths(&bench.load(&app(&image)).unwrap()), ["amd"]);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(paths(&bench.load(&app(&image)).unwrap()), ["amd"]);
    let without = bench.load(&app(&format!("{address}/example/hello:1")));
    assert!(matches!(&without, Err(AppError::Reference { .. })), "{without:?}");
}

#[test]
fn registry_that_lies_is_refused() {
    let bench = Bench::new();
    let folder = bench.dir.path().join("registry");
    let (index, amd) = two_platforms(&folder);
    fs::write(folder.join("blobs/sha256").join(&amd[7..]), r#"{"manifests":null,"x":1}"#).unwrap();
    let address = serve(folder);
    let result = bench.load(&app(&format!("{address}/example/hello@{index}")));
    assert!(matches!(&result, Err(AppError::Digest { .. } | AppError::Registry { .. })), "{result:?}");
}
