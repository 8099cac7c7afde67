//! The release statement: "version N of product P for board B is this kernel
//! image, this OS tree and these app images".

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    ObjectDigest, Sha256Digest,
    versioned::{Document, Header},
};

/// Monotonic release number of one product on one board. The only order that
/// boot entries, channels and the rollback floor know; version strings are for
/// people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u32);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Sequence {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(Self)
    }
}

impl Sequence {
    /// Ten digits with leading zeros, so that names sort like numbers.
    pub fn padded(&self) -> String {
        format!("{:010}", self.0)
    }
}

/// `release.json`. Signed as stored bytes by `release.json.sig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Name `skerry-release`.
    pub format: Header,
    /// Product name, `[a-z0-9-]{1,40}`.
    pub product: String,
    /// Board name, such as `x86_64-uefi`.
    pub board: String,
    /// Debian architecture name: `amd64` or `arm64`.
    pub arch: String,
    /// Version for people, any text without white space.
    pub version: String,
    /// Monotonic number; see [`Sequence`].
    pub sequence: Sequence,
    /// Build epoch in Unix seconds (from the lock, not from the wall clock).
    /// Nodes never let their clock go below it.
    pub built_at: u64,
    /// Kernel version as `uname -r` prints it.
    pub kernel: String,
    /// The OS tree.
    pub os: OsTree,
    /// App trees, sorted by name.
    pub apps: Vec<AppTree>,
    /// The unified kernel image, an object like any other.
    pub uki: UkiRef,
    /// The object index of the release (`index.skx`).
    pub index: IndexRef,
    /// Sums over the index.
    pub totals: Totals,
}

impl Document for Release {
    const NAME: &'static str = "skerry-release";
    const VERSION: u32 = 1;
}

/// Identity of the OS tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsTree {
    /// fs-verity digest of the EROFS image; equals `composefs=` on the UKI's
    /// command line.
    pub composefs: ObjectDigest,
    /// OSTree commit checksum of the same tree on the build side.
    pub ostree_commit: Sha256Digest,
}

/// Identity of one app image's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppTree {
    /// Name from the image spec.
    pub name: String,
    /// Image reference as manifests name it.
    pub image: String,
    /// OCI manifest digest.
    pub manifest_digest: Sha256Digest,
    /// fs-verity digest of the app's EROFS image.
    pub composefs: ObjectDigest,
}

/// The UKI as an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UkiRef {
    /// Object name.
    pub object: ObjectDigest,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Plain SHA-256, for checks where fs-verity is not at hand (the ESP).
    pub sha256: Sha256Digest,
}

/// The index as a file beside `release.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRef {
    /// SHA-256 of `index.skx` (uncompressed).
    pub sha256: Sha256Digest,
    /// Size of `index.skx` in bytes.
    pub size_bytes: u64,
}

/// Sums over all objects of the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Number of objects.
    pub objects: u64,
    /// Sum of object sizes in bytes.
    pub bytes: u64,
    /// Sum of the sizes of the zstd-compressed objects in bytes: what a node
    /// that has nothing would fetch.
    pub compressed_bytes: u64,
}
