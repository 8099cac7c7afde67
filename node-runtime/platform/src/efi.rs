//! What the boot loader left in UEFI variables.
//!
//! Source: systemd's Boot Loader Interface
//! (<https://systemd.io/BOOT_LOADER_INTERFACE/>).

use std::{fs, path::Path};

use crate::gpt_table::{Guid, guid_from_text};

/// Where efivarfs is mounted.
pub const EFIVARS: &str = "/sys/firmware/efi/efivars";
/// GUID of the partition that systemd-boot was started from, as text.
const LOADER_DEVICE: &str = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// Largest value that is read.
const VALUE_BYTES_MAX: usize = 256;

/// The partition that the boot loader was started from; `None` if it did not
/// say (netboot, another boot loader, no UEFI).
pub fn loader_partition(efivars: &Path) -> Option<Guid> {
    parse_loader_partition(&fs::read(efivars.join(LOADER_DEVICE)).ok()?)
}

/// A variable as efivarfs gives it: four bytes of attributes, then UTF-16.
fn parse_loader_partition(variable: &[u8]) -> Option<Guid> {
    let value = variable.get(4..).filter(|v| v.len() <= VALUE_BYTES_MAX && v.len() % 2 == 0)?;
    let units: Vec<u16> = value.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    guid_from_text(String::from_utf16(&units).ok()?.trim_end_matches('\0'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn variable(text: &str) -> Vec<u8> {
        [6, 0, 0, 0].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
    }

    #[test]
    fn the_loaders_partition() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(loader_partition(dir.path()), None);
        let guid = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
        fs::write(dir.path().join(LOADER_DEVICE), variable(&format!("{guid}\0"))).unwrap();
        assert_eq!(loader_partition(dir.path()), Some(crate::gpt_grow::LINUX_DATA));
    }

    #[test]
    fn anything_else_is_none() {
        let long = "0".repeat(300);
        for text in ["", "0FC63DAF", "0FC63DAF-8483-4772-8E79-3D69D8477DEX", &long] {
            assert_eq!(parse_loader_partition(&variable(text)), None, "{text}");
        }
        for bytes in [&b""[..], &[6, 0, 0], &[6, 0, 0, 0, 0x30], &[6, 0, 0, 0, 0, 0xd8]] {
            assert_eq!(parse_loader_partition(bytes), None, "{bytes:?}");
        }
    }
}
