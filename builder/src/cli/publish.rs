//! `skerry publish`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

use super::{Ctx, exit::Code};
use crate::{
    deliver::publish::{self, Expiry, Outcome, PUBLISH_ROLES, REFRESH_ROLES, Request},
    release::{
        keys::{self, TufKeys},
        verify::verify_dir,
    },
};

/// Arguments of `skerry publish`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Output folder of `skerry build`
    #[arg(value_name = "DIR", required_unless_present = "refresh")]
    dir: Option<PathBuf>,
    /// Folder of the update repository; made if it does not exist
    #[arg(long, value_name = "UPDATES")]
    repo: PathBuf,
    /// Channel to offer the release on
    #[arg(long, value_name = "NAME", required_unless_present = "refresh")]
    channel: Option<String>,
    /// Folder of the keys made by `skerry keys init`
    #[arg(long, value_name = "DIR", default_value = "keys")]
    keys: PathBuf,
    /// Days for which nodes accept this state as current
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    expires_days: u32,
    /// Only sign the existing state again with new dates; run it before they
    /// expire
    #[arg(long, conflicts_with_all = ["dir", "channel"])]
    refresh: bool,
}

/// Run the command.
///
/// # Errors
/// If the release does not verify (exit code 5), or the repository cannot be
/// written.
pub fn run(args: Args, ctx: &Ctx) -> anyhow::Result<()> {
    let default = Expiry::default();
    let expiry = Expiry { timestamp_days: args.expires_days, others_days: default.others_days.max(args.expires_days) };
    let now = jiff::Timestamp::now();
    if args.refresh {
        let keys = load_keys(&args.keys, &REFRESH_ROLES, ctx)?;
        publish::refresh(&args.repo, &keys, expiry, now)?;
        println!("{} is signed again, valid for {} days", args.repo.display(), expiry.timestamp_days);
        return Ok(());
    }
    let (Some(dir), Some(channel)) = (&args.dir, &args.channel) else {
        bail!("give the release folder and --channel, or --refresh");
    };
    let keys = load_keys(&args.keys, &PUBLISH_ROLES, ctx)?;
    verify(dir, &args.keys, ctx)?;
    let request = Request { release_dir: dir, channel, expiry, now };
    match publish::publish(&args.repo, &request, &keys, &ctx.progress)? {
        Outcome::AlreadyPublished { objects_repaired: 0 } => {
            println!("channel {channel} offers this release already; nothing to do");
        }
        Outcome::AlreadyPublished { objects_repaired } => {
            println!("channel {channel} offers this release already");
            println!("  repaired objects: {objects_repaired}");
        }
        Outcome::Published { objects_new, bytes_new, objects_repaired, previous } => {
            println!("published on channel {channel} in {}", args.repo.display());
            println!("  new objects: {objects_new} ({bytes_new} bytes)");
            if objects_repaired > 0 {
                println!("  repaired objects: {objects_repaired}");
            }
            if let Some(previous) = previous {
                println!("  before: sequence {previous}");
            }
        }
    }
    Ok(())
}

fn load_keys(dir: &Path, roles: &[tough::schema::RoleType], ctx: &Ctx) -> anyhow::Result<TufKeys> {
    let keys = TufKeys::load(dir, roles)?;
    for warning in &keys.warnings {
        ctx.progress.note(warning);
    }
    Ok(keys)
}

/// A release that does not verify must not reach any node.
fn verify(dir: &Path, keys_dir: &Path, ctx: &Ctx) -> anyhow::Result<()> {
    let key = keys::read_public(&keys_dir.join(keys::RELEASE_PUB))?;
    std::fs::metadata(dir).with_context(|| format!("opening {}", dir.display()))?;
    let report = verify_dir(dir, &[key], &ctx.progress);
    if report.is_good() {
        return Ok(());
    }
    let list: Vec<String> = report.failures.iter().take(10).map(|f| format!("{}: {}", f.part, f.detail)).collect();
    Err(Code::Verification.wrap(anyhow!(list.join("\n")).context(format!(
        "{} failed verification ({} failures) and is not published",
        dir.display(),
        report.failures.len()
    ))))
}
