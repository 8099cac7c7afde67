//! Carries a plan out, step by step. Makes no choices of its own.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Instant};

use skerry_formats::{Release, Sequence, baked::BakedApp, cmdline::BootArgs, layout, sign::public_key_text};
use skerry_plan::{Plan, spec::ImageSpec};

use super::{Artifacts, BuildError, Options, log, output::Output, tools::LockedTools};
use crate::{
    commit::{self, DigestCache, SealedTree},
    host::tools::Toolbox,
    image::{
        self,
        blob_cache::BlobCache,
        disk::DiskSpec,
        esp::{EspFile, LOADER_CONF},
        system_fs::SystemSpec,
        uki::UkiSections,
    },
    inputs::Inputs,
    packages::{self, Cache, unpack::UnpackedDeb},
    progress::Progress,
    release::{self, AppInput, ReleaseInputs, Statement, TreeInput, keys::ReleaseKeys},
    tree::{
        self,
        app::AppImage,
        os::{OsInputs, OsTree, RuntimePrograms},
    },
};

/// What came out.
#[derive(Debug, Clone)]
pub struct Built {
    /// The release.
    pub release: Release,
    /// Size of `disk.img.zst`, if it was made.
    pub image_zst_bytes: Option<u64>,
    /// Seconds for the whole build.
    pub seconds: f64,
}

/// Build. The output folder appears complete or not at all.
///
/// # Errors
/// The first step that fails.
pub fn execute(inputs: &Inputs, plan: &Plan, options: &Options, progress: &Progress) -> Result<Built, BuildError> {
    let started = Instant::now();
    let keys = ReleaseKeys::load(&options.keys)?;
    let runtime = Runtime::find(&options.runtime)?;
    let output = Output::create(&options.out)?;
    let log_path = output.dir().join("build.log");
    let log_file = fs::File::create(&log_path).map_err(BuildError::io("creating", &log_path))?;
    let progress = &log::tee(log_file, progress);
    keys.warnings.iter().for_each(|w| progress.note(w));

    let cache = Cache::new(&options.cache);
    let (packages, tools) = fetch(plan, options, &cache, progress)?;
    let apps = load_apps(inputs, &cache, progress)?;
    let os = assemble(inputs, &packages, &runtime, &apps, &keys, &tools, progress)?;
    lint(inputs, &os, &apps)?;

    let digests = DigestCache::open(&options.cache);
    let sealed = seal(&os, &apps, &digests, progress)?;
    let ostree_commit = commit_ostree(plan, &os, options, &output.dir(), &keys, progress)?;
    let uki = make_uki(plan, &inputs.spec, &os, &sealed.os, &runtime, &options.cache, progress)?;
    let statement = release::write_release(
        &output.dir(),
        &release_inputs(inputs, plan, options, &os, &apps, &sealed, ostree_commit, &uki, &keys),
        progress,
    )?;
    check_limit(
        "the installed release",
        "installed_mib_max",
        statement.release.totals.bytes,
        plan.limits.installed_mib_max,
    )?;
    let image_zst_bytes = match options.artifacts {
        Artifacts::Release => None,
        Artifacts::All => Some(make_disk(plan, options, &output, &os, &sealed, &statement, &uki, &tools, progress)?),
    };
    if let Some(bytes) = image_zst_bytes {
        check_limit("disk.img.zst", "image_mib_max", bytes, plan.limits.image_mib_max)?;
    }
    release::sums::write_sums(&output.dir(), &keys.signing)?;
    output.reveal()?;
    Ok(Built { release: statement.release, image_zst_bytes, seconds: started.elapsed().as_secs_f64() })
}

/// Node programs of one architecture.
struct Runtime {
    programs: RuntimePrograms,
    init: Vec<u8>,
}

impl Runtime {
    fn find(dir: &Path) -> Result<Self, BuildError> {
        let find = |name: &str| {
            let path = dir.join(name);
            let advice =
                "build them with ci/build-node and name the folder with --runtime or SKERRY_RUNTIME".to_string();
            if path.is_file() { Ok(path) } else { Err(BuildError::Missing { what: "the node program", path, advice }) }
        };
        let init = find("skerry-init")?;
        Ok(Self {
            programs: RuntimePrograms {
                node: find("skerry-node")?,
                containerd_shim: find("containerd-shim-runc-v2-rs")?,
            },
            init: fs::read(&init).map_err(BuildError::io("reading", &init))?,
        })
    }
}

