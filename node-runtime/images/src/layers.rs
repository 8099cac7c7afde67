//! Layers into one tree (OCI image-spec v1.1, `layer.md`): later layers replace
//! earlier ones, `.wh.NAME` removes, `.wh..wh..opq` empties a folder.
//!
//! Nothing is unpacked to a path that a layer names: contents go where
//! [`Contents`] puts them, names into the tree in memory. So no path, link or
//! device in a layer can reach the node's own files; those that try are refused
//! all the same, because an image that holds them is broken or hostile.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, Read},
    rc::Rc,
};

use crate::tree::{Entry, Kind, SYMLINK_BYTES_MAX, Tree, ancestors, split};

/// Entries that one image may have.
pub const ENTRIES_MAX: usize = 200_000;
/// Longest path in bytes.
const PATH_BYTES_MAX: usize = 4096;
/// Bytes of headers and extension records before one entry: names, links and
/// extended attributes, which are read into memory.
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// Extended attributes that one entry may have, in bytes. More would not fit
/// where EROFS and ext4 keep them.
const XATTRS_BYTES_MAX: usize = 2048;
/// What each attribute takes beside its name and value.
const XATTR_BYTES: usize = 16;
/// Links that are followed in one path.
const LINKS_MAX: usize = 40;
/// Largest window that a zstd layer may ask for, as a power of two.
const WINDOW_LOG_MAX: u32 = 27;

/// Takes the contents of files.
pub trait Contents {
    /// Read `size_bytes` bytes; what to put into the tree.
    ///
    /// # Errors
    /// A reading error is [`io::ErrorKind::UnexpectedEof`] or of the reader;
    /// anything else of the place where the bytes go.
    fn put(&mut self, reader: &mut dyn Read, size_bytes: u64) -> Result<Kind, LayerError>;
}

/// Why a layer was refused.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// It holds something that no image may hold.
    #[error("layer {layer}: {detail}")]
    Refused {
        /// Its number, from 1.
        layer: usize,
        /// One line.
        detail: String,
    },
    /// It cannot be read: damaged compression or archive.
    #[error("layer {layer} cannot be unpacked")]
    Read {
        /// Its number, from 1.
        layer: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The contents of a file cannot be kept.
    #[error(transparent)]
    Contents(#[from] crate::objects::ObjectError),
}

/// Applies layers one after another.
pub struct Merger<'a> {
    contents: &'a mut dyn Contents,
    tree: Tree,
    /// Number of the layer, for messages.
    layer: usize,
    /// Paths that the current layer made, and folders on the way to them: its
    /// own whiteouts spare them.
    fresh: BTreeSet<String>,
}

impl<'a> Merger<'a> {
    /// Nothing yet.
    pub fn new(contents: &'a mut dyn Contents) -> Self {
        Self { contents, tree: Tree::default(), layer: 0, fresh: BTreeSet::new() }
    }

    /// What the layers add up to.
    pub fn finish(self) -> Tree {
        self.tree
    }

    /// Apply one layer: a tar archive, plain or compressed with gzip or zstd.
    ///
    /// # Errors
    /// [`LayerError`].
    pub fn layer(&mut self, blob: impl Read) -> Result<(), LayerError> {
        self.layer += 1;
        self.fresh.clear();
        let left = Rc::new(Cell::new(u64::MAX));
        let reader = decompressed(blob).map_err(|e| self.unreadable(e))?;
        let mut archive = tar::Archive::new(Bounded { reader, left: left.clone() });
        let mut entries = archive.entries().map_err(|e| self.unreadable(e))?;
        loop {
            left.set(HEADER_BYTES_MAX);
            let Some(entry) = entries.next() else { return Ok(()) };
            left.set(u64::MAX);
            let mut entry = entry.map_err(|e| self.unreadable(e))?;
            self.entry(&mut entry)?;
            // The archive would skip what is left, on the allowance of headers.
            io::copy(&mut entry, &mut io::sink()).map_err(|e| self.unreadable(e))?;
            if self.tree.len() > ENTRIES_MAX {
                return self.refuse(format!("the image has more than {ENTRIES_MAX} entries"));
            }
        }
    }

    fn refuse<T>(&self, detail: String) -> Result<T, LayerError> {
        Err(LayerError::Refused { layer: self.layer, detail })
    }

