//! `skerry app`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use skerry_plan::board::Arch;

use super::Ctx;
use crate::deliver::app_pack::{PackConfig, pack};

/// Arguments of `skerry app`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: AppCommand,
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// Pack a program into an OCI image layout without anything else
    Pack(PackArgs),
}

#[derive(Debug, clap::Args)]
struct PackArgs {
    /// Program; a static one, or give --root
    #[arg(value_name = "PROGRAM")]
    program: PathBuf,
    /// Folder of the layout; replaced if it is one
    #[arg(long, value_name = "LAYOUT")]
    out: PathBuf,
    /// Name in the image, /usr/bin/NAME [default: the program's file name]
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
    /// User and group that it runs as
    #[arg(long, value_name = "UID:GID", default_value = "65532:65532", value_parser = user)]
    user: (u32, u32),
    /// Environment variable; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// Label; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// Port that it listens on; repeatable
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,
    /// One word of the command to start, in order; repeatable [default: the program]
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// Architecture
    #[arg(long, value_name = "ARCH", default_value = "x86_64", value_parser = arch)]
    arch: Arch,
    /// CA certificates (PEM) to pack
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// Folder of an unpacked system, such as Debian packages after `dpkg -x`:
    /// the loader and the libraries that the programs need are packed from there
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// Another program to pack, under its file name; repeatable
    #[arg(long, value_name = "PROGRAM")]
    with: Vec<PathBuf>,
}

/// Run the command.
///
/// # Errors
/// If a program cannot run in the image or the layout cannot be written.
pub fn run(args: Args, ctx: &Ctx) -> anyhow::Result<()> {
    let AppCommand::Pack(args) = args.command;
    let name = match args.name {
        Some(name) => name,
        None => name(&args.program.file_name().unwrap_or_default().to_string_lossy())
            .map_err(|e| anyhow::anyhow!("{}: {e}; give one with --name", args.program.display()))?,
    };
    let ca_bundle =
        args.ca_bundle.map(|f| std::fs::read(&f).with_context(|| format!("reading {}", f.display()))).transpose()?;
    let config = PackConfig {
        name,
        arch: args.arch,
        user: args.user,
        entrypoint: args.entrypoint,
        env: args.env.into_iter().map(|(k, v)| format!("{k}={v}")).collect(),
        labels: args.label,
        ports: args.port,
        ca_bundle,
        root: args.root,
        with: args.with,
    };
    let step = ctx.progress.start("pack", None, "bytes");
    let packed = pack(&args.program, &args.out, &config)?;
    step.done(format!("{}, {} bytes", args.out.display(), packed.size_bytes));
    println!("{}", packed.manifest_digest);
    Ok(())
}

fn name(s: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if s.is_empty() || s.starts_with('.') || !s.bytes().all(good) {
        return Err(format!("{s:?} is no name for a program; use letters, digits, dot, dash and underscore"));
    }
    Ok(s.to_owned())
}

fn user(s: &str) -> Result<(u32, u32), String> {
    s.split_once(':')
        .and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?)))
        .ok_or_else(|| format!("{s:?} is not UID:GID, two numbers such as 65532:65532"))
}

fn pair(s: &str) -> Result<(String, String), String> {
    match s.split_once('=') {
        Some((k, v)) if !k.is_empty() => Ok((k.to_owned(), v.to_owned())),
        _ => Err(format!("{s:?} is not KEY=VALUE")),
    }
}

fn arch(s: &str) -> Result<Arch, String> {
    match s {
        "x86_64" | "amd64" => Ok(Arch::X86_64),
        "aarch64" | "arm64" => Ok(Arch::Aarch64),
        _ => Err("known architectures are x86_64 and aarch64".into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_checked() {
        assert_eq!(user("1:2"), Ok((1, 2)));
        assert!(user("root").unwrap_err().contains("UID:GID"));
        assert_eq!(pair("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert!(pair("=x").is_err() && pair("x").is_err());
        assert!(name("../x").is_err() && name("..").is_err() && name("").is_err());
        assert_eq!(name("hello-1.2").unwrap(), "hello-1.2");
        assert_eq!(arch("arm64"), Ok(Arch::Aarch64));
    }
}
