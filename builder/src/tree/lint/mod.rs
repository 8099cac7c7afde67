//! Lint of finished trees: proves what the image promises.
//!
//! Independent of how the tree was made: it reads the finished entries and
//! opens the ELF files again. All problems are reported at once.

mod libraries;
mod paths;
mod rules;
mod units;

pub(super) use paths::{Resolved, resolve};
pub use rules::{Problem, Rule, Rules};

use super::model::Tree;

/// Check an OS tree.
///
/// # Errors
/// None of its own: a file that cannot be read is a problem of the tree.
pub fn lint(tree: &Tree, rules: &Rules) -> Vec<Problem> {
    let mut problems = paths::common(tree);
    problems.extend(paths::os(tree, rules));
    problems.extend(libraries::check(tree, rules));
    problems.extend(units::check(tree));
    problems.sort();
    problems
}

/// Check an app tree: it may hold a shell, but nothing that gains rights.
pub fn lint_app(tree: &Tree) -> Vec<Problem> {
    let mut problems = paths::common(tree);
    problems.sort();
    problems
}

#[cfg(test)]
mod tests;
