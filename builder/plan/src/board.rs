//! Board: what to build for (TOML).

use serde::{Deserialize, Serialize};

pub use crate::read::parse_board as parse;

/// The boards that come with the builder, as name and text of their file.
pub const BUILTIN: &[(&str, &str)] = &[("x86_64-uefi", include_str!("../../../boards/x86_64-uefi.toml"))];

/// A board file, `boards/NAME.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardSpec {
    /// Name, equal to the file's stem.
    pub name: String,
    /// One line for `skerry boards`.
    pub description: String,
    /// CPU architecture.
    pub arch: Arch,
    /// Kernel.
    pub kernel: BoardKernel,
    /// Kernel modules.
    pub modules: Modules,
    /// Firmware files.
    #[serde(default)]
    pub firmware: Firmware,
    /// Partition sizes.
    pub partitions: Partitions,
    /// Hardware watchdog.
    #[serde(default)]
    pub watchdog: Watchdog,
}

/// CPU architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Arch {
    /// x86-64, Debian `amd64`.
    #[serde(rename = "x86_64")]
    X86_64,
    /// ARM64, Debian `arm64`.
    #[serde(rename = "aarch64")]
    Aarch64,
}

impl Arch {
    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::Aarch64 => "arm64",
        }
    }

    /// Multiarch triplet, as in `/usr/lib/<triplet>`.
    pub fn triplet(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-linux-gnu",
            Arch::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// UEFI's short name, as in `linuxx64.efi.stub` and `BOOTX64.EFI`.
    pub fn efi(self) -> &'static str {
        match self {
            Arch::X86_64 => "x64",
            Arch::Aarch64 => "aa64",
        }
    }

    /// Rust target of the node's binaries.
    pub fn rust_target(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-unknown-linux-gnu",
            Arch::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }
}

/// `[kernel]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardKernel {
    /// Debian package, such as `linux-image-amd64`.
    pub package: String,
    /// Console and other arguments the board needs.
    #[serde(default)]
    pub args: Vec<String>,
}

/// `[modules]`: globs over paths below `/usr/lib/modules/VERSION/kernel/`,
/// without `.ko*`; dependencies are added by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// Loaded by the initrd, in this order (each after its dependencies).
    pub initrd: Vec<String>,
    /// Present in the tree, loaded by udev or the orchestrator.
    pub system: Vec<String>,
}

/// `[firmware]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// Debian packages with firmware.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Globs below `/usr/lib/firmware/`.
    #[serde(default)]
    pub files: Vec<String>,
}

/// `[partitions]`, sizes in MiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partitions {
    /// EFI system partition; room for three UKIs.
    pub esp_mib: u64,
    /// SYSTEM as it is in the disk image.
    pub system_image_mib: u64,
    /// SYSTEM after the first boot; room for three releases.
    pub system_mib: u64,
}

/// `[watchdog]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// Driver module that init loads before all others, if `modules.initrd` does
    /// not name it.
    #[serde(default)]
    pub module: Option<String>,
    /// Time after which the hardware resets the board; 0: not used.
    #[serde(default = "default_watchdog")]
    pub timeout_secs: u64,
}

fn default_watchdog() -> u64 {
    30
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { module: None, timeout_secs: default_watchdog() }
    }
}
