//! `skerry vm`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Ctx;
use crate::deliver::vm::{Accel, Forward, Vm, VmConfig, prepare_disk, probe, work_copy};

/// Arguments of `skerry vm`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// disk.img.zst, disk.img, or the output folder of `skerry build`
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Forward port HOST of 127.0.0.1 to port NODE of the machine; repeatable
    #[arg(long, value_name = "HOST:NODE")]
    forward: Vec<Forward>,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(128..))]
    memory: u64,
    /// Number of CPUs
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// Size of the machine's disk in GiB; the file stays sparse
    #[arg(long, value_name = "GIB", default_value_t = 4)]
    disk_size: u64,
    /// Keep the machine's disk in DIR and go on with it the next time
    #[arg(long, value_name = "DIR")]
    persist: Option<PathBuf>,
    /// Write the console to FILE too
    #[arg(long, value_name = "FILE")]
    serial_log: Option<PathBuf>,
}

/// Run the command.
///
/// # Errors
/// If the image or a program is missing, or QEMU ends with a failure.
pub fn run(args: Args, ctx: &Ctx) -> anyhow::Result<()> {
    let image = prepare_disk(&args.image)?;
    let scratch = tempfile::tempdir().context("making a folder for the machine's disk")?;
    let dir = match &args.persist {
        Some(dir) => dir.clone(),
        None => scratch.path().to_owned(),
    };
    let disk = disk(&image, &dir, args.disk_size << 30, ctx)?;
    let (accel, why) = probe();
    if let (Accel::Tcg, Some(why)) = (accel, why) {
        ctx.progress.note(format!("no KVM: {why}. The machine is emulated and about ten times slower"));
    }
    for f in &args.forward {
        ctx.progress.note(format!("http://127.0.0.1:{} is port {} of the machine", f.host, f.node));
    }
    ctx.progress.note("Ctrl-A X ends the machine");
    let config = VmConfig {
        memory_mib: args.memory,
        cpus: args.cpus,
        forwards: args.forward,
        serial_log: args.serial_log,
        accel,
        ..VmConfig::new(disk)
    };
    let status = Vm::start(&config)?.wait().context("waiting for QEMU")?;
    if !status.success() {
        bail!("QEMU ended with {status}; its own message is above");
    }
    Ok(())
}

/// The machine's disk in `dir`: made from the image, unless it is there.
fn disk(image: &Path, dir: &Path, size_bytes: u64, ctx: &Ctx) -> anyhow::Result<PathBuf> {
    let disk = dir.join("disk.img");
    if disk.exists() {
        ctx.progress.note(format!("going on with {}; remove it to start afresh", disk.display()));
        return Ok(disk);
    }
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    // Under another name first: an interrupted copy is no disk to go on with.
    let part = dir.join("disk.img.part");
    let step = ctx.progress.start("disk", None, "bytes");
    work_copy(image, &part, size_bytes)?;
    std::fs::rename(&part, &disk).with_context(|| format!("naming {}", disk.display()))?;
    step.done(format!("{} GiB, sparse", size_bytes >> 30));
    Ok(disk)
}
