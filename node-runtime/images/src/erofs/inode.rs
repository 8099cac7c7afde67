//! Inodes: the tree in the order in which they are numbered, and their bytes.

use std::collections::{BTreeMap, VecDeque};

use super::{
    BLOCK, Out, Places, SLOT,
    dir::{self, Dir, DirEntry, TYPE_DIR},
    xattr::Xattrs,
};
use crate::tree::{Entry, Kind, Tree, split};

/// Data layouts (`EROFS_INODE_FLAT_PLAIN` and so on), shifted to their place.
const FLAT_PLAIN: u16 = 0;
const FLAT_INLINE: u16 = 4;
const CHUNK_BASED: u16 = 8;

/// One inode.
pub struct Inode<'a> {
    mode: u16,
    uid: u32,
    gid: u32,
    pub xattrs: Xattrs,
    data: Data<'a>,
}

enum Data<'a> {
    Dir(Dir<'a>),
    Inline(&'a [u8]),
    /// Bytes elsewhere.
    Object {
        size: u64,
    },
    Symlink(&'a [u8]),
    /// A character device 0:0. The root holds one for each name of a folder of
    /// objects, so that the data-only layer never shows through.
    Whiteout,
}

/// Name, path and entry; no entry: a whiteout.
type Child<'a> = (&'a str, &'a str, Option<&'a Entry>);

/// All inodes, breadth first, each folder's entries by name.
pub fn collect(tree: &Tree) -> Vec<Inode<'_>> {
    let mut children: BTreeMap<&str, Vec<Child<'_>>> = BTreeMap::new();
    for (path, entry) in tree.iter().skip(1) {
        let (folder, name) = split(path);
        children.entry(folder).or_default().push((name, path, Some(entry)));
    }
    let Some(root) = tree.get("") else { return vec![] };
    let mut inodes = vec![Inode::of(root)];
    inodes[0].xattrs.add_plain(b"trusted.overlay.opaque", b"y");
    let mut queue = VecDeque::from([("", 0, 0)]);
    while let Some((path, me, parent)) = queue.pop_front() {
        let mut entries: Vec<_> = [(&b"."[..], me), (&b".."[..], parent)]
            .map(|(name, inode)| DirEntry { name, inode, file_type: TYPE_DIR })
            .into();
        let mut own = children.remove(path).unwrap_or_default();
        if path.is_empty() {
            let missing = OBJECT_FOLDERS.iter().filter(|n| tree.get(n).is_none());
            own.extend(missing.map(|n| (n.as_str(), "", None)));
            own.sort_by_key(|(name, ..)| *name);
        }
        for (name, path, entry) in own {
            let number = inodes.len();
            let inode = entry.map_or_else(|| Inode::whiteout(root), Inode::of);
            if entry.is_some_and(Entry::is_dir) {
                queue.push_back((path, number, me));
            }
            entries.push(DirEntry { name: name.as_bytes(), inode: number, file_type: inode.file_type() });
            inodes.push(inode);
        }
        inodes[me].data = Data::Dir(Dir::new(entries));
    }
    inodes
}

/// `00` to `ff`.
static OBJECT_FOLDERS: std::sync::LazyLock<Vec<String>> =
    std::sync::LazyLock::new(|| (0..=255u8).map(|n| format!("{n:02x}")).collect());

impl<'a> Inode<'a> {
    fn of(entry: &'a Entry) -> Self {
        let mut xattrs = Xattrs::default();
        let (file_type, data) = match &entry.kind {
            Kind::Dir => (0o040_000, Data::Dir(Dir::default())),
            Kind::Inline(bytes) => (0o100_000, Data::Inline(bytes)),
            Kind::Symlink(target) => (0o120_000, Data::Symlink(target)),
            Kind::Object { digest, size_bytes } => {
                xattrs.add_object(digest);
                (0o100_000, Data::Object { size: *size_bytes })
            }
        };
        for (name, value) in &entry.xattrs {
            xattrs.add(name, value);
        }
        Self { mode: file_type | (entry.mode & 0o7777) as u16, uid: entry.uid, gid: entry.gid, xattrs, data }
    }

    fn whiteout(root: &Entry) -> Self {
        let mut xattrs = Xattrs::default();
        if let Some(label) = root.xattrs.get(&b"security.selinux"[..]) {
            xattrs.add(b"security.selinux", label);
        }
        Self { mode: 0o020_644, uid: root.uid, gid: root.gid, xattrs, data: Data::Whiteout }
    }

