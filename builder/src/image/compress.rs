//! Compression: the disk image in independent chunks, and every object on its
//! own. Both are cached by content, so that a build pays only for what changed.
//!
//! A `.zst` file of several frames is what any zstd reader expects; where the
//! chunks end depends on nothing but the image and the cuts.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use rayon::prelude::*;
use skerry_formats::{ObjectDigest, Sha256Digest};
use zstd::{bulk::Compressor, zstd_safe::CParameter};

use super::{ImageError, blob_cache::BlobCache};
use crate::{commit::SealedObject, progress::Progress, tree::model::Content};

/// Compression level: small on the wire counts more than build time.
const LEVEL: i32 = 19;
/// Level for what does not compress.
const QUICK_LEVEL: i32 = 3;
/// Share of the original that is left at the quick level, in percent, from
/// which on the full level is not tried.
const HOPELESS_PERCENT: u64 = 96;
/// Names of the cache folders; they change with the rules above, so that the
/// bytes of a release never depend on what an older version left in the cache.
const CHUNKS: &str = "chunks-2";
const OBJECTS: &str = "objects-zst-2";
/// Largest chunk, equal to the window of the level.
const CHUNK_BYTES: u64 = 8 << 20;

/// Compress the disk image at `disk` into `out`. `cuts` are offsets at which a
/// chunk should end beside every multiple of 8 MiB. Returns the size of `out`.
///
/// # Errors
/// Files that cannot be read or written.
pub fn write_zst(disk: &Path, cuts: &[u64], out: &Path, cache: &Path, progress: &Progress) -> Result<u64, ImageError> {
    let read = |e| ImageError::io("reading", disk)(e);
    let file = File::open(disk).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let step = progress.start("compress", Some(size), "bytes");
    let cache = BlobCache::new(cache.join(CHUNKS));
    let chunks: Vec<Vec<u8>> = boundaries(size, cuts)
        .par_windows(2)
        .map(|w| {
            let mut bytes = vec![0; (w[1] - w[0]) as usize];
            file.read_exact_at(&mut bytes, w[0]).map_err(read)?;
            let frame = cache.get_or_make(&Sha256Digest::of(&bytes).0, || compress(&bytes));
            step.advance(bytes.len() as u64);
            frame.map_err(|source| ImageError::Compress { what: format!("the disk image at {}", w[0]), source })
        })
        .collect::<Result<_, _>>()?;
    let write = |e| ImageError::io("writing", out)(e);
    let mut target = io::BufWriter::new(File::create(out).map_err(write)?);
    for chunk in &chunks {
        target.write_all(chunk).map_err(write)?;
    }
    target.flush().map_err(write)?;
    let total = chunks.iter().map(|c| c.len() as u64).sum();
    step.done(format!("{:.1} MB", total as f64 / 1e6));
    Ok(total)
}

/// Start, end and every cut between, ascending.
fn boundaries(size: u64, cuts: &[u64]) -> Vec<u64> {
    let mut at: Vec<u64> =
        (0..size).step_by(CHUNK_BYTES as usize).chain(cuts.iter().copied().filter(|c| *c < size)).collect();
    at.push(size);
    at.sort_unstable();
    at.dedup();
    at
}

/// Compress every object into `out/ab/cdef….zst`. Returns the compressed sizes.
///
/// # Errors
/// Objects that cannot be read, or files that cannot be written.
pub fn write_objects(
    objects: &BTreeMap<ObjectDigest, SealedObject>,
    out: &Path,
    cache: &Path,
    progress: &Progress,
) -> Result<BTreeMap<ObjectDigest, u64>, ImageError> {
    let step = progress.start("objects", Some(objects.values().map(|o| o.content.size_bytes()).sum()), "bytes");
    let mut largest_first: Vec<_> = objects.iter().collect();
    largest_first.sort_by_key(|(_, o)| std::cmp::Reverse(o.content.size_bytes()));
    let sizes: BTreeMap<_, _> = largest_first
        .par_iter()
        .with_max_len(1)
        .map(|(digest, object)| {
            let bytes = compress_object(digest, &object.content, cache)?;
            let path = out.join(format!("{}.zst", digest.object_path()));
            let folder = path.parent().unwrap_or(out);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, &bytes))
                .map_err(ImageError::io("writing", &path))?;
            step.advance(object.content.size_bytes());
            Ok((**digest, bytes.len() as u64))
        })
        .collect::<Result<_, ImageError>>()?;
    let total: u64 = sizes.values().sum();
    step.done(format!("{} objects, {:.1} MB", sizes.len(), total as f64 / 1e6));
    Ok(sizes)
}

