//! `skerry vm`.

use anyhow::bail;

use super::Ctx;

/// Arguments of `skerry vm`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Run the command.
///
/// # Errors
/// Always: not part of this build yet.
pub fn run(_args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    bail!("`skerry vm` is not part of this build");
}
