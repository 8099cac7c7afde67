//! `fsGroup`: a volume belongs to the group of the pod.
//!
//! Source: Kubernetes, `pkg/volume/volume_linux.go`, for the permissions.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use nix::{
    dir::{Dir, Type},
    fcntl::{AtFlags, OFlag, open, openat},
    sys::stat::{Mode, SFlag, fchmod, fstat},
    unistd::{Gid, fchown, fchownat},
};

/// Nothing is opened through a link: pods that run may change the volume
/// meanwhile. Nor is anything waited for, such as the other end of a FIFO.
const HOW: OFlag = OFlag::O_RDONLY.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);
/// What the group may do with files, and with folders.
const FILE: Mode = Mode::from_bits_truncate(0o660);
const FOLDER: Mode = Mode::from_bits_truncate(0o2770);
/// Folders within folders that are gone into.
const DEPTH_MAX: u32 = 128;

/// Give everything in `dir` to `group`. With `only_on_mismatch` nothing is
/// looked at where `dir` itself is the group's.
pub(super) fn give(dir: &Path, group: u32, only_on_mismatch: bool) -> io::Result<()> {
    let root = open(dir, HOW | OFlag::O_DIRECTORY, Mode::empty())?;
    if only_on_mismatch && fits(&root, group)? {
        return Ok(());
    }
    // The root last: if this is cut short, it is seen that something is left.
    below(&root, Gid::from_raw(group), DEPTH_MAX)?;
    set(&root, Gid::from_raw(group), FOLDER)
}

fn fits(root: &OwnedFd, group: u32) -> io::Result<bool> {
    let stat = fstat(root)?;
    Ok(stat.st_gid == group && Mode::from_bits_truncate(stat.st_mode).contains(FOLDER))
}

fn set(at: &OwnedFd, group: Gid, add: Mode) -> io::Result<()> {
    let stat = fstat(at)?;
    if stat.st_gid != group.as_raw() {
        fchown(at, None, Some(group))?;
    }
    let mode = Mode::from_bits_truncate(stat.st_mode & !SFlag::S_IFMT.bits());
    // A change of the group takes set-user-id bits away; they stay away.
    Ok(fchmod(at, mode | add)?)
}

fn below(dir: &OwnedFd, group: Gid, depth: u32) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other("folders lie too deep within each other"));
    }
    for entry in Dir::from_fd(dir.try_clone()?)?.into_iter() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match entry.file_type() {
            Some(Type::Directory) => {
                let folder = openat(dir, name, HOW | OFlag::O_DIRECTORY, Mode::empty())?;
                below(&folder, group, depth - 1)?;
                set(&folder, group, FOLDER)?;
            }
            Some(Type::File) => set(&openat(dir, name, HOW, Mode::empty())?, group, FILE)?,
            // Links, sockets and the like only change hands.
            _ => fchownat(dir.as_fd(), name, None, Some(group), AtFlags::AT_SYMLINK_NOFOLLOW)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    };

    use super::*;

    #[test]
    fn a_claim_belongs_to_the_group() {
        // Another group can be given by root only; any can be kept.
        let root = nix::unistd::geteuid().is_root();
        let group = if root { 4242 } else { nix::unistd::getegid().as_raw() };
        let d = tempfile::tempdir().unwrap();
        let (claim, other) = (d.path().join("claim"), d.path().join("other"));
        fs::create_dir_all(claim.join("a/b")).unwrap();
        fs::write(claim.join("a/b/file"), "x").unwrap();
        fs::write(&other, "x").unwrap();
        for path in [&claim.join("a/b/file"), &other] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        symlink(&other, claim.join("link")).unwrap();
        give(&claim, group, false).unwrap();
        let facts = |p: &Path| fs::symlink_metadata(p).map(|m| (m.gid(), m.mode() & 0o7777)).unwrap();
        for folder in ["", "a", "a/b"] {
            assert_eq!(facts(&claim.join(folder)), (group, 0o2775), "{folder}");
        }
        assert_eq!(facts(&claim.join("a/b/file")), (group, 0o660));
        assert_eq!(facts(&claim.join("link")).0, group);
        assert_eq!(facts(&other).1, 0o600, "what a link leads to is not ours");

        // Its root fits: what was changed below stays so, if that is wanted.
        fs::set_permissions(claim.join("a/b/file"), fs::Permissions::from_mode(0o600)).unwrap();
        give(&claim, group, true).unwrap();
        assert_eq!(facts(&claim.join("a/b/file")).1, 0o600);
        give(&claim, group, false).unwrap();
        assert_eq!(facts(&claim.join("a/b/file")).1, 0o660);
    }
}
