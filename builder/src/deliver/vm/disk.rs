//! Disks of machines: a writable, sparse, enlarged copy of an image, because a
//! released image is never written to.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::VmError;

/// Blocks of zeros of this size become holes.
const HOLE_BYTES: usize = 64 * 1024;

/// `disk.img` → `disk.SUFFIX`, beside it.
pub fn with_suffix(disk: &Path, suffix: &str) -> PathBuf {
    disk.with_extension(suffix)
}

/// The disk image that a path names: the file itself, or `disk.img.zst` or
/// `disk.img` in an output folder of `skerry build`.
///
/// # Errors
/// [`VmError::Image`] if there is none.
pub fn prepare_disk(image: &Path) -> Result<PathBuf, VmError> {
    let problem = |problem: &str| Err(VmError::Image { path: image.to_owned(), problem: problem.into() });
    if image.is_file() {
        return Ok(image.to_owned());
    }
    if !image.is_dir() {
        return problem("no such file; give a disk.img, a disk.img.zst or the output folder of `skerry build`");
    }
    for name in ["disk.img.zst", "disk.img"] {
        let file = image.join(name);
        if file.is_file() {
            return Ok(file);
        }
    }
    problem("holds no disk.img.zst; build it with `skerry build` (without --only release)")
}

/// Write a sparse copy of `image` (raw, or zstd by its first bytes) to `to` and
/// enlarge it to `size_bytes_min`.
///
/// # Errors
/// If a file cannot be read or written, or the image is shorter than a disk can
/// be.
pub fn work_copy(image: &Path, to: &Path, size_bytes_min: u64) -> Result<(), VmError> {
    let file = File::open(image).map_err(VmError::io("open", image))?;
    let mut head = BufReader::with_capacity(1 << 20, file);
    let zstd_magic = std::io::BufRead::fill_buf(&mut head)
        .map_err(VmError::io("read", image))?
        .starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let mut reader: Box<dyn Read> = if zstd_magic {
        Box::new(zstd::stream::read::Decoder::with_buffer(head).map_err(VmError::io("decompress", image))?)
    } else {
        Box::new(head)
    };
    let mut out = File::create(to).map_err(VmError::io("create", to))?;
    let length = copy_sparse(&mut reader, &mut out).map_err(|e| match e {
        CopyError::Read(source) => VmError::Io { operation: "read", path: image.to_owned(), source },
        CopyError::Write(source) => VmError::Io { operation: "write", path: to.to_owned(), source },
    })?;
    if length == 0 {
        return Err(VmError::Image { path: image.to_owned(), problem: "is empty".into() });
    }
    out.set_len(length.max(size_bytes_min)).map_err(VmError::io("enlarge", to))
}

enum CopyError {
    Read(std::io::Error),
    Write(std::io::Error),
}

fn copy_sparse(reader: &mut dyn Read, out: &mut File) -> Result<u64, CopyError> {
    let mut block = vec![0u8; HOLE_BYTES];
    let mut length = 0u64;
    loop {
        let mut filled = 0;
        while filled < block.len() {
            match reader.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(CopyError::Read(e)),
            }
        }
        if filled == 0 {
            return Ok(length);
        }
        if block[..filled].iter().any(|b| *b != 0) {
            out.seek(SeekFrom::Start(length)).map_err(CopyError::Write)?;
            out.write_all(&block[..filled]).map_err(CopyError::Write)?;
        }
        length += filled as u64;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn copies_are_equal_sparse_and_enlarged() {
        let dir = tempfile::tempdir().unwrap();
        let mut image = vec![0u8; 5 * HOLE_BYTES + 17];
        image[3] = 1;
        image[4 * HOLE_BYTES] = 2;
        let raw = dir.path().join("disk.img");
        let packed = dir.path().join("disk.img.zst");
        std::fs::write(&raw, &image).unwrap();
        std::fs::write(&packed, zstd::encode_all(&image[..], 3).unwrap()).unwrap();
        for source in [raw, packed] {
            let to = dir.path().join("work.img");
            work_copy(&source, &to, 1 << 20).unwrap();
            let copy = std::fs::read(&to).unwrap();
            assert_eq!(copy.len(), 1 << 20);
            assert_eq!(copy[..image.len()], image);
            assert!(copy[image.len()..].iter().all(|b| *b == 0));
            assert!(std::fs::metadata(&to).unwrap().blocks() * 512 <= 4 * HOLE_BYTES as u64);
        }
    }

    #[test]
    fn what_is_no_image_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = |p: &Path| prepare_disk(p).unwrap_err().to_string();
        assert!(text(&dir.path().join("x")).contains("no such file"));
        assert!(text(dir.path()).contains("no disk.img.zst"));
        std::fs::write(dir.path().join("disk.img.zst"), "").unwrap();
        let image = prepare_disk(dir.path()).unwrap();
        assert!(work_copy(&image, &dir.path().join("w"), 0).unwrap_err().to_string().contains("is empty"));
        std::fs::write(&image, [0x28, 0xb5, 0x2f, 0xfd, 0, 0]).unwrap();
        assert!(work_copy(&image, &dir.path().join("w"), 0).is_err());
    }
}
