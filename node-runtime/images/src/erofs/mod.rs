//! A tree as a composefs image: an EROFS file system with names and attributes,
//! whose files point at objects.
//!
//! The builder makes these with the composefs library, which needs OpenSSL; the
//! node has none. What an app image can hold is a small part of the format (all
//! times 0, no devices, no content above 64 bytes), and that part is written
//! here. A test compares the bytes with the library's on random trees, so an
//! image has one digest whether it was baked or pulled. Format: composefs image
//! format, version 1; EROFS on-disk format, kernel documentation
//! `filesystems/erofs.rst`.

mod dir;
mod inode;
mod xattr;

use inode::Inode;
use xattr::Xattr;

use crate::tree::Tree;

/// Block size in bytes.
const BLOCK: usize = 4096;
/// Inodes begin at multiples of this.
const SLOT: usize = 32;
/// Where the superblock lies.
const SUPERBLOCK_AT: usize = 1024;
/// First bytes of a composefs image.
const COMPOSEFS_MAGIC: u32 = 0xd078_629a;
const EROFS_MAGIC: u32 = 0xe0f5_e1e2;
/// `MTIME | XATTR_FILTER`.
const FEATURE_COMPAT: u32 = 0x2 | 0x4;
/// Flag of the composefs header: some file has an ACL.
const FLAG_HAS_ACL: u32 = 1;

/// Write the image of a tree.
pub fn write(tree: &Tree) -> Vec<u8> {
    let mut inodes = inode::collect(tree);
    let has_acl = inodes.iter().any(|i| i.xattrs.has_acl());
    let shared = xattr::share(inodes.iter_mut().map(|i| &mut i.xattrs));
    let image = Image { inodes: &inodes, shared: &shared, flags: if has_acl { FLAG_HAS_ACL } else { 0 } };
    // What refers to places does not change sizes: the first pass finds the
    // places, the second writes them.
    let mut out = Out::default();
    let found = image.emit(&mut out, &Places::default());
    out.0.clear();
    image.emit(&mut out, &found);
    out.0
}

struct Image<'a> {
    inodes: &'a [Inode<'a>],
    shared: &'a [Xattr],
    flags: u32,
}

/// Where things lie in the image, in bytes.
#[derive(Default)]
struct Places {
    inodes: Vec<usize>,
    inodes_end: usize,
    xattrs: Vec<usize>,
    blocks: Vec<usize>,
    end: usize,
}

impl Places {
    /// Number of an inode, as directories name it; 0 in the first pass.
    fn nid(&self, inode: usize) -> u64 {
        self.inodes.get(inode).map_or(0, |at| (at / SLOT) as u64)
    }

    /// First block of an inode's data.
    fn block(&self, inode: usize) -> u32 {
        self.blocks.get(inode).map_or(0, |at| (at / BLOCK) as u32)
    }

    /// Reference to a shared attribute: words from the block of the first one.
    fn xattr(&self, index: usize) -> u32 {
        let words = |at: &usize| (self.inodes_end % BLOCK + (at - self.inodes_end)) / 4;
        self.xattrs.get(index).map_or(0, |at| words(at) as u32)
    }
}

impl Image<'_> {
    fn emit(&self, out: &mut Out, places: &Places) -> Places {
        let mut found = Places::default();
        self.header(out, places);
        for (number, inode) in self.inodes.iter().enumerate() {
            inode.align(out);
            found.inodes.push(out.len());
            inode.emit(out, number, places);
        }
        out.pad(SLOT);
        found.inodes_end = out.len();
        for xattr in self.shared {
            found.xattrs.push(out.len());
            xattr.emit(out);
        }
        out.pad(BLOCK);
        for inode in self.inodes {
            found.blocks.push(out.len());
            inode.emit_blocks(out, places);
        }
        found.end = out.len();
        found
    }

    fn header(&self, out: &mut Out, places: &Places) {
        for word in [COMPOSEFS_MAGIC, 1, self.flags, 1] {
            out.u32(word);
        }
        out.pad(SUPERBLOCK_AT);
        out.u32(EROFS_MAGIC);
        out.u32(0);
        out.u32(FEATURE_COMPAT);
        out.bytes(&[BLOCK.trailing_zeros() as u8, 0]);
        out.u16(places.nid(0) as u16);
        out.u64(self.inodes.len() as u64);
        out.u64(0);
        out.u32(0);
        out.u32((places.end / BLOCK) as u32);
        out.u32(0);
        out.u32((places.inodes_end / BLOCK) as u32);
        // Neither name nor features that a reader must know.
        out.zeros(80);
    }
}

/// Bytes in the making.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn zeros(&mut self, n: usize) {
        self.0.resize(self.0.len() + n, 0);
    }

    fn pad(&mut self, alignment: usize) {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
    }

    fn u16(&mut self, n: u16) {
        self.bytes(&n.to_le_bytes());
    }

    fn u32(&mut self, n: u32) {
        self.bytes(&n.to_le_bytes());
    }

    fn u64(&mut self, n: u64) {
        self.bytes(&n.to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
