//! A distroless OCI image from a program: an OCI image layout (image-spec v1.1)
//! with one layer that holds the program, what it needs to be loaded,
//! `/etc/passwd` and `/etc/group`, and nothing else. The same input gives the
//! same bytes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder};
use oci_spec::image::{
    Arch as OciArch, ConfigBuilder, DescriptorBuilder, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, PlatformBuilder, RootFsBuilder, Sha256Digest as OciDigest,
};
use sha2::{Digest, Sha256};
use skerry_plan::board::Arch;

use super::app_libraries::libraries;

/// Why an image could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file operation failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The program cannot run alone in an image.
    #[error("{path}: {problem}")]
    Program {
        /// The program.
        path: PathBuf,
        /// What is wrong, and what would do.
        problem: String,
    },
    /// Libraries are missing.
    #[error("{0}")]
    Libraries(String),
    /// The output folder holds something else.
    #[error("{0} is there and is no OCI image layout; give an empty or new folder")]
    Occupied(PathBuf),
    /// The image's documents could not be written as JSON.
    #[error("cannot write the image's {document}")]
    Document {
        /// Which one.
        document: &'static str,
        /// Why.
        #[source]
        source: oci_spec::OciSpecError,
    },
}

/// What to pack.
#[derive(Debug, Clone)]
pub struct PackConfig {
    /// Name of the program in the image: `/usr/bin/NAME`.
    pub name: String,
    /// Architecture of the image.
    pub arch: Arch,
    /// `uid:gid`.
    pub user: (u32, u32),
    /// Arguments to start with; empty: the program alone.
    pub entrypoint: Vec<String>,
    /// `KEY=value`.
    pub env: Vec<String>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Ports, such as `8080`.
    pub ports: Vec<u16>,
    /// CA certificates (PEM) to put at `/etc/ssl/certs/ca-certificates.crt`.
    pub ca_bundle: Option<Vec<u8>>,
    /// Folder of an unpacked system with the loader and libraries of dynamic
    /// programs; `None`: programs must be static.
    pub root: Option<PathBuf>,
    /// Further programs, `/usr/bin/NAME` with the names of their files.
    pub with: Vec<PathBuf>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// `sha256:…` of the manifest.
    pub manifest_digest: String,
    /// Sum of the sizes of all blobs in bytes.
    pub size_bytes: u64,
}

/// Pack `program` into a layout at `out`, which is made or replaced.
///
/// # Errors
/// If the program cannot run alone, or a file cannot be written.
pub fn pack(program: &Path, out: &Path, config: &PackConfig) -> Result<Packed, PackError> {
    let tar = layer(files(program, config)?).map_err(io("pack", program))?;
    let layer = gzip(&tar).map_err(io("compress", program))?;

    if out.exists()
        && !out.join("oci-layout").is_file()
        && std::fs::read_dir(out).map_err(io("read", out))?.next().is_some()
    {
        return Err(PackError::Occupied(out.to_owned()));
    }
    let blobs = Blobs { dir: out.join("blobs/sha256") };
    if blobs.dir.exists() {
        std::fs::remove_dir_all(&blobs.dir).map_err(io("empty", &blobs.dir))?;
    }
    std::fs::create_dir_all(&blobs.dir).map_err(io("create", &blobs.dir))?;

    let layer_blob = blobs.put(MediaType::ImageLayerGzip, &layer)?;
    let config_json = image_config(config, &sha256(&tar))?;
    let config_blob = blobs.put(MediaType::ImageConfig, config_json.as_bytes())?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config_blob)
        .layers(vec![layer_blob])
        .build()
        .and_then(|m| m.to_string())
        .map_err(document("manifest"))?;
    let mut manifest_blob = blobs.put(MediaType::ImageManifest, manifest.as_bytes())?;
    let platform = PlatformBuilder::default()
        .architecture(oci_arch(config.arch))
        .os(Os::Linux)
        .build()
        .map_err(document("platform"))?;
    manifest_blob.set_platform(Some(platform));
    let manifest_digest = manifest_blob.digest().to_string();
    let index = ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageIndex)
        .manifests(vec![manifest_blob])
        .build()
        .and_then(|i| i.to_string())
        .map_err(document("index"))?;
    let mark = OciLayoutBuilder::default()
        .image_layout_version("1.0.0")
        .build()
        .and_then(|l| l.to_string())
        .map_err(document("layout"))?;
    write(&out.join("index.json"), index.as_bytes())?;
    write(&out.join("oci-layout"), mark.as_bytes())?;
    let size_bytes = (layer.len() + config_json.len() + manifest.len()) as u64;
    Ok(Packed { manifest_digest, size_bytes })
}

