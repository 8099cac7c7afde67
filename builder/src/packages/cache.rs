//! The content-addressed cache folder. Everything in it can be made again, and
//! nothing in it appears before it is whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use skerry_formats::Sha256Digest;

/// A cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Use this folder; it is created when something is put into it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Verified packages, `debs/sha256/HEX.deb`.
    pub fn deb(&self, digest: &Sha256Digest) -> PathBuf {
        self.root.join("debs/sha256").join(format!("{digest}.deb"))
    }

    /// Half a download, `debs/part/HEX.part`.
    pub fn part(&self, digest: &Sha256Digest) -> PathBuf {
        self.root.join("debs/part").join(format!("{digest}.part"))
    }

    /// Unpacked packages.
    pub fn unpacked(&self) -> PathBuf {
        self.root.join("unpacked")
    }

    /// Host tools, one folder per locked tool set.
    pub fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    /// Private roots of apt.
    pub fn apt(&self) -> PathBuf {
        self.root.join("apt")
    }

    /// Objects by fs-verity digest.
    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// Pieces of disk images.
    pub fn chunks(&self) -> PathBuf {
        self.root.join("chunks")
    }

    /// Blobs of app images by SHA-256.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }
}

/// Write `content` to `path` so that the file is old or new, never half: even
/// if the power fails. Missing folders are made.
///
/// # Errors
/// I/O errors; the old file is then still there.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let parent = parent_of(path);
    fs::create_dir_all(parent)?;
    let mut temp = tempfile::Builder::new().prefix(".new-").tempfile_in(parent)?;
    temp.write_all(content)?;
    // Temporary files are 0600; what is written here is for everyone who may
    // read the folder.
    use std::os::unix::fs::PermissionsExt;
    temp.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    temp.as_file().sync_all()?;
    temp.persist(path).map_err(|e| e.error)?;
    sync_folder(parent)
}

/// Move a finished and synced file to its name.
///
/// # Errors
/// I/O errors.
pub fn reveal(from: &Path, to: &Path) -> io::Result<()> {
    let parent = parent_of(to);
    fs::create_dir_all(parent)?;
    fs::rename(from, to)?;
    sync_folder(parent)
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
