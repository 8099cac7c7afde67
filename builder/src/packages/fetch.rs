//! Packages in the cache, verified against the lock.
//!
//! Downloads run in parallel, go on where they stopped, and become visible in
//! the cache only when their size and SHA-256 are those of the lock. If all
//! packages are in the cache, nothing here touches the network.

mod download;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use skerry_plan::lock::LockedPackage;

use self::download::{Downloader, Outcome};
use super::{
    cache::Cache,
    mirror::{MirrorError, Mirrors},
};
use crate::progress::{Progress, Step};

pub use self::download::Policy;

/// Downloads at the same time.
const PARALLEL: usize = 8;

/// A package whose bytes match the lock.
#[derive(Debug, Clone)]
pub struct FetchedDeb {
    /// What the lock says about it.
    pub package: LockedPackage,
    /// The `.deb` in the cache.
    pub path: PathBuf,
}

/// Why packages could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No mirror to fetch from.
    #[error("fetching packages")]
    Mirror(#[from] MirrorError),
    /// The archive does not have them any more.
    #[error(
        "{} no longer in the archive at {mirrors}:\n  {}\nnewer versions have replaced them; refresh the lock with: {refresh}",
        if .packages.len() == 1 { "1 package is".to_string() } else { format!("{} packages are", .packages.len()) },
        .packages.join("\n  ")
    )]
    Gone {
        /// Name and version of each.
        packages: Vec<String>,
        /// Where they were looked for.
        mirrors: String,
        /// The command that resolves anew.
        refresh: String,
    },
    /// What the mirror sends is not what the lock names.
    #[error(
        "{url} is not the file that the lock names: {detail}; the mirror or something on the way to it changes files, try another with --mirror"
    )]
    Content {
        /// Where it was fetched from.
        url: String,
        /// What differs.
        detail: String,
    },
    /// The network or the server failed, and kept failing.
    #[error(
        "fetching {url}: {detail}; check the network or try another mirror with --mirror, what is already there is kept"
    )]
    Network {
        /// What was fetched.
        url: String,
        /// The last failure.
        detail: String,
    },
    /// The cache cannot be written.
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

impl FetchError {
    /// Name the spec in the advice.
    #[must_use]
    pub fn for_spec(self, spec_file: &str) -> Self {
        match self {
            FetchError::Gone { packages, mirrors, .. } => {
                FetchError::Gone { packages, mirrors, refresh: format!("skerry lock {spec_file}") }
            }
            other => other,
        }
    }
}

/// Bring packages into the cache. The result is in the order of `packages`.
///
/// # Errors
/// See [`FetchError`]; whatever was fetched before the error is kept.
pub fn fetch(
    packages: &[LockedPackage],
    mirrors: &Mirrors,
    cache: &Cache,
    progress: &Progress,
) -> Result<Vec<FetchedDeb>, FetchError> {
    fetch_with(packages, mirrors, cache, progress, Policy::default())
}

/// [`fetch`] with other patience.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_with(
    packages: &[LockedPackage],
    mirrors: &Mirrors,
    cache: &Cache,
    progress: &Progress,
    policy: Policy,
) -> Result<Vec<FetchedDeb>, FetchError> {
    // A tool may be a package of the image too.
    let wanted: BTreeMap<_, _> = packages.iter().map(|p| (p.sha256, p)).collect();
    let missing: Vec<LockedPackage> = wanted.values().filter(|p| !is_cached(p, cache)).map(|p| (*p).clone()).collect();
    let bytes: u64 = missing.iter().map(|p| p.size).sum();
    let step = progress.start("packages", Some(bytes), "bytes");
    let summary = format!(
        "{} packages, {} from the cache, {:.1} MB fetched",
        wanted.len(),
        wanted.len() - missing.len(),
        bytes as f64 / 1e6
    );
    let step = if missing.is_empty() { step } else { download_all(missing, mirrors, cache, step, policy)? };
    step.done(summary);
    Ok(packages.iter().map(|p| FetchedDeb { package: p.clone(), path: cache.deb(&p.sha256) }).collect())
}

/// Files get their name only after they were verified and synced.
fn is_cached(package: &LockedPackage, cache: &Cache) -> bool {
    std::fs::metadata(cache.deb(&package.sha256)).is_ok_and(|m| m.len() == package.size)
}

fn download_all(
    packages: Vec<LockedPackage>,
    mirrors: &Mirrors,
    cache: &Cache,
    step: Step,
    policy: Policy,
) -> Result<Step, FetchError> {
    let urls: Vec<String> = packages.iter().map(|p| mirrors.url_of(p)).collect::<Result<_, _>>()?;
    let step = Arc::new(step);
    let downloader = Arc::new(Downloader::new(cache.clone(), step.clone(), policy)?);
    let jobs: Vec<_> = packages.iter().cloned().zip(urls).collect();
    // A runtime of its own on a thread of its own, so that callers may be
    // inside another runtime.
    let outcomes = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.map(|runtime| runtime.block_on(run_jobs(downloader, jobs)))
        });
        worker.join().expect("the download thread does not panic")
    });
    let outcomes = outcomes.map_err(|source| FetchError::Io {
        operation: "starting threads for",
        path: cache.root().into(),
        source,
    })?;
    judge(&packages, outcomes, mirrors)?;
    Ok(Arc::into_inner(step).expect("all downloads have ended"))
}

async fn run_jobs(downloader: Arc<Downloader>, jobs: Vec<(LockedPackage, String)>) -> Vec<Result<Outcome, FetchError>> {
    use futures::StreamExt;
    let tasks = jobs.into_iter().map(|(package, url)| {
        let downloader = downloader.clone();
        async move { downloader.download(&package, &url).await }
    });
    futures::stream::iter(tasks).buffered(PARALLEL).collect().await
}

/// Packages that are gone are reported together; they are what a person can
/// do something about.
fn judge(
    packages: &[LockedPackage],
    outcomes: Vec<Result<Outcome, FetchError>>,
    mirrors: &Mirrors,
) -> Result<(), FetchError> {
    let mut gone = Vec::new();
    let mut failure = None;
    for (package, outcome) in packages.iter().zip(outcomes) {
        match outcome {
            Ok(Outcome::InCache) => {}
            Ok(Outcome::Gone) => gone.push(package),
            Err(e) => failure = failure.or(Some(e)),
        }
    }
    if !gone.is_empty() {
        let mut from: Vec<String> =
            gone.iter().filter_map(|p| mirrors.of(p.archive).ok()).map(|m| m.url.clone()).collect();
        from.sort();
        from.dedup();
        gone.sort();
        return Err(FetchError::Gone {
            packages: gone.iter().map(|p| format!("{} {} ({})", p.name, p.version, p.arch)).collect(),
            mirrors: from.join(" and "),
            refresh: "skerry lock SPEC".into(),
        });
    }
    failure.map_or(Ok(()), Err)
}
