//! `skerry vm`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

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
/// If the image or a program is missing, QEMU ends with a failure, or a signal
/// ends the machine.
pub fn run(args: Args, ctx: &Ctx) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    let result = runtime.block_on(run_until_signal(args, ctx));
    // A copy that a signal interrupted is not waited for.
    runtime.shutdown_background();
    result
}

/// A signal switches the machine off and removes its disk, unless that is kept.
async fn run_until_signal(args: Args, ctx: &Ctx) -> anyhow::Result<()> {
    let mut signals = StopSignals::new().context("listening for signals")?;
    let mut child_signal = signal(SignalKind::child()).context("listening for QEMU's end")?;
    let scratch = tempfile::tempdir().context("making a folder for the machine's disk")?;
    let dir = args.persist.clone().unwrap_or_else(|| scratch.path().to_owned());
    let config = {
        let ctx = ctx.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(args, &dir, &ctx));
        tokio::select! {
            config = prepared => config.context("preparing the machine")??,
            name = signals.next() => bail!("ended by {name} before the machine was started"),
        }
    };
    let mut vm = Vm::start(&config)?;
    let status = loop {
        if let Some(status) = vm.try_wait().context("waiting for QEMU")? {
            break status;
        }
        tokio::select! {
            _ = child_signal.recv() => {}
            name = signals.next() => {
                vm.quit().context("ending QEMU")?;
                bail!("ended by {name}; the machine is switched off");
            }
        }
    };
    if !status.success() {
        bail!("QEMU ended with {status}; its own message is above");
    }
    Ok(())
}

/// Everything up to the machine's start.
fn prepare(args: Args, dir: &Path, ctx: &Ctx) -> anyhow::Result<VmConfig> {
    let image = prepare_disk(&args.image)?;
    let disk = disk(&image, dir, args.disk_size << 30, ctx)?;
    let (accel, why) = probe();
    if let (Accel::Tcg, Some(why)) = (accel, why) {
        ctx.progress.note(format!("no KVM: {why}. The machine is emulated and about ten times slower"));
    }
    for f in &args.forward {
        ctx.progress.note(format!("http://127.0.0.1:{} is port {} of the machine", f.host, f.node));
    }
    ctx.progress.note("Ctrl-A X ends the machine");
    Ok(VmConfig {
        memory_mib: args.memory,
        cpus: args.cpus,
        forwards: args.forward,
        serial_log: args.serial_log,
        accel,
        ..VmConfig::new(disk)
    })
}

/// Signals that end the command.
struct StopSignals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Name of the next signal to end.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
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
