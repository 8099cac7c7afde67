//! What a folder takes on the disk, as `du` counts it: blocks, not lengths;
//! what has several names once; other file systems not at all.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat},
};

/// Nothing is opened through a link: whoever owns the folder may change it
/// meanwhile.
const HOW: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// Folders within folders that are gone into.
const DEPTH_MAX: u32 = 128;
/// Things that are looked at.
const ENTRIES_MAX: u64 = 5_000_000;

/// Bytes that the folder and all in it take. One that is not there takes none;
/// one that is too deep or has too much in it to be counted takes
/// [`u64::MAX`], so that nobody hides from a limit by that.
///
/// # Errors
/// A folder cannot be read.
pub fn bytes(folder: &Path) -> io::Result<u64> {
    let root = match open(folder, HOW, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(0),
        other => other?,
    };
    let stat = fstat(&root)?;
    let mut count = Count { device: stat.st_dev, left: ENTRIES_MAX, linked: BTreeSet::new(), bytes: of(&stat) };
    let whole = count.below(&root, DEPTH_MAX)?;
    Ok(if whole { count.bytes } else { u64::MAX })
}

struct Count {
    device: u64,
    left: u64,
    /// Seen already, of those with several names.
    linked: BTreeSet<u64>,
    bytes: u64,
}

impl Count {
    /// False: there is more than is counted.
    fn below(&mut self, folder: &OwnedFd, depth: u32) -> io::Result<bool> {
        if depth == 0 {
            return Ok(false);
        }
        for entry in Dir::from_fd(folder.try_clone()?)?.into_iter() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if self.left == 0 {
                return Ok(false);
            }
            self.left -= 1;
            let stat = match fstatat(folder.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                // Gone since it was listed.
                Err(Errno::ENOENT) => continue,
                other => other?,
            };
            let is_folder = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
            if stat.st_dev != self.device || (!is_folder && stat.st_nlink > 1 && !self.linked.insert(stat.st_ino)) {
                continue;
            }
            self.bytes = self.bytes.saturating_add(of(&stat));
            if !is_folder {
                continue;
            }
            let whole = match openat(folder, name, HOW, Mode::empty()) {
                Ok(inner) => self.below(&inner, depth - 1)?,
                // Gone, or a link by now.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => true,
                Err(e) => return Err(e.into()),
            };
            if !whole {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn of(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn blocks_count_once_and_links_lead_nowhere() {
        let d = tempfile::tempdir().unwrap();
        let (tree, other) = (d.path().join("tree"), d.path().join("other"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(&other, vec![1; 4 << 20]).unwrap();
        let empty = bytes(&tree).unwrap();
        fs::write(tree.join("a/b/file"), vec![1; 1 << 20]).unwrap();
        fs::File::open(tree.join("a/b/file")).unwrap().sync_all().unwrap();
        let one = bytes(&tree).unwrap();
        assert!((empty + (1 << 20)..empty + (1 << 20) + (64 << 10)).contains(&one), "{empty} {one}");
        fs::hard_link(tree.join("a/b/file"), tree.join("a/again")).unwrap();
        symlink(&other, tree.join("link")).unwrap();
        let sparse = fs::File::create(tree.join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        assert!(bytes(&tree).unwrap() < one + (64 << 10), "{one}");
        assert_eq!(bytes(&d.path().join("nothing")).unwrap(), 0);
    }

    #[test]
    fn what_is_too_deep_to_count_is_too_much() {
        let d = tempfile::tempdir().unwrap();
        let deep: std::path::PathBuf = std::iter::repeat_n("d", DEPTH_MAX as usize + 1).collect();
        fs::create_dir_all(d.path().join(deep)).unwrap();
        assert_eq!(bytes(d.path()).unwrap(), u64::MAX);
    }
}
