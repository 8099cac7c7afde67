//! `skerry-ci`: what the scripts in `ci/` start.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use skerry_ci::bench::{
    Group,
    pods::native::{self, Part},
};

/// Runs the demo and the benchmarks.
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
    /// Build the releases that the scenarios share, if they are not up to date
    Fixture,
    /// Measure sizes, builds, boots and an update; write docs/benchmarks.md
    Bench {
        /// Folder for the results, one JSON file per group
        #[arg(long, value_name = "DIR", default_value = "out/bench")]
        out: PathBuf,
        /// Folder for the page and its plot
        #[arg(long, value_name = "DIR", default_value = "docs")]
        docs: PathBuf,
        /// Measure only these; the others keep their last results
        #[arg(long, value_enum, value_name = "GROUP", value_delimiter = ',')]
        only: Vec<Group>,
    },
    /// Measure a part in namespaces that `bench` made for it
    #[command(hide = true)]
    BenchPart {
        /// Which
        #[arg(value_enum)]
        part: Part,
        /// What it has to know, JSON
        order: String,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nskerry-ci: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo { out } => skerry_ci::demo::run(&std::path::absolute(out)?),
        Command::Fixture => skerry_ci::fixture::Fixture::get().map(drop),
        Command::Bench { out, docs, only } => skerry_ci::bench::run(&std::path::absolute(out)?, &docs, &only),
        Command::BenchPart { part, order } => native::child(part, &order),
    }
}
