//! ELF closure: walks the tree as the dynamic loader would.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use skerry_plan::board::Arch;

use super::{
    super::{
        elf::{self, ElfInfo},
        model::Tree,
    },
    paths::{Resolved, resolve},
    rules::{Problem, Rule, Rules},
};

/// `e_machine` of an architecture (ELF gABI).
fn machine(arch: Arch) -> u16 {
    match arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
    }
}

/// Check every ELF file of the tree.
pub(super) fn check(tree: &Tree, rules: &Rules) -> Vec<Problem> {
    let (files, mut problems) = read_all(tree, rules);
    let mut walk = Walk { tree, rules, files: &files, used: BTreeSet::new(), problems: BTreeSet::new() };
    for (path, info) in files.iter().filter(|(_, info)| info.soname.is_none()) {
        walk.program(path, info);
    }
    problems.extend(walk.problems);
    let libraries = files.iter().filter(|(_, info)| info.soname.is_some());
    for (path, info) in libraries.filter(|(path, _)| !walk.used.contains(*path)) {
        let name = info.soname.as_deref().unwrap_or_default();
        problems.push(Problem::new(tree, path, Rule::UnneededLibrary, format!("nothing in the tree needs {name}")));
    }
    problems
}

fn read_all(tree: &Tree, rules: &Rules) -> (BTreeMap<String, ElfInfo>, Vec<Problem>) {
    let read =
        |(path, content): (&String, &super::super::model::Content)| -> Option<Result<(String, ElfInfo), Problem>> {
            let problem = |rule, detail| Some(Err(Problem::new(tree, path, rule, detail)));
            let bytes = match content.read() {
                Ok(bytes) => bytes,
                Err(e) => return problem(Rule::Unreadable, e.to_string()),
            };
            if !elf::is_elf(&bytes) {
                return None;
            }
            match elf::parse(&bytes) {
                Err(detail) => problem(Rule::Elf, detail),
                Ok(info) if info.machine != machine(rules.arch) => {
                    problem(Rule::Elf, format!("is for another architecture (e_machine {})", info.machine))
                }
                Ok(info) if info.relocatable => None,
                Ok(info) => Some(Ok((path.clone(), info))),
            }
        };
    let files: Vec<_> = tree.files().map(|(path, _, content)| (path, content)).collect();
    let (good, bad): (Vec<_>, Vec<_>) = files.into_par_iter().filter_map(read).partition(Result::is_ok);
    (good.into_iter().flatten().collect(), bad.into_iter().filter_map(Result::err).collect())
}

struct Walk<'a> {
    tree: &'a Tree,
    rules: &'a Rules,
    files: &'a BTreeMap<String, ElfInfo>,
    used: BTreeSet<String>,
    problems: BTreeSet<Problem>,
}

impl<'a> Walk<'a> {
    /// Load a program: breadth first, a library that is loaded already is not
    /// searched again (ld.so(8)).
    fn program(&mut self, path: &str, info: &'a ElfInfo) {
        let mut loaded = BTreeSet::new();
        if let Some(interpreter) = &info.interpreter {
            match resolve(self.tree, interpreter) {
                Resolved::Entry(found) => {
                    loaded.extend(self.files.get(&found).and_then(|i| i.soname.clone()));
                    self.used.insert(found);
                }
                Resolved::Nothing(_) => self.missing(path, &format!("the interpreter {interpreter}")),
            }
        }
        let mut queue = std::collections::VecDeque::from([(path.to_string(), info)]);
        while let Some((by, info)) = queue.pop_front() {
            let optional = info.dlopen.iter().filter_map(|n| n.soname.iter().find(|s| self.rules.dlopen.contains(*s)));
            let wanted: Vec<String> = info.needed.iter().chain(optional).cloned().collect();
            for soname in wanted {
                if !loaded.insert(soname.clone()) {
                    continue;
                }
                match self.search(&soname, info) {
                    Some((found, next)) => {
                        self.used.insert(found.clone());
                        queue.push_back((found, next));
                    }
                    None => self.missing(&by, &soname),
                }
            }
        }
    }

    fn missing(&mut self, path: &str, what: &str) {
        self.problems.insert(Problem::new(
            self.tree,
            path,
            Rule::MissingLibrary,
            format!("needs {what}, which is not in the tree"),
        ));
    }

    fn search(&self, soname: &str, by: &ElfInfo) -> Option<(String, &'a ElfInfo)> {
        let default = [format!("usr/lib/{}", self.rules.arch.triplet()), "usr/lib".into()];
        let folders = by.runpath.iter().map(String::as_str).chain(default.iter().map(String::as_str));
        folders.into_iter().find_map(|folder| match resolve(self.tree, &format!("{folder}/{soname}")) {
            Resolved::Entry(found) => self.files.get(&found).map(|info| (found, info)),
            Resolved::Nothing(_) => None,
        })
    }
}
