//! Mounts, with the kernel's own words when one fails.
//!
//! File systems are made through the mount API's contexts (`fsopen` and
//! friends), because only these say why: "erofs: Unknown symbol" instead of
//! `EINVAL`. Kernel 6.12 mounts EROFS straight from a regular file; overlay
//! layers are still passed as paths.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

pub use rustix::mount::{MountAttrFlags, MountFlags, UnmountFlags};
use rustix::{
    fs::CWD,
    io::Errno,
    mount::{self as sys, FsMountFlags, FsOpenFlags, MoveMountFlags},
};

/// A mount operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {what} at {at}{}", if .kernel.is_empty() { String::new() } else { format!(" (kernel: {})", .kernel) })]
pub struct MountError {
    /// `mount`, `bind`, `move`, `unmount`, `remount`.
    pub operation: &'static str,
    /// File system and source, or the option that was refused.
    pub what: String,
    /// Mount point.
    pub at: String,
    /// What the kernel wrote into the file system context; may be empty.
    pub kernel: String,
    /// Error number.
    #[source]
    pub source: io::Error,
}

fn err<'a>(operation: &'static str, what: impl Into<String>, at: &'a Path) -> impl FnOnce(Errno) -> MountError + 'a {
    let what = what.into();
    move |e| MountError { operation, what, at: at.display().to_string(), kernel: String::new(), source: e.into() }
}

/// A file system to be mounted: type, options, flags.
#[derive(Debug, Clone)]
pub struct NewFs<'a> {
    /// Type, such as `ext4`.
    pub fs_type: &'a str,
    /// Options in the order in which they are given; an empty value is a flag.
    pub options: Vec<(&'a str, &'a str)>,
    /// Attributes of the mount.
    pub attributes: MountAttrFlags,
}

impl NewFs<'_> {
    /// Make the file system and mount it at `at`, an existing folder.
    ///
    /// # Errors
    /// [`MountError`] with the refused option and the kernel's messages.
    pub fn mount_at(&self, at: &Path) -> Result<(), MountError> {
        let what = || {
            let source = self.options.iter().find(|(k, _)| *k == "source").map_or("", |(_, v)| v);
            format!("{} {source}", self.fs_type).trim_end().to_owned()
        };
        let ctx = sys::fsopen(self.fs_type, FsOpenFlags::FSOPEN_CLOEXEC).map_err(err("mount", what(), at))?;
        let said =
            |what: String, e: Errno| MountError { kernel: kernel_messages(ctx.as_fd()), ..err("mount", what, at)(e) };
        for (key, value) in &self.options {
            let set = match *value {
                "" => sys::fsconfig_set_flag(ctx.as_fd(), *key),
                value => sys::fsconfig_set_string(ctx.as_fd(), *key, value),
            };
            set.map_err(|e| said(format!("{} with {key}={value}", what()), e))?;
        }
        sys::fsconfig_create(ctx.as_fd()).map_err(|e| said(what(), e))?;
        let fd: OwnedFd =
            sys::fsmount(ctx.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, self.attributes).map_err(|e| said(what(), e))?;
        sys::move_mount(fd.as_fd(), "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(err(
            "mount",
            what(),
            at,
        ))
    }
}

/// What the kernel has to say about a file system context, one line.
fn kernel_messages(ctx: BorrowedFd<'_>) -> String {
    let mut out = Vec::new();
    let mut buf = [0u8; 1024];
    while let Ok(n) = rustix::io::read(ctx, &mut buf) {
        if n == 0 || out.len() >= 16 {
            break;
        }
        out.push(String::from_utf8_lossy(&buf[..n]).trim().to_owned());
    }
    out.join("; ")
}

