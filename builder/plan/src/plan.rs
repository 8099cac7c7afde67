//! The plan and its lint.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    base,
    board::{Arch, BoardSpec, Firmware, Modules, Partitions, Watchdog},
    lock::{Lock, LockedPackage},
    read::Problem,
    spec::{AppSpec, ImageSpec, Limits, UpdateSpec},
};

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct PlanInputs<'a> {
    /// The spec's file name, for problems and advice.
    pub spec_file: &'a str,
    /// The lock's file name, for problems.
    pub lock_file: &'a str,
    /// Image spec.
    pub spec: &'a ImageSpec,
    /// The board to build for.
    pub board: &'a BoardSpec,
    /// The spec's lock.
    pub lock: &'a Lock,
}

/// What will be built. Everything the later steps decide on stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Spec file, as given.
    pub spec_file: String,
    /// Lock file, as given.
    pub lock_file: String,
    /// Product name.
    pub product: String,
    /// Version for people.
    pub version: String,
    /// Release number.
    pub sequence: u32,
    /// Board name.
    pub board: String,
    /// CPU architecture.
    pub arch: Arch,
    /// Debian suite.
    pub base: String,
    /// Unix seconds of the newest archive metadata: the time of this build.
    pub epoch: u64,
    /// Kernel package.
    pub kernel: String,
    /// Kernel arguments, without those that name the release.
    pub cmdline: Vec<String>,
    /// Packages by which the lock was made, with why.
    pub wanted: Vec<Wanted>,
    /// Packages of the image.
    pub packages: Vec<LockedPackage>,
    /// Packages whose programs run on the build host.
    pub tools: Vec<LockedPackage>,
    /// Bytes of all .deb files.
    pub download_bytes: u64,
    /// Globs over the extra packages' files.
    pub extra_files: Vec<String>,
    /// App images.
    pub apps: Vec<AppPlan>,
    /// Manifests folder, relative to the spec.
    pub manifests: Option<String>,
    /// Update source.
    pub update: Option<UpdateSpec>,
    /// Kernel modules, board's and spec's.
    pub modules: Modules,
    /// Firmware.
    pub firmware: Firmware,
    /// Partition sizes.
    pub partitions: Partitions,
    /// Hardware watchdog.
    pub watchdog: Watchdog,
    /// Sizes above which the build fails.
    pub limits: Limits,
    /// Files and folders of the output.
    pub outputs: Vec<String>,
    /// Suites the lock was made for.
    pub locked_suites: Vec<String>,
}

/// A package that was asked for by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Wanted {
    /// Package name.
    pub name: String,
    /// Who asked: a key of the spec or board, or `base: ` and the reason.
    pub why: String,
    /// Suite it is taken from, if not the base suite.
    pub suite: Option<String>,
}

/// One app image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppPlan {
    /// Name.
    pub name: String,
    /// Reference that manifests use.
    pub image: String,
    /// Where it comes from.
    pub source: AppSource,
}

/// Where an app image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppSource {
    /// Its registry; the reference carries the digest.
    Registry,
    /// An OCI layout folder, relative to the spec.
    Layout(String),
    /// An OCI archive, relative to the spec.
    Archive(String),
}

/// The packages to resolve for a board, sorted by name.
pub fn wanted(spec: &ImageSpec, board: &BoardSpec) -> Vec<Wanted> {
    let from = |name: &str| {
        spec.packages.from.iter().find(|(_, names)| names.iter().any(|n| n == name)).map(|(suite, _)| suite.clone())
    };
    let base = base::BASE.iter().map(|(name, why)| ((*name).to_string(), format!("base: {why}")));
    let kernel = [(board.kernel.package.clone(), "board: kernel.package".to_string())];
    let firmware = board.firmware.packages.iter().map(|n| (n.clone(), "board: firmware.packages".to_string()));
    let extra = spec.packages.extra.iter().map(|n| (n.clone(), "spec: packages.extra".to_string()));
    let others = spec
        .packages
        .from
        .iter()
        .flat_map(|(s, names)| names.iter().map(move |n| (n.clone(), format!("spec: packages.from.{s}"))));
    let mut seen = BTreeSet::new();
    let mut out: Vec<Wanted> = base
        .chain(kernel)
        .chain(firmware)
        .chain(extra)
        .chain(others)
        .filter(|(name, _)| seen.insert(name.clone()))
        .map(|(name, why)| Wanted { suite: from(&name), name, why })
        .collect();
    out.sort();
    out
}

