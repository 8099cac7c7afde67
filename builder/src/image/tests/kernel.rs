//! The running kernel mounts what was built: ext4 with sealed objects, EROFS
//! from an object, overlay with `verity=require`. Needs root and loop devices.
//! Where the kernel has no fs-verity, the objects are plain files; the sealed
//! ones are proven by the boot tests.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use super::{HostTools, run, sealed, spec, tree};
use crate::{
    image::{Tools as _, system_fs},
    tree::model::Kind,
};

/// Mounts and loop devices that are undone in reverse order.
#[derive(Default)]
struct Mounts(Vec<(&'static str, String)>);

impl Mounts {
    fn add(&mut self, args: &[&str], at: &Path) {
        std::fs::create_dir_all(at).unwrap();
        let at = at.to_str().unwrap();
        let (ok, text) = run("mount", &[args, &[at]].concat());
        assert!(ok, "mount {args:?}: {text}");
        self.0.push(("umount", at.to_string()));
    }
}

impl Mounts {
    /// A read-only device: sealed files cannot be opened for writing.
    fn device(&mut self, file: &Path) -> String {
        let (ok, text) = run("losetup", &["--read-only", "--find", "--show", file.to_str().unwrap()]);
        assert!(ok, "{text}");
        self.0.push(("losetup", text.trim().to_string()));
        text.trim().to_string()
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for (undo, at) in self.0.iter().rev() {
            let args: &[&str] = if *undo == "losetup" { &["-d", at] } else { &[at] };
            let _ = HostTools.run(undo, args, &[]);
        }
    }
}

#[test]
fn kernel_mounts_the_tree_with_verity_required() {
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root || !Path::new("/dev/loop-control").exists() {
        eprintln!("skipped: needs root and loop devices");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let sealed = sealed("a");
    std::fs::create_dir(at("work")).unwrap();
    system_fs::build(&spec(&sealed.objects, &[]), &HostTools, &at("work"), &at("system")).unwrap();
    let mut mounts = Mounts::default();
    let system = mounts.device(&at("system"));
    mounts.add(&["-t", "ext4", "-o", "ro", &system], &at("sys"));
    let mut objects = at("sys/objects");
    let name = sealed.digest.object_path();
    let mut verity = ",verity=require";
    if std::fs::read(objects.join(&name)).is_err_and(|e| e.kind() == std::io::ErrorKind::Unsupported) {
        eprintln!("this kernel has no fs-verity: plain objects instead");
        objects = at("plain");
        verity = "";
        for (digest, object) in &sealed.objects {
            let path = objects.join(digest.object_path());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, object.content.read().unwrap()).unwrap();
        }
    }
    let erofs = mounts.device(&objects.join(&name));
    mounts.add(&["-t", "erofs", "-o", "ro", &erofs], &at("meta"));
    let options =
        format!("ro,metacopy=on,redirect_dir=on{verity},lowerdir={}::{}", at("meta").display(), objects.display());
    mounts.add(&["-t", "overlay", "-o", &options, "overlay"], &at("root"));
    for (path, entry) in &tree("a").entries {
        let path = at("root").join(path);
        let meta = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mtime()), (entry.uid, entry.gid, 0), "{path:?}");
        match &entry.kind {
            Kind::Dir => assert!(meta.is_dir()),
            Kind::Symlink(target) => assert_eq!(std::fs::read_link(&path).unwrap().to_str(), Some(target.as_str())),
            Kind::File(content) => {
                assert_eq!(meta.permissions().mode() & 0o7777, entry.mode);
                assert!(std::fs::read(&path).unwrap() == content.read().unwrap()[..], "{path:?}");
            }
        }
    }
}
