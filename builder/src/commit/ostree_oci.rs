//! Export of an OSTree commit as an OCI image layout, so that registries,
//! scanners and signing tools of the container world work on the OS too.

use std::path::Path;

use ostree_ext::{
    container::{Config, ExportOpts, ImageReference, Transport, encapsulate},
    gio,
    ostree::Repo,
    prelude::*,
};

use super::{CommitError, ostree::Checksum};

/// Write the commit as an OCI layout into the folder `out`, which must not
/// exist yet.
///
/// # Errors
/// The folder cannot be written, or ostree-ext failed.
pub fn export_oci(repo: &Repo, checksum: &Checksum, out: &Path) -> Result<(), CommitError> {
    let bad = |detail: String| CommitError::Export { checksum: checksum.to_hex(), detail };
    let path = repo.path().path().ok_or_else(|| bad("the repository has no path".into()))?;
    let name = out.to_str().filter(|p| !p.contains(':')).ok_or_else(|| bad(format!("{} has a colon", out.display())))?;
    let target = ImageReference { transport: Transport::OciDir, name: name.into() };
    let rev = checksum.to_hex();
    // Its own thread: ostree-ext is async, and the caller may be inside a
    // runtime already.
    let run = move || -> Result<(), String> {
        let repo = Repo::new_for_path(&path);
        repo.open(gio::Cancellable::NONE).map_err(|e| e.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let config = Config { labels: None, cmd: None };
        runtime
            .block_on(encapsulate(&repo, &rev, &config, Some(ExportOpts::default()), &target))
            .map(drop)
            .map_err(|e| format!("{e:#}"))
    };
    std::thread::scope(|s| s.spawn(run).join()).unwrap_or_else(|_| Err("the export panicked".into())).map_err(bad)
}
