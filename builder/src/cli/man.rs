//! `skerry man`: manual pages, one per command, for packagers.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::CommandFactory;

use super::{Cli, Ctx};

/// Arguments of `skerry man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write `skerry*.1` to
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

/// Write the pages.
///
/// # Errors
/// If the folder cannot be made or written to.
pub fn run(args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.dir).with_context(|| format!("making the folder {}", args.dir.display()))?;
    let mut command = Cli::command();
    command.build();
    write_pages(&command, "skerry", &args.dir)
}

fn write_pages(command: &clap::Command, name: &str, dir: &Path) -> anyhow::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name).render(&mut page)?;
    let path = dir.join(format!("{name}.1"));
    std::fs::write(&path, page).with_context(|| format!("writing {}", path.display()))?;
    for sub in command.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
        write_pages(sub, &format!("{name}-{}", sub.get_name()), dir)?;
    }
    Ok(())
}
