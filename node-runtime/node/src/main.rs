//! `skerry-node`: the programs of the running node in one binary.

mod table;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use skerry_formats::versioned::Document as _;

/// The node's programs.
#[derive(Parser)]
#[command(name = "skerry-node", version)]
struct Cli {
    /// Prefix for all paths, for tests.
    #[arg(long, hide = true, default_value = "/", global = true)]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the baked workloads
    Orchestrator,
    /// Keep the node up to date
    Updater,
    /// Show releases, update state and workloads
    Status {
        /// Print the whole document as JSON
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Orchestrator => {
            log();
            name_process(c"skerry-orchestr");
            orchestrator(&cli.root)
        }
        Command::Updater => {
            log();
            name_process(c"skerry-updater");
            skerry_updater::run(skerry_updater::Config::new(cli.root))
        }
        Command::Status { json } => status(cli.root, json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("skerry-node: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Status documents tell processes apart by the name that the kernel has, 15
/// characters at most; two of them are this program.
fn name_process(name: &std::ffi::CStr) {
    if let Err(e) = nix::sys::prctl::set_name(name) {
        tracing::debug!("naming the process: {e}");
    }
}

/// Log to stderr, which is the journal on the node; it adds the time itself.
fn log() {
    use tracing_subscriber::{filter::Targets, prelude::*};
    let wanted = std::env::var("SKERRY_LOG").ok().and_then(|s| s.parse::<Targets>().ok());
    let filter = wanted.unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time().with_ansi(false);
    tracing_subscriber::registry().with(lines).with(filter).init();
}

fn orchestrator(root: &Path) -> anyhow::Result<()> {
    use skerry_cluster::Config;
    skerry_cluster::run(if root == Path::new("/") { Config::default() } else { Config::under(root) })
}

fn status(root: PathBuf, json: bool) -> anyhow::Result<()> {
    use std::io::Write as _;
    let status = skerry_updater::status::node_status(&skerry_updater::Config::new(root));
    let text = if json { status.to_bytes() } else { table::render(&status).into_bytes() };
    match std::io::stdout().write_all(&text) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
