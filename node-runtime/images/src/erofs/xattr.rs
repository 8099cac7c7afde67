//! Extended attributes: with each inode, or shared by several.

use std::collections::BTreeMap;

use skerry_formats::ObjectDigest;
use xxhash_rust::xxh32::xxh32;

use super::{Out, Places};

/// Name prefixes and their numbers, the longest match first. Number 5 is not
/// used, as the reference tool does not know it.
const PREFIXES: [(u8, &[u8]); 6] = [
    (6, b"security."),
    (4, b"trusted."),
    (3, b"system.posix_acl_default"),
    (2, b"system.posix_acl_access"),
    (1, b"user."),
    (0, b""),
];
/// Seed of the name filter's hash.
const FILTER_SEED: u32 = 0x25bb_e08f;
/// Names that the overlay would act on.
const OVERLAY: &[u8] = b"trusted.overlay.";
/// Bytes before the first attribute of an inode.
const HEADER_BYTES: usize = 12;

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Xattr {
    fn split(&self) -> (u8, &[u8]) {
        let found = PREFIXES.iter().find_map(|(n, prefix)| Some((*n, self.name.strip_prefix(*prefix)?)));
        found.unwrap_or((0, &self.name))
    }

    /// By name, then the shorter value first, as the reference tool sorts.
    fn key(&self) -> (&[u8], usize, &[u8]) {
        (&self.name, self.value.len(), &self.value)
    }

    fn bytes(&self) -> usize {
        (4 + self.split().1.len() + self.value.len()).next_multiple_of(4)
    }

    /// Write it.
    pub fn emit(&self, out: &mut Out) {
        let (prefix, suffix) = self.split();
        out.bytes(&[suffix.len() as u8, prefix]);
        out.u16(self.value.len() as u16);
        out.bytes(suffix);
        out.bytes(&self.value);
        out.pad(4);
    }
}

/// The attributes of an inode.
#[derive(Default)]
pub struct Xattrs {
    /// Indexes into the table of shared ones.
    shared: Vec<usize>,
    local: Vec<Xattr>,
    filter: u32,
}

impl Xattrs {
    /// An attribute of the file's own; the overlay's are escaped.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        match name.strip_prefix(OVERLAY) {
            Some(rest) => self.add_plain(&[OVERLAY, b"overlay.", rest].concat(), value),
            None => self.add_plain(name, value),
        }
    }

    /// An attribute for the overlay.
    pub fn add_plain(&mut self, name: &[u8], value: &[u8]) {
        let xattr = Xattr { name: name.into(), value: value.into() };
        let (prefix, suffix) = xattr.split();
        self.filter |= 1 << (xxh32(suffix, FILTER_SEED + u32::from(prefix)) % 32);
        self.local.push(xattr);
    }

    /// Where the file's bytes are, and what fs-verity must say of them.
    pub fn add_object(&mut self, digest: &ObjectDigest) {
        // struct ovl_metacopy: version, length, flags, algorithm (SHA-256).
        let metacopy = [&[0, 36, 0, 1][..], &digest.0].concat();
        self.add_plain(b"trusted.overlay.metacopy", &metacopy);
        self.add_plain(b"trusted.overlay.redirect", format!("/{}", digest.object_path()).as_bytes());
    }

    /// Is there an ACL among them?
    pub fn has_acl(&self) -> bool {
        self.local.iter().any(|x| matches!(x.split().0, 2 | 3))
    }

    fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.local.is_empty()
    }

    /// Bytes that they take in the inode.
    pub fn bytes(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        HEADER_BYTES + 4 * self.shared.len() + self.local.iter().map(Xattr::bytes).sum::<usize>()
    }

    /// The inode's field `i_xattr_icount`.
    pub fn count(&self) -> u16 {
        if self.is_empty() { 0 } else { (1 + (self.bytes() - HEADER_BYTES) / 4) as u16 }
    }

    /// Write them.
    pub fn emit(&self, out: &mut Out, places: &Places) {
        if self.is_empty() {
            return;
        }
        out.u32(!self.filter);
        out.bytes(&[self.shared.len() as u8, 0, 0, 0, 0, 0, 0, 0]);
        for index in &self.shared {
            out.u32(places.xattr(*index));
        }
        for xattr in &self.local {
            xattr.emit(out);
        }
    }
}

/// Move attributes that several inodes have into one table.
pub fn share<'a>(inodes: impl Iterator<Item = &'a mut Xattrs>) -> Vec<Xattr> {
    let mut inodes: Vec<_> = inodes.collect();
    let mut uses: BTreeMap<(&[u8], usize, &[u8]), usize> = BTreeMap::new();
    for xattr in inodes.iter().flat_map(|i| &i.local) {
        *uses.entry(xattr.key()).or_default() += 1;
    }
    // The table is in falling order.
    let table: Vec<Xattr> = uses
        .into_iter()
        .rev()
        .filter(|(_, n)| *n > 1)
        .map(|((name, _, value), _)| Xattr { name: name.into(), value: value.into() })
        .collect();
    for inode in &mut inodes {
        inode.local.sort_by(|a, b| a.key().cmp(&b.key()));
        let shared = &mut inode.shared;
        inode.local.retain(|x| match table.binary_search_by(|t| x.key().cmp(&t.key())) {
            Ok(index) => {
                shared.push(index);
                false
            }
            Err(_) => true,
        });
    }
    table
}
