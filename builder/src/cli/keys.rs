//! `skerry keys`.

use std::path::PathBuf;

use anyhow::Context as _;

use super::Ctx;
use crate::release::keys;

/// Arguments of `skerry keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a new set of ed25519 keys: release key, TUF keys, TUF root
    Init(Init),
}

/// Arguments of `skerry keys init`.
#[derive(Debug, clap::Args)]
struct Init {
    /// Folder for the keys; existing files are never overwritten
    #[arg(long, value_name = "DIR", default_value = "keys")]
    dir: PathBuf,
    /// Days until the TUF root expires; nodes that are offline for longer
    /// still start from it
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    root_days: u32,
}

/// Run the command.
///
/// # Errors
/// If a key file exists already or cannot be written.
pub fn run(args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    let Command::Init(args) = args.command;
    keys::init(&args.dir, args.root_days, jiff::Timestamp::now(), &mut rand_core::OsRng)
        .with_context(|| format!("making keys in {}", args.dir.display()))?;
    println!("Keys are in {}:", args.dir.display());
    for (name, purpose) in keys::PURPOSES {
        println!("  {name:<14} {purpose}");
    }
    println!("\nFiles ending in .key are secret: never commit them, and keep a copy of each.");
    Ok(())
}