fn fetch(
    plan: &Plan,
    options: &Options,
    cache: &Cache,
    progress: &Progress,
) -> Result<(Vec<UnpackedDeb>, LockedTools), BuildError> {
    let mut all = plan.packages.clone();
    all.extend(plan.tools.iter().filter(|t| !plan.packages.iter().any(|p| p.sha256 == t.sha256)).cloned());
    let debs = packages::fetch(&all, &options.mirrors, cache, progress).map_err(|e| e.for_spec(&plan.spec_file))?;
    let step = progress.start("unpack", Some(debs.len() as u64), "packages");
    let unpacked = {
        use rayon::prelude::*;
        debs.par_iter()
            .map(|d| packages::unpack::unpack(d, cache).inspect(|_| step.advance(1)))
            .collect::<Result<Vec<_>, _>>()?
    };
    step.done(format!("{} packages", unpacked.len()));
    let named = |wanted: &[skerry_plan::lock::LockedPackage]| -> Vec<UnpackedDeb> {
        wanted.iter().filter_map(|p| unpacked.iter().find(|u| u.package.sha256 == p.sha256)).cloned().collect()
    };
    let tools = Toolbox::from_unpacked(&named(&plan.tools), cache)?;
    Ok((named(&plan.packages), LockedTools(tools)))
}

fn load_apps(inputs: &Inputs, cache: &Cache, progress: &Progress) -> Result<Vec<AppImage>, BuildError> {
    let arch = inputs.board.arch;
    inputs.spec.apps.iter().map(|app| Ok(tree::app::load(app, arch, &inputs.source.dir, cache, progress)?)).collect()
}

fn assemble(
    inputs: &Inputs,
    packages: &[UnpackedDeb],
    runtime: &Runtime,
    apps: &[AppImage],
    keys: &ReleaseKeys,
    tools: &LockedTools,
    progress: &Progress,
) -> Result<OsTree, BuildError> {
    // The OS tree names the app trees by digest, so those are sealed first.
    let digests = DigestCache::in_memory();
    let baked = apps
        .iter()
        .map(|a| {
            Ok(BakedApp {
                name: a.name.clone(),
                image: a.image.clone(),
                manifest_digest: a.manifest_digest,
                composefs: commit::composefs::seal(&a.tree, &digests)?.digest,
                config: a.config.clone(),
            })
        })
        .collect::<Result<Vec<_>, BuildError>>()?;
    Ok(tree::os::assemble(&OsInputs {
        spec: &inputs.spec,
        board: &inputs.board,
        packages,
        runtime: &runtime.programs,
        manifests: &inputs.manifests,
        tuf_root: inputs.tuf_root.as_deref(),
        release_key: &public_key_text(&keys.public),
        node_config: &tree::config::node_config(&inputs.spec, &inputs.board, baked),
        tools,
        progress,
    })?)
}

fn lint(inputs: &Inputs, os: &OsTree, apps: &[AppImage]) -> Result<(), BuildError> {
    let mut problems: Vec<String> =
        tree::lint::lint(&os.tree, &tree::lint::Rules::os(inputs.board.arch)).iter().map(ToString::to_string).collect();
    for app in apps {
        let found = tree::lint::lint_app(&app.tree);
        problems.extend(found.iter().map(|p| format!("app {}: {p}", app.name)));
    }
    if problems.is_empty() { Ok(()) } else { Err(BuildError::Lint(problems)) }
}

/// All trees, sealed.
struct Sealed {
    os: SealedTree,
    apps: Vec<SealedTree>,
}

fn seal(os: &OsTree, apps: &[AppImage], digests: &DigestCache, progress: &Progress) -> Result<Sealed, BuildError> {
    let step = progress.start("seal", Some(1 + apps.len() as u64), "trees");
    let one = |tree| commit::composefs::seal(tree, digests).inspect(|_| step.advance(1));
    let sealed = Sealed { os: one(&os.tree)?, apps: apps.iter().map(|a| one(&a.tree)).collect::<Result<_, _>>()? };
    digests.save()?;
    step.done(format!("{} objects, OS tree {}", sealed.os.objects.len(), sealed.os.digest));
    Ok(sealed)
}

