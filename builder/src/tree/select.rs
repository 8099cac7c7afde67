//! Selection: which files of which package enter the OS tree.
//!
//! The list is data (`assets/selection.toml`, with a reason per group) plus the
//! image spec's extra files. Libraries follow from the ELF files themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use skerry_plan::board::Arch;

use super::{
    elf,
    error::TreeError,
    model::{Content, Entry, Kind, Origin, Tree},
};
use crate::packages::unpack::{DebEntry, DebKind, UnpackedDeb};

const SELECTION: &str = include_str!("assets/selection.toml");

/// `assets/selection.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Groups of files, each from one package.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// Library name → reason, for libraries opened at run time.
    pub dlopen: BTreeMap<String, String>,
}

/// `[[group]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Package the files come from.
    pub package: String,
    /// Why they are in the tree.
    pub reason: String,
    /// Globs.
    pub paths: Vec<String>,
    /// Take set-user-id programs without that bit.
    #[serde(default)]
    pub drop_setuid: bool,
}

impl Selection {
    /// The list that every image has.
    pub fn builtin() -> Self {
        toml::from_str(SELECTION).expect("the built-in selection is valid; a test parses it")
    }
}

/// Files of all packages by their path after usr-merge.
pub struct PackageIndex<'a> {
    packages: &'a [UnpackedDeb],
    entries: BTreeMap<String, (usize, &'a DebEntry)>,
}

impl<'a> PackageIndex<'a> {
    /// Index the packages; of files that two packages have, the first counts.
    pub fn new(packages: &'a [UnpackedDeb]) -> Self {
        let mut entries = BTreeMap::new();
        for (number, package) in packages.iter().enumerate() {
            for entry in &package.entries {
                entries.entry(usr_merged(&entry.path)).or_insert((number, entry));
            }
        }
        Self { packages, entries }
    }

    /// Does a package have this path?
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// Entries below a folder with their package, in path order.
    pub fn below<'s>(&'s self, folder: &'s str) -> impl Iterator<Item = (&'s str, &'a UnpackedDeb, &'a DebEntry)> + 's {
        self.entries
            .range(folder.to_string()..)
            .take_while(move |(path, _)| path.starts_with(folder))
            .map(|(path, (number, entry))| (path.as_str(), &self.packages[*number], *entry))
    }

    /// Where the content of a file lies in the cache.
    pub fn stored(&self, path: &str) -> Option<PathBuf> {
        let (number, entry) = self.entries.get(path)?;
        match &entry.kind {
            DebKind::File { stored, .. } => Some(self.packages[*number].stored_path(stored)),
            _ => None,
        }
    }

    fn matching(&self, package: &str, glob: &GlobMatcher) -> Vec<String> {
        let hits = self.entries.iter().filter(|(path, (number, entry))| {
            self.packages[*number].package.name == package && !matches!(entry.kind, DebKind::Dir) && glob.is_match(path)
        });
        hits.map(|(path, _)| path.clone()).collect()
    }
}

/// `bin`, `sbin`, `lib` and `lib64` are links into `usr`.
pub fn usr_merged(path: &str) -> String {
    match path.split('/').next() {
        Some("bin" | "sbin" | "lib" | "lib64") => format!("usr/{path}"),
        _ => path.to_string(),
    }
}

/// Path of a symbolic link's target, after usr-merge; `None` if it leaves the
/// root.
pub fn link_target(link: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => vec![],
        None => link.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            p => parts.push(p),
        }
    }
    Some(usr_merged(&parts.join("/")))
}

/// Origin of a file of a package.
pub fn package_origin(package: &UnpackedDeb) -> Origin {
    Origin::Package { name: package.package.name.clone(), version: package.package.version.clone() }
}

/// Compiles a glob whose `*` does not cross `/`.
pub fn glob(pattern: &str) -> Result<GlobMatcher, String> {
    let built = GlobBuilder::new(pattern).literal_separator(true).build();
    built.map(|g| g.compile_matcher()).map_err(|e| format!("{pattern}: {e}"))
}

