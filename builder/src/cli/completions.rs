//! `skerry completions`: completion scripts for shells.

use clap::CommandFactory;

use super::{Cli, Ctx};

/// Arguments of `skerry completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell to write for
    pub shell: clap_complete::Shell,
}

/// Print the script on standard output.
///
/// # Errors
/// None; the signature is that of every command.
pub fn run(args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    clap_complete::generate(args.shell, &mut Cli::command(), "skerry", &mut std::io::stdout());
    Ok(())
}
