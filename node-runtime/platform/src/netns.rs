//! Persistent network namespaces: made, entered and deleted by path.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::{
    mount::{MountPropagationFlags, UnmountFlags},
    thread::{LinkNameSpaceType, UnshareFlags},
};

/// What failed on a network namespace.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} network namespace {path}")]
pub struct NetnsError {
    /// `create`, `bind`, `open`, `enter`, `delete`.
    pub operation: &'static str,
    /// Path it is bound to.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

fn err<'a>(operation: &'static str, path: &'a Path) -> impl Fn(io::Error) -> NetnsError + 'a {
    move |source| NetnsError { operation, path: path.to_owned(), source }
}

/// Make a new network namespace that lives as long as `path`, an empty file
/// that is created for it. Its loopback is down. One that is there already is
/// an error: the caller decides whether to delete it.
///
/// # Errors
/// [`NetnsError`]; no file is left behind.
pub fn create(path: &Path) -> Result<(), NetnsError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(err("create", path))?;
    }
    File::options().write(true).create_new(true).open(path).map_err(err("create", path))?;
    let made = on_own_thread(path, || {
        // SAFETY: the thread was made for this call, holds no file descriptor
        // table of its own and ends right after; nothing else runs on it.
        #[expect(unsafe_code, reason = "unshare changes what the whole thread sees")]
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.map_err(|e| err("create", path)(e.into()))?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", path).map_err(|e| err("bind", path)(e.into()))
    });
    if made.is_err() {
        let _ = fs::remove_file(path);
    }
    made
}

/// Run `work` inside the namespace at `path`, on a thread of its own.
///
/// Sockets that `work` opens stay in the namespace after it returns.
///
/// # Errors
/// [`NetnsError`] if the namespace cannot be entered.
///
/// # Panics
/// If `work` panics.
pub fn run_in<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
    let ns = File::open(path).map_err(err("open", path))?;
    on_own_thread(path, || {
        rustix::thread::move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|e| err("enter", path)(e.into()))?;
        Ok(work())
    })
}

/// Delete the namespace at `path`; one that is not there is fine. Processes
/// that still run in it keep it alive until they end.
///
/// # Errors
/// [`NetnsError`].
pub fn delete(path: &Path) -> Result<(), NetnsError> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH) {
        // EINVAL: the file is there, but nothing is mounted on it.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(err("delete", path)(e.into())),
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(err("delete", path)(e)),
        _ => Ok(()),
    }
}

/// Does a live namespace stand at `path`?
pub fn exists(path: &Path) -> bool {
    /// `NSFS_MAGIC` of `linux/magic.h`.
    const NSFS_MAGIC: u64 = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|s| s.f_type as u64 == NSFS_MAGIC)
}

/// Make mounts below `dir` (an existing folder) visible to nobody else and to
/// stay: binds the folder to itself as a private mount if it is not one yet.
///
/// # Errors
/// [`NetnsError`].
pub fn make_private(dir: &Path) -> Result<(), NetnsError> {
    rustix::mount::mount_bind(dir, dir).map_err(|e| err("bind", dir)(e.into()))?;
    rustix::mount::mount_change(dir, MountPropagationFlags::PRIVATE).map_err(|e| err("bind", dir)(e.into()))
}

fn on_own_thread<T: Send>(path: &Path, work: impl FnOnce() -> Result<T, NetnsError> + Send) -> Result<T, NetnsError> {
    std::thread::scope(|s| {
        let handle =
            std::thread::Builder::new().name("netns".into()).spawn_scoped(s, work).map_err(err("enter", path))?;
        match handle.join() {
            Ok(r) => r,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn made_entered_and_deleted() {
        if !root() {
            return;
        }
        let d = tempfile::tempdir().unwrap();
        let p = d.path().join("pod");
        assert!(!exists(&p));
        create(&p).unwrap();
        assert!(exists(&p));
        assert_eq!(create(&p).unwrap_err().operation, "create");
        let inside = run_in(&p, || fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap();
        assert_ne!(inside, fs::read_link("/proc/thread-self/ns/net").unwrap());
        let devices = run_in(&p, || fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
        assert_eq!(devices.lines().count(), 3, "only lo: {devices}");
        delete(&p).unwrap();
        delete(&p).unwrap();
        assert!(!p.exists());
    }

    #[test]
    fn entering_what_is_no_namespace_fails_with_the_path() {
        let d = tempfile::tempdir().unwrap();
        let p = d.path().join("plain");
        fs::write(&p, b"").unwrap();
        assert!(run_in(&p, || ()).unwrap_err().to_string().contains("plain"));
    }
}