    fn unreadable(&self, source: io::Error) -> LayerError {
        LayerError::Read { layer: self.layer, source }
    }

    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), LayerError> {
        use tar::EntryType as T;
        if entry.header().entry_type() == T::XGlobalHeader {
            return Ok(());
        }
        let raw = entry.path_bytes().into_owned();
        let path = self.inside(&raw, "path")?;
        let path = self.through_links(&path)?;
        if self.whiteout(&path)? {
            return Ok(());
        }
        let kind = match entry.header().entry_type() {
            T::Directory => Kind::Dir,
            T::Symlink => Kind::Symlink(self.link_name(entry, &path)?),
            T::Link => return self.hard_link(entry, &path),
            T::Regular | T::Continuous | T::GNUSparse => {
                let size_bytes = entry.size();
                self.contents.put(entry, size_bytes).map_err(|e| match e {
                    LayerError::Read { source, .. } => self.unreadable(source),
                    other => other,
                })?
            }
            // Every container gets its own /dev; old base images bring one.
            T::Char | T::Block | T::Fifo if path.starts_with("dev/") => return Ok(()),
            other => return self.refuse(format!("{path} is a {other:?}; only files, folders and links are accepted")),
        };
        let entry = self.attributes(entry, kind)?;
        self.put(&path, entry)
    }

    fn attributes<R: Read>(&self, entry: &mut tar::Entry<'_, R>, kind: Kind) -> Result<Entry, LayerError> {
        let header = entry.header();
        let read = || Ok::<_, io::Error>((header.mode()?, header.uid()?, header.gid()?));
        let (mode, uid, gid) = read().map_err(|e| self.unreadable(e))?;
        let (Ok(uid), Ok(gid)) = (u32::try_from(uid), u32::try_from(gid)) else {
            return self.refuse(format!("owner {uid}:{gid} is no user"));
        };
        let mode = if matches!(kind, Kind::Symlink(_)) { 0o777 } else { mode & 0o7777 };
        let mut xattrs = BTreeMap::new();
        for record in entry.pax_extensions().map_err(|e| self.unreadable(e))?.into_iter().flatten() {
            let record = record.map_err(|e| self.unreadable(e))?;
            if let Some(name) = record.key_bytes().strip_prefix(b"SCHILY.xattr.") {
                xattrs.insert(name.to_vec(), record.value_bytes().to_vec());
            }
        }
        let bytes: usize = xattrs.iter().map(|(name, value)| XATTR_BYTES + name.len() + value.len()).sum();
        if bytes > XATTRS_BYTES_MAX || xattrs.keys().any(|name| name.is_empty() || name.len() > 255) {
            return self
                .refuse(format!("extended attributes of more than {XATTRS_BYTES_MAX} bytes, or without a name"));
        }
        Ok(Entry { kind, mode, uid, gid, xattrs })
    }

    /// Handle a whiteout; `false` if the path is none.
    fn whiteout(&mut self, path: &str) -> Result<bool, LayerError> {
        let (folder, name) = split(path);
        let Some(hidden) = name.strip_prefix(".wh.") else { return Ok(false) };
        match hidden {
            ".wh..opq" => self.remove_below(folder),
            // Book-keeping of aufs, which made the first layers.
            _ if hidden.starts_with(".wh.") => {}
            "" | "." | ".." => return self.refuse(format!("{path:?} removes no name")),
            _ => {
                let path = if folder.is_empty() { hidden.to_string() } else { format!("{folder}/{hidden}") };
                self.remove_below(&path);
                if !self.fresh.contains(&path) {
                    self.tree.remove(&path);
                }
            }
        }
        Ok(true)
    }

    /// Remove what earlier layers put below a folder.
    fn remove_below(&mut self, folder: &str) {
        let fresh = &self.fresh;
        self.tree.retain_below(folder, |p| fresh.contains(p));
    }

    /// A path of the archive as one of the tree.
    fn inside(&self, raw: &[u8], what: &str) -> Result<String, LayerError> {
        match clean_path(raw) {
            Some(path) if path.len() <= PATH_BYTES_MAX => Ok(path),
            Some(_) => self.refuse(format!("a {what} has more than {PATH_BYTES_MAX} bytes")),
            None => {
                let shown: String = String::from_utf8_lossy(raw).chars().take(200).collect();
                self.refuse(format!("{what} {shown:?} is absolute, leaves the root or is no file name"))
            }
        }
    }

    /// The path with symbolic links among its parents followed, inside the root.
    fn through_links(&self, path: &str) -> Result<String, LayerError> {
        let (parent, name) = split(path);
        if parent.is_empty() {
            return Ok(path.into());
        }
        match resolve(&self.tree, parent) {
            Some(real) if real.is_empty() => Ok(name.into()),
            Some(real) => Ok(format!("{real}/{name}")),
            None => self.refuse(format!("{path} goes through more than {LINKS_MAX} links")),
        }
    }

    fn link_name<R: Read>(&self, entry: &tar::Entry<'_, R>, path: &str) -> Result<Vec<u8>, LayerError> {
        match entry.link_name_bytes() {
            Some(t) if !t.is_empty() && t.len() <= SYMLINK_BYTES_MAX && !t.contains(&0) => Ok(t.into_owned()),
            _ => self.refuse(format!("{path} is a link to nothing, or to more than {SYMLINK_BYTES_MAX} bytes")),
        }
    }

    fn hard_link<R: Read>(&mut self, entry: &tar::Entry<'_, R>, path: &str) -> Result<(), LayerError> {
        let name = self.link_name(entry, path)?;
        let target = self.inside(&name, "hard link to")?;
        let target = self.through_links(&target)?;
        match self.tree.get(&target) {
            Some(e) if !e.is_dir() => {
                let copy = e.clone();
                self.put(path, copy)
            }
            _ => self.refuse(format!("{path} is a hard link to {target}, which is no file before it")),
        }
    }

    fn put(&mut self, path: &str, entry: Entry) -> Result<(), LayerError> {
        if let Some(up) = self.tree.blocked_by(path) {
            return self.refuse(format!("{path} lies below {up}, which is no folder"));
        }
        if path.is_empty() && !entry.is_dir() {
            return self.refuse("the root is no folder".into());
        }
        if path.split('/').any(|name| name.len() > 255) {
            return self.refuse(format!("a name in {path:?} has more than 255 bytes"));
        }
        self.tree.put(path, entry);
        self.fresh.insert(path.into());
        for up in ancestors(path) {
            if !self.fresh.insert(up.into()) {
                break;
            }
        }
        Ok(())
    }
}

