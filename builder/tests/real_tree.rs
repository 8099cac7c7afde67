//! Assembles the OS tree from real Debian packages and lints it.
//!
//! Needs `SKERRY_TEST_LOCK`: a lock whose packages are in the cache. `ci/test`
//! sets it to the lock of the releases that it built before.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use skerry::{
    packages::{
        cache::Cache,
        fetch::FetchedDeb,
        unpack::{UnpackedDeb, unpack},
    },
    progress::Progress,
    tree::{
        config::{Manifest, node_config},
        lint::{Rules, lint},
        model::{Kind, Tree},
        os::{OsInputs, OsTree, RuntimePrograms, Tools, assemble, sizes_by_origin},
    },
};
use skerry_plan::{
    board::{Arch, BoardSpec},
    lock,
    spec::ImageSpec,
};

const BOARD: &str = include_str!("../../boards/x86_64-uefi.toml");

const SPEC: &str = r#"
product = "demo"
version = "1.0.0"
sequence = 1
boards = ["x86_64-uefi"]
"#;

struct HostTools {
    packages: Vec<UnpackedDeb>,
}

impl Tools for HostTools {
    /// `depmod` out of the packages themselves, through their own loader.
    fn command(&self, name: &str) -> Result<Command, String> {
        let find = |path: &str| {
            let hit = self.packages.iter().map(|p| p.root.join(path)).find(|p| p.is_file());
            hit.ok_or_else(|| format!("{path} is in no package"))
        };
        let triplet = "usr/lib/x86_64-linux-gnu";
        let libraries = std::env::join_paths(self.packages.iter().map(|p| p.root.join(triplet))).unwrap();
        let mut command = Command::new(find(&format!("{triplet}/ld-linux-x86-64.so.2"))?);
        command.arg("--library-path").arg(libraries).arg("--argv0").arg(name).arg(find("usr/bin/kmod")?);
        Ok(command)
    }
}

/// The packages of the board, out of the cache; none may be missing there.
fn packages() -> Vec<UnpackedDeb> {
    let path = std::env::var_os("SKERRY_TEST_LOCK").map(PathBuf::from).expect("SKERRY_TEST_LOCK names a lock");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lock = lock::parse(&path.to_string_lossy(), &text).unwrap_or_else(|p| panic!("{p:?}"));
    let cache = Cache::new(
        std::env::var_os("SKERRY_CACHE").map_or_else(|| skerry::cli::default_cache_dir().unwrap(), PathBuf::from),
    );
    let wanted = lock.packages.into_iter().filter(|p| p.boards.iter().any(|b| b == "x86_64-uefi"));
    let debs: Vec<_> = wanted.map(|package| FetchedDeb { path: cache.deb(&package.sha256), package }).collect();
    assert!(!debs.is_empty(), "{} has no packages for the board", path.display());
    let missing: Vec<_> = debs.iter().filter(|d| !d.path.is_file()).map(|d| &d.package.name).collect();
    assert!(missing.is_empty(), "not in the cache {}: {missing:?}; build with this lock first", cache.root().display());
    debs.iter().map(|deb| unpack(deb, &cache).unwrap()).collect()
}

fn build() -> OsTree {
    let packages = packages();
    let spec: ImageSpec = toml::from_str(SPEC).unwrap();
    let board: BoardSpec = toml::from_str(BOARD).unwrap();
    let config = node_config(&spec, &board, vec![]);
    let program = |name: &str| std::env::var(name).map_or_else(|_| PathBuf::from("/bin/true"), PathBuf::from);
    let runtime = RuntimePrograms { node: program("SKERRY_TEST_NODE"), containerd_shim: program("SKERRY_TEST_SHIM") };
    let manifests = [Manifest { name: "hello.yaml".into(), bytes: b"kind: Deployment\n".to_vec() }];
    let tools = HostTools { packages: packages.clone() };
    let inputs = OsInputs {
        spec: &spec,
        board: &board,
        packages: &packages,
        runtime: &runtime,
        manifests: &manifests,
        tuf_root: Some(b"{}"),
        release_key: "00\n",
        node_config: &config,
        tools: &tools,
        progress: &Progress::none(),
    };
    assemble(&inputs).unwrap_or_else(|e| panic!("{e}"))
}

fn write_out(tree: &Tree, root: &std::path::Path) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let _ = std::fs::remove_dir_all(root);
    for (path, entry) in &tree.entries {
        let at = root.join(path);
        match &entry.kind {
            Kind::Dir => std::fs::create_dir_all(&at).unwrap(),
            Kind::Symlink(target) => symlink(target, &at).unwrap(),
            Kind::File(content) => {
                std::fs::write(&at, content.read().unwrap()).unwrap();
                std::fs::set_permissions(&at, std::fs::Permissions::from_mode(entry.mode)).unwrap();
            }
        }
    }
}

#[test]
#[ignore = "needs real packages: SKERRY_TEST_LOCK"]
fn tree_of_real_packages_is_complete_and_small() {
    let started = std::time::Instant::now();
    let os = build();
    eprintln!("assembled in {:?}", started.elapsed());
    let mut by_package = BTreeMap::new();
    for (origin, size) in sizes_by_origin(&os.tree) {
        by_package.insert(std::cmp::Reverse(size), format!("{origin:?}"));
    }
    for (size, origin) in by_package.iter().take(14) {
        eprintln!("{:>10} {origin}", size.0);
    }
    let total: u64 = os.tree.files().map(|(_, _, c)| c.size_bytes()).sum();
    eprintln!(
        "total {total} bytes, {} entries; initrd {:?}",
        os.tree.entries.len(),
        os.initrd_modules.iter().map(|m| m.name.as_str()).collect::<Vec<_>>()
    );
    if let Ok(out) = std::env::var("SKERRY_TEST_TREE_OUT") {
        write_out(&os.tree, &PathBuf::from(out));
    }
    let started = std::time::Instant::now();
    let problems = lint(&os.tree, &Rules::os(Arch::X86_64));
    eprintln!("linted in {:?}", started.elapsed());
    for problem in &problems {
        eprintln!("{problem}");
    }
    assert_eq!(problems.len(), 0);
    // Node program and shim come on top, about 18 MB.
    assert!(total < 84_000_000, "{total} bytes");
    let base = format!("usr/lib/modules/{}/kernel", os.kernel_version);
    assert!(
        os.tree.get(&format!("{base}/fs/ext4/ext4.ko")).is_none()
            && os.tree.get(&format!("{base}/drivers/net/veth.ko")).is_some()
    );
    assert!(os.kernel_image.is_file() && os.systemd_boot.is_file() && os.efi_stub.is_file());
}