/// Mount block device `device` as `fs_type` with comma-separated `data`.
///
/// # Errors
/// [`MountError`].
pub fn mount_device(
    fs_type: &str,
    device: &Path,
    at: &Path,
    attributes: MountAttrFlags,
    data: &str,
) -> Result<(), MountError> {
    let source = device.display().to_string();
    let mut options = vec![("source", source.as_str())];
    if attributes.contains(MountAttrFlags::MOUNT_ATTR_RDONLY) {
        options.push(("ro", ""));
    }
    options.extend(data.split(',').filter(|o| !o.is_empty()).map(|o| o.split_once('=').unwrap_or((o, ""))));
    NewFs { fs_type, options, attributes }.mount_at(at)
}

/// Mount a virtual file system (`proc`, `sysfs`, `devtmpfs`, `tmpfs`) with
/// comma-separated `data`. One that is mounted there already is fine for the
/// kernel's single-instance file systems.
///
/// # Errors
/// [`MountError`].
pub fn mount_virtual(fs_type: &str, at: &Path, attributes: MountAttrFlags, data: &str) -> Result<(), MountError> {
    let mut options = vec![("source", fs_type)];
    options.extend(data.split(',').filter(|o| !o.is_empty()).map(|o| o.split_once('=').unwrap_or((o, ""))));
    NewFs { fs_type, options, attributes }.mount_at(at)
}

/// Mount an EROFS image straight from the regular file behind `image`.
///
/// # Errors
/// [`MountError`].
pub fn mount_erofs(image: BorrowedFd<'_>, at: &Path) -> Result<(), MountError> {
    // The kernel keeps the file open; the path is only used during the call.
    let source = format!("/proc/self/fd/{}", image.as_raw_fd());
    NewFs {
        fs_type: "erofs",
        options: vec![("source", &source), ("ro", "")],
        attributes: MountAttrFlags::MOUNT_ATTR_RDONLY,
    }
    .mount_at(at)
}

/// Mount a composefs tree read-only at `at`: the EROFS image behind `image` is
/// mounted at `lower_at` and overlaid with `objects` as data-only layer. The
/// kernel compares every file's fs-verity digest with the one in the image
/// (`verity=require`). `lower_at` can be detached afterwards.
///
/// # Errors
/// [`MountError`]; `lower_at` is unmounted again.
pub fn mount_composefs(image: BorrowedFd<'_>, objects: &Path, lower_at: &Path, at: &Path) -> Result<(), MountError> {
    mount_erofs(image, lower_at)?;
    let (lower, data) = (lower_at.display().to_string(), objects.display().to_string());
    let options = vec![
        ("source", "composefs"),
        ("ro", ""),
        ("metacopy", "on"),
        ("redirect_dir", "on"),
        ("verity", "require"),
        ("lowerdir+", lower.as_str()),
        ("datadir+", data.as_str()),
    ];
    let mounted = NewFs { fs_type: "overlay", options, attributes: MountAttrFlags::MOUNT_ATTR_RDONLY }.mount_at(at);
    if mounted.is_err() {
        let _ = unmount_detach(lower_at);
    }
    mounted
}

/// Overlay the folder `lower` with the writable `upper` and `work`, at `at`.
///
/// # Errors
/// [`MountError`].
pub fn mount_overlay(
    lower: &Path,
    upper: &Path,
    work: &Path,
    at: &Path,
    attributes: MountAttrFlags,
) -> Result<(), MountError> {
    let [lower, upper, work] = [lower, upper, work].map(|p| p.display().to_string());
    let options = vec![("source", "overlay"), ("lowerdir+", &lower), ("upperdir", &upper), ("workdir", &work)];
    NewFs { fs_type: "overlay", options, attributes }.mount_at(at)
}

/// Bind `from` to `to`.
///
/// # Errors
/// [`MountError`].
pub fn bind(from: &Path, to: &Path) -> Result<(), MountError> {
    sys::mount_bind(from, to).map_err(err("bind", from.display().to_string(), to))
}

/// Bind `from` to `to` with mount flags of its own (`NOSUID`, `NODEV`, …).
///
/// # Errors
/// [`MountError`]; nothing stays mounted.
pub fn bind_with(from: &Path, to: &Path, flags: MountFlags) -> Result<(), MountError> {
    bind(from, to)?;
    let set = remount(to, flags | MountFlags::BIND);
    if set.is_err() {
        let _ = unmount_detach(to);
    }
    set
}