/// A file of the image: mode and content.
type File = (u32, Vec<u8>);

/// Everything in the image by its path.
fn files(program: &Path, config: &PackConfig) -> Result<BTreeMap<String, File>, PackError> {
    let file_name = |p: &PathBuf| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let others = config.with.iter().map(|p| (file_name(p), p.as_path()));
    let mut programs = Vec::new();
    for (name, path) in std::iter::once((config.name.clone(), program)).chain(others) {
        let bytes = std::fs::read(path).map_err(io("read", path))?;
        check_program(&bytes, config).map_err(|problem| PackError::Program { path: path.to_owned(), problem })?;
        programs.push((name, bytes));
    }
    let (uid, gid) = config.user;
    let passwd = format!("root:x:0:0:root:/:/nonexistent\nnonroot:x:{uid}:{gid}:nonroot:/:/nonexistent\n");
    let group = format!("root:x:0:\nnonroot:x:{gid}:\n");
    let mut files = BTreeMap::from([
        ("etc/passwd".to_owned(), (0o644, passwd.into_bytes())),
        ("etc/group".to_owned(), (0o644, group.into_bytes())),
    ]);
    if let Some(bundle) = &config.ca_bundle {
        files.insert("etc/ssl/certs/ca-certificates.crt".into(), (0o644, bundle.clone()));
    }
    if let Some(root) = &config.root {
        let found = libraries(&programs, root, config.arch).map_err(PackError::Libraries)?;
        files.extend(found.into_iter().map(|(path, bytes)| (path, (0o755, bytes))));
    }
    files.extend(programs.into_iter().map(|(name, bytes)| (format!("usr/bin/{name}"), (0o755, bytes))));
    Ok(files)
}

/// For the right machine, and static if there are no libraries to be had.
fn check_program(bytes: &[u8], config: &PackConfig) -> Result<(), String> {
    use object::{Architecture, Object, read::elf::ElfFile64};
    let elf = ElfFile64::<object::Endianness>::parse(bytes).map_err(|e| format!("is no 64-bit ELF program: {e}"))?;
    let want = match config.arch {
        Arch::X86_64 => Architecture::X86_64,
        Arch::Aarch64 => Architecture::Aarch64,
    };
    if elf.architecture() != want {
        return Err(format!(
            "is built for {:?}, the image is for {want:?}; give --arch or build for it",
            elf.architecture()
        ));
    }
    let interpreter = elf.elf_program_headers().iter().any(|h| {
        use object::read::elf::ProgramHeader;
        h.p_type(elf.endian()) == object::elf::PT_INTERP
    });
    if interpreter && config.root.is_none() {
        return Err("needs a dynamic loader, which the image does not hold; build it static, \
             for example with --target x86_64-unknown-linux-musl, or give the folder of its libraries with --root"
            .into());
    }
    Ok(())
}

fn layer(files: BTreeMap<String, File>) -> std::io::Result<Vec<u8>> {
    let parents = |path: &String| path.match_indices('/').map(|(at, _)| path[..=at].to_owned()).collect::<Vec<_>>();
    let folders: BTreeSet<String> = files.keys().flat_map(parents).collect();
    let mut tar = tar::Builder::new(Vec::new());
    for folder in folders {
        append(&mut tar, &folder, tar::EntryType::Directory, 0o755, &[])?;
    }
    for (path, (mode, bytes)) in files {
        append(&mut tar, &path, tar::EntryType::Regular, mode, &bytes)?;
    }
    tar.into_inner()
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    data: &[u8],
) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(data.len() as u64);
    tar.append_data(&mut header, path, data)
}