/// Copies files from packages into a tree, with everything they need.
pub struct Selector<'a> {
    /// Where files come from.
    pub index: &'a PackageIndex<'a>,
    /// Where they go.
    pub tree: Tree,
    arch: Arch,
    dlopen: BTreeSet<String>,
    unread: Vec<String>,
    problems: Vec<String>,
}

impl<'a> Selector<'a> {
    /// Start with an empty tree.
    pub fn new(index: &'a PackageIndex<'a>, arch: Arch, tree: Tree) -> Self {
        Self { index, tree, arch, dlopen: BTreeSet::new(), unread: vec![], problems: vec![] }
    }

    /// Take the built-in selection.
    pub fn take_selection(&mut self, selection: &Selection) {
        self.dlopen.extend(selection.dlopen.keys().cloned());
        for group in &selection.groups {
            for pattern in &group.paths {
                let pattern = pattern.replace("{triplet}", self.arch.triplet());
                self.take_glob(&group.package, &pattern, &group.reason, group.drop_setuid);
            }
        }
    }

    /// Take what a glob matches in any of the packages; returns the paths.
    pub fn take_from_any(&mut self, packages: &[String], pattern: &str, why: &str) -> Vec<String> {
        let matcher = match glob(pattern) {
            Ok(m) => m,
            Err(problem) => {
                self.problems.push(problem);
                return vec![];
            }
        };
        let hits: Vec<String> = packages.iter().flat_map(|p| self.index.matching(p, &matcher)).collect();
        if hits.is_empty() {
            self.problems.push(format!("{why}: nothing in {} matches {pattern}", packages.join(", ")));
        }
        hits.iter().for_each(|path| self.take(path));
        hits
    }

    fn take_glob(&mut self, package: &str, pattern: &str, reason: &str, drop_setuid: bool) {
        // Braces are written out, so that every alternative must exist.
        for single in expand_braces(pattern) {
            for path in self.take_from_any(&[package.to_string()], &single, reason) {
                if let Some(entry) = self.tree.entries.get_mut(&path).filter(|_| drop_setuid) {
                    entry.mode &= 0o777;
                }
            }
        }
    }

    /// Take one path and, if it is a link, what it points to.
    pub fn take(&mut self, path: &str) {
        if self.tree.entries.contains_key(path) {
            return;
        }
        let Some((number, entry)) = self.index.entries.get(path) else { return };
        let package = &self.index.packages[*number];
        let kind = match &entry.kind {
            DebKind::Dir => Kind::Dir,
            DebKind::Symlink { target } => Kind::Symlink(target.clone()),
            DebKind::File { size_bytes, stored } => {
                self.unread.push(path.to_string());
                Kind::File(Content::File { path: package.stored_path(stored), size_bytes: *size_bytes })
            }
        };
        let target = match &kind {
            Kind::Symlink(target) => link_target(path, target),
            _ => None,
        };
        self.tree.insert(path, Entry { kind, ..package_entry(package, entry) });
        if let Some(target) = target {
            self.take(&target);
        }
    }

    /// Add the libraries and interpreters that the files taken so far need,
    /// until nothing is missing.
    ///
    /// # Errors
    /// All selection problems found so far, or an unreadable file.
    pub fn finish(mut self) -> Result<Tree, TreeError> {
        while let Some(path) = self.unread.pop() {
            let Some(stored) = self.index.stored(&path) else { continue };
            let bytes = std::fs::read(&stored).map_err(TreeError::io("reading", &stored))?;
            if elf::is_elf(&bytes) {
                let info = elf::parse(&bytes).map_err(|detail| TreeError::Elf { path: path.clone(), detail })?;
                self.take_needs(&path, &info);
            }
        }
        if self.problems.is_empty() { Ok(self.tree) } else { Err(TreeError::Selection(self.problems)) }
    }

