//! Reads what people wrote: spec, board, lock, manifests. All problems of a
//! file at once, with places.

use std::{
    fs,
    path::{Path, PathBuf},
};

use skerry_plan::{
    Problem, Problems,
    board::BoardSpec,
    lock::Lock,
    spec::{Found, ImageSpec},
};

use super::BuildError;
use crate::tree::config::Manifest;

/// Boards that come with Skerry: name and text.
pub const BUILTIN_BOARDS: &[(&str, &str)] = &[("x86_64-uefi", include_str!("../../../boards/x86_64-uefi.toml"))];

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
    /// Spec file as given.
    pub spec_file: String,
    /// Folder that the spec's paths are relative to.
    pub base_dir: PathBuf,
    /// The spec.
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

/// `foo.toml` → `foo.lock`.
pub fn lock_path(spec: &Path) -> PathBuf {
    spec.with_extension("lock")
}

impl Inputs {
    /// Read and check everything.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] with every problem found in a file.
    pub fn read(spec_path: &Path, board: &str, overrides: &Overrides) -> Result<Self, BuildError> {
        let spec_file = spec_path.display().to_string();
        let base_dir = spec_path.parent().unwrap_or(Path::new("")).to_path_buf();
        let spec = read_spec(spec_path, overrides)?;
        let board = find_board(board, &spec, &spec_file, &base_dir)?;
        let lock_path = lock_path(spec_path);
        if !lock_path.is_file() {
            let advice = format!("run `skerry lock {spec_file}`");
            return Err(BuildError::Missing { what: "the lock", path: lock_path, advice });
        }
        let lock_bytes = read_file(&lock_path)?;
        let lock_file = lock_path.display().to_string();
        let lock = skerry_plan::lock::parse(&lock_file, &text(&lock_path, &lock_bytes)?).map_err(invalid)?;
        let manifests = spec.manifests.as_ref().map(|m| read_manifests(&base_dir.join(m))).transpose()?.unwrap_or_default();
        check_manifests(&spec, &manifests)?;
        let tuf_root = spec.update.as_ref().map(|u| read_file(&base_dir.join(&u.root))).transpose()?;
        Ok(Self { spec_file, base_dir, spec, board, lock_file, lock, lock_bytes, manifests, tuf_root })
    }
}

/// Read a spec and look for the files it names.
///
/// # Errors
/// [`BuildError::Invalid`] with every problem.
pub fn read_spec(path: &Path, overrides: &Overrides) -> Result<ImageSpec, BuildError> {
    let file = path.display().to_string();
    if !path.is_file() {
        let advice = "`skerry new DIR` writes one to start from".into();
        return Err(BuildError::Missing { what: "the image spec", path: path.into(), advice });
    }
    let content = text(path, &read_file(path)?)?;
    let mut spec = skerry_plan::spec::parse(&file, &content).map_err(invalid)?;
    let base = path.parent().unwrap_or(Path::new(""));
    let problems = skerry_plan::spec::check_files(&file, &content, &spec, |p| match base.join(p) {
        p if p.is_dir() => Found::Folder,
        p if p.exists() => Found::File,
        _ => Found::Nothing,
    });
    if !problems.is_empty() {
        return Err(invalid(problems));
    }
    if let Some(version) = &overrides.version {
        spec.version.clone_from(version);
    }
    if let Some(sequence) = overrides.sequence {
        spec.sequence = sequence;
    }
    Ok(spec)
}

/// A board by name or path, which the spec must list.
///
/// # Errors
/// The board is unknown, not listed, or its file not valid.
pub fn find_board(name: &str, spec: &ImageSpec, spec_file: &str, base_dir: &Path) -> Result<BoardSpec, BuildError> {
    let problem = |message: String| invalid(vec![Problem::of_file(spec_file, message)]);
    let listed = spec.boards.iter().find(|b| *b == name || Path::new(b).file_stem().is_some_and(|s| s == name));
    let Some(listed) = listed else {
        return Err(problem(format!("does not list the board {name:?} (boards = {:?}); add it and run `skerry lock {spec_file}`", spec.boards)));
    };
    load_board(listed, base_dir)?.ok_or_else(|| {
        let known: Vec<_> = BUILTIN_BOARDS.iter().map(|(n, _)| *n).collect();
        problem(format!("no built-in board is called {listed:?} (there are: {}); a board of your own is a path ending in .toml", known.join(", ")))
    })
}

/// A board by built-in name or path; `None`: no such name.
///
/// # Errors
/// The file cannot be read or is not valid.
pub fn load_board(listed: &str, base_dir: &Path) -> Result<Option<BoardSpec>, BuildError> {
    if listed.ends_with(".toml") {
        let path = base_dir.join(listed);
        let content = text(&path, &read_file(&path)?)?;
        return skerry_plan::board::parse(&path.display().to_string(), &content).map(Some).map_err(invalid);
    }
    let builtin = BUILTIN_BOARDS.iter().find(|(n, _)| *n == listed);
    builtin.map(|(n, content)| skerry_plan::board::parse(&format!("{n}.toml"), content).map_err(invalid)).transpose()
}

fn read_manifests(dir: &Path) -> Result<Vec<Manifest>, BuildError> {
    let mut out = vec![];
    for entry in fs::read_dir(dir).map_err(BuildError::io("reading the folder", dir))? {
        let entry = entry.map_err(BuildError::io("reading the folder", dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") || name.ends_with(".yml") {
            out.push(Manifest { bytes: read_file(&entry.path())?, name });
        }
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

/// The same checks as the node's, before anything is baked.
fn check_manifests(spec: &ImageSpec, manifests: &[Manifest]) -> Result<(), BuildError> {
    let files: Vec<_> = manifests.iter().map(|m| (m.name.clone(), m.bytes.clone())).collect();
    let lines = |p: Vec<skerry_workloads::Problem>| BuildError::Manifests(p.iter().map(ToString::to_string).collect());
    let workloads = skerry_workloads::parse_manifests(&files).map_err(lines)?;
    let mut problems: Vec<String> = skerry_workloads::check_restricted(&workloads).iter().map(ToString::to_string).collect();
    for used in skerry_workloads::images_used(&workloads) {
        if !spec.apps.iter().any(|a| a.image == used.image) {
            let known: Vec<_> = spec.apps.iter().map(|a| a.image.as_str()).collect();
            problems.push(format!(
                "{}, document {}: {}: image {:?} is not baked in; the spec's apps have: {}",
                used.origin.file, used.origin.document, used.field, used.image, known.join(", ")
            ));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(BuildError::Manifests(problems)) }
}

fn invalid(problems: Vec<Problem>) -> BuildError {
    BuildError::Invalid(Problems(problems))
}

fn read_file(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(BuildError::io("reading", path))
}

fn text(path: &Path, bytes: &[u8]) -> Result<String, BuildError> {
    let line = |at: usize| bytes[..at].iter().filter(|b| **b == b'\n').count() + 1;
    std::str::from_utf8(bytes).map(str::to_string).map_err(|e| {
        let message = format!("line {}: not UTF-8", line(e.valid_up_to()));
        invalid(vec![Problem::of_file(&path.display().to_string(), message)])
    })
}
