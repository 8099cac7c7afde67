//! Packages written here, honest and hostile.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;

use skerry_formats::Sha256Digest;
use skerry_plan::lock::Archive;

use super::*;

struct Item<'a>(&'a str, tar::EntryType, u32, &'a str);

use tar::EntryType as T;

fn data_tar(items: &[Item<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for Item(path, kind, mode, text) in items {
        let mut header = tar::Header::new_gnu();
        let gnu = header.as_gnu_mut().unwrap();
        // Written raw, so that paths of attacks get through.
        gnu.name[..path.len()].copy_from_slice(path.as_bytes());
        let is_link = matches!(kind, T::Symlink | T::Link);
        if is_link {
            gnu.linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        let content = if is_link { "" } else { *text };
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(42);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn compress(name: &str, tar: &[u8]) -> Vec<u8> {
    match name.rsplit('.').next().unwrap() {
        "xz" => {
            let mut out = xz2::write::XzEncoder::new(Vec::new(), 1);
            out.write_all(tar).unwrap();
            out.finish().unwrap()
        }
        "zst" => zstd::encode_all(tar, 1).unwrap(),
        "gz" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(tar).unwrap();
            out.finish().unwrap()
        }
        _ => tar.to_vec(),
    }
}

fn deb(dir: &Path, member: &str, tar: &[u8]) -> FetchedDeb {
    let mut ar = ar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        ar.append(&ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64), bytes).unwrap()
    };
    add("debian-binary", b"2.0\n");
    add("control.tar.xz", b"never read");
    add(member, &compress(member, tar));
    let bytes = ar.into_inner().unwrap();
    let path = dir.join("test.deb");
    fs::write(&path, &bytes).unwrap();
    let package = LockedPackage {
        name: "test".into(),
        version: "1".into(),
        arch: "all".into(),
        source: "test=1".into(),
        size: bytes.len() as u64,
        sha256: Sha256Digest::of(&bytes),
        path: "pool/test.deb".into(),
        suite: "trixie".into(),
        archive: Archive::Main,
        boards: vec![],
    };
    FetchedDeb { package, path }
}

const HONEST: &[Item<'_>] = &[
    Item("./", T::Directory, 0o755, ""),
    Item("./usr/bin/", T::Directory, 0o755, ""),
    Item("./usr/bin/su", T::Regular, 0o4755, "program"),
    Item("./usr/bin/su2", T::Link, 0o4755, "./usr/bin/su"),
    Item("./usr/bin/link", T::Symlink, 0o777, "/etc/alternatives/x"),
    Item("./etc/secret", T::Regular, 0o640, "x"),
];

#[test]
fn every_compression_gives_the_same_entries_once() {
    for member in ["data.tar", "data.tar.gz", "data.tar.xz", "data.tar.zst"] {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let deb = deb(dir.path(), member, &data_tar(HONEST));
        let first = unpack(&deb, &cache).unwrap();
        let paths: Vec<_> = first.entries.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, ["etc/secret", "usr/bin", "usr/bin/link", "usr/bin/su", "usr/bin/su2"], "{member}");
        let su2 = &first.entries[4];
        assert_eq!((su2.mode, su2.uid, su2.gid), (0o4755, 0, 42));
        let DebKind::File { stored, size_bytes: 7 } = &su2.kind else { panic!("{su2:?}") };
        assert_eq!(fs::read(first.stored_path(stored)).unwrap(), b"program");
        // The cache suffices: the package may be gone.
        fs::remove_file(&deb.path).unwrap();
        assert_eq!(unpack(&deb, &cache).unwrap().entries, first.entries);
    }
}

#[test]
fn damaged_cache_folder_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path().join("cache"));
    let deb = deb(dir.path(), "data.tar.xz", &data_tar(HONEST));
    let first = unpack(&deb, &cache).unwrap();
    fs::write(first.stored_path("usr/bin/su"), "").unwrap();
    let again = unpack(&deb, &cache).unwrap();
    assert_eq!(fs::read(again.stored_path("usr/bin/su")).unwrap(), b"program");
}

#[test]
fn package_that_differs_from_the_lock_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut deb = deb(dir.path(), "data.tar", &data_tar(HONEST));
    deb.package.sha256 = Sha256Digest([0; 32]);
    assert!(matches!(unpack(&deb, &Cache::new(dir.path().join("cache"))), Err(UnpackError::Digest(_))));
}

#[test]
fn hostile_packages_are_refused_and_leave_nothing() {
    let cases: &[(&str, &[Item<'_>])] = &[
        ("path-leaves-root", &[Item("../x", T::Regular, 0o644, "")]),
        ("path-leaves-root-later", &[Item("./a/../../x", T::Regular, 0o644, "")]),
        ("absolute-path", &[Item("/etc/x", T::Regular, 0o644, "")]),
        ("through-symlink", &[Item("a", T::Symlink, 0o777, "/tmp"), Item("a/x", T::Regular, 0o644, "")]),
        ("folder-through-symlink", &[Item("a", T::Symlink, 0o777, ".."), Item("a/b/c", T::Directory, 0o755, "")]),
        ("file-over-symlink", &[Item("a", T::Symlink, 0o777, "/tmp/x"), Item("a", T::Regular, 0o644, "")]),
        ("hard-link-leaves-root", &[Item("x", T::Link, 0o644, "../../etc/passwd")]),
        ("hard-link-to-nothing", &[Item("x", T::Link, 0o644, "y")]),
        ("character-device", &[Item("dev/null", T::Char, 0o666, "")]),
        ("block-device", &[Item("dev/sda", T::Block, 0o666, "")]),
        ("fifo", &[Item("x", T::Fifo, 0o644, "")]),
        ("twice", &[Item("x", T::Symlink, 0o777, "y"), Item("./x", T::Directory, 0o755, "")]),
    ];
    for (name, items) in cases {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let result = unpack(&deb(dir.path(), "data.tar", &data_tar(items)), &cache);
        assert!(result.is_err(), "{name}: {result:?}");
        assert_eq!(fs::read_dir(dir.path().join("cache/unpacked")).unwrap().count(), 0, "{name}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "{name}");
    }
}

#[test]
fn archive_without_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let result = unpack(&deb(dir.path(), "data.tar.lzma", b"x"), &Cache::new(dir.path().join("cache")));
    assert!(matches!(result, Err(UnpackError::Refused { .. })), "{result:?}");
}
