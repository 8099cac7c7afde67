//! Rules about paths, modes, links and scripts.

use super::{
    super::model::{Content, Kind, Tree},
    rules::{Problem, Rule, Rules},
};

/// Links followed before a path counts as a loop (Linux: 40).
const LINKS_MAX: usize = 40;

const SHELLS: &[&str] = &[
    "ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "mksh", "rbash", "sash", "sh", "tcsh", "toybox", "yash",
    "zsh",
];
const PACKAGE_MANAGERS: &[&str] = &[
    "apk", "apt", "apt-get", "apt-key", "dnf", "dpkg", "dpkg-deb", "flatpak", "gem", "microdnf", "npm", "opkg",
    "pacman", "pip", "pip3", "rpm", "snap", "yum", "zypper",
];

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tree) enum Resolved {
    /// To this entry.
    Entry(String),
    /// To this path, which is not in the tree.
    Nothing(String),
}

/// Follow every symbolic link on the way, as the kernel would with the tree as
/// root.
pub(in crate::tree) fn resolve(tree: &Tree, path: &str) -> Resolved {
    let mut todo: Vec<String> = path.split('/').rev().map(String::from).collect();
    let mut at: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                at.pop();
                continue;
            }
            _ => at.push(part),
        }
        let here = at.join("/");
        match tree.get(&here).map(|e| &e.kind) {
            Some(Kind::Symlink(target)) => {
                links += 1;
                if links > LINKS_MAX {
                    return Resolved::Nothing(here);
                }
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                todo.extend(target.split('/').rev().map(String::from));
            }
            Some(_) => {}
            None => {
                // The rest is taken as it is written.
                while let Some(part) = todo.pop() {
                    match part.as_str() {
                        "" | "." => {}
                        ".." => drop(at.pop()),
                        _ => at.push(part),
                    }
                }
                return Resolved::Nothing(at.join("/"));
            }
        }
    }
    Resolved::Entry(at.join("/"))
}

/// Rules that hold for every tree.
pub(super) fn common(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, entry) in &tree.entries {
        let mut add = |rule, detail: String| problems.push(Problem::new(tree, path, rule, detail));
        let malformed = path.split('/').any(|p| matches!(p, "" | "." | "..")) || path.contains('\0');
        if malformed && !path.is_empty() {
            add(Rule::Path, "malformed path".into());
        }
        if let Some((parent, _)) = path.rsplit_once('/')
            && !matches!(tree.get(parent).map(|e| &e.kind), Some(Kind::Dir))
        {
            add(Rule::Path, format!("/{parent} is no directory"));
        }
        if entry.mode & 0o6000 != 0 && !matches!(entry.kind, Kind::Symlink(_)) {
            add(Rule::Privilege, format!("mode {:o} sets user or group id", entry.mode));
        }
        if entry.xattrs.contains_key("security.capability") {
            add(Rule::Privilege, "has file capabilities".into());
        }
    }
    problems
}

/// Rules for OS trees.
pub(super) fn os(tree: &Tree, rules: &Rules) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, entry) in &tree.entries {
        let mut add = |rule, detail: String| problems.push(Problem::new(tree, path, rule, detail));
        if !path.is_empty() && !path.contains('/') && !rules.top_level.contains(path) {
            add(Rule::TopLevel, "is not one of the declared folders of the root".into());
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        match &entry.kind {
            Kind::Dir => {
                if entry.mode & 0o1002 == 0o002 {
                    add(Rule::WorldWritable, format!("mode {:o}: anyone may write, and no sticky bit", entry.mode));
                }
                continue;
            }
            Kind::Symlink(_) => {
                if let Resolved::Nothing(end) = resolve(tree, path)
                    && !rules.run_time.iter().any(|r| end == *r || end.starts_with(&format!("{r}/")))
                {
                    add(Rule::DanglingLink, format!("leads to /{end}, which is not in the tree"));
                }
            }
            Kind::File(content) => {
                if entry.mode & 0o002 != 0 {
                    add(Rule::WorldWritable, format!("mode {:o}: anyone may write", entry.mode));
                }
                match script_interpreter(content) {
                    Ok(Some(interpreter)) if !matches!(resolve(tree, &interpreter), Resolved::Entry(_)) => {
                        add(Rule::Interpreter, format!("is a script for {interpreter}, which is not in the tree"));
                    }
                    Ok(_) => {}
                    Err(e) => add(Rule::Unreadable, e.to_string()),
                }
            }
        }
        let program = is_program(path);
        if program && SHELLS.contains(&name) {
            add(Rule::Shell, "is a shell".into());
        }
        if program && PACKAGE_MANAGERS.contains(&name) {
            add(Rule::PackageManager, "is a package manager".into());
        }
    }
    problems
}

fn is_program(path: &str) -> bool {
    matches!(
        path.rsplit_once('/').map(|(dir, _)| dir.rsplit('/').next().unwrap_or(dir)),
        Some("bin" | "sbin" | "libexec" | "games")
    )
}

/// The interpreter that `#!` names.
fn script_interpreter(content: &Content) -> std::io::Result<Option<String>> {
    let head = head(content, 256)?;
    let Some(line) = head.strip_prefix(b"#!") else { return Ok(None) };
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).split_ascii_whitespace().next().map(String::from))
}

/// First bytes of a file.
fn head(content: &Content, len: usize) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    match content {
        Content::Bytes(bytes) => Ok(bytes[..bytes.len().min(len)].to_vec()),
        Content::File { path, .. } => {
            let mut head = Vec::new();
            std::fs::File::open(path)?.take(len as u64).read_to_end(&mut head)?;
            Ok(head)
        }
    }
}
