//! `skerry boards`: the boards that come with the builder.

use anyhow::Context;
use skerry_plan::board::{self, BoardSpec};

use super::Ctx;
use crate::inputs::invalid;

/// Arguments of `skerry boards`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON: everything the board files say
    #[arg(long)]
    pub json: bool,
    /// Print the file of one board, to start an own one from
    #[arg(long, value_name = "BOARD", conflicts_with = "json")]
    pub show: Option<String>,
}

/// List them.
///
/// # Errors
/// If there is no board of the name.
pub fn run(args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    if let Some(name) = args.show {
        let found = board::BUILTIN.iter().find(|(n, _)| *n == name);
        let (_, text) = found.with_context(|| format!("no built-in board {name:?}; `skerry boards` lists them"))?;
        print!("{text}");
        return Ok(());
    }
    let boards = builtin()?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&boards).context("writing JSON")?);
        return Ok(());
    }
    let width = boards.iter().map(|b| b.name.len()).max().unwrap_or(0);
    for b in boards {
        println!("{:width$}  {:7}  {}", b.name, b.arch.debian(), b.description);
    }
    Ok(())
}

fn builtin() -> anyhow::Result<Vec<BoardSpec>> {
    board::BUILTIN.iter().map(|(name, text)| board::parse(&format!("{name}.toml"), text).map_err(invalid)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn built_in_boards_are_valid_and_named_like_their_files() {
        let boards = builtin().unwrap();
        let names: Vec<&str> = boards.iter().map(|b| b.name.as_str()).collect();
        let files: Vec<&str> = board::BUILTIN.iter().map(|(n, _)| *n).collect();
        assert_eq!(names, files);
    }
}
