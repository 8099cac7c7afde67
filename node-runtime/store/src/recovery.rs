//! A database that cannot be used is moved aside, not deleted, and never
//! stops the node.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// So many old databases are kept.
pub(crate) const KEPT: u32 = 3;
/// SQLite's own files beside the database.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Rename `path` to `path.corrupt-<n>`, the next free number, and remove those
/// beyond [`KEPT`].
///
/// # Errors
/// If the file cannot be renamed.
pub(crate) fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let found = numbers(path)?;
    let number = found.iter().max().map_or(1, |n| n + 1);
    let aside = numbered(path, number);
    // The database first: SQLite ignores a WAL without one.
    fs::rename(path, &aside)?;
    for companion in COMPANIONS {
        ignore_missing(fs::rename(with_suffix(path, companion), with_suffix(&aside, companion)))?;
    }
    for old in found.into_iter().filter(|n| n + KEPT <= number) {
        remove(&numbered(path, old))?;
    }
    fs::File::open(folder(path))?.sync_all()?;
    Ok(aside)
}

fn remove(path: &Path) -> io::Result<()> {
    for companion in COMPANIONS {
        ignore_missing(fs::remove_file(with_suffix(path, companion)))?;
    }
    ignore_missing(fs::remove_file(path))
}

/// Numbers of the databases that were moved aside before.
fn numbers(path: &Path) -> io::Result<Vec<u32>> {
    let prefix = with_suffix(Path::new(path.file_name().unwrap_or_default()), ".corrupt-");
    let prefix = prefix.to_string_lossy().into_owned();
    let mut numbers = vec![];
    for entry in fs::read_dir(folder(path))? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|n| n.strip_prefix(&prefix)?.parse::<u32>().ok()));
    }
    Ok(numbers)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    with_suffix(path, &format!(".corrupt-{number}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keeps_the_last_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        for n in 1..=7 {
            fs::write(&path, n.to_string()).unwrap();
            fs::write(with_suffix(&path, "-wal"), n.to_string()).unwrap();
            let aside = move_aside(&path).unwrap();
            assert_eq!(aside, dir.path().join(format!("db.corrupt-{n}")));
            assert!(!path.exists() && !with_suffix(&path, "-wal").exists());
        }
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let wanted: Vec<_> = (5..=7).flat_map(|n| [format!("db.corrupt-{n}"), format!("db.corrupt-{n}-wal")]).collect();
        assert_eq!(names, wanted);
        assert_eq!(fs::read_to_string(dir.path().join("db.corrupt-7")).unwrap(), "7");
    }
}
