//! Project quotas: a folder and all in it count as one and have a limit.
//!
//! The project of a folder is its inode number. No two folders share one, it
//! lives as long as the folder, and it is read back from the folder, so nobody
//! keeps a list. What is made in the folder inherits the project; what is
//! renamed stays in it.
//!
//! A quota guards against accidents, not against malice: the kernel lets the
//! owner of a file change its project.
//!
//! Source: quotactl(2), `include/uapi/linux/{fs,quota}.h`, and ext4's
//! documentation of the features `quota` and `project`.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::{OFlag, open, openat},
    libc,
    sys::stat::{Mode, fstat},
};

/// `PRJQUOTA`.
const PROJECTS: libc::c_int = 2;
/// Limits are counted in these.
const BLOCK_BYTES: u64 = 1024;
/// `FS_XFLAG_PROJINHERIT`.
const INHERIT: u32 = 0x200;
/// Nothing is opened through a link, nor waited for.
const HOW: OFlag = OFlag::O_RDONLY.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);
/// Folders within folders that are gone into.
const DEPTH_MAX: u32 = 128;

mod ioctl {
    #![allow(missing_docs)]

    /// `struct fsxattr` of `linux/fs.h`.
    #[repr(C)]
    #[derive(Debug, Clone, Copy, Default)]
    pub struct FsXattr {
        pub xflags: u32,
        pub extsize: u32,
        pub nextents: u32,
        pub projid: u32,
        pub cowextsize: u32,
        pub pad: [u8; 8],
    }

    // FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR.
    nix::ioctl_read!(get_xattr, b'X', 31, FsXattr);
    nix::ioctl_write_ptr!(set_xattr, b'X', 32, FsXattr);
}

/// What a folder takes and may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Bytes in use.
    pub used_bytes: u64,
    /// Limit in bytes.
    pub limit_bytes: Option<u64>,
}

/// Does the file system of `folder` count projects?
pub fn available(folder: &Path) -> bool {
    let mut format = 0u32;
    // Q_GETFMT fails where no quota of this type is on.
    open(folder, HOW | OFlag::O_DIRECTORY, Mode::empty())
        .is_ok_and(|fd| control(fd.as_fd(), libc::Q_GETFMT, 0, &raw mut format).is_ok())
}

/// Let `folder` and all in it take `bytes` at most; writes above fail with
/// `EDQUOT`. May be repeated, with another limit too. A folder that has files
/// from before it had a limit is gone through once.
///
/// # Errors
/// No quotas on this file system, or an I/O error.
pub fn limit(folder: &Path, bytes: u64) -> io::Result<()> {
    let root = open(folder, HOW | OFlag::O_DIRECTORY, Mode::empty())?;
    let id = own(&root)?;
    // The limit comes last: where there is one, all else is done.
    if project(&root)? != id || read(&root, id)?.dqb_bhardlimit == 0 {
        enter(&root, id)?;
        below(&root, id, DEPTH_MAX)?;
    }
    set(&root, id, bytes.div_ceil(BLOCK_BYTES).max(1))
}

/// Let it take what it wants; for a folder that goes.
///
/// # Errors
/// As [`limit`].
pub fn release(folder: &Path) -> io::Result<()> {
    let root = open(folder, HOW | OFlag::O_DIRECTORY, Mode::empty())?;
    let id = own(&root)?;
    if project(&root)? == id { set(&root, id, 0) } else { Ok(()) }
}

/// What a folder with a limit takes.
///
/// # Errors
/// As [`limit`].
pub fn share(folder: &Path) -> io::Result<Share> {
    let root = open(folder, HOW | OFlag::O_DIRECTORY, Mode::empty())?;
    let found = read(&root, own(&root)?)?;
    let limit = Some(found.dqb_bhardlimit.saturating_mul(BLOCK_BYTES)).filter(|l| *l > 0);
    Ok(Share { used_bytes: found.dqb_curspace, limit_bytes: limit })
}

