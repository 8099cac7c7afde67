//! Names and places on the node's disk, agreed between builder and node.

use crate::Sequence;

/// GPT partition name of the EFI system partition.
pub const PART_ESP: &str = "skerry-esp";
/// GPT partition name of SYSTEM (ext4 with fs-verity: objects, releases).
pub const PART_SYSTEM: &str = "skerry-system";
/// GPT partition name of DATA (ext4, `/var`).
pub const PART_DATA: &str = "skerry-data";

/// Folder on SYSTEM with the objects, `ab/cdef…`.
pub const OBJECTS_DIR: &str = "objects";
/// Folder on SYSTEM with one folder per release, named by padded sequence.
pub const RELEASES_DIR: &str = "releases";
/// Folder on SYSTEM with half-done downloads.
pub const STAGING_DIR: &str = "staging";

/// Release statement inside a release folder.
pub const RELEASE_FILE: &str = "release.json";
/// Its signature.
pub const RELEASE_SIG_FILE: &str = "release.json.sig";
/// Object index inside a release folder.
pub const INDEX_FILE: &str = "index.skx";
/// Object index as served (zstd).
pub const INDEX_ZST_FILE: &str = "index.skx.zst";

/// Where SYSTEM is mounted on the running node.
pub const SYSROOT: &str = "/sysroot";
/// Folder of UKIs on the ESP.
pub const ESP_UKI_DIR: &str = "EFI/Linux";
/// Boot attempts that a candidate gets.
pub const BOOT_TRIES: u32 = 3;

/// Baked node configuration inside the OS tree.
pub const BAKED_NODE_CONFIG: &str = "usr/lib/skerry/node.json";
/// TUF root metadata inside the OS tree.
pub const BAKED_TUF_ROOT: &str = "usr/lib/skerry/root.json";
/// Trusted release key inside the OS tree (public key text).
pub const BAKED_RELEASE_KEY: &str = "usr/lib/skerry/release.pub";
/// Folder of Kubernetes manifests inside the OS tree.
pub const BAKED_MANIFESTS_DIR: &str = "usr/lib/skerry/manifests";

/// Status document of the orchestrator.
pub const ORCHESTRATOR_STATUS: &str = "/run/skerry/orchestrator/status.json";
/// Status document of the updater.
pub const UPDATER_STATUS: &str = "/run/skerry/updater/status.json";
/// Where the Kubernetes API is, if it is served.
pub const API_STATUS: &str = "/run/skerry/kubernetes/api.json";
/// Persistent state of the updater.
pub const UPDATER_STATE: &str = "/var/lib/skerry/updater/state.json";
/// Stable node identity, 32 hex characters and a newline.
pub const MACHINE_ID: &str = "/var/lib/skerry/machine-id";

/// File name of a UKI on the ESP, systemd-boot's boot counting syntax
/// (systemd `automatic-boot-assessment`): `skerry-SEQ[+LEFT[-DONE]].efi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UkiName {
    /// Sequence of the release.
    pub sequence: Sequence,
    /// `None`: blessed. `Some`: tries left and tries done.
    pub counter: Option<BootCounter>,
}

/// The counter of an unblessed boot entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootCounter {
    /// Tries left; at 0 the entry sorts behind all others.
    pub left: u32,
    /// Tries done.
    pub done: u32,
}

impl UkiName {
    /// Name of a blessed entry.
    pub fn blessed(sequence: Sequence) -> Self {
        Self { sequence, counter: None }
    }

    /// Name of a fresh candidate.
    pub fn candidate(sequence: Sequence) -> Self {
        Self { sequence, counter: Some(BootCounter { left: BOOT_TRIES, done: 0 }) }
    }

    /// File name.
    pub fn render(&self) -> String {
        let seq = self.sequence.padded();
        match self.counter {
            None => format!("skerry-{seq}.efi"),
            Some(BootCounter { left, done: 0 }) => format!("skerry-{seq}+{left}.efi"),
            Some(BootCounter { left, done }) => format!("skerry-{seq}+{left}-{done}.efi"),
        }
    }

    /// Parse a file name, ASCII case-insensitively (FAT); `None` if it is not
    /// one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let stem = name.strip_prefix("skerry-")?.strip_suffix(".efi")?;
        let (seq, counter) = match stem.split_once('+') {
            None => (stem, None),
            Some((seq, c)) => {
                let (left, done) = c.split_once('-').unwrap_or((c, "0"));
                (seq, Some(BootCounter { left: left.parse().ok()?, done: done.parse().ok()? }))
            }
        };
        if seq.len() != 10 {
            return None;
        }
        Some(Self { sequence: Sequence(seq.parse().ok()?), counter })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn uki_names_round_trip() {
        for n in ["skerry-0000000001.efi", "skerry-0000000012+3.efi", "skerry-0000000012+0-3.efi"] {
            assert_eq!(UkiName::parse(n).unwrap().render(), n);
        }
        assert_eq!(UkiName::parse("SKERRY-0000000001.EFI"), Some(UkiName::blessed(Sequence(1))));
        for n in ["skerry-1.efi", "skerry-0000000001+x.efi", "linux.efi", "skerry-0000000001.efi.tmp"] {
            assert_eq!(UkiName::parse(n), None, "{n}");
        }
    }
}
