//! Programs from the lock that run on the build host through their own dynamic
//! loader, so that the host's versions do not shape the image.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};
use skerry_plan::board::Arch;

use crate::packages::{
    cache::Cache,
    unpack::{DebKind, UnpackedDeb},
};

/// Layout version of the merged folder.
const VERSION: &str = "1";
/// Folders that programs are looked for in.
const BIN_DIRS: [&str; 4] = ["usr/sbin", "usr/bin", "usr/lib/systemd", "usr/lib/udev"];

/// Why there are no tools.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Writing the merged folder failed.
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
    /// The locked tools do not have a program.
    #[error("no program {name} among the lock's tools ({packages}); run `skerry lock` again")]
    Missing {
        /// Its name.
        name: String,
        /// The tool packages.
        packages: String,
    },
}

/// The locked tools, ready to run.
#[derive(Debug, Clone)]
pub struct Toolbox {
    root: PathBuf,
    loader: PathBuf,
    library_path: String,
    packages: String,
}

impl Toolbox {
    /// Merge unpacked tool packages into one folder of the cache, once.
    ///
    /// # Errors
    /// I/O errors, or tools without a dynamic loader for this machine.
    pub fn from_unpacked(tools: &[UnpackedDeb], cache: &Cache) -> Result<Self, ToolError> {
        let packages = tools.iter().map(|t| t.package.name.as_str()).collect::<Vec<_>>().join(", ");
        let parent = cache.tools();
        let root = parent.join(tool_set_id(tools));
        if !root.join("complete").is_file() {
            merge(tools, &parent, &root)?;
        }
        let (loader, arch) =
            [("usr/lib64/ld-linux-x86-64.so.2", Arch::X86_64), ("usr/lib/ld-linux-aarch64.so.1", Arch::Aarch64)]
                .into_iter()
                .map(|(path, arch)| (root.join(path), arch))
                .find(|(path, _)| path.is_file())
                .ok_or_else(|| ToolError::Missing { name: "ld-linux".into(), packages: packages.clone() })?;
        let libs = root.join("usr/lib").join(arch.triplet());
        let library_path = format!("{}:{}", libs.display(), libs.join("systemd").display());
        Ok(Self { root, loader, library_path, packages })
    }

    /// A command that runs the tool `name`, such as `mkfs.ext4`.
    ///
    /// # Errors
    /// If the tools have no such program.
    pub fn command(&self, name: &str) -> Result<Command, ToolError> {
        let missing = || ToolError::Missing { name: name.into(), packages: self.packages.clone() };
        let program =
            BIN_DIRS.iter().map(|dir| self.root.join(dir).join(name)).find(|p| p.is_file()).ok_or_else(missing)?;
        let mut command = Command::new(&self.loader);
        // argv[0] matters: mke2fs and kmod are many programs in one.
        command.args([
            OsStr::new("--argv0"),
            OsStr::new(name),
            OsStr::new("--library-path"),
            OsStr::new(&self.library_path),
        ]);
        command.arg(program);
        // Nothing of the host's may reach into the tools.
        for name in ["LD_LIBRARY_PATH", "LD_PRELOAD", "MKE2FS_CONFIG", "MKE2FS_DEVICE_SECTSIZE", "MKE2FS_SYNC"] {
            command.env_remove(name);
        }
        let mke2fs_conf = self.root.join("etc/mke2fs.conf");
        if mke2fs_conf.is_file() {
            command.env("MKE2FS_CONFIG", mke2fs_conf);
        }
        Ok(command)
    }

    /// Folder with the tools' files.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Name of a tool set: changes with any package and with the layout.
fn tool_set_id(tools: &[UnpackedDeb]) -> String {
    let mut digests: Vec<_> = tools.iter().map(|t| t.package.sha256).collect();
    digests.sort();
    digests.dedup();
    let mut hasher = Sha256::new();
    hasher.update(VERSION);
    digests.iter().for_each(|d| hasher.update(d.0));
    hex::encode(hasher.finalize())
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ToolError {
    let path = path.to_path_buf();
    move |source| ToolError::Io { operation, path, source }
}

fn merge(tools: &[UnpackedDeb], parent: &Path, root: &Path) -> Result<(), ToolError> {
    fs::create_dir_all(parent).map_err(io_error("creating", parent))?;
    let temp = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(parent)
        .map_err(io_error("creating a folder in", parent))?;
    for tool in tools {
        for entry in &tool.entries {
            let target = temp.path().join(crate::tree::select::usr_merged(&entry.path));
            match &entry.kind {
                DebKind::Dir => fs::create_dir_all(&target).map_err(io_error("creating", &target))?,
                DebKind::Symlink { target: points_to } => place(&target, |t| symlink(points_to, t))?,
                // Both folders lie in the cache, thus on one file system.
                DebKind::File { stored, .. } => place(&target, |t| {
                    let from = tool.stored_path(stored);
                    fs::hard_link(&from, t).or_else(|_| fs::copy(&from, t).map(|_| ()))
                })?,
            }
        }
    }
    let mark = temp.path().join("complete");
    fs::write(&mark, b"").map_err(io_error("writing", &mark))?;
    if root.exists() {
        fs::remove_dir_all(root).map_err(io_error("removing", root))?;
    }
    let temp = temp.keep();
    match fs::rename(&temp, root) {
        Ok(()) => Ok(()),
        // Another build may have been faster; its folder is as good.
        Err(_) if root.join("complete").is_file() => {
            let _ = fs::remove_dir_all(&temp);
            Ok(())
        }
        Err(source) => Err(ToolError::Io { operation: "renaming to", path: root.into(), source }),
    }
}

/// Make a file or link at `target`; of two packages' the first counts.
fn place(target: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), ToolError> {
    if fs::symlink_metadata(target).is_ok() {
        return Ok(());
    }
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(io_error("creating", folder))?;
    }
    make(target).map_err(io_error("creating", target))
}
