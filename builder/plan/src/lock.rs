//! Lock: the exact packages of an image spec (`<spec>.lock`, TOML).
//!
//! Written by `skerry lock` only, read by everything else. No mirror in it.

use serde::{Deserialize, Serialize};
use skerry_formats::Sha256Digest;

pub use crate::read::parse_lock as parse;

/// Version of the lock's format.
pub const VERSION: u32 = 1;

/// The lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Format version, 1.
    pub version: u32,
    /// Newest `Date:` of the archive metadata in Unix seconds: the build epoch.
    pub epoch: u64,
    /// Archive metadata the lock was resolved against.
    #[serde(rename = "suite")]
    pub suites: Vec<LockedSuite>,
    /// Packages for the image, sorted by name, arch.
    #[serde(rename = "package")]
    pub packages: Vec<LockedPackage>,
    /// Packages whose programs run on the build host (mkfs.ext4, depmod,
    /// systemd-sysusers), for the host's architecture; not in the image unless
    /// they stand above too.
    #[serde(default, rename = "tool")]
    pub tools: Vec<LockedPackage>,
}

/// `[[suite]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSuite {
    /// Suite name, such as `trixie-security`.
    pub name: String,
    /// `main` archive or `security` archive; they have different mirror paths.
    pub archive: Archive,
    /// `Date:` of its Release file in Unix seconds.
    pub date: u64,
    /// SHA-256 of its InRelease file.
    pub inrelease_sha256: Sha256Digest,
}

/// Which Debian archive a package is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Archive {
    /// The main archive (`…/debian`).
    Main,
    /// The security archive (`…/debian-security`).
    Security,
}

/// `[[package]]` or `[[tool]]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Binary package name.
    pub name: String,
    /// Version.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub arch: String,
    /// Source package and version, as `name=version`, for SBOMs.
    pub source: String,
    /// Size of the .deb in bytes.
    pub size: u64,
    /// SHA-256 of the .deb.
    pub sha256: Sha256Digest,
    /// Path below the archive's root, `pool/…`.
    pub path: String,
    /// Suite it was found in.
    pub suite: String,
    /// Archive it was found in.
    pub archive: Archive,
    /// Boards it is for; empty for tools.
    #[serde(default)]
    pub boards: Vec<String>,
}

/// Render a lock: the same bytes for the same lock, one block per package,
/// sorted, so that a diff reads like a list of changes.
pub fn render(lock: &Lock) -> String {
    let mut out = String::from("# Written by `skerry lock`; do not edit. Commit it beside the spec.\n");
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("version = {}", lock.version));
    line(format!("epoch = {}", lock.epoch));
    if lock.suites.is_empty() {
        line("suite = []".into());
    }
    if lock.packages.is_empty() {
        line("package = []".into());
    }
    for suite in &lock.suites {
        line("\n[[suite]]".into());
        line(format!("name = {}", quote(&suite.name)));
        line(format!("archive = {}", quote(suite.archive.as_str())));
        line(format!("date = {}", suite.date));
        line(format!("inrelease_sha256 = \"{}\"", suite.inrelease_sha256));
    }
    for (table, packages) in [("package", &lock.packages), ("tool", &lock.tools)] {
        let mut sorted: Vec<_> = packages.iter().collect();
        sorted.sort();
        for package in sorted {
            line(format!("\n[[{table}]]\n{}", package_block(package)));
        }
    }
    out
}

fn package_block(p: &LockedPackage) -> String {
    let mut lines = vec![
        format!("name = {}", quote(&p.name)),
        format!("version = {}", quote(&p.version)),
        format!("arch = {}", quote(&p.arch)),
        format!("source = {}", quote(&p.source)),
        format!("size = {}", p.size),
        format!("sha256 = \"{}\"", p.sha256),
        format!("path = {}", quote(&p.path)),
        format!("suite = {}", quote(&p.suite)),
        format!("archive = {}", quote(p.archive.as_str())),
    ];
    if !p.boards.is_empty() {
        let boards: Vec<String> = p.boards.iter().map(|b| quote(b)).collect();
        lines.push(format!("boards = [{}]", boards.join(", ")));
    }
    lines.join("\n")
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

impl Archive {
    /// As it stands in the lock.
    pub fn as_str(self) -> &'static str {
        match self {
            Archive::Main => "main",
            Archive::Security => "security",
        }
    }
}
