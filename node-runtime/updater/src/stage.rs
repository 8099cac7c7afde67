//! Stage: the release record on SYSTEM, then the boot entry, in this order.

use std::fs::{self, File};

use skerry_formats::{
    Sequence,
    baked::NodeConfig,
    layout::{INDEX_FILE, RELEASE_FILE, RELEASE_SIG_FILE, RELEASES_DIR},
};

use crate::{
    Config, UpdateError,
    check::{self, Candidate},
    error::io,
    facilities::Facilities,
    store::{Store, release_dir, staged_release_dir, staged_uki},
};

/// Put the candidate's statement and index aside, so that staging needs no
/// network, and neither does pruning.
///
/// # Errors
/// Local I/O errors.
pub fn keep_record(cfg: &Config, fac: &dyn Facilities, c: &Candidate) -> Result<(), UpdateError> {
    let dir = staged_release_dir(cfg, c.release.sequence);
    fac.create_dir_all(&dir).map_err(io("create", &dir))?;
    write_record(fac, &dir, &c.release_bytes, &c.sig_bytes, &c.index_bytes)
}

fn write_record(
    fac: &dyn Facilities,
    dir: &std::path::Path,
    release: &[u8],
    sig: &[u8],
    index: &[u8],
) -> Result<(), UpdateError> {
    // The statement last: a folder without it is no record.
    for (name, bytes) in [(INDEX_FILE, index), (RELEASE_SIG_FILE, sig), (RELEASE_FILE, release)] {
        let path = dir.join(name);
        if fs::read(&path).is_ok_and(|old| old == bytes) {
            continue;
        }
        fac.write_file(&path, bytes).map_err(io("write", &path))?;
    }
    Ok(())
}

/// The candidate as it was put aside, verified again.
///
/// # Errors
/// [`UpdateError::Staging`] if it is not there or not whole.
pub fn kept(cfg: &Config, node: &NodeConfig, sequence: Sequence) -> Result<Candidate, UpdateError> {
    let dir = staged_release_dir(cfg, sequence);
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read(&path)
            .map_err(|e| UpdateError::Staging { sequence: sequence.0, detail: format!("{}: {e}", path.display()) })
    };
    let (release_bytes, sig_bytes, index_bytes) = (read(RELEASE_FILE)?, read(RELEASE_SIG_FILE)?, read(INDEX_FILE)?);
    let damaged = |e: UpdateError| UpdateError::Staging { sequence: sequence.0, detail: e.line() };
    let release = check::statement(cfg, node, sequence, &release_bytes, &sig_bytes).map_err(damaged)?;
    let index = check::check_index(&release, &index_bytes).map_err(damaged)?;
    Ok(Candidate { release, release_bytes, sig_bytes, index, index_bytes })
}

/// Make the candidate bootable. May be repeated.
///
/// # Errors
/// [`UpdateError::Staging`] if an object is not there; I/O errors.
pub fn stage(cfg: &Config, fac: &dyn Facilities, c: &Candidate) -> Result<(), UpdateError> {
    let sequence = c.release.sequence;
    let store = Store { cfg, fac };
    if let Some(e) = store.missing(&c.index)?.first() {
        return Err(UpdateError::Staging { sequence: sequence.0, detail: format!("object {} is not here", e.digest) });
    }
    let dir = release_dir(cfg, sequence);
    fac.create_dir_all(&dir).map_err(io("create", &dir))?;
    write_record(fac, &dir, &c.release_bytes, &c.sig_bytes, &c.index_bytes)?;
    let releases = cfg.system(RELEASES_DIR);
    fac.sync_dir(&releases).map_err(io("fsync", &releases))?;
    let uki = staged_uki(cfg, &c.release.uki.object);
    let mut file = File::open(&uki).map_err(io("open", &uki))?;
    let mut found = None;
    fac.boot_entries(&mut |entries| {
        found = Some(entries.install(sequence, &mut file, &c.release.uki.object)?.digest);
        Ok(())
    })?;
    if found != Some(c.release.uki.object) {
        let detail = "the kernel image changed while it was copied to the ESP".into();
        return Err(UpdateError::Staging { sequence: sequence.0, detail });
    }
    Ok(())
}
