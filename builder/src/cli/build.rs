//! `skerry build`.

use std::path::PathBuf;

use super::{Ctx, exit::Code};
use crate::{
    build::{self, Artifacts, BuildError},
    inputs::{Inputs, Overrides},
    packages::MirrorArgs,
};

/// Build a release: fetch what the lock names, select files, seal, sign.
///
/// Needs only the lock, keys and, unless the cache has everything, a mirror of
/// the Debian archive. No root, no loop devices, no container engine. The same
/// spec, lock and keys give the same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  skerry build harbour.toml --board x86_64-uefi
  skerry build harbour.toml --board x86_64-uefi --sequence 42 --out out/42
  skerry build harbour.toml --board x86_64-uefi --plan-only")]
pub struct Args {
    /// Image spec (TOML); its lock stands beside it
    #[arg(value_name = "SPEC")]
    spec: PathBuf,
    /// Board, one that the spec lists
    #[arg(long)]
    board: String,
    /// Output folder; an older output there is replaced
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Print the plan as JSON and stop
    #[arg(long)]
    plan_only: bool,
    /// What to make: everything, or all but the disk image, which is enough to
    /// publish an update
    #[arg(long, value_enum, default_value_t = Only::All, value_name = "WHAT")]
    only: Only,
    /// Version for people, in place of the spec's
    #[arg(long)]
    version: Option<String>,
    /// Sequence number, in place of the spec's
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    sequence: Option<u32>,
    /// Folder with release.key [default: keys/ beside the spec]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Folder with the node's programs, as ci/build-node makes it
    #[arg(long, value_name = "DIR", env = "SKERRY_RUNTIME", hide_env_values = true)]
    runtime: Option<PathBuf>,
    /// OSTree repository that keeps the product's history [default: in the
    /// cache]
    #[arg(long, value_name = "DIR")]
    ostree: Option<PathBuf>,
    #[command(flatten)]
    mirrors: MirrorArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Only {
    /// Everything
    All,
    /// The release without disk image
    Release,
}

/// Run the command.
///
/// # Errors
/// The first step that fails; nothing half-written is left.
pub fn run(args: Args, ctx: &Ctx) -> anyhow::Result<()> {
    let overrides = Overrides { version: args.version, sequence: args.sequence };
    let inputs = Inputs::read(&args.spec, &args.board, &overrides)?;
    let plan = build::plan(&inputs).map_err(coded)?;
    if args.plan_only {
        println!("{}", serde_json::to_string_pretty(&plan)?);
        return Ok(());
    }
    let options = build::Options {
        out: args.out,
        artifacts: if args.only == Only::All { Artifacts::All } else { Artifacts::Release },
        ostree: args.ostree.unwrap_or_else(|| ctx.cache_dir.join("ostree").join(&plan.product)),
        cache: ctx.cache_dir.clone(),
        runtime: args.runtime.unwrap_or_else(|| default_runtime(&plan)),
        keys: args.keys.unwrap_or_else(|| inputs.source.dir.join("keys")),
        mirrors: args.mirrors.find(),
    };
    let built = build::execute(&inputs, &plan, &options, &ctx.progress).map_err(coded)?;
    let r = &built.release;
    println!("{} {} ({}) for {} in {}", r.product, r.version, r.sequence, r.board, options.out.display());
    if let Some(bytes) = built.image_zst_bytes {
        println!("  disk.img.zst  {bytes} bytes");
    }
    println!("  installed     {} bytes in {} objects", r.totals.bytes, r.totals.objects);
    println!("  took          {:.1} s", built.seconds);
    Ok(())
}

/// Beside an installed `skerry`: `../lib/skerry/ARCH`.
fn default_runtime(plan: &skerry_plan::Plan) -> PathBuf {
    let arch = plan.arch.rust_target().split('-').next().unwrap_or_default();
    let exe = std::env::current_exe().unwrap_or_default();
    let prefix = exe.parent().and_then(|p| p.parent()).unwrap_or(std::path::Path::new("/usr"));
    prefix.join("lib/skerry").join(arch)
}

fn coded(e: BuildError) -> anyhow::Error {
    let code = match &e {
        BuildError::Invalid(_) | BuildError::Missing { .. } => Code::Invalid,
        BuildError::Fetch(_) => Code::Network,
        _ => Code::Failed,
    };
    code.wrap(e)
}
