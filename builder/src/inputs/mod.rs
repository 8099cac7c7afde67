//! Reads what people wrote: spec, board, lock, manifests. All problems of a
//! file at once, with places; exit code 3.

mod loaded;

use std::{fs, path::Path};

use anyhow::{Context as _, anyhow};
use skerry_plan::{Problem, board::BoardSpec, lock::Lock, spec::ImageSpec};

pub use self::loaded::{LoadedSpec, invalid};
use crate::{cli::exit::Code, tree::config::Manifest};

/// What people may change on the command line, so that a CI system can number
/// releases without editing the spec.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Version for people.
    pub version: Option<String>,
    /// Sequence number.
    pub sequence: Option<u32>,
}

/// Everything a build starts from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The spec's file and folder.
    pub source: LoadedSpec,
    /// The spec, with the overrides applied.
    pub spec: ImageSpec,
    /// The board.
    pub board: BoardSpec,
    /// Lock file.
    pub lock_file: String,
    /// The lock.
    pub lock: Lock,
    /// Its bytes.
    pub lock_bytes: Vec<u8>,
    /// Manifests in name order.
    pub manifests: Vec<Manifest>,
    /// TUF root metadata, if the spec has an update source.
    pub tuf_root: Option<Vec<u8>>,
}

impl Inputs {
    /// Read and check everything.
    ///
    /// # Errors
    /// Every problem found in a file, with exit code 3.
    pub fn read(spec_path: &Path, board: &str, overrides: &Overrides) -> anyhow::Result<Self> {
        let source = LoadedSpec::read(spec_path)?;
        source.check_files()?;
        let mut spec = source.spec.clone();
        if let Some(version) = &overrides.version {
            spec.version.clone_from(version);
        }
        if let Some(sequence) = overrides.sequence {
            spec.sequence = sequence;
        }
        let board = listed_board(&source, board)?;
        let lock = source.lock()?;
        let lock_path = source.lock_path();
        let manifests =
            spec.manifests.as_ref().map(|m| read_manifests(&source.dir.join(m))).transpose()?.unwrap_or_default();
        check_manifests(&spec, &manifests).map_err(|e| Code::Invalid.wrap(e))?;
        let tuf_root = spec.update.as_ref().map(|u| read_file(&source.dir.join(&u.root))).transpose()?;
        Ok(Self {
            lock_file: lock_path.display().to_string(),
            lock_bytes: read_file(&lock_path)?,
            source,
            spec,
            board,
            lock,
            manifests,
            tuf_root,
        })
    }
}

/// The board, which the spec must list: the lock has packages for those only.
fn listed_board(source: &LoadedSpec, name: &str) -> anyhow::Result<BoardSpec> {
    let board = source.board(name)?;
    let listed = |b: &String| b == name || Path::new(b).file_stem().is_some_and(|s| s == board.name.as_str());
    if source.spec.boards.iter().any(listed) {
        return Ok(board);
    }
    let file = source.path.display();
    let message = format!(
        "does not list the board {name:?} (boards = {:?}); add it and run: skerry lock {file}",
        source.spec.boards
    );
    Err(invalid(vec![Problem::of_file(&file.to_string(), message)]))
}

fn read_manifests(dir: &Path) -> anyhow::Result<Vec<Manifest>> {
    let reading = || format!("reading the folder {}", dir.display());
    let mut out = vec![];
    for entry in fs::read_dir(dir).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") || name.ends_with(".yml") {
            out.push(Manifest { bytes: read_file(&entry.path())?, name });
        }
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

/// The same checks as the node's, before anything is baked.
fn check_manifests(spec: &ImageSpec, manifests: &[Manifest]) -> anyhow::Result<()> {
    let files: Vec<_> = manifests.iter().map(|m| (m.name.clone(), m.bytes.clone())).collect();
    let all = |p: Vec<String>| anyhow!("{} problem(s) in the manifests:\n  {}", p.len(), p.join("\n  "));
    let lines = |p: Vec<skerry_workloads::Problem>| -> Vec<String> { p.iter().map(ToString::to_string).collect() };
    let workloads = skerry_workloads::parse_manifests(&files).map_err(|p| all(lines(p)))?;
    let mut problems = lines(skerry_workloads::check_restricted(&workloads));
    for used in skerry_workloads::images_used(&workloads) {
        if !spec.apps.iter().any(|a| a.image == used.image) {
            let known: Vec<_> = spec.apps.iter().map(|a| a.image.as_str()).collect();
            let skerry_workloads::Origin { file, document } = &used.origin;
            let (field, image, known) = (&used.field, &used.image, known.join(", "));
            problems.push(format!(
                "{file}, document {document}: {field}: image {image:?} is not baked in; the spec's apps have: {known}"
            ));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(all(problems)) }
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display())).map_err(|e| Code::Invalid.wrap(e))
}
