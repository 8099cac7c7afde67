//! How much all logs of the node may take together.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::write::FILE_BYTES_MAX;

/// The bound where nothing is configured, if a tenth of the file system is not
/// less.
const NODE_BYTES_DEFAULT: u64 = 256 << 20;
/// A log file is renamed at this size at the earliest.
const FILE_BYTES_LEAST: u64 = 64 << 10;

/// The bound for the file system that holds `dir`, or will hold it.
pub(crate) fn node_bytes_max(configured: Option<u64>, dir: &Path) -> u64 {
    let tenth = || {
        let fs = dir.ancestors().find_map(|at| nix::sys::statvfs::statvfs(at).ok())?;
        #[allow(clippy::useless_conversion, reason = "the types differ between architectures")]
        Some(u64::from(fs.blocks()).saturating_mul(u64::from(fs.fragment_size())) / 10)
    };
    configured.unwrap_or_else(|| tenth().unwrap_or(u64::MAX).min(NODE_BYTES_DEFAULT))
}

/// Size at which a file is renamed when `writers` containers write: their
/// files alone must fit.
pub(super) fn file_bytes_max(node_bytes_max: u64, writers: usize) -> u64 {
    (node_bytes_max / writers.max(1) as u64).clamp(FILE_BYTES_LEAST, FILE_BYTES_MAX)
}

struct Found {
    changed: SystemTime,
    bytes: u64,
    path: PathBuf,
}

/// Remove the oldest files that nobody writes until what is left fits. Returns
/// what is left.
pub(super) fn trim(dir: &Path, bytes_max: u64, in_use: &BTreeSet<PathBuf>) -> u64 {
    let mut found = vec![];
    find(dir, 3, &mut found);
    let mut sum: u64 = found.iter().map(|f| f.bytes).sum();
    found.retain(|f| !in_use.contains(&f.path));
    found.sort_by(|a, b| (a.changed, &a.path).cmp(&(b.changed, &b.path)));
    for old in found {
        if sum <= bytes_max {
            break;
        }
        if fs::remove_file(&old.path).is_ok() {
            sum -= old.bytes;
        }
    }
    sum
}

/// Log files `POD/CONTAINER/RUN.log` and the renamed ones.
fn find(dir: &Path, depth: u32, out: &mut Vec<Found>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() && depth > 1 {
            find(&entry.path(), depth - 1, out);
        } else if meta.is_file() && depth == 1 {
            let changed = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            out.push(Found { changed, bytes: meta.len(), path: entry.path() });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_that_nobody_writes_go_first() {
        let d = tempfile::tempdir().unwrap();
        let file = |name: &str, age_secs: u64| {
            let path = d.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, [0; 100]).unwrap();
            let at = SystemTime::now() - Duration::from_secs(age_secs);
            fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
            path
        };
        let in_use = BTreeSet::from([file("a/main/0.log", 500), file("b/main/3.log", 1)]);
        let (rotated, ended, late) = (file("a/main/0.log.1", 400), file("b/main/2.log", 300), file("c/x/0.log", 10));
        assert_eq!(trim(d.path(), 500, &in_use), 500);
        assert_eq!(trim(d.path(), 399, &in_use), 300);
        assert!(!rotated.exists() && !ended.exists() && late.exists());
        assert_eq!(trim(d.path(), 0, &in_use), 200);
        assert!(in_use.iter().all(|f| f.exists()));
    }

    #[test]
    fn a_bound_for_one_file() {
        for (node, writers, want) in [
            (256 << 20, 0, FILE_BYTES_MAX),
            (256 << 20, 25, FILE_BYTES_MAX),
            (256 << 20, 64, 4 << 20),
            (1 << 20, 100, FILE_BYTES_LEAST),
        ] {
            assert_eq!(file_bytes_max(node, writers), want, "{node} {writers}");
        }
        assert_eq!(node_bytes_max(Some(7), Path::new("/")), 7);
        let default = node_bytes_max(None, Path::new("/is/not/there"));
        assert!(default > 0 && default <= NODE_BYTES_DEFAULT);
    }
}