/// One object, compressed; kept in the cache by its digest.
///
/// # Errors
/// Content that cannot be read, or a cache that cannot be written.
pub fn compress_object(digest: &ObjectDigest, content: &Content, cache: &Path) -> Result<Vec<u8>, ImageError> {
    BlobCache::new(cache.join(OBJECTS))
        .get_or_make(&digest.0, || compress(&content.read()?))
        .map_err(|source| ImageError::Compress { what: format!("object {digest}"), source })
}

/// At the full level, unless a quick look shows that nothing is to be gained:
/// kernel and initrd are compressed already, and a release has no other objects
/// that change every time.
fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let quick = compress_at(QUICK_LEVEL, bytes)?;
    if quick.len() as u64 * 100 >= bytes.len() as u64 * HOPELESS_PERCENT {
        return Ok(quick);
    }
    compress_at(LEVEL, bytes)
}

fn compress_at(level: i32, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.compress(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tree::model::Origin;
    use skerry_formats::{fsverity_digest, index::Role};

    fn noise(n: usize, seed: u64) -> Vec<u8> {
        let mut x = seed | 1;
        std::iter::repeat_with(|| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 40) as u8 & 0x3f
        })
        .take(n)
        .collect()
    }

    #[test]
    fn boundaries_are_multiples_and_cuts_in_order() {
        assert_eq!(boundaries(10, &[4, 4, 0, 99]), [0, 4, 10]);
        assert_eq!(
            boundaries(2 * CHUNK_BYTES + 1, &[CHUNK_BYTES]),
            [0, CHUNK_BYTES, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 1]
        );
    }

    #[test]
    fn image_survives_and_a_change_costs_one_chunk() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, cache) = (dir.path().join("disk"), dir.path().join("cache"));
        let mut bytes = noise(3 << 20, 5);
        bytes.resize(17 << 20, 0);
        fs::write(&disk, &bytes).unwrap();
        let pack = |name: &str, cache: &Path| {
            let out = dir.path().join(name);
            let size = write_zst(&disk, &[2 << 20], &out, cache, &Progress::none()).unwrap();
            let packed = fs::read(out).unwrap();
            assert_eq!(size, packed.len() as u64);
            packed
        };
        let count = || walk(&cache.join(CHUNKS));
        let first = pack("a.zst", &cache);
        assert_eq!(zstd::decode_all(&first[..]).unwrap(), bytes);
        assert_eq!(first, pack("b.zst", &dir.path().join("other-cache")));
        assert_eq!(count(), 4);
        bytes[(2 << 20) + 7] ^= 1;
        fs::write(&disk, &bytes).unwrap();
        let second = pack("c.zst", &cache);
        assert_eq!(zstd::decode_all(&second[..]).unwrap(), bytes);
        assert_eq!(count(), 5);
    }

    fn walk(path: &Path) -> usize {
        fs::read_dir(path).unwrap().map(|d| fs::read_dir(d.unwrap().path()).unwrap().count()).sum()
    }

    #[test]
    fn objects_are_written_under_their_digest() {
        let dir = tempfile::tempdir().unwrap();
        let objects: BTreeMap<_, _> = [noise(100, 1), noise(70_000, 2)]
            .into_iter()
            .map(|b| {
                let origin = Origin::Builder { step: "test".into() };
                let content = Content::Bytes(b.clone().into());
                (fsverity_digest(&b), SealedObject { content, role: Role::Data, origin, path: "f".into() })
            })
            .collect();
        let out = dir.path().join("objects");
        let sizes = write_objects(&objects, &out, &dir.path().join("cache"), &Progress::none()).unwrap();
        for (digest, object) in &objects {
            let packed = fs::read(out.join(format!("{}.zst", digest.object_path()))).unwrap();
            assert_eq!(sizes[digest], packed.len() as u64);
            assert_eq!(zstd::decode_all(&packed[..]).unwrap(), object.content.read().unwrap()[..]);
        }
    }
}