fn commit_ostree(
    plan: &Plan,
    os: &OsTree,
    options: &Options,
    out: &Path,
    keys: &ReleaseKeys,
    progress: &Progress,
) -> Result<commit::ostree::Checksum, BuildError> {
    let step = progress.start("ostree", None, "objects");
    let repo = commit::ostree::open_or_init(&options.ostree)?;
    let branch = format!("{}/{}", plan.product, plan.board);
    let metadata = BTreeMap::from([
        ("version".to_string(), plan.version.clone()),
        ("skerry.sequence".to_string(), plan.sequence.to_string()),
        ("skerry.board".to_string(), plan.board.clone()),
    ]);
    // No parent: a commit must depend on nothing but the release's content. The
    // history is the list of refs releases/PRODUCT/BOARD/SEQUENCE: below the branch
    // itself they could not be, a ref is a file.
    let checksum = commit::ostree::commit(&repo, &os.tree, &branch, None, plan.epoch, &metadata)?;
    commit::ostree::sign(&repo, &checksum, &keys.signing)?;
    commit::ostree::set_ref(&repo, &format!("releases/{branch}/{}", Sequence(plan.sequence).padded()), &checksum)?;
    commit::ostree::copy_commit(&repo, &checksum, &branch, &out.join("ostree"))?;
    step.done(format!("commit {checksum}"));
    let step = progress.start("oci", None, "layers");
    commit::ostree::export_oci(&repo, &checksum, plan.arch.debian(), &out.join("os.oci"), &options.cache)?;
    step.done("OCI layout os.oci");
    Ok(checksum)
}

fn make_uki(
    plan: &Plan,
    spec: &ImageSpec,
    os: &OsTree,
    sealed: &SealedTree,
    runtime: &Runtime,
    cache: &Path,
    progress: &Progress,
) -> Result<Arc<[u8]>, BuildError> {
    let step = progress.start("uki", None, "bytes");
    let modules: Vec<_> = os.initrd_modules.iter().map(|m| (file_name(&m.path), m.bytes.to_vec())).collect();
    let initrd = image::initrd::build(&runtime.init, &modules, &BlobCache::new(cache.join("initrd")))
        .map_err(BuildError::io("compressing", "initrd"))?;
    let read = |path: &Path| fs::read(path).map_err(BuildError::io("reading", path));
    let args = BootArgs { composefs: sealed.digest, sequence: Sequence(plan.sequence), epoch: plan.epoch };
    let cmdline = format!("{} {}", args.render(), plan.cmdline.join(" "));
    let uki = image::uki::build(
        &read(&os.efi_stub)?,
        &UkiSections {
            osrel: uki_os_release(spec).as_bytes(),
            cmdline: cmdline.as_bytes(),
            uname: os.kernel_version.as_bytes(),
            initrd: &initrd,
            linux: &read(&os.kernel_image)?,
        },
    )?;
    step.done(format!("{:.1} MB, initrd {:.1} MB", uki.len() as f64 / 1e6, initrd.len() as f64 / 1e6));
    Ok(uki.into())
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_string()
}

/// os-release text inside the UKI. systemd-boot prefers `IMAGE_VERSION` to
/// `VERSION_ID` when it sorts entries, so both carry the sequence here: the
/// version string must never decide what boots.
fn uki_os_release(spec: &ImageSpec) -> String {
    let ImageSpec { product, version, sequence, .. } = spec;
    format!(
        "ID=skerry\nNAME=\"Skerry\"\nPRETTY_NAME=\"Skerry {product} {version} ({sequence})\"\n\
         IMAGE_ID=\"{product}\"\nIMAGE_VERSION={sequence}\nVERSION_ID={sequence}\n"
    )
}