/// Plan a build. Never fails: what is wrong with a plan, [`lint`] says.
pub fn plan(inputs: &PlanInputs<'_>) -> Plan {
    let PlanInputs { spec, board, lock, .. } = *inputs;
    let packages: Vec<LockedPackage> =
        lock.packages.iter().filter(|p| p.boards.contains(&board.name)).cloned().collect();
    // A tool that is in the image too is downloaded once.
    let files: BTreeSet<_> = packages.iter().chain(&lock.tools).map(|p| (p.sha256, p.size)).collect();
    let mut modules = board.modules.clone();
    modules.system.extend(spec.kernel.modules.iter().cloned());
    Plan {
        spec_file: inputs.spec_file.into(),
        lock_file: inputs.lock_file.into(),
        product: spec.product.clone(),
        version: spec.version.clone(),
        sequence: spec.sequence,
        board: board.name.clone(),
        arch: board.arch,
        base: spec.base.clone(),
        epoch: lock.epoch,
        kernel: board.kernel.package.clone(),
        cmdline: cmdline(spec, board),
        wanted: wanted(spec, board),
        download_bytes: files.iter().map(|(_, size)| size).sum(),
        packages,
        tools: lock.tools.clone(),
        extra_files: spec.packages.files.clone(),
        apps: spec.apps.iter().map(app).collect(),
        manifests: spec.manifests.clone(),
        update: spec.update.clone(),
        modules,
        firmware: board.firmware.clone(),
        partitions: board.partitions.clone(),
        watchdog: board.watchdog.clone(),
        limits: spec.limits.clone(),
        outputs: outputs(spec.sequence),
        locked_suites: lock.suites.iter().map(|s| s.name.clone()).collect(),
    }
}

fn app(app: &AppSpec) -> AppPlan {
    let source = match (&app.layout, &app.archive) {
        (Some(path), _) => AppSource::Layout(path.clone()),
        (None, Some(path)) => AppSource::Archive(path.clone()),
        (None, None) => AppSource::Registry,
    };
    AppPlan { name: app.name.clone(), image: app.image.clone(), source }
}

/// Board, spec, then what must not be overridden: the last one wins.
fn cmdline(spec: &ImageSpec, board: &BoardSpec) -> Vec<String> {
    let fixed = [
        "gpt".to_string(),
        format!("skerry.system-mib={}", board.partitions.system_mib),
        format!("skerry.watchdog={}", board.watchdog.timeout_secs),
        "panic=10".to_string(),
        "systemd.condition_needs_update=no".to_string(),
    ];
    board.kernel.args.iter().chain(&spec.kernel.args).cloned().chain(fixed).collect()
}

fn outputs(sequence: u32) -> Vec<String> {
    let uki = skerry_formats::layout::UkiName::blessed(skerry_formats::Sequence(sequence)).render();
    let fixed = [
        "disk.img.zst",
        "release.json",
        "release.json.sig",
        "index.skx",
        "objects/",
        "sbom.spdx.json",
        "files.json",
        "lock.toml",
        "ostree/",
        "os.oci/",
        "SHA256SUMS",
        "SHA256SUMS.sig",
        "build.log",
    ];
    let mut out: Vec<String> = fixed.iter().map(|s| (*s).to_string()).collect();
    out.insert(1, uki);
    out
}

/// All problems of a plan.
pub fn lint(plan: &Plan) -> Vec<Problem> {
    let refresh = format!("run `skerry lock {}`", plan.spec_file);
    let lock_problem = |message: String| Problem::of_file(&plan.lock_file, format!("{message}; {refresh}"));
    if !plan.locked_suites.contains(&plan.base) {
        let made_for = plan.locked_suites.join(", ");
        return vec![lock_problem(format!("made for {made_for}, but the spec's base is {}", plan.base))];
    }
    if plan.packages.is_empty() {
        return vec![lock_problem(format!("has no packages for the board {}", plan.board))];
    }
    let mut out: Vec<Problem> = Vec::new();
    for wanted in &plan.wanted {
        let locked = plan.packages.iter().find(|p| p.name == wanted.name);
        match (locked, &wanted.suite) {
            (None, _) => out.push(lock_problem(format!("lacks the package {} ({})", wanted.name, wanted.why))),
            (Some(p), Some(suite)) if p.suite != *suite => {
                out.push(lock_problem(format!("has {} from {}, but the spec wants it from {suite}", p.name, p.suite)));
            }
            _ => {}
        }
    }
    for (tool, why) in base::TOOLS.iter().filter(|(name, _)| !plan.tools.iter().any(|t| t.name == *name)) {
        out.push(lock_problem(format!("lacks the tool package {tool} ({why})")));
    }
    let arch = plan.arch.debian();
    for p in plan.packages.iter().filter(|p| p.arch != arch && p.arch != "all") {
        out.push(lock_problem(format!("has {} for {}, but the board {} is {arch}", p.name, p.arch, plan.board)));
    }
    let names: BTreeSet<&str> = plan.packages.iter().map(|p| p.name.as_str()).collect();
    if names.len() < plan.packages.len() {
        out.push(lock_problem(format!("names a package twice for the board {}", plan.board)));
    }
    out
}
