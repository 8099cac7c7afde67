//! `skerry lock`: the only command that resolves versions.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::Context;
use skerry_plan::lock::{self, Lock, LockedPackage};

use super::{Ctx, exit::Code};
use crate::inputs::LoadedSpec;
use crate::packages::{
    Cache, MirrorArgs, Mirrors,
    cache::write_atomically,
    resolve::{DEFAULT_KEYRINGS, Expired, ResolveError, ResolveInputs, resolve},
};

/// Arguments of `skerry lock`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Image spec; the lock is written beside it, foo.toml → foo.lock
    pub spec: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub mirrors: MirrorArgs,
    /// Keys of the Debian archive [default: those of the package
    /// debian-archive-keyring]
    #[arg(long, value_name = "FILE")]
    pub keyring: Option<PathBuf>,
    /// Accept archive metadata past its date, for mirrors that are frozen on
    /// purpose
    #[arg(long)]
    pub allow_expired: bool,
    /// Write nothing; fail if the lock would change
    #[arg(long)]
    pub check: bool,
}

/// Resolve and write the lock.
///
/// # Errors
/// Problems of spec or boards (3), archive or mirror (4), signatures (5).
pub fn run(args: Args, ctx: &Ctx) -> anyhow::Result<()> {
    let spec = LoadedSpec::read(&args.spec)?;
    let boards = spec.boards()?;
    let mirrors = args.mirrors.find();
    let keyring = args.keyring.unwrap_or_else(default_keyring);
    say_mirrors(&mirrors, ctx);
    let inputs = ResolveInputs {
        spec: &spec.spec,
        boards: &boards,
        mirrors: &mirrors,
        keyring: &keyring,
        cache: &Cache::new(&ctx.cache_dir),
        expired: if args.allow_expired { Expired::Accept } else { Expired::Refuse },
    };
    let new = resolve(&inputs, &ctx.progress).map_err(with_code)?;
    let path = spec.lock_path();
    let text = lock::render(&new);
    // A lock that cannot be read any more is replaced like a missing one.
    let old_text = std::fs::read_to_string(&path).ok();
    let old = old_text.as_deref().and_then(|t| lock::parse(&path.display().to_string(), t).ok());
    let changes = summary(old.as_ref(), &new);
    if old_text.as_deref() == Some(text.as_str()) {
        println!("{} is up to date: {}", path.display(), changes.totals);
        return Ok(());
    }
    changes.lines.iter().for_each(|line| println!("{line}"));
    if args.check {
        return Err(Code::Invalid.wrap(anyhow::anyhow!(
            "{} is out of date; run: skerry lock {}",
            path.display(),
            args.spec.display()
        )));
    }
    write_atomically(&path, text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
    println!("{} written: {}", path.display(), changes.totals);
    Ok(())
}

fn default_keyring() -> PathBuf {
    let found = DEFAULT_KEYRINGS.iter().map(Path::new).find(|p| p.exists());
    found.unwrap_or(Path::new(DEFAULT_KEYRINGS[0])).to_path_buf()
}

fn say_mirrors(mirrors: &Mirrors, ctx: &Ctx) {
    use skerry_plan::lock::Archive;
    for (archive, name) in [(Archive::Main, "Debian mirror"), (Archive::Security, "security mirror")] {
        if let Ok(mirror) = mirrors.of(archive) {
            ctx.progress.note(format!("{name}: {mirror}"));
        }
    }
}

fn with_code(error: ResolveError) -> anyhow::Error {
    let code = match &error {
        ResolveError::Network { .. } | ResolveError::Expired { .. } => Code::Network,
        ResolveError::Signature { .. } => Code::Verification,
        ResolveError::Unsatisfiable { .. } => Code::Invalid,
        _ => Code::Failed,
    };
    code.wrap(error)
}

/// What changed, for people.
struct Summary {
    lines: Vec<String>,
    totals: String,
}

fn summary(old: Option<&Lock>, new: &Lock) -> Summary {
    let files: BTreeSet<_> = new.packages.iter().chain(&new.tools).map(|p| (p.sha256, p.size)).collect();
    let bytes: u64 = files.iter().map(|(_, size)| size).sum();
    let totals = format!(
        "{} packages, {} tools, {:.1} MB to download in all",
        new.packages.len(),
        new.tools.len(),
        bytes as f64 / 1e6
    );
    let mut lines = Vec::new();
    if let Some(old) = old {
        changes(&old.packages, &new.packages, "", &mut lines);
        changes(&old.tools, &new.tools, " (tool)", &mut lines);
        for suite in &new.suites {
            let before = old.suites.iter().find(|s| s.name == suite.name);
            if before.is_some_and(|b| b.date > suite.date) {
                lines.push(format!("! {} is older than in the old lock: the mirror is behind", suite.name));
            }
        }
    }
    Summary { lines, totals }
}

fn changes(old: &[LockedPackage], new: &[LockedPackage], suffix: &str, lines: &mut Vec<String>) {
    type Versions<'a> = BTreeMap<(&'a str, &'a str), &'a str>;
    let by_name = |list| -> Versions<'_> {
        let list: &[LockedPackage] = list;
        list.iter().map(|p| ((p.name.as_str(), p.arch.as_str()), p.version.as_str())).collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let name = key.0;
        match (old.get(key), new.get(key)) {
            (None, Some(v)) => lines.push(format!("+ {name} {v}{suffix}")),
            (Some(v), None) => lines.push(format!("- {name} {v}{suffix}")),
            (Some(a), Some(b)) if a != b => lines.push(format!("~ {name} {a} → {b}{suffix}")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use skerry_formats::Sha256Digest;
    use skerry_plan::lock::{Archive, LockedSuite};

    fn package(name: &str, version: &str) -> LockedPackage {
        LockedPackage {
            name: name.into(),
            version: version.into(),
            arch: "amd64".into(),
            source: format!("{name}={version}"),
            size: 1_000_000,
            sha256: Sha256Digest::of(format!("{name}{version}").as_bytes()),
            path: format!("pool/main/{name}_{version}.deb"),
            suite: "trixie".into(),
            archive: Archive::Main,
            boards: vec!["x86_64-uefi".into()],
        }
    }

    fn lock(date: u64, packages: &[(&str, &str)]) -> Lock {
        let suite = LockedSuite {
            name: "trixie".into(),
            archive: Archive::Main,
            date,
            inrelease_sha256: Sha256Digest([0; 32]),
        };
        Lock {
            version: 1,
            epoch: date,
            suites: vec![suite],
            packages: packages.iter().map(|(n, v)| package(n, v)).collect(),
            tools: vec![],
        }
    }

    #[test]
    fn changes_are_listed() {
        let old = lock(200, &[("crun", "1"), ("gone", "1"), ("same", "1")]);
        let new = lock(100, &[("crun", "2"), ("new", "1"), ("same", "1")]);
        let got = summary(Some(&old), &new);
        assert_eq!(
            got.lines,
            ["~ crun 1 → 2", "- gone 1", "+ new 1", "! trixie is older than in the old lock: the mirror is behind"]
        );
        assert_eq!(got.totals, "3 packages, 0 tools, 3.0 MB to download in all");
    }
}
