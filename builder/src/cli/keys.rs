//! `skerry keys`.

use std::path::PathBuf;

use anyhow::Context as _;

use super::Ctx;
use crate::release::keys;

/// Arguments of `skerry keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a new set of ed25519 keys: release key, TUF keys, TUF root
    Init(Init),
    /// Make a token for the Kubernetes API of nodes, and the lines of the image
    /// spec that let it in
    Token(Token),
}

/// Arguments of `skerry keys init`.
#[derive(Debug, clap::Args)]
struct Init {
    /// Folder for the keys; existing files are never overwritten
    #[arg(long, value_name = "DIR", default_value = "keys")]
    dir: PathBuf,
    /// Days until the TUF root expires; nodes that are offline for longer
    /// still start from it
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    root_days: u32,
}

/// Arguments of `skerry keys token`.
#[derive(Debug, clap::Args)]
struct Token {
    /// Whose it is; stands in the node's logs
    #[arg(long, value_name = "NAME")]
    user: String,
    /// What they may do: `admin` everything, `deploy` change workloads, `view`
    /// read all but Secrets
    #[arg(long, value_name = "ROLE", value_parser = ["admin", "deploy", "view"])]
    role: String,
    /// File for the token, mode 0600; an existing file is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Run the command.
///
/// # Errors
/// If a key file exists already or cannot be written.
pub fn run(args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    match args.command {
        Command::Init(args) => init(&args),
        Command::Token(args) => token(&args),
    }
}

fn init(args: &Init) -> anyhow::Result<()> {
    keys::init(&args.dir, args.root_days, jiff::Timestamp::now(), &mut rand_core::OsRng)
        .with_context(|| format!("making keys in {}", args.dir.display()))?;
    println!("Keys are in {}:", args.dir.display());
    for (name, purpose) in keys::PURPOSES {
        println!("  {name:<14} {purpose}");
    }
    println!("\nFiles ending in .key are secret: never commit them, and keep a copy of each.");
    Ok(())
}

fn token(args: &Token) -> anyhow::Result<()> {
    let (token, sha256) = keys::token(&mut rand_core::OsRng);
    keys::write_token(&args.out, &token).with_context(|| format!("writing the token to {}", args.out.display()))?;
    println!("The token is in {}: keep it secret. These lines of the image spec let it in:\n", args.out.display());
    println!("[[api.token]]\nuser = {:?}\nrole = {:?}\nsha256 = {sha256:?}", args.user, args.role);
    println!("\nUse it with: skerry kubeconfig NODE --token-file {} …", args.out.display());
    Ok(())
}
