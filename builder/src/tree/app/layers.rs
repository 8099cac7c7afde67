//! Layers into one tree (OCI image-spec v1.1, `layer.md`): later layers replace
//! earlier ones, `.wh.NAME` removes, `.wh..wh..opq` empties a folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use skerry_formats::Sha256Digest;

use super::{
    super::{
        lint::{Resolved, resolve},
        model::{Content, Entry, Kind, Origin, Tree},
    },
    error::AppError,
};
use crate::packages::{cache::Cache, unpack::clean_path};

/// Entries that one image may have.
const ENTRIES_MAX: usize = 500_000;
/// Bytes that one image may unpack to.
const UNPACKED_BYTES_MAX: u64 = 16 << 30;
/// Version of the cached form.
const CACHED_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Cached {
    version: u32,
    entries: BTreeMap<String, CachedEntry>,
}

#[derive(Serialize, Deserialize)]
struct CachedEntry {
    kind: CachedKind,
    mode: u32,
    uid: u32,
    gid: u32,
    xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
enum CachedKind {
    Dir,
    Symlink(String),
    File { number: u64, size_bytes: u64 },
}

/// The flattened tree, from the cache if it was made before.
pub fn flatten_cached(app: &str, manifest: &Sha256Digest, blobs: &[PathBuf], cache: &Cache) -> Result<Tree, AppError> {
    let io = |operation: &'static str, path: &Path| {
        let (app, path) = (app.to_string(), path.to_path_buf());
        move |source| AppError::Io { app, operation, path, source }
    };
    let parent = cache.root().join("apps");
    let target = parent.join(manifest.to_hex());
    if let Some(tree) = load(app, &target) {
        return Ok(tree);
    }
    fs::create_dir_all(&parent).map_err(io("creating", &parent))?;
    let temp =
        tempfile::Builder::new().prefix(".new-").tempdir_in(&parent).map_err(io("creating a folder in", &parent))?;
    let mut flattener = Flattener::new(app, temp.path());
    for (number, blob) in blobs.iter().enumerate() {
        flattener.layer(number + 1, blob)?;
    }
    let json = serde_json::to_vec(&flattener.cached()).expect("string keys only");
    let file = temp.path().join("tree.json");
    fs::write(&file, json).map_err(io("writing", &file))?;
    let _ = fs::remove_dir_all(&target);
    let temp = temp.keep();
    if fs::rename(&temp, &target).is_err() {
        // Another build was faster.
        let _ = fs::remove_dir_all(&temp);
    }
    load(app, &target).ok_or_else(|| AppError::Malformed {
        app: app.into(),
        what: "cached tree",
        detail: "it changed while it was written".into(),
    })
}

fn load(app: &str, target: &Path) -> Option<Tree> {
    let cached: Cached = serde_json::from_slice(&fs::read(target.join("tree.json")).ok()?).ok()?;
    if cached.version != CACHED_VERSION {
        return None;
    }
    let origin = Origin::App { name: app.into() };
    let mut tree = Tree::default();
    for (path, e) in cached.entries {
        let kind = match e.kind {
            CachedKind::Dir => Kind::Dir,
            CachedKind::Symlink(target) => Kind::Symlink(target),
            CachedKind::File { number, size_bytes } => {
                let path = target.join(number.to_string());
                fs::symlink_metadata(&path).ok().filter(|m| m.is_file() && m.len() == size_bytes)?;
                Kind::File(Content::File { path, size_bytes })
            }
        };
        tree.entries.insert(
            path,
            Entry { kind, mode: e.mode, uid: e.uid, gid: e.gid, xattrs: e.xattrs, origin: origin.clone() },
        );
    }
    Some(tree)
}

/// Applies layers one after another; file contents go into numbered files.
struct Flattener<'a> {
    app: &'a str,
    folder: &'a Path,
    tree: Tree,
    next: u64,
    bytes: u64,
    /// Number of the layer, for messages.
    layer: usize,
    /// Paths that the current layer made: its own whiteouts spare them.
    fresh: BTreeSet<String>,
}

