//! Assembles the OS tree and what the initrd is made of.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use skerry_formats::baked::NodeConfig;
use skerry_plan::{board::BoardSpec, spec::ImageSpec};

use super::{
    config::{self, Manifest},
    error::TreeError,
    model::{Content, Entry, Kind, Origin, Tree},
    modules::{Module, ModuleStore},
    select::{PackageIndex, Selection, Selector},
    users,
};
use crate::{packages::unpack::UnpackedDeb, progress::Progress};

/// Starts the programs that the lock names as tools.
pub trait Tools {
    /// A command that runs the tool of this name; the caller adds arguments.
    ///
    /// # Errors
    /// No tool package of the lock has it.
    fn command(&self, name: &str) -> Result<Command, String>;
}

/// Node programs, static executables for the board's architecture.
#[derive(Debug, Clone)]
pub struct RuntimePrograms {
    /// `skerry-node`.
    pub node: PathBuf,
    /// `containerd-shim-runc-v2-rs`.
    pub containerd_shim: PathBuf,
}

/// Everything the OS tree is made of.
pub struct OsInputs<'a> {
    /// Image spec.
    pub spec: &'a ImageSpec,
    /// Board.
    pub board: &'a BoardSpec,
    /// Unpacked packages of the lock for this board.
    pub packages: &'a [UnpackedDeb],
    /// Node programs.
    pub runtime: &'a RuntimePrograms,
    /// Kubernetes manifests.
    pub manifests: &'a [Manifest],
    /// TUF root metadata; `None` without `update`.
    pub tuf_root: Option<&'a [u8]>,
    /// Public release key, as [`skerry_formats::sign::public_key_text`] writes it.
    pub release_key: &'a str,
    /// Made by [`config::node_config`].
    pub node_config: &'a NodeConfig,
    /// Runs `depmod`.
    pub tools: &'a dyn Tools,
    /// Receives progress.
    pub progress: &'a Progress,
}

/// The OS tree with the material of initrd and UKI.
#[derive(Debug, Clone)]
pub struct OsTree {
    /// The tree.
    pub tree: Tree,
    /// Modules that the initrd loads, in this order.
    pub initrd_modules: Vec<Module>,
    /// Kernel version.
    pub kernel_version: String,
    /// Kernel image in the cache.
    pub kernel_image: PathBuf,
    /// systemd-boot (`systemd-bootx64.efi`) in the cache.
    pub systemd_boot: PathBuf,
    /// UKI stub (`linuxx64.efi.stub`) in the cache.
    pub efi_stub: PathBuf,
    /// Content of `os-release`, for the UKI.
    pub os_release: String,
}

/// Make the OS tree.
///
/// # Errors
/// All missing files, libraries and modules at once; failures of tools and I/O.
pub fn assemble(inputs: &OsInputs<'_>) -> Result<OsTree, TreeError> {
    let step = inputs.progress.start("tree", None, "files");
    let index = PackageIndex::new(inputs.packages);
    let OsInputs { spec, board, .. } = *inputs;

    let mut tree = select_files(inputs, &index)?;
    add_ca_bundle(&mut tree, &index)?;
    add_runtime(&mut tree, inputs.runtime)?;

    let mut store = ModuleStore::open(&index, &board.kernel.package)?;
    let initrd_modules = store.closure(&initrd_patterns(board))?;
    let modules = store.closure(&system_patterns(spec, board))?;
    add_modules(&mut tree, &index, &store.version, &modules, inputs.tools)?;

    users::install(&mut tree);
    config::install_fixed(&mut tree, board.arch);
    config::install_board(&mut tree, board);
    config::install_spec(&mut tree, spec, inputs.node_config, inputs.manifests, inputs.tuf_root, inputs.release_key);

    let efi = board.arch.efi();
    let os = OsTree {
        kernel_image: boot_file(&index, board, &format!("boot/vmlinuz-{}", store.version))?,
        systemd_boot: boot_file(&index, board, &format!("usr/lib/systemd/boot/efi/systemd-boot{efi}.efi"))?,
        efi_stub: boot_file(&index, board, &format!("usr/lib/systemd/boot/efi/linux{efi}.efi.stub"))?,
        os_release: config::os_release(spec),
        kernel_version: store.version,
        initrd_modules,
        tree,
    };
    let bytes: u64 = os.tree.files().map(|(_, _, c)| c.size_bytes()).sum();
    step.done(format!(
        "{} entries, {:.1} MB, {} kernel modules",
        os.tree.entries.len(),
        bytes as f64 / 1e6,
        modules.len()
    ));
    Ok(os)
}

fn select_files(inputs: &OsInputs<'_>, index: &PackageIndex<'_>) -> Result<Tree, TreeError> {
    let OsInputs { spec, board, .. } = inputs;
    let root = Tree::new(Origin::Builder { step: "layout".into() });
    let mut selector = Selector::new(index, board.arch, root);
    selector.take_selection(&Selection::builtin());
    for pattern in &spec.packages.files {
        selector.take_from_any(&spec.packages.extra, pattern, "packages.files");
    }
    for pattern in &board.firmware.files {
        let pattern = format!("usr/lib/firmware/{pattern}");
        selector.take_from_any(&board.firmware.packages, &pattern, "board firmware.files");
    }
    selector.finish()
}

/// Modules of the initrd: the watchdog's first, so that the others are watched
/// while they load.
fn initrd_patterns(board: &BoardSpec) -> Vec<String> {
    let watchdog = board.watchdog.module.iter().map(|m| format!("**/{m}"));
    watchdog.chain(board.modules.initrd.iter().cloned()).collect()
}

