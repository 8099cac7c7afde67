//! How long builds take, beside mkosi with the same packages, in one run.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{
    bed::{Bed, median_by, say, timed},
    entry::Entry,
    mkosi::{Mkosi, Output},
};
use crate::product::{Parts, Variant};

/// Warm builds; the median counts.
const RUNS: u32 = 3;
/// The manifest that changes, and what in it.
const MANIFEST: &str = "hello.yaml";
const CHANGED: &str = "tier: demo";

/// Measure cold and warm builds.
///
/// # Errors
/// If our build fails. A peer that cannot build is told, not an error.
pub fn measure(bed: &Bed) -> Result<Vec<Entry>> {
    let cold = bed.cold_secs;
    let source = bed.tools.root.join("image-specs/demo/manifests");
    let manifest = std::fs::read_to_string(source.join(MANIFEST)).context("reading the manifest")?;
    ensure!(manifest.contains(CHANGED), "the demo's manifest has no {CHANGED:?} to change");
    let lock = bed.product.built(&Variant::V1).join("lock.toml");
    let lock = std::fs::read_to_string(&lock).context("reading the lock of the release")?;
    say("Build: mkosi, nothing in its cache");
    let peer = Mkosi::set_up(&bed.folder("mkosi")?, &lock, &source);
    if let Err(error) = &peer {
        println!("  no peer: {error:#}");
    }
    say("Build: warm, each time with another manifest");
    let warm = median(|run| ours(bed, run, &manifest))?;
    let entries = match &peer {
        Ok(mkosi) => beside(cold, warm, mkosi, &manifest)?,
        Err(error) => vec![
            Entry::new("warm build", warm, "s", format!("{OURS}; no peer: {error:#}")),
            Entry::new("cold build", cold, "s", "nothing in the cache, downloads included"),
        ],
    };
    Ok(entries)
}

const OURS: &str = "median of 3, all packages cached, one manifest changed and the sequence raised: disk image, UKI, OSTree commit, OCI export, SBOM and \
                    signatures; skerry as cargo's dev profile compiles it";

fn beside(cold: f64, warm: f64, mkosi: &Mkosi, manifest: &str) -> Result<Vec<Entry>> {
    let theirs = |run, output| {
        mkosi.put_manifest(MANIFEST, &changed(manifest, run))?;
        let secs = mkosi.build(output)?;
        println!("  mkosi, {output:?}: {secs:.1} s");
        Ok(secs)
    };
    let raw = median(|run| theirs(run, Output::Raw))?;
    // Once: it takes minutes, nearly all of them in zstd, and hardly varies.
    let compressed = theirs(RUNS + 1, Output::Compressed)?;
    let size =
        mkosi.image_bytes().map(|b| format!("; its compressed image has {:.0} MB", b as f64 / 1e6)).unwrap_or_default();
    let what = format!("{}{size}; containerd from the base suite instead of the lock's; one run", mkosi.what);
    Ok(vec![
        Entry::new("warm build", warm, "s", format!("{OURS}. {what}")).beside("mkosi, --incremental", compressed).ratio_at_most(0.25),
        Entry::new("warm build, peer without compression", warm, "s", "ours still compresses; most of mkosi's compressed build is `zstd -15` of the whole image; median of 3")
            .beside("mkosi, --incremental, raw image", raw),
        Entry::new("cold build", cold, "s", "nothing in either cache, downloads included; ours at the start of the last whole run, mkosi's image is not compressed").beside("mkosi, first build, raw image", mkosi.cold_secs),
    ])
}

fn ours(bed: &Bed, run: u32, manifest: &str) -> Result<f64> {
    let variant = Variant { name: "warm", sequence: 10 + run, parts: Parts::All, ..Variant::V1 };
    let spec = bed.product.prepare(&variant)?;
    put(&spec.with_file_name("manifests").join(MANIFEST), &changed(manifest, run))?;
    let (secs, _) = timed(|| bed.product.build_prepared(&spec, &variant))?;
    println!("  skerry: {secs:.1} s");
    Ok(secs)
}

fn put(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn changed(manifest: &str, run: u32) -> String {
    manifest.replace(CHANGED, &format!("tier: warm-{run}"))
}

fn median(mut once: impl FnMut(u32) -> Result<f64>) -> Result<f64> {
    let all = (1..=RUNS).map(&mut once).collect::<Result<Vec<f64>>>()?;
    median_by(all, |s| *s).context("at least one run")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_run_has_another_manifest() {
        let manifest = "labels:\n  tier: demo\n";
        assert_eq!(changed(manifest, 1), "labels:\n  tier: warm-1\n");
        assert_ne!(changed(manifest, 1), changed(manifest, 2));
        let mut seen = Vec::new();
        assert_eq!(
            median(|run| {
                seen.push(run);
                Ok(f64::from(run))
            })
            .unwrap(),
            2.0
        );
        assert_eq!(seen, [1, 2, 3]);
    }
}