/// The project of a folder of its own.
fn own(folder: &OwnedFd) -> io::Result<u32> {
    u32::try_from(fstat(folder)?.st_ino).map_err(|_| io::Error::other("its inode number is too large for a project"))
}

fn project(file: &OwnedFd) -> io::Result<u32> {
    Ok(attributes(file)?.projid)
}

fn attributes(file: &OwnedFd) -> io::Result<ioctl::FsXattr> {
    let mut found = ioctl::FsXattr::default();
    // SAFETY: the kernel writes one `struct fsxattr`, which lives until after
    // the call.
    #[expect(unsafe_code, reason = "ioctl")]
    unsafe { ioctl::get_xattr(file.as_raw_fd(), &raw mut found) }?;
    Ok(found)
}

/// Move a file or folder to a project; what is made in a folder follows.
fn enter(file: &OwnedFd, id: u32) -> io::Result<()> {
    let folder = nix::sys::stat::SFlag::from_bits_truncate(fstat(file)?.st_mode) & nix::sys::stat::SFlag::S_IFMT
        == nix::sys::stat::SFlag::S_IFDIR;
    let mut new = attributes(file)?;
    new.projid = id;
    if folder {
        new.xflags |= INHERIT;
    }
    // SAFETY: the kernel reads one `struct fsxattr`, which lives until after
    // the call.
    #[expect(unsafe_code, reason = "ioctl")]
    unsafe { ioctl::set_xattr(file.as_raw_fd(), &raw const new) }?;
    Ok(())
}

/// Move what is in a folder. Links, sockets and the like cannot be moved and
/// take next to nothing.
fn below(folder: &OwnedFd, id: u32, depth: u32) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other("folders lie too deep within each other"));
    }
    for entry in Dir::from_fd(folder.try_clone()?)?.into_iter() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_folder = entry.file_type() == Some(Type::Directory);
        if !is_folder && entry.file_type() != Some(Type::File) {
            continue;
        }
        let inner = match openat(folder, name, HOW, Mode::empty()) {
            // Gone since it was listed, or a link by now.
            Err(Errno::ENOENT | Errno::ELOOP) => continue,
            other => other?,
        };
        enter(&inner, id)?;
        if is_folder {
            below(&inner, id, depth - 1)?;
        }
    }
    Ok(())
}

fn read(folder: &OwnedFd, id: u32) -> io::Result<libc::dqblk> {
    let mut found = none();
    control(folder.as_fd(), libc::Q_GETQUOTA, id, &raw mut found)?;
    Ok(found)
}

fn set(folder: &OwnedFd, id: u32, blocks: u64) -> io::Result<()> {
    let mut new = libc::dqblk { dqb_bhardlimit: blocks, dqb_valid: libc::QIF_BLIMITS, ..none() };
    control(folder.as_fd(), libc::Q_SETQUOTA, id, &raw mut new)
}

fn none() -> libc::dqblk {
    libc::dqblk {
        dqb_bhardlimit: 0,
        dqb_bsoftlimit: 0,
        dqb_curspace: 0,
        dqb_ihardlimit: 0,
        dqb_isoftlimit: 0,
        dqb_curinodes: 0,
        dqb_btime: 0,
        dqb_itime: 0,
        dqb_valid: 0,
    }
}

/// `quotactl_fd`: the file system is that of `at`. `T` is what `command` takes.
fn control<T>(at: BorrowedFd<'_>, command: libc::c_int, id: u32, value: *mut T) -> io::Result<()> {
    let command = libc::QCMD(command, PROJECTS);
    // SAFETY: Q_GETFMT writes one u32, Q_GETQUOTA and Q_SETQUOTA write and read
    // one `struct if_dqblk`, of which `libc::dqblk` is the declaration; all
    // callers pass that and keep it alive.
    #[expect(unsafe_code, reason = "a system call without wrapper")]
    let done = unsafe { libc::syscall(libc::SYS_quotactl_fd, at.as_raw_fd(), command, id, value) };
    Errno::result(done).map(drop).map_err(Into::into)
}