fn gzip(data: &[u8]) -> std::io::Result<Vec<u8>> {
    // No name and no time in the header; 255: unknown operating system.
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(data)?;
    encoder.finish()
}

fn image_config(config: &PackConfig, diff_id: &str) -> Result<String, PackError> {
    let program = format!("/usr/bin/{}", config.name);
    let entrypoint = if config.entrypoint.is_empty() { vec![program] } else { config.entrypoint.clone() };
    let mut builder = ConfigBuilder::default()
        .user(format!("{}:{}", config.user.0, config.user.1))
        .entrypoint(entrypoint)
        .env([vec!["PATH=/usr/bin".to_owned()], config.env.clone()].concat())
        .working_dir("/");
    if !config.ports.is_empty() {
        builder = builder.exposed_ports(config.ports.iter().map(|p| format!("{p}/tcp")).collect::<Vec<_>>());
    }
    if !config.labels.is_empty() {
        builder = builder.labels(config.labels.iter().cloned().collect::<HashMap<_, _>>());
    }
    let rootfs = RootFsBuilder::default()
        .typ("layers")
        .diff_ids(vec![format!("sha256:{diff_id}")])
        .build()
        .map_err(document("config"))?;
    let image = ImageConfigurationBuilder::default()
        .architecture(oci_arch(config.arch))
        .os(Os::Linux)
        .config(builder.build().map_err(document("config"))?)
        .rootfs(rootfs)
        .build()
        .map_err(document("config"))?;
    // Through a value with sorted keys: the label map has no order of its own.
    let text = image.to_string().map_err(document("config"))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| document("config")(e.into()))?;
    Ok(sorted(value).to_string())
}

