//! `skerry inspect`.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::json;

use super::Ctx;
use crate::release::{
    files::{FileKind, origin_text},
    inspect::{self, By, Described, Group, Inspection},
};

/// Arguments of `skerry inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Output folder of `skerry build`
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// List every file with its reason
    #[arg(long)]
    files: bool,
    /// Group sizes by kind of origin or by package, or list the largest files
    #[arg(long, value_name = "WHAT", default_value = "origin")]
    by: By,
    /// Number of largest files to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Say why this path is in the image
    #[arg(long, value_name = "PATH", conflicts_with = "files")]
    why: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Run the command.
///
/// # Errors
/// If the folder is no release, or the path of `--why` is not in it.
pub fn run(args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    let described = Described::load(&args.dir)?;
    if let Some(path) = &args.why {
        return why(&described, path, args.json);
    }
    if args.files {
        return files(&described, args.json);
    }
    let inspection = inspect::inspect(&described, args.by, args.top);
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&inspection)?),
        false => summary(&inspection),
    }
    Ok(())
}

fn why(d: &Described, path: &str, json: bool) -> anyhow::Result<()> {
    let found = inspect::why(d, path);
    if found.is_empty() {
        return Err(anyhow!("{path} is not in this release; `skerry inspect --files` lists what is"));
    }
    for (tree, e) in &found {
        match json {
            true => println!("{}", json!({ "tree": tree, "entry": e })),
            false => println!("/{} ({tree}) {}", e.path, inspect::reason(&e.origin)),
        }
    }
    Ok(())
}

fn files(d: &Described, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&d.files)?);
        return Ok(());
    }
    for (tree, e) in d.files.iter() {
        let kind = match e.kind {
            FileKind::Dir => 'd',
            FileKind::Symlink => 'l',
            FileKind::File => '-',
        };
        let target = e.target.as_ref().map(|t| format!(" -> {t}")).unwrap_or_default();
        let owner = format!("{}:{}", e.uid, e.gid);
        println!(
            "{kind}{} {owner:>9} {:>11} {tree}:/{}{target}  [{}]",
            e.mode,
            e.size_bytes,
            e.path,
            origin_text(&e.origin)
        );
    }
    Ok(())
}

fn summary(i: &Inspection) {
    let r = &i.release;
    println!("{} {} for {} ({}), sequence {}", r.product, r.version, r.board, r.arch, r.sequence);
    println!("kernel {}, OS tree {}", r.kernel, r.os.composefs);
    for app in &r.apps {
        println!("app {}: {} sha256:{}", app.name, app.image, app.manifest_digest);
    }
    let t = r.totals;
    println!(
        "{} objects, {} installed, {} to fetch; {} entries",
        t.objects,
        size(t.bytes),
        size(t.compressed_bytes),
        i.entries
    );
    if !i.groups.is_empty() {
        println!("\n{:>11} {:>11} {:>6}  what", "installed", "to fetch", "files");
        i.groups.iter().chain(&i.parts).for_each(row);
    }
    println!("\nlargest files:");
    for f in &i.largest {
        println!(
            "{:>11}  {}{}  [{}]",
            size(f.size_bytes),
            if f.tree == "os" { String::new() } else { format!("{}:", f.tree) },
            f.path,
            f.origin
        );
    }
}

fn row(g: &Group) {
    println!("{:>11} {:>11} {:>6}  {}", size(g.bytes), size(g.compressed_bytes), g.files, g.name);
}

/// Bytes for people, decimal units.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
