//! Command line: one file per command, each with its `Args` and `run`.

pub mod app;
pub mod boards;
pub mod build;
pub mod completions;
pub mod diff;
pub mod exit;
pub mod inspect;
pub mod keys;
pub mod kubeconfig;
pub mod lock;
pub mod man;
pub mod new;
pub mod publish;
pub mod verify;
pub mod vm;
pub mod workloads;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{
    host::render::{Mode, renderer},
    progress::Progress,
};

/// Builds signed, minimal, bootable images for edge boxes.
#[derive(Debug, Parser)]
#[command(name = "skerry", version, max_term_width = 80, after_help = exit::HELP, arg_required_else_help = true)]
pub struct Cli {
    /// Global options.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// How to show progress: bars, JSON lines on standard error, or nothing.
    /// `auto` draws bars on a terminal and prints plain lines elsewhere
    #[arg(long, global = true, value_name = "HOW", default_value = "auto", help_heading = "Global options")]
    pub progress: Mode,
    /// Cache folder for packages, objects and images [default: ~/.cache/skerry]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SKERRY_CACHE",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub cache: Option<PathBuf>,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
}

/// The commands, in the order of a release's life.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a product: image spec, manifest, .gitignore, CI files
    New(new::Args),
    /// Make signing keys
    Keys(keys::Args),
    /// Resolve the packages of an image spec and write its lock
    Lock(lock::Args),
    /// Build a release from a spec and its lock
    Build(build::Args),
    /// Check every signature and digest of a release or disk image
    Verify(verify::Args),
    /// Show what is in a release and why
    Inspect(inspect::Args),
    /// Show what changed between two releases
    Diff(diff::Args),
    /// Add a release to an update repository
    Publish(publish::Args),
    /// Write the file with which kubectl reaches a node
    Kubeconfig(kubeconfig::Args),
    /// Boot a disk image under QEMU
    Vm(vm::Args),
    /// Work with app images
    App(app::Args),
    /// Check Kubernetes manifests
    Workloads(workloads::Args),
    /// List the built-in boards
    Boards(boards::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Write the manual pages
    #[command(hide = true)]
    Man(man::Args),
}

/// What commands get beside their arguments.
#[derive(Clone)]
pub struct Ctx {
    /// Where steps report.
    pub progress: Progress,
    /// Root of the cache.
    pub cache_dir: PathBuf,
    /// 0: results, 1: what is done, 2: everything.
    pub verbosity: u8,
}

impl Cli {
    /// Run the command.
    ///
    /// # Errors
    /// What the command reports; [`exit::code_of`] gives the exit code.
    pub fn run(self) -> anyhow::Result<()> {
        let ctx = Ctx {
            progress: renderer(self.global.progress),
            cache_dir: self.global.cache.map_or_else(default_cache_dir, Ok)?,
            verbosity: self.global.verbose,
        };
        match self.command {
            Command::New(args) => new::run(args, &ctx),
            Command::Keys(args) => keys::run(args, &ctx),
            Command::Lock(args) => lock::run(args, &ctx),
            Command::Build(args) => build::run(args, &ctx),
            Command::Verify(args) => verify::run(args, &ctx),
            Command::Inspect(args) => inspect::run(args, &ctx),
            Command::Diff(args) => diff::run(args, &ctx),
            Command::Publish(args) => publish::run(args, &ctx),
            Command::Kubeconfig(args) => kubeconfig::run(args, &ctx),
            Command::Vm(args) => vm::run(args, &ctx),
            Command::App(args) => app::run(args, &ctx),
            Command::Workloads(args) => workloads::run(args, &ctx),
            Command::Boards(args) => boards::run(args, &ctx),
            Command::Completions(args) => completions::run(args, &ctx),
            Command::Man(args) => man::run(args, &ctx),
        }
    }
}

/// `$XDG_CACHE_HOME/skerry` or `~/.cache/skerry`.
///
/// # Errors
/// If neither variable is set.
pub fn default_cache_dir() -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|base| base.join("skerry"))
        .ok_or_else(|| anyhow::anyhow!("no cache folder: HOME is not set; give one with --cache DIR"))
}
