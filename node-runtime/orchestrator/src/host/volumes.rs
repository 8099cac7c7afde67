//! Volumes on the disk: folders, files that change as a whole, parts of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{PermissionsExt, chown, symlink},
    },
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail};
use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::{Mode, mkdirat},
};
use skerry_platform::mount;

use crate::desired::VolumeFile;

/// tmpfs without a limit of its own gets this one.
const MEMORY_BYTES_DEFAULT: u64 = 64 << 20;

/// An emptyDir.
pub(super) fn empty_dir(at: &Path, memory: bool, limit: Option<u64>, group: Option<u32>) -> anyhow::Result<()> {
    fs::create_dir_all(at)?;
    if memory && !mount::is_mount_point(at)? {
        // Without a limit a volume could take all memory of the node.
        let size = limit.unwrap_or(MEMORY_BYTES_DEFAULT);
        let flags = mount::MountAttrFlags::MOUNT_ATTR_NOSUID | mount::MountAttrFlags::MOUNT_ATTR_NODEV;
        mount::mount_virtual("tmpfs", at, flags, &format!("size={size},mode=0777"))?;
    }
    // Any user of the pod may write, as with the kubelet.
    if group.is_some() {
        chown(at, None, group)?;
    }
    fs::set_permissions(at, fs::Permissions::from_mode(if group.is_some() { 0o2777 } else { 0o777 }))?;
    Ok(())
}

/// A hostPath; `kind` says what must be there or is made.
pub(super) fn host_path(path: &Path, kind: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        "DirectoryOrCreate" => fs::create_dir_all(path)?,
        "FileOrCreate" if !path.exists() => drop(fs::File::create_new(path)?),
        _ => {}
    }
    let found = fs::metadata(path).map(|m| m.file_type()).ok();
    let fits = match (kind, found) {
        ("", _) => true,
        (_, None) => false,
        ("Directory" | "DirectoryOrCreate", Some(t)) => t.is_dir(),
        ("File" | "FileOrCreate", Some(t)) => t.is_file(),
        ("Socket", Some(t)) => t.is_socket(),
        ("CharDevice", Some(t)) => t.is_char_device(),
        ("BlockDevice", Some(t)) => t.is_block_device(),
        _ => false,
    };
    if !fits {
        bail!("hostPath type check failed: {} is not a {kind}", path.display());
    }
    Ok(())
}

/// The name of the link that all visible files go through.
const DATA: &str = "..data";

