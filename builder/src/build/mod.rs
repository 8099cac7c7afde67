//! Runs the line: plan, packages, tree, commit, image, release.
//!
//! [`execute`] makes no choices; `output` reveals the finished folder in one
//! rename, so that nothing half-written is ever left behind.

mod error;
mod execute;
mod log;
mod output;
mod tools;

use std::path::PathBuf;

use skerry_plan::Plan;

pub use self::{
    error::BuildError,
    execute::{Built, execute},
};
use crate::{inputs::Inputs, packages::Mirrors};

/// What a build makes beside the release itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artifacts {
    /// Everything.
    All,
    /// No disk image: enough to publish an update.
    Release,
}

/// How to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// Output folder.
    pub out: PathBuf,
    /// What to make.
    pub artifacts: Artifacts,
    /// Root of the cache.
    pub cache: PathBuf,
    /// OSTree repository that keeps the product's history.
    pub ostree: PathBuf,
    /// Folder with the programs of the node.
    pub runtime: PathBuf,
    /// Folder with `release.key`.
    pub keys: PathBuf,
    /// Where packages are fetched from when the cache lacks them.
    pub mirrors: Mirrors,
}

/// Plan and lint; what `--plan-only` prints.
///
/// # Errors
/// [`BuildError::Invalid`] with every problem of the plan.
pub fn plan(inputs: &Inputs) -> Result<Plan, BuildError> {
    let plan = skerry_plan::plan(&skerry_plan::PlanInputs {
        spec_file: &inputs.source.path.display().to_string(),
        lock_file: &inputs.lock_file,
        spec: &inputs.spec,
        board: &inputs.board,
        lock: &inputs.lock,
    });
    let problems = skerry_plan::lint(&plan);
    if problems.is_empty() { Ok(plan) } else { Err(BuildError::Invalid(skerry_plan::Problems(problems))) }
}