/// Relative, without `.` and empty parts; `None` if it is absolute, climbs, or
/// is no UTF-8.
fn clean_path(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    if text.starts_with('/') || text.contains('\0') {
        return None;
    }
    let parts: Option<Vec<&str>> =
        text.split('/').filter(|p| !matches!(*p, "" | ".")).map(|p| (p != "..").then_some(p)).collect();
    Some(parts?.join("/"))
}

/// Where a folder really is, links followed inside the root as a container
/// would; parts that are not there stay as they are. `None`: too many links.
fn resolve(tree: &Tree, path: &str) -> Option<String> {
    let mut todo: Vec<String> = path.split('/').rev().map(String::from).collect();
    let mut at: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                at.pop();
                continue;
            }
            _ => at.push(part),
        }
        let here = at.join("/");
        let Some(Kind::Symlink(target)) = tree.get(&here).map(|e| &e.kind) else { continue };
        links += 1;
        // A target that is no text is a name that nothing else can have.
        let target = String::from_utf8_lossy(target).into_owned();
        if links > LINKS_MAX || todo.len() > PATH_BYTES_MAX {
            return None;
        }
        at.pop();
        if target.starts_with('/') {
            at.clear();
        }
        todo.extend(target.split('/').rev().map(String::from));
    }
    Some(at.join("/"))
}

/// Decompress by what the bytes say; media types are often wrong.
fn decompressed<'r>(blob: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut reader = io::BufReader::with_capacity(64 << 10, blob);
    let magic = reader.fill_buf()?;
    Ok(if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(reader))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        Box::new(decoder)
    } else {
        Box::new(reader)
    })
}

/// Hands out a limited number of bytes: extension records are read into memory
/// whole, however long they say they are.
struct Bounded<R> {
    reader: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other(format!("an entry has more than {HEADER_BYTES_MAX} bytes of headers")));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.reader.read(&mut buffer[..most])?;
        self.left.set(left.saturating_sub(n as u64));
        Ok(n)
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
