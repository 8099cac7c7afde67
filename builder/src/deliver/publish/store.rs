//! Where the repository's files go: a folder, or a fake that fails on demand.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::PublishError;

/// Files of an update repository by relative path.
pub trait Store {
    /// Size of a file, `None` if it does not exist.
    ///
    /// # Errors
    /// Anything but "not found".
    fn size(&self, path: &str) -> io::Result<Option<u64>>;
    /// A file to read from.
    ///
    /// # Errors
    /// Also "not found".
    fn open(&self, path: &str) -> io::Result<Box<dyn io::Read>>;
    /// Content of a file.
    ///
    /// # Errors
    /// Also "not found".
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// Create or replace a file, so that readers see the old or the new one.
    ///
    /// # Errors
    /// I/O errors; the old file is still there.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;
    /// Like [`Store::write`], from a local file.
    ///
    /// # Errors
    /// I/O errors.
    fn copy_in(&self, from: &Path, path: &str) -> io::Result<()>;
    /// File names in a folder; empty if it does not exist.
    ///
    /// # Errors
    /// I/O errors.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;
    /// Where the store is, for TUF's reader and for messages.
    fn root(&self) -> &Path;

    /// An error about a file of this store.
    fn error(&self, operation: &'static str, path: &str, source: io::Error) -> PublishError {
        PublishError::Io { operation, path: self.root().join(path), source }
    }
}

/// A folder on a local file system.
pub struct FolderStore {
    root: PathBuf,
}

impl FolderStore {
    /// The folder; it is made on the first write.
    pub fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    fn put(&self, path: &str, fill: impl FnOnce(&mut fs::File) -> io::Result<()>) -> io::Result<()> {
        let to = self.root.join(path);
        let parent = to.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent)?;
        let mut temp = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(parent)?;
        fill(temp.as_file_mut())?;
        temp.as_file().sync_all()?;
        temp.persist(&to).map_err(|e| e.error)?;
        fs::File::open(parent)?.sync_all()
    }
}

impl Store for FolderStore {
    fn size(&self, path: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.root.join(path)) {
            Ok(m) => Ok(Some(m.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn io::Read>> {
        Ok(Box::new(fs::File::open(self.root.join(path))?))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(path))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(path, |file| file.write_all(bytes))
    }

    fn copy_in(&self, from: &Path, path: &str) -> io::Result<()> {
        self.put(path, |file| io::copy(&mut fs::File::open(from)?, file).map(drop))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(vec![]),
            Err(e) => Err(e),
        }
    }

    fn root(&self) -> &Path {
        &self.root
    }
}