#[expect(clippy::too_many_arguments, reason = "the statement joins the results of all steps before it")]
fn release_inputs<'a>(
    inputs: &'a Inputs,
    plan: &'a Plan,
    options: &'a Options,
    os: &'a OsTree,
    apps: &'a [AppImage],
    sealed: &'a Sealed,
    ostree_commit: commit::ostree::Checksum,
    uki: &'a Arc<[u8]>,
    keys: &'a ReleaseKeys,
) -> ReleaseInputs<'a> {
    let app = |(a, s): (&'a AppImage, &'a SealedTree)| AppInput {
        name: &a.name,
        image: &a.image,
        manifest_digest: a.manifest_digest,
        tree: TreeInput { tree: &a.tree, sealed: s },
    };
    ReleaseInputs {
        product: &plan.product,
        board: &plan.board,
        arch: plan.arch.debian(),
        version: &plan.version,
        sequence: Sequence(plan.sequence),
        epoch: plan.epoch,
        kernel: &os.kernel_version,
        os: TreeInput { tree: &os.tree, sealed: &sealed.os },
        ostree_commit,
        apps: apps.iter().zip(&sealed.apps).map(app).collect(),
        uki,
        lock: &inputs.lock,
        lock_bytes: &inputs.lock_bytes,
        boot_packages: vec![plan.kernel.clone(), "systemd-boot-efi".into()],
        cache: &options.cache,
        key: &keys.signing,
    }
}

#[expect(clippy::too_many_arguments, reason = "the disk image joins the results of all steps before it")]
fn make_disk(
    plan: &Plan,
    options: &Options,
    output: &Output,
    os: &OsTree,
    sealed: &Sealed,
    statement: &Statement,
    uki: &[u8],
    tools: &LockedTools,
    progress: &Progress,
) -> Result<u64, BuildError> {
    let identity = format!("{} {}", plan.product, plan.board);
    let sequence = Sequence(plan.sequence);
    let mut objects = sealed.os.objects.clone();
    for app in &sealed.apps {
        objects.extend(app.objects.iter().map(|(d, o)| (*d, o.clone())));
    }
    let step = progress.start("system", None, "objects");
    let work = output.tmp().join("system");
    fs::create_dir(&work).map_err(BuildError::io("making", &work))?;
    let system = output.tmp().join("system.img");
    let release_files: [(&str, &[u8]); 3] = [
        (layout::RELEASE_FILE, &statement.release_json),
        (layout::RELEASE_SIG_FILE, &statement.release_sig),
        (layout::INDEX_FILE, &statement.index),
    ];
    let spec = SystemSpec {
        identity: &identity,
        size_mib: plan.partitions.system_image_mib,
        epoch: plan.epoch,
        objects: &objects,
        sequence,
        release_files: &release_files,
    };
    let system_layout = image::system_fs::build(&spec, tools, &work, &system)?;
    step.done(format!("{} objects sealed", objects.len()));

    let step = progress.start("disk", None, "bytes");
    let boot = fs::read(&os.systemd_boot).map_err(BuildError::io("reading", &os.systemd_boot))?;
    let file = |path: String, bytes| EspFile { path, bytes };
    let esp_files = [
        file(format!("EFI/BOOT/BOOT{}.EFI", plan.arch.efi().to_uppercase()), &boot),
        file("loader/loader.conf".into(), LOADER_CONF.as_bytes()),
        file(format!("{}/{}", layout::ESP_UKI_DIR, layout::UkiName::blessed(sequence).render()), uki),
    ];
    let disk = output.tmp().join("disk.img");
    let spec =
        DiskSpec { identity: &identity, esp_mib: plan.partitions.esp_mib, esp_files: &esp_files, system: &system };
    let layout = image::disk::assemble(&disk, &spec)?;
    step.done(format!("{} MiB", layout.size_bytes >> 20));
    let mut cuts = vec![layout.esp_start, layout.system_start];
    cuts.extend(system_layout.cuts.iter().map(|c| layout.system_start + c));
    Ok(image::compress::write_zst(&disk, &cuts, &output.dir().join("disk.img.zst"), &options.cache, progress)?)
}

fn check_limit(what: &'static str, key: &'static str, have: u64, limit_mib: Option<u64>) -> Result<(), BuildError> {
    match limit_mib {
        Some(limit_mib) if have > limit_mib << 20 => Err(BuildError::TooLarge { what, have, key, limit_mib }),
        _ => Ok(()),
    }
}
