//! `skerry verify`.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};

use super::{Ctx, exit::Code};
use crate::release::{
    keys,
    verify::{Report, verify_dir, verify_image},
};

/// Arguments of `skerry verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Output folder of `skerry build`, or a disk image (`.img` or `.img.zst`)
    #[arg(value_name = "DIR|IMAGE")]
    path: PathBuf,
    /// Trusted release key, `release.pub`; more than one: any of them
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Run the command.
///
/// # Errors
/// With exit code 5 if anything does not hold.
pub fn run(args: Args, ctx: &Ctx) -> anyhow::Result<()> {
    let trusted = args.key.iter().map(|p| keys::read_public(p)).collect::<Result<Vec<_>, _>>()?;
    let kind = std::fs::metadata(&args.path).with_context(|| format!("opening {}", args.path.display()))?;
    let report = match kind.is_dir() {
        true => verify_dir(&args.path, &trusted, &ctx.progress),
        false => verify_image(&args.path, &trusted, &ctx.progress),
    };
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print(&report),
    }
    match report.failures.len() {
        0 => Ok(()),
        n => Err(Code::Verification.wrap(anyhow!(
            "{} failed verification: {n} {} not hold; do not use or publish it",
            args.path.display(),
            if n == 1 { "check does" } else { "checks do" },
        ))),
    }
}

/// The release, what was checked, what failed.
pub(super) fn print(report: &Report) {
    if let (Some(product), Some(board), Some(version), Some(sequence)) =
        (&report.product, &report.board, &report.version, report.sequence)
    {
        println!("{product} {version} for {board}, sequence {sequence}");
    }
    let c = report.checked;
    println!(
        "checked: {} signatures, {} files, {} objects, {} trees, {} objects in the disk image",
        c.signatures, c.files, c.objects, c.trees, c.disk_objects
    );
    for note in &report.notes {
        println!("note: {note}");
    }
    for f in &report.failures {
        println!("FAILED  {}: {}", f.part, f.detail);
    }
    if report.is_good() {
        println!("all good");
    }
}
