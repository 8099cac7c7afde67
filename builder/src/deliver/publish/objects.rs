//! Objects of a release into the repository.
//!
//! An object's name is the digest of its content, not of the file that holds it
//! compressed. So a file that is there stays as it is if its content is right,
//! also when another version of the compressor made it: clients may be in the
//! middle of it. A file whose content is not right is of no use to any client;
//! it is replaced.

use std::{
    io::{self, Read},
    path::Path,
};

use skerry_formats::index::{Index, IndexEntry};

use super::{OBJECTS, PublishError, Store};
use crate::{
    progress::Progress,
    release::objects::{check_compressed, compressed_path},
};

/// What was copied.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) objects_new: u64,
    pub(super) bytes_new: u64,
    pub(super) objects_repaired: u64,
}

/// What the repository has under an object's name.
enum Held {
    Nothing,
    Sound,
    /// Not the object, and why.
    Damaged(String),
}

/// Copy what the repository does not have, and replace what is damaged there.
/// The release folder was verified by the caller.
pub(super) fn copy(
    store: &dyn Store,
    release_dir: &Path,
    index: &Index,
    progress: &Progress,
) -> Result<Copied, PublishError> {
    let total = index.entries().iter().map(|e| e.compressed_bytes).sum();
    let step = progress.start("publish", Some(total), "bytes");
    let mut copied = Copied::default();
    for e in index.entries() {
        let name = compressed_path(&e.digest);
        let (from, to) = (release_dir.join(OBJECTS).join(&name), format!("{OBJECTS}/{name}"));
        let held = held(store, &to, &from, e)?;
        if let Held::Damaged(why) = &held {
            copied.objects_repaired += 1;
            progress.note(format!(
                "object {} in the repository was damaged: it {why}; it is replaced. Find out what wrote to {}",
                e.digest,
                store.root().join(&to).display()
            ));
        }
        if matches!(held, Held::Nothing) {
            copied.objects_new += 1;
            copied.bytes_new += e.compressed_bytes;
        }
        if !matches!(held, Held::Sound) {
            store.copy_in(&from, &to).map_err(|source| store.error("writing", &to, source))?;
        }
        step.advance(e.compressed_bytes);
    }
    step.done(format!("{} new objects, {} bytes", copied.objects_new, copied.bytes_new));
    Ok(copied)
}

fn held(store: &dyn Store, to: &str, from: &Path, e: &IndexEntry) -> Result<Held, PublishError> {
    let reading = |source| store.error("reading", to, source);
    let Some(size) = store.size(to).map_err(reading)? else { return Ok(Held::Nothing) };
    if size > e.file_bytes_max() {
        return Ok(Held::Damaged(format!("has {size} bytes, more than any compression of it")));
    }
    // The usual case, and the fast one: the very bytes of the release.
    if size == e.compressed_bytes {
        let ours = std::fs::File::open(from).map_err(|source| PublishError::Io {
            operation: "opening",
            path: from.into(),
            source,
        })?;
        let theirs = store.open(to).map_err(reading)?;
        if same_bytes(ours, theirs).map_err(reading)? {
            return Ok(Held::Sound);
        }
    }
    let theirs = store.open(to).map_err(reading)?;
    Ok(match check_compressed(theirs, &e.digest, e.size_bytes) {
        Ok(()) => Held::Sound,
        Err(why) => Held::Damaged(why),
    })
}

/// Do both give the same bytes to the end?
fn same_bytes(a: impl Read, b: impl Read) -> io::Result<bool> {
    let (mut a, mut b) = (io::BufReader::with_capacity(1 << 17, a), io::BufReader::with_capacity(1 << 17, b));
    loop {
        let (x, y) = (io::BufRead::fill_buf(&mut a)?, io::BufRead::fill_buf(&mut b)?);
        let n = x.len().min(y.len());
        if n == 0 {
            return Ok(x.is_empty() && y.is_empty());
        }
        if x[..n] != y[..n] {
            return Ok(false);
        }
        io::BufRead::consume(&mut a, n);
        io::BufRead::consume(&mut b, n);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_are_compared_to_the_end_however_they_come() {
        let long = vec![7u8; 300_000];
        let pieces = || long[..1000].chain(&long[1000..]);
        assert!(same_bytes(&long[..], pieces()).unwrap());
        assert!(same_bytes(io::empty(), io::empty()).unwrap());
        assert!(!same_bytes(&long[1..], pieces()).unwrap());
        assert!(!same_bytes(pieces(), &long[1..]).unwrap());
        let mut other = long.clone();
        other[299_999] = 8;
        assert!(!same_bytes(&other[..], pieces()).unwrap());
    }
}
