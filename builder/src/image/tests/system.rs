use std::{fs::File, path::Path};

use skerry_formats::layout::OBJECTS_DIR;

use super::{HostTools, run, sealed, spec};
use crate::{
    image::{
        ImageError,
        inspect::System,
        system_fs::{self, SystemLayout, SystemSpec},
    },
    tree::model::Content,
};

fn build(spec: &SystemSpec<'_>, out: &Path) -> Result<SystemLayout, ImageError> {
    let work = tempfile::Builder::new().prefix("with space ").tempdir().unwrap();
    system_fs::build(spec, &HostTools, work.path(), out)
}

#[test]
fn objects_are_sealed_and_read_back_with_their_digests() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("system");
    let tree = sealed("a");
    build(&spec(&tree.objects, &[("release.json", b"{}"), ("index.skx", b"ix")]), &out).unwrap();
    let system = System::open(File::open(&out).unwrap()).unwrap();
    let checks = system.measure_objects(|_| ()).unwrap();
    assert_eq!(checks.len(), tree.objects.len());
    for check in &checks {
        assert_eq!(check.named, check.measured);
        assert_eq!(check.size_bytes, tree.objects[&check.named].content.size_bytes());
        let (_, text) = run(
            "debugfs",
            &["-R", &format!("stat {OBJECTS_DIR}/{}", check.named.object_path()), out.to_str().unwrap()],
        );
        assert!(text.contains("Flags: 0x180000"), "{text}");
        assert!(text.contains("User:     0   Group:     0"), "{text}");
        assert!(text.contains("Mode:  0644"), "{text}");
    }
    assert_eq!(system.read("releases/0000000001/release.json").unwrap(), b"{}");
    assert_eq!(system.read("releases/0000000001/index.skx").unwrap(), b"ix");
    assert!(system.read("releases/0000000001/other").is_err());
    let (_, text) = run("debugfs", &["-R", "stat /", out.to_str().unwrap()]);
    assert!(text.contains("User:     0   Group:     0"), "{text}");
}

#[test]
fn two_builds_at_different_times_in_different_folders_are_the_same_bytes() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (a.path().join("x"), b.path().join("longer-name"));
    let tree = sealed("a");
    let spec = spec(&tree.objects, &[("release.json", b"{}")]);
    let one = build(&spec, &a).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100)); // another second
    assert_eq!(build(&spec, &b).unwrap(), one);
    let (a, b) = (std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
    assert!(a == b, "first difference at byte {:?}", a.iter().zip(&b).position(|(x, y)| x != y));
}

#[test]
fn a_changed_manifest_changes_only_the_ends() {
    let dir = tempfile::tempdir().unwrap();
    let image = |marker: &str| {
        let out = dir.path().join(marker);
        let tree = sealed(marker);
        let layout = build(&spec(&tree.objects, &[("release.json", b"{}")]), &out).unwrap();
        (std::fs::read(&out).unwrap(), layout.cuts)
    };
    let ((a, cuts), (b, cuts_b)) = (image("a"), image("b"));
    assert_eq!(cuts, cuts_b);
    let [front, back] = cuts[..] else { panic!("{cuts:?}") };
    assert!(front < back);
    assert!(a != b);
    assert!(a[front as usize..back as usize] == b[front as usize..back as usize]);
}

#[test]
fn object_with_another_digest_than_its_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = sealed("a");
    let object = tree.objects.values_mut().next().unwrap();
    object.content = Content::Bytes(b"something else".repeat(10).into());
    let error = build(&spec(&tree.objects, &[]), &dir.path().join("x")).unwrap_err();
    assert!(matches!(error, ImageError::Digest { .. }), "{error}");
}

#[test]
fn a_partition_that_is_too_small_is_named_with_the_size_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sealed("a");
    let small = SystemSpec { size_mib: 12, ..spec(&tree.objects, &[]) };
    let error = build(&small, &dir.path().join("x")).unwrap_err();
    let ImageError::TooSmall { key: "system_image_mib", need_mib, have_mib: 12, .. } = error else { panic!("{error}") };
    let enough = SystemSpec { size_mib: need_mib, ..small };
    build(&enough, &dir.path().join("y")).unwrap();
}

#[test]
fn a_failing_tool_is_reported_with_what_it_said() {
    struct Broken;
    impl crate::image::Tools for Broken {
        fn run(&self, program: &str, args: &[&str], env: &[(&str, &str)]) -> std::io::Result<std::process::Output> {
            let out = HostTools.run(program, args, env)?;
            let stderr = b"debugfs 1.47.2 (1-Jan-2025)\nwrite: Could not allocate block\n".to_vec();
            Ok(if program == "debugfs" { std::process::Output { stderr, ..out } } else { out })
        }
    }
    let (dir, tree) = (tempfile::tempdir().unwrap(), sealed("a"));
    let error = system_fs::build(&spec(&tree.objects, &[]), &Broken, dir.path(), &dir.path().join("x")).unwrap_err();
    assert!(error.to_string().contains("Could not allocate block"), "{error}");
}