/// Modules of the tree: the board's and the spec's. Those of the initrd stay
/// out unless one of these depends on them: init loads them all before the tree
/// is mounted, and they would be a tenth of it.
fn system_patterns(spec: &ImageSpec, board: &BoardSpec) -> Vec<String> {
    [&board.modules.system, &spec.kernel.modules].into_iter().flatten().cloned().collect()
}

fn boot_file(index: &PackageIndex<'_>, board: &BoardSpec, path: &str) -> Result<PathBuf, TreeError> {
    let missing = || TreeError::Kernel {
        package: board.kernel.package.clone(),
        detail: format!("no package of the lock has {path}"),
    };
    index.stored(path).ok_or_else(missing)
}

/// One file with all certificates, as TLS clients look for it.
fn add_ca_bundle(tree: &mut Tree, index: &PackageIndex<'_>) -> Result<(), TreeError> {
    let mut bundle = Vec::new();
    let mut origin = None;
    for (path, package, _) in index.below("usr/share/ca-certificates/mozilla/").filter(|(p, ..)| p.ends_with(".crt")) {
        let Some(stored) = index.stored(path) else { continue };
        bundle.extend(fs::read(&stored).map_err(TreeError::io("reading", &stored))?);
        if !bundle.ends_with(b"\n") {
            bundle.push(b'\n');
        }
        origin = Some(super::select::package_origin(package));
    }
    let Some(origin) = origin else {
        return Err(TreeError::Selection(vec![
            "CA bundle: no package has usr/share/ca-certificates/mozilla/*.crt (ca-certificates)".into(),
        ]));
    };
    tree.insert("etc/ssl/certs/ca-certificates.crt", Entry::bytes(0o644, bundle, origin));
    Ok(())
}

fn add_runtime(tree: &mut Tree, runtime: &RuntimePrograms) -> Result<(), TreeError> {
    for (name, path) in [("skerry-node", &runtime.node), ("containerd-shim-runc-v2-rs", &runtime.containerd_shim)] {
        let size_bytes = fs::metadata(path).map_err(TreeError::io("reading", path))?.len();
        let origin = Origin::Runtime { name: name.into() };
        let kind = Kind::File(Content::File { path: path.clone(), size_bytes });
        tree.insert(format!("usr/bin/{name}"), Entry { kind, mode: 0o755, ..Entry::dir(origin) });
    }
    Ok(())
}

/// Index files that libkmod reads; the text forms beside them stay out.
const MODULE_INDEXES: &[&str] = &[
    "modules.alias.bin",
    "modules.builtin.alias.bin",
    "modules.builtin.bin",
    "modules.dep.bin",
    "modules.devname",
    "modules.softdep",
    "modules.symbols.bin",
    "modules.weakdep",
];

fn add_modules(
    tree: &mut Tree,
    index: &PackageIndex<'_>,
    version: &str,
    modules: &[Module],
    tools: &dyn Tools,
) -> Result<(), TreeError> {
    let base = format!("usr/lib/modules/{version}");
    for module in modules {
        let entry = Entry::bytes(0o644, module.bytes.to_vec(), module.origin.clone());
        tree.insert(format!("{base}/kernel/{}", module.path), entry);
    }
    let temp = tempfile::tempdir().map_err(TreeError::io("creating a folder in", &std::env::temp_dir()))?;
    materialize_modules(temp.path(), index, version, modules)?;
    run_depmod(tools, temp.path(), version)?;
    for name in MODULE_INDEXES {
        let made = temp.path().join(&base).join(name);
        match fs::read(&made) {
            Ok(bytes) => {
                let origin = Origin::Builder { step: "depmod".into() };
                tree.insert(format!("{base}/{name}"), Entry::bytes(0o644, bytes, origin));
            }
            // Older kmod does not write all of them.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(TreeError::io("reading", &made)(e)),
        }
    }
    Ok(())
}

fn materialize_modules(
    root: &Path,
    index: &PackageIndex<'_>,
    version: &str,
    modules: &[Module],
) -> Result<(), TreeError> {
    let base = format!("usr/lib/modules/{version}");
    let write = |path: &Path, bytes: &[u8]| {
        let parent = path.parent().unwrap_or(root);
        fs::create_dir_all(parent).map_err(TreeError::io("creating", parent))?;
        fs::write(path, bytes).map_err(TreeError::io("writing", path))
    };
    for module in modules {
        write(&root.join(&base).join("kernel").join(&module.path), &module.bytes)?;
    }
    for name in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        if let Some(stored) = index.stored(&format!("{base}/{name}")) {
            let bytes = fs::read(&stored).map_err(TreeError::io("reading", &stored))?;
            write(&root.join(&base).join(name), &bytes)?;
        }
    }
    let link = root.join("lib");
    std::os::unix::fs::symlink("usr/lib", &link).map_err(TreeError::io("creating", &link))
}

fn run_depmod(tools: &dyn Tools, root: &Path, version: &str) -> Result<(), TreeError> {
    let failed = |detail: String| TreeError::Tool { tool: "depmod", detail };
    let mut command = tools.command("depmod").map_err(failed)?;
    let output = command.arg("-b").arg(root).arg(version).output().map_err(|e| failed(e.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !root.join("usr/lib/modules").join(version).join("modules.dep.bin").is_file() {
        return Err(failed(format!("{}: {}", output.status, said.trim())));
    }
    Ok(())
}

/// Size of a tree by origin, largest first, for reports.
pub fn sizes_by_origin(tree: &Tree) -> Vec<(Origin, u64)> {
    let mut sizes = std::collections::BTreeMap::<Origin, u64>::new();
    for (_, entry, content) in tree.files() {
        *sizes.entry(entry.origin.clone()).or_default() += content.size_bytes();
    }
    let mut sorted: Vec<_> = sizes.into_iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sorted
}
