//! Root file systems: an app's EROFS image, mounted once per node, and the
//! options of each container's overlay on it.

use std::{
    fs::{self, File},
    io::Read as _,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use skerry_formats::{ObjectDigest, digest::FsVerityHasher};
use skerry_platform::{fsverity, mount};

use crate::{config::AppRoots, containerd::Rootfs, desired::Container};

/// Why an app's root is not usable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootfsError {
    /// A file or folder could not be opened or made.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The image is not what its name says. Never mounted.
    #[error("app image {path} is not sealed as {expected} (measured: {measured}); it was changed or damaged")]
    NotSealed {
        /// The object.
        path: PathBuf,
        /// Its name.
        expected: ObjectDigest,
        /// What the kernel measured.
        measured: String,
    },
    /// The kernel could not measure it.
    #[error("measuring app image {path}: {source}")]
    Measure {
        /// The object.
        path: PathBuf,
        /// Why.
        source: fsverity::FsVerityError,
    },
    /// There is no image to take it from.
    #[error("container {0} has no image")]
    NoImage(String),
    /// The mount failed.
    #[error("{0}: {reason}", reason = .0.source)]
    Mount(#[from] mount::MountError),
}

fn io<'a>(operation: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> RootfsError + 'a {
    move |source| RootfsError::Io { operation, path: path.into(), source }
}

/// Make the root of `container` ready: app image mounted below `apps`, empty
/// writable layer in `layer`.
pub(crate) fn prepare(
    roots: &AppRoots,
    apps: &Path,
    layer: &Path,
    container: &Container,
) -> Result<Rootfs, RootfsError> {
    let lower = match roots {
        AppRoots::Folders(dir) => vec![format!("lowerdir={}", dir.join(&container.app).display())],
        AppRoots::Objects(objects) => image_lower(&[(objects, Sealed::Yes)], apps, container)?,
        AppRoots::ObjectsAndPulled { objects, pulled, pulled_sealed } => {
            let sealed = if *pulled_sealed { Sealed::Yes } else { Sealed::No };
            image_lower(&[(objects, Sealed::Yes), (pulled, sealed)], apps, container)?
        }
    };
    // A restarted container starts from its image, as in Kubernetes.
    match fs::remove_dir_all(layer) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("empty", layer)(e)),
        _ => {}
    }
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    for dir in [&upper, &work] {
        fs::create_dir_all(dir).map_err(io("create", dir))?;
    }
    let own = [format!("upperdir={}", upper.display()), format!("workdir={}", work.display())];
    Ok(Rootfs { kind: "overlay".into(), source: "overlay".into(), options: lower.into_iter().chain(own).collect() })
}

/// Are the objects of a folder sealed with fs-verity?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sealed {
    Yes,
    /// The file system cannot; only for pulled images.
    No,
}

/// The overlay's options for the image of a container, which is an object of the
/// first folder that has it. A baked image never depends on later folders.
fn image_lower(folders: &[(&PathBuf, Sealed)], apps: &Path, container: &Container) -> Result<Vec<String>, RootfsError> {
    let digest = container.composefs.as_ref().ok_or_else(|| RootfsError::NoImage(container.name.clone()))?;
    let has = |(folder, _): &(&PathBuf, Sealed)| folder.join(digest.object_path()).exists();
    let used = &folders[..=folders.iter().position(has).unwrap_or(0)];
    let (folder, sealed) = used[used.len() - 1];
    let at = mount_image(folder, sealed, apps, digest)?;
    let data: String = used.iter().map(|(folder, _)| format!("::{}", folder.display())).collect();
    let mut options = vec![format!("lowerdir={}{data}", at.display()), "metacopy=on".into(), "redirect_dir=on".into()];
    if sealed == Sealed::Yes {
        options.push("verity=require".into());
    }
    Ok(options)
}

