//! Layers that merge, and layers that attack.

#![allow(clippy::unwrap_used)]
use std::io::Write as _;

use proptest::prelude::*;

use super::*;

/// Keeps contents in the tree.
struct InMemory;

impl Contents for InMemory {
    fn put(&mut self, reader: &mut dyn Read, size_bytes: u64) -> Result<Kind, LayerError> {
        let mut bytes = Vec::new();
        reader.take(size_bytes).read_to_end(&mut bytes).map_err(|source| LayerError::Read { layer: 0, source })?;
        if bytes.len() as u64 != size_bytes {
            return Err(LayerError::Read { layer: 0, source: io::ErrorKind::UnexpectedEof.into() });
        }
        Ok(Kind::Inline(bytes))
    }
}

enum Item<'a> {
    Dir(&'a str, u32),
    File(&'a str, &'a str),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Other(&'a str, tar::EntryType),
}

use Item::{Dir, File, Hard, Link, Other};

/// A tar archive; names are written as they are, which the crate refuses to do
/// for those that attack.
fn layer(items: &[Item<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for item in items {
        let (name, kind, mode, link, data) = match item {
            Dir(n, mode) => (n, tar::EntryType::Directory, *mode, "", ""),
            File(n, data) => (n, tar::EntryType::Regular, 0o644, "", *data),
            Link(n, to) => (n, tar::EntryType::Symlink, 0o777, *to, ""),
            Hard(n, to) => (n, tar::EntryType::Link, 0o644, *to, ""),
            Other(n, kind) => (n, *kind, 0o644, "", ""),
        };
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append(&header, data.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn merge(layers: &[Vec<u8>]) -> Result<Tree, LayerError> {
    let mut contents = InMemory;
    let mut merger = Merger::new(&mut contents);
    for layer in layers {
        merger.layer(&layer[..])?;
    }
    Ok(merger.finish())
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.iter().skip(1).map(|(p, _)| p.as_str()).collect()
}

#[test]
fn later_layers_replace_remove_and_empty() {
    let base: &[Item<'_>] = &[File("d/a", "1"), File("d/b", "1"), Link("l", "d"), File("e", "")];
    let cases: &[(&str, &[Item<'_>], &[&str])] = &[
        ("whiteout", &[File("d/.wh.a", "")], &["d", "d/b", "e", "l"]),
        ("whiteout-of-folder", &[File(".wh.d", "")], &["e", "l"]),
        ("whiteout-of-nothing", &[File(".wh.x", ""), File("y/.wh.x", "")], &["d", "d/a", "d/b", "e", "l"]),
        ("whiteout-through-link", &[File("l/.wh.a", "")], &["d", "d/b", "e", "l"]),
        ("opaque", &[File("d/.wh..wh..opq", "")], &["d", "e", "l"]),
        ("opaque-root", &[File(".wh..wh..opq", ""), File("n", "")], &["n"]),
        ("opaque-after-own-file", &[File("d/c", ""), File("d/.wh..wh..opq", "")], &["d", "d/c", "e", "l"]),
        ("whiteout-spares-own-layer", &[File("d/a", "2"), File("d/.wh.a", "")], &["d", "d/a", "d/b", "e", "l"]),
        ("whiteout-of-folder-with-own-file", &[File("d/x/c", ""), File(".wh.d", "")], &["d", "d/x", "d/x/c", "e", "l"]),
        ("aufs", &[File(".wh..wh.plnk", ""), File(".wh..wh.aufs", "")], &["d", "d/a", "d/b", "e", "l"]),
        ("file-over-folder", &[File("d", "")], &["d", "e", "l"]),
        ("folder-over-folder", &[Dir("d", 0o700)], &["d", "d/a", "d/b", "e", "l"]),
        ("folder-over-link", &[Dir("l", 0o700), File("l/x", "")], &["d", "d/a", "d/b", "e", "l", "l/x"]),
        ("through-link", &[File("l/c", "")], &["d", "d/a", "d/b", "d/c", "e", "l"]),
        ("hard-link", &[Hard("h", "d/a")], &["d", "d/a", "d/b", "e", "h", "l"]),
        ("hard-link-through-link", &[Hard("h", "l/a")], &["d", "d/a", "d/b", "e", "h", "l"]),
        ("devices-below-dev", &[Other("dev/null", tar::EntryType::Char)], &["d", "d/a", "d/b", "e", "l"]),
    ];
    for (name, items, want) in cases {
        assert_eq!(paths(&merge(&[layer(base), layer(items)]).unwrap()), *want, "{name}");
    }
}

#[test]
fn links_out_of_the_root_stay_inside() {
    for target in ["../../../etc", "/etc", "/../etc/.", "x/../../etc"] {
        let tree = merge(&[layer(&[Link("out", target)]), layer(&[File("out/x", "x")])]).unwrap();
        assert_eq!(paths(&tree), ["etc", "etc/x", "out"], "{target}");
    }
}

#[test]
fn layers_that_attack_are_refused() {
    let cases: &[(&str, &[Item<'_>])] = &[
        ("path-leaves-root", &[File("../x", "")]),
        ("path-leaves-root-later", &[File("a/../../x", "")]),
        ("absolute-path", &[File("/etc/passwd", "x")]),
        ("hard-link-leaves-root", &[Hard("x", "../../etc/passwd")]),
        ("hard-link-absolute", &[Hard("x", "/etc/passwd")]),
        ("hard-link-to-nothing", &[Hard("x", "y")]),
        ("hard-link-to-folder", &[Dir("d", 0o755), Hard("x", "d")]),
        ("hard-link-to-link-target-outside", &[Link("l", "/etc"), Hard("x", "l/passwd")]),
        ("link-loop", &[Link("a", "b"), Link("b", "a"), File("a/x", "")]),
        ("link-to-itself", &[Link("a", "a/a"), File("a/x", "")]),
        ("link-to-nothing", &[Link("a", "")]),
        ("whiteout-of-parent", &[File("d/.wh...", "")]),
        ("whiteout-of-folder-itself", &[File("d/.wh..", "")]),
        ("whiteout-of-no-name", &[File("d/.wh.", "")]),
        ("block-device", &[Other("sda", tar::EntryType::Block)]),
        ("char-device-called-like-dev", &[Other("devices/mem", tar::EntryType::Char)]),
        ("fifo", &[Other("x", tar::EntryType::Fifo)]),
        ("below-a-file", &[File("a", ""), File("a/b", "")]),
        ("file-over-root", &[File(".", "x")]),
        ("not-utf8", &[]),
    ];
    for (name, items) in cases {
        let mut bytes = layer(items);
        if *name == "not-utf8" {
            bytes = layer(&[File("?", "")]);
            bytes[0] = 0xff;
            let sum: u32 = bytes[..512]
                .iter()
                .enumerate()
                .map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) })
                .sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let result = merge(&[bytes]);
        assert!(matches!(result, Err(LayerError::Refused { layer: 1, .. })), "{name}: {result:?}");
    }
}

/// A record before an entry that says it is `size` bytes long, with as many
/// zeros.
fn long_record(kind: u8, size: usize) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..1].copy_from_slice(b"x");
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size as u64);
    header.set_mode(0);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(bytes.len() + size, b'a');
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend(layer(&[File("y", "")]));
    bytes
}

#[test]
fn bombs_in_headers_are_refused() {
    for (name, kind) in [("pax", b'x'), ("gnu-long-name", b'L'), ("gnu-long-link", b'K')] {
        let bytes = long_record(kind, 8 << 20);
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        for bytes in [bytes, gzip.finish().unwrap()] {
            let result = merge(&[bytes]);
            let Err(LayerError::Read { layer: 1, source }) = result else { panic!("{name}: {result:?}") };
            assert!(source.to_string().contains("bytes of headers"), "{name}: {source}");
        }
    }
}

#[test]
fn long_names_and_attributes_come_through() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let mut tar = tar::Builder::new(Vec::new());
    let capability: &[u8] = b"\x01\x00\x00\x02\x00\x04\x00\x00";
    tar.append_pax_extensions([("SCHILY.xattr.security.capability", capability)]).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o4755);
    header.set_uid(3_000_000);
    header.set_gid(0);
    tar.append_data(&mut header, &long, &b"abc"[..]).unwrap();
    let tree = merge(&[tar.into_inner().unwrap()]).unwrap();
    let file = tree.get(&long).unwrap();
    assert_eq!((file.mode, file.uid, &file.kind), (0o4755, 3_000_000, &Kind::Inline(b"abc".to_vec())));
    assert_eq!(file.xattrs[&b"security.capability"[..]], capability);
}

#[test]
fn attributes_that_no_file_system_keeps_are_refused() {
    let large = vec![b'x'; XATTRS_BYTES_MAX];
    for name in ["SCHILY.xattr.user.large", "SCHILY.xattr."] {
        let mut tar = tar::Builder::new(Vec::new());
        let value = if name.ends_with("large") { &large[..] } else { b"x" };
        tar.append_pax_extensions([(name, value)]).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, "x", io::empty()).unwrap();
        let result = merge(&[tar.into_inner().unwrap()]);
        assert!(matches!(result, Err(LayerError::Refused { layer: 1, .. })), "{name}: {result:?}");
    }
}

#[test]
fn compressed_layers_and_layers_cut_short() {
    let plain = layer(&[File("a", "some text"), File("b", "more")]);
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(&plain[..], 3).unwrap();
    for (name, bytes) in [("plain", plain), ("gzip", gzip.finish().unwrap()), ("zstd", zstd)] {
        assert_eq!(paths(&merge(std::slice::from_ref(&bytes)).unwrap()), ["a", "b"], "{name}");
        let cut = bytes[..if name == "plain" { 515 } else { bytes.len() / 2 }].to_vec();
        let result = merge(&[cut]);
        assert!(matches!(result, Err(LayerError::Read { layer: 1, .. })), "{name}: {result:?}");
    }
}

/// What a random layer does to random names.
#[derive(Debug, Clone)]
enum Op {
    File(String, u8),
    Dir(String),
    Whiteout(String),
    Opaque(String),
}

fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec("[abc]", 1..4).prop_map(|parts| parts.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (name(), any::<u8>()).prop_map(|(n, c)| Op::File(n, c)),
        2 => name().prop_map(Op::Dir),
        2 => name().prop_map(Op::Whiteout),
        1 => name().prop_map(Op::Opaque),
    ]
}

/// Merging as the specification tells it: first everything that the layer
/// removes, then everything that it adds. `None` is a folder.
fn model(layers: &[Vec<Op>]) -> BTreeMap<String, Option<u8>> {
    let mut files: BTreeMap<String, Option<u8>> = BTreeMap::new();
    let below = |p: &str, folder: &str| p.strip_prefix(folder).is_some_and(|r| r.starts_with('/'));
    for layer in layers {
        for op in layer {
            match op {
                Op::Whiteout(n) => files.retain(|p, _| p != n && !below(p, n)),
                Op::Opaque(n) => files.retain(|p, _| !below(p, n)),
                _ => {}
            }
        }
        for op in layer {
            let (path, content) = match op {
                Op::File(n, c) => (n, Some(*c)),
                Op::Dir(n) => (n, None),
                _ => continue,
            };
            for up in ancestors(path) {
                files.insert(up.into(), None);
            }
            if content.is_some() {
                files.retain(|p, _| !below(p, path));
            }
            files.insert(path.clone(), content);
        }
    }
    files
}

/// A layer that is possible: no path below a file of the same layer, or of an
/// earlier one that it does not replace.
fn possible(layers: &[Vec<Op>]) -> Vec<Vec<Op>> {
    let mut kept: Vec<Vec<Op>> = Vec::new();
    for layer in layers {
        kept.push(vec![]);
        for op in layer {
            let mut tried = kept.clone();
            tried.last_mut().unwrap().push(op.clone());
            if merge(&encode(&tried)).is_ok() {
                kept = tried;
            }
        }
    }
    kept
}

fn encode(layers: &[Vec<Op>]) -> Vec<Vec<u8>> {
    let encode_one = |ops: &Vec<Op>| {
        let names: Vec<(String, Option<String>)> = ops
            .iter()
            .map(|op| match op {
                Op::File(n, c) => (n.clone(), Some(c.to_string())),
                Op::Dir(n) => (n.clone(), None),
                Op::Whiteout(n) => {
                    let (folder, name) = split(n);
                    (format!("{folder}/.wh.{name}").trim_start_matches('/').into(), Some(String::new()))
                }
                Op::Opaque(n) => (format!("{n}/.wh..wh..opq"), Some(String::new())),
            })
            .collect();
        let items: Vec<_> = names
            .iter()
            .map(|(n, data)| match data {
                Some(data) => File(n, data),
                None => Dir(n, 0o755),
            })
            .collect();
        layer(&items)
    };
    layers.iter().map(encode_one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn layers_merge_as_the_specification_says(
        layers in proptest::collection::vec(proptest::collection::vec(op(), 0..6), 1..4)
    ) {
        let layers = possible(&layers);
        let tree = merge(&encode(&layers)).unwrap();
        let got: BTreeMap<String, Option<u8>> = tree
            .iter()
            .skip(1)
            .map(|(p, e)| match &e.kind {
                Kind::Inline(bytes) => (p.clone(), Some(String::from_utf8_lossy(bytes).parse().unwrap())),
                _ => (p.clone(), None),
            })
            .collect();
        prop_assert_eq!(got, model(&layers));
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = merge(&[bytes]);
    }
}