/// Change the flags of the mount at `at`.
///
/// # Errors
/// [`MountError`].
pub fn remount(at: &Path, flags: MountFlags) -> Result<(), MountError> {
    sys::mount_remount(at, flags, "").map_err(err("remount", format!("{flags:?}"), at))
}

/// Move the mount at `from` to `to`.
///
/// # Errors
/// [`MountError`].
pub fn move_to(from: &Path, to: &Path) -> Result<(), MountError> {
    sys::mount_move(from, to).map_err(err("move", from.display().to_string(), to))
}

/// Unmount; fails while the mount is in use.
///
/// # Errors
/// [`MountError`].
pub fn unmount(at: &Path) -> Result<(), MountError> {
    sys::unmount(at, UnmountFlags::NOFOLLOW).map_err(err("unmount", "the file system", at))
}

/// Take the mount out of the tree now; it ends when its last user is gone.
///
/// # Errors
/// [`MountError`].
pub fn unmount_detach(at: &Path) -> Result<(), MountError> {
    sys::unmount(at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).map_err(err("unmount", "the file system", at))
}

/// Is something mounted exactly at `at`? Reads `/proc/self/mountinfo`.
///
/// # Errors
/// I/O errors of reading it.
pub fn is_mount_point(at: &Path) -> io::Result<bool> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(mountinfo_has(&table, &at.display().to_string()))
}

fn mountinfo_has(table: &str, at: &str) -> bool {
    table.lines().any(|l| l.split(' ').nth(4).is_some_and(|m| unescape(m) == at))
}

/// Undo the octal escapes of mountinfo (`\040` and the like).
fn unescape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut rest = s;
    while let Some(i) = rest.find('\\') {
        out.push_str(&rest[..i]);
        match rest.get(i + 1..i + 4).and_then(|o| u8::from_str_radix(o, 8).ok()) {
            Some(c) => {
                out.push(c as char);
                rest = &rest[i + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[i + 1..];
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn mountinfo_lines() {
        let t = "22 1 8:1 / / rw - ext4 /dev/vda rw\n30 22 0:5 / /run/a\\040b rw shared:2 - tmpfs t rw\n";
        assert!(mountinfo_has(t, "/"));
        assert!(mountinfo_has(t, "/run/a b"));
        assert!(!mountinfo_has(t, "/run"));
        assert_eq!(unescape("a\\"), "a\\");
    }

    #[test]
    fn a_refused_option_is_named_with_the_mount_point() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let d = tempfile::tempdir().unwrap();
        let e = mount_virtual("tmpfs", d.path(), MountAttrFlags::empty(), "size=1m,bogus=7").unwrap_err();
        let text = e.to_string();
        assert!(text.contains("bogus=7") && text.contains(&d.path().display().to_string()), "{text}");
        assert!(text.contains("kernel: ") && text.contains("tmpfs"), "{text}");
    }

    #[test]
    fn tmpfs_bind_move_unmount() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let d = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|n| d.path().join(n));
        for p in [&a, &b, &c] {
            std::fs::create_dir(p).unwrap();
        }
        // A tree of our own, because moves out of a shared parent are refused.
        bind(d.path(), d.path()).unwrap();
        sys::mount_change(d.path(), sys::MountPropagationFlags::PRIVATE).unwrap();
        mount_virtual("tmpfs", &a, MountAttrFlags::MOUNT_ATTR_NODEV, "size=1m,mode=0755").unwrap();
        std::fs::write(a.join("x"), b"1").unwrap();
        bind_with(&a, &b, MountFlags::RDONLY).unwrap();
        assert_eq!(std::fs::write(b.join("y"), b"").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
        move_to(&a, &c).unwrap();
        assert!(c.join("x").exists() && !a.join("x").exists());
        assert!(is_mount_point(&c).unwrap());
        unmount(&c).unwrap();
        unmount(&b).unwrap();
        unmount_detach(d.path()).unwrap();
    }
}