    fn take_needs(&mut self, path: &str, info: &elf::ElfInfo) {
        if let Some(interpreter) = &info.interpreter {
            match link_target("", interpreter).filter(|p| self.index.contains(p)) {
                Some(found) => self.take(&found),
                None => self
                    .problems
                    .push(format!("{path} needs the interpreter {interpreter}, which no package of the lock has")),
            }
        }
        let wanted = info.dlopen.iter().filter_map(|note| {
            let required = note.priority == "required";
            note.soname.iter().find(|s| self.dlopen.contains(*s) || (required && self.find(s, info).is_some()))
        });
        let names: Vec<&String> = info.needed.iter().chain(wanted).collect();
        for name in names {
            // A private library beside the one that needs it is loaded by the
            // program's own search path before.
            let beside = || link_target(path, name).filter(|p| self.index.contains(p));
            match self.find(name, info).or_else(beside) {
                Some(found) => self.take(&found),
                None => self.problems.push(format!("{path} needs {name}, which no package of the lock has")),
            }
        }
    }

    fn find(&self, soname: &str, info: &elf::ElfInfo) -> Option<String> {
        library_dirs(self.arch, info).map(|dir| format!("{dir}/{soname}")).find(|p| self.index.contains(p))
    }
}

/// Folders in which the loader looks, in its order; there is no `ld.so.cache`.
pub fn library_dirs(arch: Arch, info: &elf::ElfInfo) -> impl Iterator<Item = String> {
    let own = info.runpath.iter().filter_map(|p| link_target("", p)).collect::<Vec<_>>();
    own.into_iter().chain([format!("usr/lib/{}", arch.triplet()), "usr/lib".into(), "usr/lib64".into()])
}

fn package_entry(package: &UnpackedDeb, entry: &DebEntry) -> Entry {
    let mode = if matches!(entry.kind, DebKind::Symlink { .. }) { 0o777 } else { entry.mode };
    Entry { mode, uid: entry.uid, gid: entry.gid, ..Entry::dir(package_origin(package)) }
}

/// `a{b,c}d` → `abd`, `acd`; one level.
fn expand_braces(pattern: &str) -> Vec<String> {
    let Some((head, rest)) = pattern.split_once('{') else { return vec![pattern.into()] };
    let Some((inner, tail)) = rest.split_once('}') else { return vec![pattern.into()] };
    inner.split(',').flat_map(|alt| expand_braces(&format!("{head}{alt}{tail}"))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn builtin_selection_parses_and_gives_reasons() {
        let selection = Selection::builtin();
        assert!(selection.groups.iter().all(|g| !g.reason.is_empty() && !g.paths.is_empty()));
        for pattern in selection.groups.iter().flat_map(|g| &g.paths) {
            for single in expand_braces(&pattern.replace("{triplet}", "x")) {
                glob(&single).unwrap();
            }
        }
    }

    #[test]
    fn braces_expand_to_every_alternative() {
        assert_eq!(expand_braces("a{b,c}d{,e}"), ["abd", "abde", "acd", "acde"]);
        assert_eq!(expand_braces("plain"), ["plain"]);
    }

    #[test]
    fn link_targets() {
        for (link, target, want) in [
            ("usr/lib/x/liba.so.1", "liba.so.1.2", Some("usr/lib/x/liba.so.1.2")),
            ("usr/lib64/ld.so", "../lib/x/ld.so", Some("usr/lib/x/ld.so")),
            ("usr/sbin/init", "/lib/systemd/systemd", Some("usr/lib/systemd/systemd")),
            ("etc/x", "../../etc/passwd", None),
            ("", "/lib64/ld-linux-x86-64.so.2", Some("usr/lib64/ld-linux-x86-64.so.2")),
        ] {
            assert_eq!(link_target(link, target).as_deref(), want, "{link} -> {target}");
        }
    }
}
