//! The initial RAM disk: `skerry-init`, the modules it loads, and empty mount
//! points, as a zstd-compressed newc cpio archive.
//!
//! Source: Linux `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::io;

use skerry_formats::Sha256Digest;

use super::blob_cache::BlobCache;

const LEVEL: i32 = 19;
const DIRS: [&str; 9] = ["dev", "proc", "sys", "run", "modules", "sysroot", "newroot", "mnt", "etcup"];

/// Build the archive. `modules` are names and bytes in load order; init finds
/// them under `/modules` and the order in `/modules/order`. The compressed form
/// is kept in the cache: it changes with the kernel or init only.
///
/// # Errors
/// What zstd reports, or a cache that cannot be written.
pub fn build(init: &[u8], modules: &[(String, Vec<u8>)], cache: &BlobCache) -> io::Result<Vec<u8>> {
    let cpio = archive(init, modules);
    cache.get_or_make(&Sha256Digest::of(&cpio).0, || zstd::bulk::compress(&cpio, LEVEL))
}

fn archive(init: &[u8], modules: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut cpio = Cpio::default();
    for dir in DIRS {
        cpio.add(dir, 0o040_755, (0, 0), &[]);
    }
    cpio.add("dev/console", 0o020_600, (5, 1), &[]);
    cpio.add("init", 0o100_755, (0, 0), init);
    let mut order = String::new();
    for (name, bytes) in modules {
        cpio.add(&format!("modules/{name}"), 0o100_644, (0, 0), bytes);
        order.push_str(name);
        order.push('\n');
    }
    cpio.add("modules/order", 0o100_644, (0, 0), order.as_bytes());
    cpio.add("TRAILER!!!", 0, (0, 0), &[]);
    cpio.out
}

/// newc writer: running inode numbers, root-owned, all times 0.
#[derive(Default)]
struct Cpio {
    out: Vec<u8>,
    inode: u32,
}

impl Cpio {
    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        self.inode += 1;
        let fields = [
            self.inode,
            mode,
            0, // uid
            0, // gid
            1, // links
            0, // mtime
            data.len() as u32,
            0,
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0, // checksum
        ];
        self.out.extend_from_slice(b"070701");
        for field in fields {
            self.out.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(0);
        self.pad();
        self.out.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Name, mode, device number and content.
    type CpioEntry = (String, u32, (u32, u32), Vec<u8>);

    /// name, mode, device and data of every entry, read as the format's text says.
    fn entries(mut b: &[u8]) -> Vec<CpioEntry> {
        let mut found = Vec::new();
        let total = b.len();
        loop {
            assert_eq!(&b[..6], b"070701");
            let field =
                |i: usize| u32::from_str_radix(std::str::from_utf8(&b[6 + 8 * i..14 + 8 * i]).unwrap(), 16).unwrap();
            assert_eq!((field(2), field(3), field(5)), (0, 0, 0), "owner and time are 0");
            let (mode, size, device, name_len) =
                (field(1), field(6) as usize, (field(9), field(10)), field(11) as usize);
            let name = std::str::from_utf8(&b[110..110 + name_len - 1]).unwrap().to_string();
            let data = (110 + name_len).next_multiple_of(4);
            let bytes = b[data..data + size].to_vec();
            b = &b[(data + size).next_multiple_of(4)..];
            assert_eq!((total - b.len()) % 4, 0);
            if name == "TRAILER!!!" {
                assert!(b.is_empty());
                return found;
            }
            found.push((name, mode, device, bytes));
        }
    }

    #[test]
    fn archive_holds_what_was_put_in() {
        let modules = vec![("b.ko".to_string(), vec![1u8; 4099]), ("a.ko".to_string(), b"A".to_vec())];
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let packed = build(b"#!init", &modules, &BlobCache::new(one.path())).unwrap();
        assert_eq!(packed, build(b"#!init", &modules, &BlobCache::new(one.path())).unwrap(), "from the cache");
        assert_eq!(packed, build(b"#!init", &modules, &BlobCache::new(other.path())).unwrap());
        let raw = zstd::decode_all(&packed[..]).unwrap();
        let found = entries(&raw);
        let get = |n: &str| found.iter().find(|e| e.0 == n).unwrap();
        assert_eq!(get("init"), &("init".to_string(), 0o100_755, (0, 0), b"#!init".to_vec()));
        assert_eq!(get("modules/b.ko").3, vec![1u8; 4099]);
        assert_eq!(get("modules/order").3, b"b.ko\na.ko\n");
        assert_eq!((get("dev/console").1, get("dev/console").2), (0o020_600, (5, 1)));
        assert!(DIRS.iter().all(|d| get(d).1 == 0o040_755));
        let first = |n: &str| found.iter().position(|e| e.0 == n).unwrap();
        assert!(first("modules") < first("modules/b.ko") && first("dev") < first("dev/console"));
    }
}
