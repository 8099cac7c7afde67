//! `skerry keys`.

use anyhow::bail;

use super::Ctx;

/// Arguments of `skerry keys`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Run the command.
///
/// # Errors
/// Always: not part of this build yet.
pub fn run(_args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    bail!("`skerry keys` is not part of this build");
}
