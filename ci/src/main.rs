//! `skerry-ci`: what the scripts in `ci/` start.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Runs the demo.
#[derive(Debug, Parser)]
#[command(name = "skerry-ci")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build, boot, update and roll back the demo product; measure it
    Demo {
        /// Folder for everything that the demo makes; emptied first
        #[arg(long, value_name = "DIR", default_value = "out/demo")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let Command::Demo { out } = Cli::parse().command;
    let result = std::path::absolute(out).map_err(Into::into).and_then(|out| skerry_ci::demo::run(&out));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nskerry-ci: {error:#}");
            ExitCode::FAILURE
        }
    }
}
