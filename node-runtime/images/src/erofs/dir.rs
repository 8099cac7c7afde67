//! Folders: entries in blocks, the rest behind the inode.

use super::{BLOCK, Out, Places};

/// Bytes of an entry without its name.
const ENTRY_BYTES: usize = 12;
/// More than this is not kept behind the inode.
const TAIL_BYTES_MAX: usize = BLOCK / 2;

/// `file_type` of a folder in an entry.
pub const TYPE_DIR: u8 = 2;

/// One name in a folder.
#[derive(Clone)]
pub struct DirEntry<'a> {
    pub name: &'a [u8],
    pub inode: usize,
    pub file_type: u8,
}

/// A folder's entries, laid out.
#[derive(Default)]
pub struct Dir<'a> {
    pub blocks: Vec<Vec<DirEntry<'a>>>,
    pub tail: Vec<DirEntry<'a>>,
    pub size: usize,
    pub nlink: usize,
}

impl<'a> Dir<'a> {
    /// Lay out entries, `.` and `..` among them.
    pub fn new(mut entries: Vec<DirEntry<'a>>) -> Self {
        entries.sort_by_key(|e| e.name);
        let nlink = entries.iter().filter(|e| e.file_type == TYPE_DIR).count();
        let (mut blocks, mut tail, mut bytes) = (vec![], vec![], 0);
        for entry in entries {
            let size = ENTRY_BYTES + entry.name.len();
            if bytes + size > BLOCK {
                blocks.push(std::mem::take(&mut tail));
                bytes = 0;
            }
            bytes += size;
            tail.push(entry);
        }
        if bytes > TAIL_BYTES_MAX {
            blocks.push(std::mem::take(&mut tail));
            bytes = 0;
        }
        Self { size: BLOCK * blocks.len() + bytes, blocks, tail, nlink }
    }
}

/// Write the entries of one block or tail.
pub fn emit(entries: &[DirEntry<'_>], out: &mut Out, places: &Places) {
    let mut name_at = ENTRY_BYTES * entries.len();
    for entry in entries {
        out.u64(places.nid(entry.inode));
        out.u16(name_at as u16);
        out.bytes(&[entry.file_type, 0]);
        name_at += entry.name.len();
    }
    for entry in entries {
        out.bytes(entry.name);
    }
}
