//! What a problem is, and what a tree may hold.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;
use skerry_plan::board::Arch;

use super::super::{
    model::{Origin, Tree},
    select::Selection,
};

/// A rule of the lint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A path is malformed or its parent is no directory.
    Path,
    /// Set-user-id, set-group-id or file capabilities.
    Privilege,
    /// Anyone may write to it.
    WorldWritable,
    /// A command interpreter.
    Shell,
    /// A package manager.
    PackageManager,
    /// A script whose interpreter is not in the tree.
    Interpreter,
    /// A symbolic link to nothing.
    DanglingLink,
    /// Not one of the declared folders of the root.
    TopLevel,
    /// An ELF file needs something that is not in the tree.
    MissingLibrary,
    /// A library that nothing needs.
    UnneededLibrary,
    /// An ELF file for another architecture or a malformed one.
    Elf,
    /// A unit starts a program that is not in the tree.
    MissingProgram,
    /// A unit, rule or setting names a user or group that does not exist.
    UnknownUser,
    /// The content could not be read.
    Unreadable,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Path in the tree.
    pub path: String,
    /// Which rule it breaks.
    pub rule: Rule,
    /// What is wrong, for people.
    pub detail: String,
    /// Where the entry came from.
    pub origin: Origin,
}

impl Problem {
    /// A problem with an entry of the tree.
    pub(super) fn new(tree: &Tree, path: &str, rule: Rule, detail: impl Into<String>) -> Self {
        let missing = || Origin::Builder { step: "lint".into() };
        let origin = tree.get(path).map_or_else(missing, |e| e.origin.clone());
        Self { path: path.into(), rule, detail: detail.into(), origin }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match &self.origin {
            Origin::Package { name, version } => format!("package {name} {version}"),
            Origin::Runtime { name } => format!("node program {name}"),
            Origin::App { name } => format!("app {name}"),
            Origin::Spec { key } => format!("image spec or board: {key}"),
            Origin::Builder { step } => format!("builder: {step}"),
        };
        write!(f, "/{}: {} (from {from})", self.path, self.detail)
    }
}

/// What an OS tree may hold.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Architecture of every ELF file.
    pub arch: Arch,
    /// Names allowed in the root.
    pub top_level: BTreeSet<String>,
    /// Folders that are filled at run time; links into them may dangle.
    pub run_time: Vec<String>,
    /// Libraries that may be opened by name at run time.
    pub dlopen: BTreeSet<String>,
}

impl Rules {
    /// The rules for OS trees.
    pub fn os(arch: Arch) -> Self {
        let names = [
            "bin", "dev", "efi", "etc", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "sysroot", "tmp", "usr",
            "var",
        ];
        Self {
            arch,
            top_level: names.into_iter().map(String::from).collect(),
            run_time: ["proc", "run", "var"].into_iter().map(String::from).collect(),
            dlopen: Selection::builtin().dlopen.into_keys().collect(),
        }
    }
}