impl<'a> Flattener<'a> {
    fn new(app: &'a str, folder: &'a Path) -> Self {
        let tree = Tree::new(Origin::App { name: app.into() });
        Self { app, folder, tree, next: 0, bytes: 0, layer: 0, fresh: BTreeSet::new() }
    }

    fn refuse<T>(&self, detail: String) -> Result<T, AppError> {
        Err(AppError::Layer { app: self.app.into(), layer: self.layer, detail })
    }

    fn io(&self, operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AppError + use<> {
        let (app, path) = (self.app.to_string(), path.to_path_buf());
        move |source| AppError::Io { app, operation, path, source }
    }

    fn layer(&mut self, number: usize, blob: &Path) -> Result<(), AppError> {
        self.layer = number;
        self.fresh.clear();
        let file = fs::File::open(blob).map_err(self.io("opening", blob))?;
        let reader = decompressed(file).map_err(self.io("reading", blob))?;
        let mut tar = tar::Archive::new(reader);
        for entry in tar.entries().map_err(self.io("reading", blob))? {
            let mut entry = entry.map_err(self.io("reading", blob))?;
            self.entry(&mut entry, blob)?;
            if self.tree.entries.len() > ENTRIES_MAX {
                return self.refuse(format!("more than {ENTRIES_MAX} entries"));
            }
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>, blob: &Path) -> Result<(), AppError> {
        let raw = entry.path_bytes().into_owned();
        let Some(path) = clean_path(&raw) else {
            return self.refuse(format!("path {:?} leaves the root", String::from_utf8_lossy(&raw)));
        };
        let path = self.through_links(&path)?;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == ".wh..wh..opq" {
            self.remove_below(folder);
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(".wh.") {
            let hidden = if folder.is_empty() { hidden.to_string() } else { format!("{folder}/{hidden}") };
            self.remove(&hidden);
            return Ok(());
        }
        let header = entry.header();
        let (mode, uid, gid) = (|| Ok((header.mode()? & 0o7777, header.uid()? as u32, header.gid()? as u32)))()
            .map_err(self.io("reading", blob))?;
        let xattrs = xattrs(entry).map_err(self.io("reading", blob))?;
        let kind = match entry.header().entry_type() {
            tar::EntryType::Directory => Kind::Dir,
            tar::EntryType::Symlink => Kind::Symlink(self.link_name(entry, &path)?),
            tar::EntryType::Link => return self.hard_link(entry, path),
            tar::EntryType::Regular | tar::EntryType::Continuous => self.file(entry)?,
            tar::EntryType::XGlobalHeader => return Ok(()),
            other => return self.refuse(format!("{path} is a {other:?}; only files, folders and links are accepted")),
        };
        let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { mode };
        self.put(path, Entry { kind, mode, uid, gid, xattrs, origin: Origin::App { name: self.app.into() } })
    }

    /// The path with symbolic links among its parents followed, inside the root.
    fn through_links(&self, path: &str) -> Result<String, AppError> {
        let Some((parent, name)) = path.rsplit_once('/') else { return Ok(path.into()) };
        let (Resolved::Entry(real) | Resolved::Nothing(real)) = resolve(&self.tree, parent);
        Ok(if real.is_empty() { name.into() } else { format!("{real}/{name}") })
    }

    fn link_name<R: Read>(&self, entry: &tar::Entry<'_, R>, path: &str) -> Result<String, AppError> {
        match entry.link_name_bytes().and_then(|b| String::from_utf8(b.into_owned()).ok()) {
            Some(target) if !target.is_empty() => Ok(target),
            _ => self.refuse(format!("{path} is a link without a readable target")),
        }
    }

    fn hard_link<R: Read>(&mut self, entry: &tar::Entry<'_, R>, path: String) -> Result<(), AppError> {
        let name = self.link_name(entry, &path)?;
        let Some(target) = clean_path(name.as_bytes()) else {
            return self.refuse(format!("{path} is a hard link to {name}, which leaves the root"));
        };
        let target = self.through_links(&target)?;
        match self.tree.get(&target) {
            Some(e) if !matches!(e.kind, Kind::Dir) => {
                let copy = e.clone();
                self.put(path, copy)
            }
            _ => self.refuse(format!("{path} is a hard link to {target}, which is no file before it")),
        }
    }

    fn file<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<Kind, AppError> {
        let size_bytes = entry.size();
        self.bytes += size_bytes;
        if self.bytes > UNPACKED_BYTES_MAX {
            return self.refuse(format!("the image unpacks to more than {UNPACKED_BYTES_MAX} bytes"));
        }
        let path = self.folder.join(self.next.to_string());
        self.next += 1;
        let mut out = fs::File::create_new(&path).map_err(self.io("creating", &path))?;
        let written = io::copy(entry, &mut out).map_err(self.io("writing", &path))?;
        if written != size_bytes {
            return self.refuse("the layer is cut short".into());
        }
        Ok(Kind::File(Content::File { path, size_bytes }))
    }

    fn put(&mut self, path: String, entry: Entry) -> Result<(), AppError> {
        let mut parent = path.as_str();
        while let Some((up, _)) = parent.rsplit_once('/') {
            if self.tree.get(up).is_some_and(|e| !matches!(e.kind, Kind::Dir)) {
                return self.refuse(format!("{path} lies below {up}, which is no folder"));
            }
            parent = up;
        }
        if !matches!(entry.kind, Kind::Dir) {
            if path.is_empty() {
                return self.refuse("the root is no folder".into());
            }
            self.tree.entries.retain(|p, _| !is_below(p, &path));
        }
        self.fresh.insert(path.clone());
        self.tree.insert(path, entry);
        Ok(())
    }

    fn remove(&mut self, path: &str) {
        self.remove_below(path);
        let holds_fresh = self.fresh.iter().any(|f| f == path || is_below(f, path));
        if !path.is_empty() && !holds_fresh {
            self.tree.entries.remove(path);
        }
    }

    /// Remove what earlier layers put below a folder.
    fn remove_below(&mut self, folder: &str) {
        let fresh = &self.fresh;
        self.tree.entries.retain(|p, _| !is_below(p, folder) || fresh.iter().any(|f| f == p || is_below(f, p)));
    }

    fn cached(&self) -> Cached {
        let entries = self.tree.entries.iter().map(|(path, e)| {
            let kind = match &e.kind {
                Kind::Dir => CachedKind::Dir,
                Kind::Symlink(target) => CachedKind::Symlink(target.clone()),
                Kind::File(content) => {
                    CachedKind::File { number: self.number(content), size_bytes: content.size_bytes() }
                }
            };
            (path.clone(), CachedEntry { kind, mode: e.mode, uid: e.uid, gid: e.gid, xattrs: e.xattrs.clone() })
        });
        Cached { version: CACHED_VERSION, entries: entries.collect() }
    }

    fn number(&self, content: &Content) -> u64 {
        match content {
            Content::File { path, .. } => {
                path.file_name().and_then(|n| n.to_str()?.parse().ok()).expect("files are numbered here")
            }
            Content::Bytes(_) => unreachable!("layers make files on disk only"),
        }
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    if folder.is_empty() {
        !path.is_empty()
    } else {
        path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Decompress by what the bytes say; media types are often wrong.
fn decompressed(file: fs::File) -> io::Result<Box<dyn Read>> {
    let mut reader = io::BufReader::new(file);
    let magic = io::BufRead::fill_buf(&mut reader)?;
    Ok(if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::read::MultiGzDecoder::new(reader))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(reader)?)
    } else {
        Box::new(reader)
    })
}

/// Extended attributes from PAX records.
fn xattrs<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let Some(records) = entry.pax_extensions()? else { return Ok(BTreeMap::new()) };
    let mut found = BTreeMap::new();
    for record in records {
        let record = record?;
        if let Some(name) = record.key().ok().and_then(|k| k.strip_prefix("SCHILY.xattr.")) {
            found.insert(name.to_string(), record.value_bytes().to_vec());
        }
    }
    Ok(found)
}
