//! Units, udev rules and tmpfiles lines: programs and users they name exist.

use std::collections::BTreeSet;

use super::{
    super::model::{Kind, Tree},
    paths::{Resolved, resolve},
    rules::{Problem, Rule},
};

const UNIT_SUFFIXES: &[&str] = &[".service", ".socket", ".mount", ".conf"];

/// Check every unit, rule and tmpfiles file.
pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let users = names(tree, "etc/passwd");
    let groups = names(tree, "etc/group");
    let mut problems = Vec::new();
    for (path, _, _) in tree.files() {
        let unit = path.starts_with("usr/lib/systemd/system/") || path.starts_with("etc/systemd/system/");
        let findings = if unit && UNIT_SUFFIXES.iter().any(|s| path.ends_with(s)) {
            unit_file(tree, &text(tree, path), &users, &groups)
        } else if path.starts_with("usr/lib/tmpfiles.d/") {
            tmpfiles(&text(tree, path), &users, &groups)
        } else if path.starts_with("usr/lib/udev/rules.d/") {
            udev_rules(&text(tree, path), &groups)
        } else {
            continue;
        };
        problems.extend(findings.into_iter().map(|(rule, detail)| Problem::new(tree, path, rule, detail)));
    }
    problems
}

type Finding = (Rule, String);

fn text(tree: &Tree, path: &str) -> String {
    match tree.get(path).map(|e| &e.kind) {
        Some(Kind::File(content)) => {
            content.read().map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn names(tree: &Tree, path: &str) -> BTreeSet<String> {
    text(tree, path).lines().filter_map(|l| l.split(':').next().map(String::from)).collect()
}

fn unknown(kind: &str, name: &str) -> Finding {
    (Rule::UnknownUser, format!("names the {kind} {name}, which does not exist"))
}

fn unit_file(tree: &Tree, text: &str, users: &BTreeSet<String>, groups: &BTreeSet<String>) -> Vec<Finding> {
    let dynamic = text.lines().any(|l| matches!(l.trim(), "DynamicUser=yes" | "DynamicUser=true"));
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';'])) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        let fixed = |v: &&str| !v.is_empty() && !v.contains('%');
        match key {
            "User" if !dynamic && fixed(&value) && !users.contains(value) => found.push(unknown("user", value)),
            "Group" | "SocketGroup" if !dynamic && fixed(&value) && !groups.contains(value) => {
                found.push(unknown("group", value))
            }
            "SupplementaryGroups" => {
                let missing = value.split_ascii_whitespace().filter(|g| !groups.contains(*g));
                found.extend(missing.map(|g| unknown("group", g)));
            }
            _ if key.starts_with("Exec") => {
                let program = value.split_ascii_whitespace().next().unwrap_or_default();
                let program = program.trim_start_matches(['-', '@', ':', '+', '!', '|']);
                if program.starts_with('/') && !matches!(resolve(tree, program), Resolved::Entry(_)) {
                    found.push((Rule::MissingProgram, format!("starts {program}, which is not in the tree")));
                }
            }
            _ => {}
        }
    }
    found
}

fn tmpfiles(text: &str, users: &BTreeSet<String>, groups: &BTreeSet<String>) -> Vec<Finding> {
    let named = |v: &str| v != "-" && !v.is_empty() && v.parse::<u32>().is_err();
    let mut found = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let field = |i: usize| fields.get(i).copied().unwrap_or("-").trim_start_matches(':');
        if named(field(3)) && !users.contains(field(3)) {
            found.push(unknown("user", field(3)));
        }
        if named(field(4)) && !groups.contains(field(4)) {
            found.push(unknown("group", field(4)));
        }
    }
    found
}

fn udev_rules(text: &str, groups: &BTreeSet<String>) -> Vec<Finding> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        for part in line.split(',').map(str::trim) {
            if let Some(name) = part.strip_prefix("GROUP=\"").and_then(|r| r.strip_suffix('"'))
                && !groups.contains(name)
            {
                found.insert(name.to_string());
            }
        }
    }
    found.into_iter().map(|name| unknown("group", &name)).collect()
}
