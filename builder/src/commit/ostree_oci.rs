//! Export of an OSTree commit as an OCI image layout, so that registries,
//! scanners and signing tools of the container world work on the OS too.
//!
//! The layer is ostree-ext's tar of the commit. ostree-ext's own `encapsulate`
//! puts the wall clock into the image and starts skopeo; this does neither, and
//! compresses only what the cache does not hold.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    ops::Range,
    path::Path,
};

use flate2::{Compress, Compression, Crc, FlushCompress};
use ostree_ext::{
    glib::VariantDict,
    ostree::{self, Repo},
    tar::export_commit,
};
use rayon::prelude::*;
use serde_json::{Value, json};
use skerry_formats::Sha256Digest;

use super::{
    CommitError,
    ostree::{Checksum, failed},
};
use crate::image::blob_cache::BlobCache;

/// Files of at least this size are compressed on their own.
const ALONE_BYTES: usize = 256 << 10;
/// Small files are compressed together up to this size.
const TOGETHER_BYTES: usize = 2 << 20;

/// Write the commit as an OCI layout into the folder `out`, which must not
/// exist yet. Compressed pieces are kept in `cache`. `arch` is the name of Go
/// and Debian, such as `amd64`.
///
/// # Errors
/// The commit cannot be read, or the folder cannot be written.
pub fn export_oci(repo: &Repo, checksum: &Checksum, arch: &str, out: &Path, cache: &Path) -> Result<(), CommitError> {
    let mut tar = Vec::new();
    export_commit(repo, &checksum.to_hex(), &mut tar, None)
        .map_err(|e| CommitError::Export { checksum: checksum.to_hex(), detail: format!("{e:#}") })?;
    let (time, labels, subject) = describe(repo, checksum)?;
    let diff_id = format!("sha256:{}", Sha256Digest::of(&tar));
    let mut labels = labels;
    labels.insert("ostree.final-diffid".into(), diff_id.clone());
    let io = |source| CommitError::Io { operation: "writing the OCI layout", path: out.into(), source };
    let layer = gzip(&tar, &BlobCache::new(cache.join("oci-deflate"))).map_err(io)?;
    let config = json!({
        "architecture": arch,
        "os": "linux",
        "created": time,
        "config": { "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created": time, "created_by": subject }],
    });
    write_layout(out, &layer, &config, &labels, arch).map_err(io)
}

type Description = (String, BTreeMap<String, String>, String);

/// Time, labels and subject of the commit.
fn describe(repo: &Repo, checksum: &Checksum) -> Result<Description, CommitError> {
    let bad = |detail: &str| CommitError::Export { checksum: checksum.to_hex(), detail: detail.into() };
    let (commit, _) = repo.load_commit(&checksum.to_hex()).map_err(failed(|| format!("loading commit {checksum}")))?;
    let time = i64::try_from(ostree::commit_get_timestamp(&commit)).map_err(|_| bad("its time is out of range"))?;
    let time = jiff::Timestamp::from_second(time).map_err(|_| bad("its time is out of range"))?;
    let mut labels = BTreeMap::from([("ostree.commit".to_string(), checksum.to_hex())]);
    let version = VariantDict::new(Some(&commit.child_value(0))).lookup::<String>("version").ok().flatten();
    labels.extend(version.map(|v| ("org.opencontainers.image.version".to_string(), v)));
    let subject = commit.child_value(3).str().unwrap_or_default().to_string();
    Ok((time.to_string(), labels, subject))
}

fn write_layout(
    out: &Path,
    layer: &[u8],
    config: &Value,
    labels: &BTreeMap<String, String>,
    arch: &str,
) -> io::Result<()> {
    let blobs = out.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    let put = |kind: &str, bytes: &[u8]| -> io::Result<Value> {
        let digest = Sha256Digest::of(bytes);
        std::fs::write(blobs.join(digest.to_hex()), bytes)?;
        let media_type = format!("application/vnd.oci.image.{kind}");
        Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
    };
    let layer = put("layer.v1.tar+gzip", layer)?;
    let config = put("config.v1+json", config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
        "annotations": labels,
    });
    let mut manifest = put("manifest.v1+json", manifest.to_string().as_bytes())?;
    manifest["platform"] = json!({ "architecture": arch, "os": "linux" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    std::fs::write(out.join("index.json"), index.to_string())?;
    std::fs::write(out.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
}

/// One gzip stream whose pieces were compressed on their own: readers that
/// know only one member read it too.
fn gzip(tar: &[u8], cache: &BlobCache) -> io::Result<Vec<u8>> {
    let pieces: Vec<Vec<u8>> = pieces(tar)
        .into_par_iter()
        .map(|range| {
            let piece = &tar[range];
            cache.get_or_make(&Sha256Digest::of(piece).0, || deflate(piece))
        })
        .collect::<io::Result<_>>()?;
    let mut crc = Crc::new();
    crc.update(tar);
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    pieces.iter().for_each(|p| out.extend_from_slice(p));
    out.write_all(&[3, 0])?; // an empty last block
    out.write_all(&crc.sum().to_le_bytes())?;
    out.write_all(&crc.amount().to_le_bytes())?;
    Ok(out)
}

/// Raw deflate blocks that end on a byte and refer to nothing before them.
fn deflate(piece: &[u8]) -> io::Result<Vec<u8>> {
    let mut state = Compress::new(Compression::default(), false);
    let mut out = Vec::with_capacity(piece.len() / 2 + 1024);
    loop {
        let rest = &piece[state.total_in() as usize..];
        state.compress_vec(rest, &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
        if state.total_in() as usize == piece.len() && out.len() < out.capacity() {
            return Ok(out);
        }
        out.reserve(out.capacity());
    }
}

/// Cut the tar before and after every large file, so that a change in one file
/// moves no other piece.
fn pieces(tar: &[u8]) -> Vec<Range<usize>> {
    let (mut out, mut start, mut at) = (Vec::new(), 0, 0);
    while let Some(size) = tar.get(at + 124..at + 136).and_then(octal) {
        let end = (at + 512 + size.next_multiple_of(512)).min(tar.len());
        if size >= ALONE_BYTES && at > start {
            out.push(start..at);
            start = at;
        }
        if size >= ALONE_BYTES || end - start >= TOGETHER_BYTES {
            out.push(start..end);
            start = end;
        }
        at = end;
    }
    if start < tar.len() {
        out.push(start..tar.len());
    }
    out
}

fn octal(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    usize::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read as _;

    #[test]
    fn any_bytes_survive_as_a_single_member() {
        let dir = tempfile::tempdir().unwrap();
        let noise: Vec<u8> = (0..3_000_000u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 55) as u8).collect();
        for data in [&[][..], b"x", &noise[..512], &noise, &vec![0; 5_000_000]] {
            let packed = gzip(data, &BlobCache::new(dir.path())).unwrap();
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
            assert!(back == data);
        }
    }

    #[test]
    fn pieces_cover_the_tar_and_large_files_stand_alone() {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, size) in [("a", 100), ("big", ALONE_BYTES + 1), ("b", 0), ("c", 700)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(size as u64);
            builder.append_data(&mut header, name, &vec![1; size][..]).unwrap();
        }
        let tar = builder.into_inner().unwrap();
        let found = pieces(&tar);
        let big = (ALONE_BYTES + 1).next_multiple_of(512) + 512;
        assert_eq!(found, [0..1024, 1024..1024 + big, 1024 + big..tar.len()]);
    }
}