/// Make `dir` hold exactly these files. Readers see all old or all new ones:
/// the files lie in a folder of their own, the link `..data` leads to it and is
/// replaced at once, and what is visible are links through it. Nothing is
/// written if nothing changed.
pub(super) fn write_files(
    dir: &Path,
    files: &BTreeMap<String, VolumeFile>,
    group: Option<u32>,
) -> anyhow::Result<bool> {
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    let old = fs::read_link(dir.join(DATA)).ok();
    let tops: BTreeSet<&str> = files.keys().filter_map(|k| k.split('/').next()).collect();
    if old.as_ref().is_some_and(|old| same(&dir.join(old), files)) {
        links(dir, &tops)?;
        return Ok(false);
    }
    let name = (0..).map(|n| format!("..{n}")).find(|n| !dir.join(n).exists()).unwrap_or_default();
    let new = dir.join(&name);
    for (path, file) in files {
        let at = new.join(path);
        fs::create_dir_all(at.parent().unwrap_or(&new))?;
        fs::write(&at, &file.data).with_context(|| format!("writing {}", at.display()))?;
        // The group of the pod may read what its owner may.
        let mode = file.mode | if group.is_some() { 0o440 } else { 0 };
        chown(&at, None, group)?;
        fs::set_permissions(&at, fs::Permissions::from_mode(mode))?;
    }
    fs::create_dir_all(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    let temporary = dir.join("..data_tmp");
    let _ = fs::remove_file(&temporary);
    symlink(&name, &temporary)?;
    fs::rename(&temporary, dir.join(DATA))?;
    links(dir, &tops)?;
    if let Some(old) = old {
        fs::remove_dir_all(dir.join(old))?;
    }
    Ok(true)
}

/// Links for what is visible; those that lead nowhere go.
fn links(dir: &Path, tops: &BTreeSet<&str>) -> io::Result<()> {
    for top in tops {
        match symlink(Path::new(DATA).join(top), dir.join(top)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    for entry in fs::read_dir(dir)?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !tops.contains(name.as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn same(dir: &Path, files: &BTreeMap<String, VolumeFile>) -> bool {
    let mode = |p: &Path| fs::metadata(p).map(|m| m.permissions().mode() & 0o777).unwrap_or(0);
    let fits = |(path, file): (&String, &VolumeFile)| {
        let at = dir.join(path);
        fs::read(&at).is_ok_and(|d| d == file.data) && mode(&at) & file.mode == file.mode
    };
    files.iter().all(fits) && count(dir) == files.len()
}

fn count(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| if e.path().is_dir() { count(&e.path()) } else { 1 }).sum()
}

/// Bind the part `sub` of `volume` to `at`, so that no link inside the volume,
/// which the pod may write, can lead out of it. Missing folders are made.
pub(super) fn bind_part(volume: &Path, sub: &str, at: &Path) -> anyhow::Result<()> {
    let inside = Path::new(sub).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !inside {
        bail!("subPath {sub:?} is not a path inside the volume");
    }
    let root = fs::File::open(volume).with_context(|| format!("opening {}", volume.display()))?;
    let part = open_part(&root, Path::new(sub)).with_context(|| format!("subPath {sub:?}"))?;
    let from = PathBuf::from(format!("/proc/self/fd/{}", part.as_raw_fd()));
    if mount::is_mount_point(at).unwrap_or(false) {
        mount::unmount_detach(at)?;
    }
    if let Some(dir) = at.parent() {
        fs::create_dir_all(dir)?;
    }
    if fs::metadata(&from)?.is_dir() {
        fs::create_dir_all(at)?;
    } else if !at.exists() {
        fs::write(at, b"")?;
    }
    mount::bind(&from, at)?;
    Ok(())
}

fn open_part(root: &fs::File, sub: &Path) -> io::Result<OwnedFd> {
    let how = || OpenHow::new().flags(OFlag::O_PATH).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let mut done = PathBuf::new();
    for part in sub.components().filter(|c| matches!(c, Component::Normal(_))) {
        let above = if done.as_os_str().is_empty() { Path::new(".") } else { done.as_path() };
        let parent = openat2(root, above, how())?;
        done.push(part);
        if matches!(openat2(root, &done, how()), Err(Errno::ENOENT)) {
            mkdirat(&parent, part.as_os_str(), Mode::from_bits_truncate(0o750))?;
        }
    }
    Ok(openat2(root, &done, how())?)
}

/// Unmount everything below `dir`, then remove it. Refuses to remove anything
/// while a mount is left: it could be somebody's data.
pub(super) fn remove_tree(dir: &Path) -> anyhow::Result<()> {
    for at in mounts_below(dir)?.iter().rev() {
        mount::unmount_detach(at)?;
    }
    if let Some(left) = mounts_below(dir)?.first() {
        bail!("{} is still mounted", left.display());
    }
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|l| l.split(' ').nth(4)).map(|p| PathBuf::from(p.replace("\\040", " ")));
    Ok(points.filter(|p| p.starts_with(dir)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, VolumeFile> {
        list.iter().map(|(k, v)| ((*k).into(), VolumeFile { data: (*v).into(), mode: 0o640 })).collect()
    }

    #[test]
    fn files_change_as_a_whole_and_only_when_they_differ() {
        let d = tempfile::tempdir().unwrap();
        let dir = d.path().join("v");
        assert!(write_files(&dir, &files(&[("a", "1"), ("sub/b", "2")]), None).unwrap());
        assert_eq!(fs::read_to_string(dir.join("sub/b")).unwrap(), "2");
        assert_eq!(fs::metadata(dir.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        let before = fs::read_link(dir.join(DATA)).unwrap();
        assert!(!write_files(&dir, &files(&[("a", "1"), ("sub/b", "2")]), None).unwrap());
        assert_eq!(fs::read_link(dir.join(DATA)).unwrap(), before);
        assert!(write_files(&dir, &files(&[("a", "3")]), None).unwrap());
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "3");
        let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["..1", "..data", "a"]);
        write_files(&dir, &files(&[]), None).unwrap();
        assert!(!dir.join("a").exists() && dir.join(DATA).is_dir());
    }

    #[test]
    fn no_link_leads_out_of_a_volume() {
        let d = tempfile::tempdir().unwrap();
        fs::create_dir_all(d.path().join("v/real")).unwrap();
        fs::create_dir_all(d.path().join("secret")).unwrap();
        symlink("../secret", d.path().join("v/up")).unwrap();
        symlink("/etc", d.path().join("v/etc")).unwrap();
        let root = fs::File::open(d.path().join("v")).unwrap();
        assert!(open_part(&root, Path::new("real")).is_ok());
        assert!(open_part(&root, Path::new("new/folder")).is_ok());
        assert!(d.path().join("v/new/folder").is_dir());
        assert!(open_part(&root, Path::new("up")).is_err());
        assert!(open_part(&root, Path::new("etc")).is_err());
        assert!(bind_part(&d.path().join("v"), "../secret", &d.path().join("at")).is_err());
    }

    #[test]
    fn a_host_path_must_be_what_it_says() {
        let d = tempfile::tempdir().unwrap();
        let at = |n: &str| d.path().join(n);
        host_path(&at("new/dir"), "DirectoryOrCreate").unwrap();
        host_path(&at("file"), "FileOrCreate").unwrap();
        for (path, kind, ok) in [
            ("new/dir", "Directory", true),
            ("file", "Directory", false),
            ("file", "File", true),
            ("file", "Socket", false),
            ("nothing", "", true),
            ("nothing", "File", false),
        ] {
            assert_eq!(host_path(&at(path), kind).is_ok(), ok, "{path} {kind}");
        }
    }
}