/// Mount point of the app image, mounted if it was not.
fn mount_image(objects: &Path, sealed: Sealed, apps: &Path, digest: &ObjectDigest) -> Result<PathBuf, RootfsError> {
    let at = apps.join(digest.to_hex());
    if mount::is_mount_point(&at).map_err(io("look for", &at))? {
        return Ok(at);
    }
    let path = objects.join(digest.object_path());
    // Measured and mounted through one open file: what was checked is what
    // gets mounted.
    let file = File::open(&path).map_err(io("open", &path))?;
    let measured = match sealed {
        Sealed::Yes => {
            fsverity::measure(&file).map_err(|source| RootfsError::Measure { path: path.clone(), source })?
        }
        Sealed::No => Some(digest_of(&file).map_err(io("read", &path))?),
    };
    if measured != Some(*digest) {
        let measured = measured.map_or("not sealed".into(), |d| d.to_string());
        return Err(RootfsError::NotSealed { path, expected: *digest, measured });
    }
    fs::create_dir_all(&at).map_err(io("create", &at))?;
    mount::mount_erofs(file.as_fd(), &at)?;
    Ok(at)
}

/// The digest of a file that the kernel cannot measure, from its content.
fn digest_of(mut file: &File) -> std::io::Result<ObjectDigest> {
    let (mut hasher, mut buffer) = (FsVerityHasher::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn container() -> Container {
        let yaml = crate::testing::deployment("web", 1, "Recreate", "1");
        crate::testing::desired(&yaml).pods.into_values().next().unwrap().containers.remove(0)
    }

    #[test]
    fn an_image_that_is_not_sealed_is_never_mounted() {
        let d = tempfile::tempdir().unwrap();
        let (c, objects) = (container(), d.path().join("objects"));
        let object = objects.join(c.composefs.unwrap().object_path());
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(&object, b"not an image").unwrap();
        let (apps, layer) = (d.path().join("apps"), d.path().join("layer"));
        let e = prepare(&AppRoots::Objects(objects), &apps, &layer, &c).unwrap_err();
        assert!(matches!(e, RootfsError::NotSealed { .. }), "{e}");
        assert!(e.to_string().contains("measured: not sealed"), "{e}");
        assert!(!apps.exists() && !layer.exists());
    }

    #[test]
    fn a_pulled_image_with_other_content_is_never_mounted() {
        let d = tempfile::tempdir().unwrap();
        let (c, pulled) = (container(), d.path().join("pulled"));
        let object = pulled.join(c.composefs.unwrap().object_path());
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(&object, b"not an image").unwrap();
        for (pulled_sealed, found) in
            [(true, "not sealed".to_string()), (false, skerry_formats::fsverity_digest(b"not an image").to_string())]
        {
            let roots =
                AppRoots::ObjectsAndPulled { objects: d.path().join("none"), pulled: pulled.clone(), pulled_sealed };
            let e = prepare(&roots, &d.path().join("apps"), &d.path().join("layer"), &c).unwrap_err();
            assert!(e.to_string().contains(&format!("measured: {found}")), "{e}");
        }
    }

    #[test]
    fn a_missing_image_is_named() {
        let d = tempfile::tempdir().unwrap();
        let e = prepare(&AppRoots::Objects(d.path().into()), d.path(), d.path(), &container()).unwrap_err();
        assert!(e.to_string().starts_with("cannot open"), "{e}");
    }

    #[test]
    fn a_restart_begins_with_an_empty_layer() {
        let d = tempfile::tempdir().unwrap();
        let layer = d.path().join("layer");
        fs::create_dir_all(layer.join("upper")).unwrap();
        fs::write(layer.join("upper/left-over"), b"").unwrap();
        let roots = AppRoots::Folders("/apps".into());
        let root = prepare(&roots, d.path(), &layer, &container()).unwrap();
        assert_eq!(fs::read_dir(layer.join("upper")).unwrap().count(), 0);
        assert_eq!(root.options[0], "lowerdir=/apps/hello");
    }
}
