//! `skerry-init`: PID 1 of the initrd.
//!
//! It brings the box from "the kernel runs" to "systemd runs on a verified
//! root", or says in one line why not and reboots; boot counting in the boot
//! loader does the rest. No shell, no udev, no configuration: what it needs
//! stands on the kernel command line and on the disk. Every step is safe to
//! repeat after a power cut at any instruction.
//!
//! The order: [`early`] (virtual file systems, modules, watchdog), [`memory`], [`args`],
//! [`choice`] (which disk), [`system`] (SYSTEM, sealing, root), [`disk`] (layout, growth), [`data`]
//! (`/var`), [`identity`] (machine id, hostname, clock), [`switch`].

mod args;
mod child;
mod choice;
mod data;
mod data_plan;
mod disk;
mod early;
mod failure;
mod identity;
mod log;
mod memory;
mod sealing;
mod switch;
mod system;

use anyhow::{Context, Result};

/// Places inside the initrd.
mod places {
    /// The root that systemd gets.
    pub const NEW_ROOT: &str = "/newroot";
    /// SYSTEM.
    pub const SYSROOT: &str = "/sysroot";
    /// The EROFS image while the root is put together.
    pub const LOWER: &str = "/lower";
    /// tmpfs for changes of `/etc`.
    pub const ETC_UPPER: &str = "/etc-upper";
    /// Status for `skerry-node status`.
    pub const BOOT_STAGES: &str = "/run/skerry/boot-stages.json";
}

fn main() {
    if std::process::id() != 1 {
        eprintln!("skerry-init is the first process of an initrd and does nothing else; the kernel starts it");
        std::process::exit(2);
    }
    failure::install_panic_hook();
    match run() {
        Ok(never) => match never {},
        Err(e) => failure::fatal(&format!("{e:#}")),
    }
}

fn run() -> Result<std::convert::Infallible> {
    early::mount_virtual_file_systems().context("first mounts")?;
    log::stage("kernel-to-init");
    memory::tune();
    let cmdline = std::fs::read_to_string("/proc/cmdline").context("kernel command line")?;
    let args = args::Args::parse(&cmdline).context("kernel command line")?;
    early::load_modules(args.watchdog_secs);
    log::stage("modules");
    log::info(&format!("release sequence {}, root {}", args.boot.sequence, args.boot.composefs));
    let partition = system::wait_for_system().context("SYSTEM")?;
    system::mount_system(&partition).context("SYSTEM")?;
    log::stage("system-mounted");
    sealing::check_release(&args.boot).context("sealing check")?;
    log::stage("sealing-checked");
    system::mount_root(&args.boot.composefs).context("root file system")?;
    log::stage("root-mounted");
    // What is written from here on should not be dated 1970; the floor kept on
    // DATA follows when it is mounted.
    identity::raise_clock(args.boot.epoch);
    let data = disk::lay_out(&partition, args.system_mib).context("disk layout")?;
    log::stage("disk-layout");
    data::mount_var(&data).context("DATA")?;
    log::stage("var-mounted");
    identity::raise_clock(args.boot.epoch);
    identity::set_identity().context("identity")?;
    log::stage("identity");
    switch::switch_root().context("switch to the root file system")
}
