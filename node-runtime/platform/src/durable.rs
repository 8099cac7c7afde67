//! State that survives a power cut: whole old content or whole new content.
//!
//! Temporary file in the same folder, fsync, rename over the target, fsync of
//! the folder. A reader never sees half a file; a crash at any point leaves the
//! old or the new one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

/// What could not be made durable.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}")]
pub struct DurableError {
    /// `create`, `write`, `fsync`, `rename`, `open`, `remove`.
    pub operation: &'static str,
    /// File or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

fn err<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DurableError + 'a {
    move |source| DurableError { operation, path: path.to_owned(), source }
}

/// Replace `path` by `bytes` atomically, mode 0644. Creates missing folders.
///
/// # Errors
/// [`DurableError`]; the old content is then still in place.
pub fn write_file_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), DurableError> {
    write_file_atomic_mode(path, bytes, 0o644)
}

/// [`write_file_atomic`] with file mode `mode`.
///
/// # Errors
/// [`DurableError`]; the old content is then still in place.
pub fn write_file_atomic_mode(path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<(), DurableError> {
    let path = path.as_ref();
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_dir_all(dir)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or_else(|| err("create", path)(io::ErrorKind::InvalidInput.into()))?);
    name.push(".tmp");
    let tmp = dir.join(name);
    // A leftover of an earlier crash may carry another mode.
    match fs::remove_file(&tmp) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(err("remove", &tmp)(e)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&tmp).map_err(err("create", &tmp))?;
    let written =
        file.write_all(bytes).map_err(err("write", &tmp)).and_then(|()| file.sync_all().map_err(err("fsync", &tmp)));
    if let Err(e) = written {
        // Give the space back, this may be a full disk.
        let _ = fs::remove_file(&tmp);
        return Err(e);
    }
    fs::rename(&tmp, path).map_err(err("rename", path))?;
    sync_dir(dir)
}

/// Create `dir` and its missing parents, each durably linked in its parent.
///
/// # Errors
/// [`DurableError`].
pub fn create_dir_all(dir: &Path) -> Result<(), DurableError> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_dir_all(parent)?;
    match fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(err("create", dir)(e)),
        _ => sync_dir(parent),
    }
}

/// Remove a file durably; a missing one is fine.
///
/// # Errors
/// [`DurableError`].
pub fn remove_file(path: &Path) -> Result<(), DurableError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(err("remove", path)(e)),
        Ok(()) => sync_dir(path.parent().unwrap_or(Path::new("."))),
    }
}

/// fsync a folder, so that its entries survive a power cut.
///
/// # Errors
/// [`DurableError`].
pub fn sync_dir(dir: &Path) -> Result<(), DurableError> {
    let f = File::open(dir).map_err(err("open", dir))?;
    f.sync_all().map_err(err("fsync", dir))
}

/// Write everything of the file system that holds `path` to the disk.
///
/// # Errors
/// [`DurableError`].
pub fn sync_fs(path: &Path) -> Result<(), DurableError> {
    let f = File::open(path).map_err(err("open", path))?;
    rustix::fs::syncfs(f.as_fd()).map_err(|e| err("fsync", path)(e.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn replaces_content_creates_folders_and_leaves_no_temporary() {
        let d = tempfile::tempdir().unwrap();
        let p = d.path().join("a/b/state.json");
        write_file_atomic(&p, b"one").unwrap();
        fs::write(p.with_file_name(".state.json.tmp"), b"half of a cra").unwrap();
        write_file_atomic_mode(&p, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&p).unwrap(), b"two");
        assert_eq!(fs::metadata(&p).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(p.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn failure_keeps_the_old_content_and_names_the_operation() {
        let d = tempfile::tempdir().unwrap();
        let p = d.path().join("state");
        fs::create_dir(&p).unwrap();
        fs::write(p.join("x"), b"").unwrap();
        let e = write_file_atomic(&p, b"new").unwrap_err();
        assert_eq!(e.operation, "rename");
        assert!(p.join("x").exists());
    }

    #[test]
    fn removing_twice_is_fine() {
        let d = tempfile::tempdir().unwrap();
        let p = d.path().join("f");
        fs::write(&p, b"").unwrap();
        remove_file(&p).unwrap();
        remove_file(&p).unwrap();
        assert!(!p.exists());
    }
}
