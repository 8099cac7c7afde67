//! `skerry workloads`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use skerry_workloads::{FILE_BYTES_MAX, Level, Verdict, check_manifests};

use super::Ctx;

/// Deepest folder below the given one that is looked into.
const DEPTH_MAX: usize = 16;

/// Arguments of `skerry workloads`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: WorkloadsCommand,
}

#[derive(Debug, Subcommand)]
enum WorkloadsCommand {
    /// Say what a node would say to Kubernetes manifests
    ///
    /// Runs the node's own admission: kinds, fields and values that it
    /// supports, references, and the Pod Security Standards. Exits with 1 if
    /// any object would be refused. docs/kubernetes.md lists what is supported.
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Manifests (YAML or JSON), or folders of .yaml, .yml and .json files
    #[arg(value_name = "PATH", required = true)]
    path: Vec<PathBuf>,
    /// Pod Security profile of namespaces that do not choose one with labels:
    /// restricted, baseline or privileged
    #[arg(long, value_name = "PROFILE", default_value = "restricted", value_parser = level)]
    profile: Level,
    /// Print the verdicts as JSON
    #[arg(long)]
    json: bool,
}

/// Run the command.
///
/// # Errors
/// If a file cannot be read or an object would be refused.
pub fn run(args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    let WorkloadsCommand::Check(args) = args.command;
    let mut files = vec![];
    for path in &args.path {
        collect(path, 0, &mut files)?;
    }
    let verdicts = check_manifests(&files, args.profile);
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&verdicts)?),
        false => verdicts.iter().for_each(|v| print!("{}", lines(v))),
    }
    if verdicts.is_empty() {
        bail!("no object in {} file(s); nothing was checked", files.len());
    }
    match verdicts.iter().filter(|v| !v.accepted).count() {
        0 => Ok(()),
        n => Err(anyhow!("a node would refuse {n} of {} object(s)", verdicts.len())),
    }
}

fn level(name: &str) -> Result<Level, String> {
    Level::parse(name).ok_or_else(|| "profiles are restricted, baseline and privileged".into())
}

/// The file, or the manifests in the folder, in the order of their names.
fn collect(path: &Path, depth: usize, out: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    let reading = || format!("reading {}", path.display());
    let meta = fs::metadata(path).with_context(reading)?;
    if !meta.is_dir() {
        let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
        // One byte more than is allowed, so that a large file is refused and
        // not cut.
        let mut bytes = vec![];
        let mut file = io::Read::take(fs::File::open(path).with_context(reading)?, limit.saturating_add(1));
        io::Read::read_to_end(&mut file, &mut bytes).with_context(reading)?;
        out.push((path.display().to_string(), bytes));
        return Ok(());
    }
    if depth > DEPTH_MAX {
        bail!("{}: folders are nested more than {DEPTH_MAX} deep", path.display());
    }
    let entries = fs::read_dir(path).with_context(reading)?;
    let mut inside = entries.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>().with_context(reading)?;
    inside.sort();
    for inner in inside {
        let name = inner.file_name().unwrap_or_default().to_string_lossy();
        let manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if !name.starts_with('.') && (manifest || inner.is_dir()) {
            collect(&inner, depth + 1, out)?;
        }
    }
    Ok(())
}

/// A verdict for people.
fn lines(v: &Verdict) -> String {
    let word = if v.accepted { "accepted" } else { "REFUSED " };
    let place = match v.document {
        0 => v.file.clone(),
        n => format!("{}, document {n}", v.file),
    };
    let title = v.title();
    let title = if title.is_empty() { String::new() } else { format!(" ({title})") };
    let mut out = format!("{word}  {place}{title}\n");
    for p in &v.problems {
        let field = if p.field.is_empty() { String::new() } else { format!("{}: ", p.field) };
        out.push_str(&format!("          {field}{}\n", p.message));
    }
    for w in &v.warnings {
        out.push_str(&format!("          warning: {w}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

    fn check(paths: &[&Path], profile: Level) -> anyhow::Result<()> {
        let path = paths.iter().map(|p| p.to_path_buf()).collect();
        let command = WorkloadsCommand::Check(CheckArgs { path, profile, json: false });
        let ctx = Ctx { progress: crate::progress::Progress::none(), cache_dir: "unused".into(), verbosity: 0 };
        run(Args { command }, &ctx)
    }

    #[test]
    fn folders_files_and_profiles() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("a.yaml"), GOOD).unwrap();
        fs::write(at("README.md"), "not a manifest: [").unwrap();
        assert!(check(&[dir.path()], Level::Restricted).is_ok());
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i:1}]}\n";
        fs::write(at("sub/b.yml"), pod).unwrap();
        let refused = check(&[dir.path()], Level::Restricted).unwrap_err();
        assert_eq!(super::super::exit::code_of(&refused), super::super::exit::Code::Failed);
        assert_eq!(refused.to_string(), "a node would refuse 1 of 2 object(s)");
        assert!(check(&[dir.path()], Level::Baseline).is_ok());
        assert!(check(&[&at("README.md")], Level::Restricted).is_err());
        assert!(check(&[&at("none.yaml")], Level::Restricted).unwrap_err().to_string().contains("none.yaml"));
        fs::write(at("empty.yaml"), "---\n").unwrap();
        assert!(
            check(&[&at("empty.yaml")], Level::Restricted).unwrap_err().to_string().contains("nothing was checked")
        );
    }

    #[test]
    fn a_verdict_names_the_field() {
        let text = format!("{GOOD}dat: {{}}\n");
        let v = check_manifests(&[("m.yaml".into(), text.into_bytes())], Level::Restricted);
        assert_eq!(
            lines(&v[0]),
            "REFUSED   m.yaml, document 1 (ConfigMap default/a)\n          dat: unknown field \"dat\"; did you mean \
             \"data\"?\n"
        );
    }
}
