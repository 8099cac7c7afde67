//! How large the image is, and why.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{bed::Bed, entry::Entry};
use crate::product::{Variant, release};

/// Start of the names of the largest files.
pub const CONTRIBUTOR: &str = "contributor: ";
/// How many of them are listed.
const TOP: &str = "10";

/// Measure the first release.
///
/// # Errors
/// If it cannot be built or inspected.
pub fn measure(bed: &Bed) -> Result<Vec<Entry>> {
    let dir = bed.release(&Variant::V1)?;
    let image = std::fs::metadata(dir.join("disk.img.zst")).context("measuring the disk image")?.len();
    let text =
        bed.tools.skerry(["inspect".as_ref(), dir.as_os_str(), "--json".as_ref(), "--top".as_ref(), TOP.as_ref()])?;
    let inspection: Value = serde_json::from_str(&text).context("reading the output of skerry inspect")?;
    let release = release(&dir)?;
    let uki = release.uki.size_bytes;
    let mut entries = vec![
        Entry::megabytes(
            "disk image, compressed",
            image,
            "`disk.img.zst`: partition table, boot loader, kernel, OS, app; what is flashed",
        )
        .at_most(50.0),
        Entry::megabytes(
            "installed OS tree",
            release.totals.bytes.saturating_sub(uki),
            "all objects of one release but the kernel image: systemd, containerd, kernel modules, node programs, app",
        )
        .at_most(110.0),
        Entry::megabytes(
            "installed kernel image (UKI)",
            uki,
            "boot stub, kernel and initrd; compressed as it is, and held a second time on the boot partition",
        ),
        Entry::megabytes("installed, kernel image included", release.totals.bytes, "sum of both"),
    ];
    entries.extend(contributors(&inspection)?);
    Ok(entries)
}

fn contributors(inspection: &Value) -> Result<Vec<Entry>> {
    let largest = inspection["largest"].as_array().context("skerry inspect lists no files")?;
    let entry = |file: &Value| {
        let path = file["path"].as_str()?;
        let bytes = file["size_bytes"].as_u64()?;
        Some(Entry::megabytes(format!("{CONTRIBUTOR}{path}"), bytes, file["origin"].as_str()?))
    };
    largest.iter().map(|f| entry(f).with_context(|| format!("skerry inspect lists {f}"))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn contributors_keep_order_and_origin() {
        let json = serde_json::json!({"largest": [
            {"tree": "os", "path": "/usr/bin/containerd", "size_bytes": 41_997_240, "origin": "package containerd 2.1.9+ds1-5"},
            {"tree": "os", "path": "/usr/bin/x", "size_bytes": 5, "origin": "program x"},
        ]});
        let entries = contributors(&json).unwrap();
        assert_eq!(entries[0].name, "contributor: /usr/bin/containerd");
        assert_eq!((entries[0].value, entries[0].note.as_str()), (41.997, "package containerd 2.1.9+ds1-5"));
        assert_eq!(entries.len(), 2);
        assert!(contributors(&serde_json::json!({"largest": [{"path": "x"}]})).is_err());
    }
}
