//! Resolves the packages of an image spec: apt itself does it, in a private
//! root with its own sources, keyring and empty package database, so that the
//! host's packages and settings have no say.

mod apt;
mod index;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use skerry_formats::Sha256Digest;
use skerry_plan::{
    base::{EXCLUDED, TOOLS},
    board::{Arch, BoardSpec},
    lock::{Archive, Lock, LockedPackage, LockedSuite, VERSION},
    plan::{Wanted, wanted},
    spec::ImageSpec,
};

use self::{
    apt::{Apt, Suite},
    index::{PackageIndex, Release, find_packages},
};
use super::{
    cache::Cache,
    mirror::{MirrorError, Mirrors},
};
use crate::{host::HostError, progress::Progress};

/// Where Debian's keyring package puts the archive's keys.
pub const DEFAULT_KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// What a lock is made from.
pub struct ResolveInputs<'a> {
    /// Image spec.
    pub spec: &'a ImageSpec,
    /// Its boards.
    pub boards: &'a [BoardSpec],
    /// Where the archive is.
    pub mirrors: &'a Mirrors,
    /// Keys that the archive's metadata must be signed with.
    pub keyring: &'a Path,
    /// Cache for the archive's indexes.
    pub cache: &'a Cache,
    /// What to do about metadata past its date.
    pub expired: Expired,
}

/// What to do about archive metadata past its `Valid-Until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// An error: someone may be holding back updates.
    Refuse,
    /// Take it; for frozen mirrors.
    Accept,
}

/// Why no lock could be made.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No mirror.
    #[error("resolving packages")]
    Mirror(#[from] MirrorError),
    /// The keyring is not there.
    #[error(
        "the keyring {} cannot be read; install the package debian-archive-keyring or give one with --keyring FILE", .0.display()
    )]
    Keyring(PathBuf),
    /// apt is not there.
    #[error(
        "apt-get is needed to resolve packages and is not installed; run `skerry lock` on Debian or Ubuntu, or in a container of one"
    )]
    NoApt,
    /// The archive could not be reached.
    #[error("reading the package archive at {mirrors} failed:\n{detail}")]
    Network {
        /// Which mirrors.
        mirrors: String,
        /// What apt said.
        detail: String,
    },
    /// The metadata is past its date.
    #[error(
        "the metadata of the package archive at {mirrors} is out of date:\n{detail}\n\
         check this host's clock or use another mirror with --mirror; if the mirror is frozen on purpose, say --allow-expired"
    )]
    Expired {
        /// Which mirrors.
        mirrors: String,
        /// What apt said.
        detail: String,
    },
    /// The metadata is not signed by the keyring's keys.
    #[error("the package archive at {mirrors} is not signed by the keys in {}:\n{detail}", .keyring.display())]
    Signature {
        /// Which mirrors.
        mirrors: String,
        /// The keyring.
        keyring: PathBuf,
        /// What apt said.
        detail: String,
    },
    /// There is no such package, or not all can be installed together.
    #[error("no set of packages fits {what}:\n{detail}")]
    Unsatisfiable {
        /// Which board, or the tools.
        what: String,
        /// What apt said.
        detail: String,
    },
    /// apt's output or the archive's index does not look as it should.
    #[error("{0}")]
    Unexpected(String),
    /// A program could not be run.
    #[error("resolving packages")]
    Host(#[from] HostError),
    /// The private root cannot be written or read.
    #[error("{operation} {}", .path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ResolveError {
    let path = path.to_path_buf();
    move |source| ResolveError::Io { operation, path, source }
}

/// Suites of a base suite: itself, its updates, its security updates, and those
/// that single packages come from.
fn suites(spec: &ImageSpec) -> Vec<Suite> {
    let main = |name: String| Suite { name, archive: Archive::Main, on_demand: false };
    let mut out = vec![main(spec.base.clone())];
    // unstable gets its updates directly.
    if !matches!(spec.base.as_str(), "sid" | "unstable") {
        out.push(main(format!("{}-updates", spec.base)));
        out.push(Suite { name: format!("{}-security", spec.base), archive: Archive::Security, on_demand: false });
    }
    for name in spec.packages.from.keys().filter(|n| !out.iter().any(|s| s.name == **n)).cloned().collect::<Vec<_>>() {
        let archive = if name.ends_with("-security") { Archive::Security } else { Archive::Main };
        out.push(Suite { name, archive, on_demand: true });
    }
    out
}

/// Resolve a lock.
///
/// # Errors
/// See [`ResolveError`].
pub fn resolve(inputs: &ResolveInputs<'_>, progress: &Progress) -> Result<Lock, ResolveError> {
    let host = host_arch();
    let suites = suites(inputs.spec);
    let mut arches: BTreeSet<Arch> = inputs.boards.iter().map(|b| b.arch).collect();
    arches.insert(host);
    let step = progress.start("lock", Some(arches.len() as u64 + inputs.boards.len() as u64 + 1), "steps");
    let mut roots = BTreeMap::new();
    for arch in arches {
        let apt = Apt::new(inputs, arch, &suites)?;
        apt.update()?;
        step.advance(1);
        roots.insert(arch, (apt.indexes()?, apt));
    }
    let mut packages: BTreeMap<LockedPackage, BTreeSet<String>> = BTreeMap::new();
    for board in inputs.boards {
        let names = wanted(inputs.spec, board);
        for package in resolve_set(&roots[&board.arch], &names, &format!("the board {}", board.name))? {
            packages.entry(package).or_default().insert(board.name.clone());
        }
        step.advance(1);
    }
    let tool_names: Vec<Wanted> =
        TOOLS.iter().map(|(n, why)| Wanted { name: (*n).into(), why: (*why).into(), suite: None }).collect();
    let tools = resolve_set(&roots[&host], &tool_names, "the build tools")?;
    let suites = locked_suites(&roots[&host].1)?;
    let lock = Lock {
        version: VERSION,
        epoch: suites.iter().map(|s| s.date).max().unwrap_or(1),
        suites,
        packages: packages
            .into_iter()
            .map(|(p, boards)| LockedPackage { boards: boards.into_iter().collect(), ..p })
            .collect(),
        tools,
    };
    step.done(format!("{} packages, {} tools", lock.packages.len(), lock.tools.len()));
    Ok(lock)
}

fn resolve_set(
    (indexes, apt): &(Vec<PackageIndex>, Apt),
    wanted: &[Wanted],
    what: &str,
) -> Result<Vec<LockedPackage>, ResolveError> {
    let names: BTreeSet<&str> = wanted.iter().map(|w| w.name.as_str()).collect();
    let given: Vec<&str> = EXCLUDED.iter().map(|(name, _)| *name).filter(|n| !names.contains(n)).collect();
    let selected = apt.select(wanted, &given, what)?;
    let mut packages = find_packages(indexes, &selected)?;
    packages.sort();
    Ok(packages)
}

fn locked_suites(apt: &Apt) -> Result<Vec<LockedSuite>, ResolveError> {
    let mut out = Vec::new();
    for (suite, path) in apt.releases()? {
        let bytes = std::fs::read(&path).map_err(io_error("reading", &path))?;
        let release = Release::parse(&String::from_utf8_lossy(&bytes))
            .map_err(|detail| ResolveError::Unexpected(format!("{}: {detail}", suite.name)))?;
        out.push(LockedSuite {
            name: suite.name,
            archive: suite.archive,
            date: release.date,
            inrelease_sha256: Sha256Digest::of(&bytes),
        });
    }
    Ok(out)
}

/// Tools run here, so they are for this machine.
fn host_arch() -> Arch {
    if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 }
}