fn sorted(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let ordered: std::collections::BTreeMap<_, _> = map.into_iter().collect();
            Value::Object(ordered.into_iter().map(|(k, v)| (k, sorted(v))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn oci_arch(arch: Arch) -> OciArch {
    match arch {
        Arch::X86_64 => OciArch::Amd64,
        Arch::Aarch64 => OciArch::ARM64,
    }
}

struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    fn put(&self, media_type: MediaType, data: &[u8]) -> Result<oci_spec::image::Descriptor, PackError> {
        let digest = sha256(data);
        write(&self.dir.join(&digest), data)?;
        let digest: OciDigest = digest.parse().map_err(document("digest"))?;
        DescriptorBuilder::default()
            .media_type(media_type)
            .digest(digest)
            .size(data.len() as u64)
            .build()
            .map_err(document("descriptor"))
    }
}

fn write(path: &Path, data: &[u8]) -> Result<(), PackError> {
    std::fs::write(path, data).map_err(io("write", path))
}

fn sha256(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> PackError {
    let path = path.to_owned();
    move |source| PackError::Io { operation, path, source }
}

fn document(document: &'static str) -> impl FnOnce(oci_spec::OciSpecError) -> PackError {
    move |source| PackError::Document { document, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;

    use super::*;

    fn config() -> PackConfig {
        PackConfig {
            name: "hello".into(),
            arch: Arch::X86_64,
            user: (65532, 65532),
            entrypoint: vec![],
            env: vec!["A=1".into()],
            labels: (0..9).map(|i| (format!("l{i}"), format!("v{i}"))).collect(),
            ports: vec![8080],
            ca_bundle: Some(b"pem".to_vec()),
            root: None,
            with: vec![],
        }
    }

    /// A 64-bit ELF header for `machine`, with one program header of `p_type`.
    fn elf(machine: u16, p_type: u32) -> Vec<u8> {
        let mut e = vec![0u8; 64 + 56];
        e[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        e[16..18].copy_from_slice(&2u16.to_le_bytes());
        e[18..20].copy_from_slice(&machine.to_le_bytes());
        e[20..24].copy_from_slice(&1u32.to_le_bytes());
        e[32..40].copy_from_slice(&64u64.to_le_bytes());
        e[52..54].copy_from_slice(&64u16.to_le_bytes());
        e[54..56].copy_from_slice(&56u16.to_le_bytes());
        e[56..58].copy_from_slice(&1u16.to_le_bytes());
        e[58..60].copy_from_slice(&64u16.to_le_bytes());
        e[64..68].copy_from_slice(&p_type.to_le_bytes());
        e
    }

    #[test]
    fn same_input_same_bytes_and_every_digest_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("prog");
        std::fs::write(&program, elf(62, 1)).unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let packed = pack(&program, &a, &config()).unwrap();
        assert_eq!(packed, pack(&program, &b, &config()).unwrap());
        // Replacing a layout leaves nothing of the old one behind.
        let other = PackConfig { env: vec!["A=2".into()], ..config() };
        assert_ne!(pack(&program, &b, &other).unwrap(), packed);
        assert_eq!(pack(&program, &b, &config()).unwrap(), packed);
        let names = |d: &Path| {
            let mut n: Vec<_> =
                std::fs::read_dir(d.join("blobs/sha256")).unwrap().map(|e| e.unwrap().file_name()).collect();
            n.sort();
            n
        };
        assert_eq!(names(&a), names(&b));
        assert_eq!(names(&a).len(), 3);
        for name in names(&a) {
            let data = std::fs::read(a.join("blobs/sha256").join(&name)).unwrap();
            assert_eq!(sha256(&data), name.to_str().unwrap());
        }
        assert_eq!(std::fs::read(a.join("index.json")).unwrap(), std::fs::read(b.join("index.json")).unwrap());
    }

    #[test]
    fn the_layer_holds_the_program_and_two_users_with_epoch_mtimes() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("prog");
        std::fs::write(&program, elf(62, 1)).unwrap();
        let tar = layer(files(&program, &PackConfig { with: vec![program.clone()], ..config() }).unwrap()).unwrap();
        let mut archive = tar::Archive::new(&tar[..]);
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            let mut text = String::new();
            // Programs are no text.
            let _ = entry.read_to_string(&mut text);
            seen.push((entry.path().unwrap().display().to_string(), entry.header().mode().unwrap(), text.len()));
            if seen.last().unwrap().0 == "etc/passwd" {
                assert!(text.contains("nonroot:x:65532:65532:"));
            }
        }
        let paths: Vec<&str> = seen.iter().map(|s| s.0.as_str()).collect();
        let want = [
            "etc/",
            "etc/ssl/",
            "etc/ssl/certs/",
            "usr/",
            "usr/bin/",
            "etc/group",
            "etc/passwd",
            "etc/ssl/certs/ca-certificates.crt",
            "usr/bin/hello",
            "usr/bin/prog",
        ];
        assert_eq!(paths, want);
        assert_eq!(seen.last().unwrap().1, 0o755);
    }

    #[test]
    fn what_cannot_run_alone_is_refused() {
        let table = [
            (b"#!/bin/sh\n".to_vec(), "is no 64-bit ELF program"),
            (elf(183, 1), "is built for Aarch64"),
            (elf(62, 3), "dynamic loader"),
        ];
        for (bytes, want) in table {
            let problem = check_program(&bytes, &config()).unwrap_err();
            assert!(problem.contains(want), "{problem}");
        }
        check_program(&elf(62, 1), &config()).unwrap();
        let root = Some("unpacked".into());
        check_program(&elf(62, 3), &PackConfig { root, ..config() }).unwrap();
    }

    #[test]
    fn a_folder_with_other_things_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("prog");
        std::fs::write(&program, elf(62, 1)).unwrap();
        let error = pack(&program, dir.path(), &config()).unwrap_err();
        assert!(matches!(error, PackError::Occupied(_)), "{error}");
    }
}