    fn file_type(&self) -> u8 {
        match self.data {
            Data::Inline(_) | Data::Object { .. } => 1,
            Data::Dir(_) => TYPE_DIR,
            Data::Whiteout => 3,
            Data::Symlink(_) => 7,
        }
    }

    fn size(&self) -> u64 {
        match &self.data {
            Data::Dir(dir) => dir.size as u64,
            Data::Inline(bytes) | Data::Symlink(bytes) => bytes.len() as u64,
            Data::Object { size } => *size,
            Data::Whiteout => 0,
        }
    }

    fn nlink(&self) -> usize {
        if let Data::Dir(dir) = &self.data { dir.nlink } else { 1 }
    }

    fn is_compact(&self) -> bool {
        let small = |id: u32| u16::try_from(id).is_ok();
        let counts = u16::try_from(self.nlink()).is_ok() && u32::try_from(self.size()).is_ok();
        small(self.uid) && small(self.gid) && counts
    }

    /// Bytes before the tail.
    fn head_bytes(&self) -> usize {
        (if self.is_compact() { 32 } else { 64 }) + self.xattrs.bytes()
    }

    /// Bytes that follow the head.
    fn tail_bytes(&self) -> usize {
        match &self.data {
            Data::Dir(dir) => dir.size % BLOCK,
            Data::Inline(bytes) | Data::Symlink(bytes) => bytes.len(),
            // One chunk, which is a hole: no file is empty or of 8 TiB.
            Data::Object { .. } => 4,
            Data::Whiteout => 0,
        }
    }

    /// Go to where the inode begins: its tail must not lie across blocks. A link
    /// is kept in one block whole, for kernels before 6.12.
    pub fn align(&self, out: &mut Out) {
        out.pad(SLOT);
        let (head, tail) = (self.head_bytes(), self.tail_bytes());
        if let Data::Symlink(_) = self.data {
            if out.len() % BLOCK + head + tail > BLOCK {
                out.pad(BLOCK);
            }
            return;
        }
        let rest = (BLOCK - (out.len() + head) % BLOCK) % BLOCK;
        if rest > 0 && rest < tail {
            out.zeros(rest.next_multiple_of(SLOT));
        }
    }

    /// Data layout and the field that goes with it.
    fn layout(&self, number: usize, places: &Places) -> (u16, u32) {
        match &self.data {
            Data::Dir(dir) if dir.tail.is_empty() => (FLAT_PLAIN, places.block(number)),
            Data::Dir(dir) if dir.blocks.is_empty() => (FLAT_INLINE, 0),
            Data::Dir(_) => (FLAT_INLINE, places.block(number)),
            Data::Inline([]) => (FLAT_PLAIN, 0),
            Data::Inline(_) | Data::Symlink(_) => (FLAT_INLINE, 0),
            Data::Object { size } => (CHUNK_BASED, chunk_format(*size)),
            Data::Whiteout => (FLAT_PLAIN, 0),
        }
    }

    /// Write the inode and its tail.
    pub fn emit(&self, out: &mut Out, number: usize, places: &Places) {
        let (layout, field) = self.layout(number, places);
        let compact = self.is_compact();
        out.u16(layout | u16::from(!compact));
        out.u16(self.xattrs.count());
        out.u16(self.mode);
        if compact {
            out.u16(self.nlink() as u16);
            out.u32(self.size() as u32);
            out.u32(0);
        } else {
            out.u16(0);
            out.u64(self.size());
        }
        out.u32(field);
        out.u32(number as u32);
        if compact {
            out.u16(self.uid as u16);
            out.u16(self.gid as u16);
            out.u32(0);
        } else {
            out.u32(self.uid);
            out.u32(self.gid);
            out.zeros(12);
            out.u32(self.nlink() as u32);
            out.zeros(16);
        }
        self.xattrs.emit(out, places);
        match &self.data {
            Data::Dir(dir) => dir::emit(&dir.tail, out, places),
            Data::Inline(bytes) | Data::Symlink(bytes) => out.bytes(bytes),
            Data::Object { .. } => out.u32(u32::MAX),
            Data::Whiteout => {}
        }
        out.pad(SLOT);
    }

    /// Write the blocks of a folder.
    pub fn emit_blocks(&self, out: &mut Out, places: &Places) {
        let Data::Dir(dir) = &self.data else { return };
        for block in &dir.blocks {
            dir::emit(block, out, places);
            out.pad(BLOCK);
        }
    }
}

/// Size of the one chunk that a file is, as blocks to the power of two.
fn chunk_format(size: u64) -> u32 {
    let bits = if size > 1 { 64 - (size - 1).leading_zeros() } else { 1 };
    bits.saturating_sub(BLOCK.trailing_zeros()).min(31)
}
