//! `skerry diff`.

use std::path::PathBuf;

use super::{Ctx, inspect::size};
use crate::release::{
    diff::{self, Change, Diff, What},
    inspect::Described,
};

/// Files that are listed without `--files`.
const FILES_SHOWN: usize = 40;

/// Arguments of `skerry diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Output folder of the old release
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// Output folder of the new release
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// List every changed file, however many there are
    #[arg(long)]
    files: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Run the command.
///
/// # Errors
/// If one of the folders is no release.
pub fn run(args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    let (old, new) = (Described::load(&args.old)?, Described::load(&args.new)?);
    let diff = diff::diff(&old, &new);
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&diff)?),
        false => print(&diff, args.files),
    }
    Ok(())
}

fn print(d: &Diff, all_files: bool) {
    let (from, to) = (&d.from, &d.to);
    println!(
        "{} {} (sequence {}) -> {} {} (sequence {})",
        from.product, from.version, from.sequence, to.product, to.version, to.sequence
    );
    if from.board != to.board {
        println!("boards differ: {} -> {}", from.board, to.board);
    }
    if d.packages.is_empty() && d.apps.is_empty() && d.kernel.is_none() && d.files.is_empty() {
        println!("no package, app or file differs");
    }
    section("kernel", d.kernel.as_slice());
    section("packages", &d.packages);
    section("apps", &d.apps);
    files(d, all_files);
    println!("\nobjects: {} shared, {} new, {} gone", d.objects_shared, d.objects_new, d.objects_gone);
    println!(
        "a node fetches {} ({} of it the kernel image) instead of {}; {} once unpacked",
        size(d.fetch_bytes),
        size(d.fetch_uki_bytes),
        size(d.full_bytes),
        size(d.new_bytes)
    );
}

fn section(name: &str, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    println!("\n{name}:");
    for c in changes {
        match (&c.old, &c.new) {
            (Some(old), Some(new)) => println!("  {} {old} -> {new}", c.name),
            (None, Some(new)) => println!("+ {} {new}", c.name),
            (Some(old), None) => println!("- {} {old}", c.name),
            (None, None) => {}
        }
    }
}

fn files(d: &Diff, all: bool) {
    if d.files.is_empty() {
        return;
    }
    let count = |what| d.files.iter().filter(|f| f.what == what).count();
    println!(
        "\nfiles: {} added, {} removed, {} changed, {} with other mode or owner",
        count(What::Added),
        count(What::Removed),
        count(What::Changed),
        count(What::Attributes)
    );
    let shown = if all { usize::MAX } else { FILES_SHOWN };
    for f in d.files.iter().take(shown) {
        let sign = match f.what {
            What::Added => '+',
            What::Removed => '-',
            What::Changed => '~',
            What::Attributes => '=',
        };
        let bytes = i128::from(f.new_bytes) - i128::from(f.old_bytes);
        println!("{sign} {bytes:>+10}  {}:{}  [{}]", f.tree, f.path, f.origin);
    }
    if d.files.len() > shown {
        println!("  … and {} more; --files lists them", d.files.len() - shown);
    }
}
