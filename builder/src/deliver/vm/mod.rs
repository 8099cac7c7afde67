//! Boot a disk image under QEMU with UEFI firmware: for `skerry vm` and for the
//! scenario tests, which cut the power, the network and the disk space of such
//! machines.
//!
//! Nothing here needs root: user-mode networking, plain files as disks.

mod accel;
mod child;
mod command;
mod disk;
mod firmware;
mod qmp;
mod serial;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitStatus,
    str::FromStr,
    time::{Duration, Instant},
};

pub use accel::{Accel, probe};
use child::KeptChild;
pub use disk::{prepare_disk, work_copy};
pub use firmware::Firmware;
use rustix::process::Signal;
pub use serial::SerialLog;

/// Address under which a guest reaches the host's loopback (QEMU's user-mode
/// network).
pub const HOST_FROM_GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// Time that QEMU gets to write what it holds and to end.
const QUIT_MAX: Duration = Duration::from_secs(10);

/// Name of QEMU's control socket.
const CONTROL: &str = "qmp";

/// Why a machine could not be started or driven.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// QEMU is not installed.
    #[error("{program} is not installed; install it with: apt install qemu-system-x86")]
    NoQemu {
        /// Program that was looked for.
        program: &'static str,
        /// What starting it said.
        #[source]
        source: std::io::Error,
    },
    /// UEFI firmware is not installed.
    #[error("no UEFI firmware for virtual machines found in {searched}; install it with: apt install ovmf")]
    NoFirmware {
        /// Folders that were searched.
        searched: String,
    },
    /// The image is not there or of an unknown kind.
    #[error("{path}: {problem}")]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong with it, and what would do.
        problem: String,
    },
    /// A file operation failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// QEMU did not start as asked.
    #[error("QEMU did not start: {0}")]
    Start(String),
}

impl VmError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> VmError {
        let path = path.to_owned();
        move |source| VmError::Io { operation, path, source }
    }
}

/// A TCP port of the host's loopback that leads to a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Port on 127.0.0.1.
    pub host: u16,
    /// Port of the guest.
    pub node: u16,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let port = |p: &str| p.parse::<u16>().ok().filter(|p| *p != 0);
        s.split_once(':')
            .and_then(|(h, n)| Some(Forward { host: port(h)?, node: port(n)? }))
            .ok_or_else(|| format!("{s:?} is not HOST:NODE, two port numbers such as 8080:30080"))
    }
}

/// Network of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The guest reaches the host and, through it, the world.
    Open,
    /// Only forwards into the guest work; the guest reaches nothing.
    Restricted,
    /// The cable is not plugged in; [`Vm::plug`] plugs it in.
    Unplugged,
}

/// Where the guest's serial console goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// To this terminal; Ctrl-A X ends the machine.
    Terminal,
    /// Only into the serial log.
    Log,
}

/// What a power cut may lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskCache {
    /// Flushes of the guest reach the host's disk.
    Safe,
    /// Flushes of the guest end in the host's page cache. Killing QEMU loses
    /// nothing that the guest wrote; a crash of the host may.
    Fast,
}

/// A machine to start.
#[derive(Debug, Clone)]
pub struct VmConfig {
    /// Raw disk; the guest writes to it.
    pub disk: PathBuf,
    /// Another raw disk; the guest sees it first but does not boot from it.
    pub other_disk: Option<PathBuf>,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// CPUs.
    pub cpus: u32,
    /// Forwarded ports.
    pub forwards: Vec<Forward>,
    /// Network.
    pub network: Network,
    /// Console.
    pub console: Console,
    /// File that gets the serial console, one time-stamped line per line;
    /// appended to.
    pub serial_log: Option<PathBuf>,
    /// Disk cache.
    pub disk_cache: DiskCache,
    /// Accelerator; [`probe`] finds the best one that works.
    pub accel: Accel,
}

impl VmConfig {
    /// Defaults: 1 GiB, 2 CPUs, open network, console in the terminal, TCG.
    pub fn new(disk: impl Into<PathBuf>) -> Self {
        VmConfig {
            disk: disk.into(),
            other_disk: None,
            memory_mib: 1024,
            cpus: 2,
            forwards: vec![],
            network: Network::Open,
            console: Console::Terminal,
            serial_log: None,
            disk_cache: DiskCache::Safe,
            accel: Accel::Tcg,
        }
    }
}

/// A running machine. Dropping it kills it; so does the end of this process,
/// even by SIGKILL.
#[derive(Debug)]
pub struct Vm {
    child: KeptChild,
    started: Instant,
    serial: Option<SerialLog>,
    control: tempfile::TempDir,
}

impl Vm {
    /// Start a machine.
    ///
    /// # Errors
    /// If QEMU or its firmware is missing, a file cannot be made, or QEMU ends
    /// at once.
    pub fn start(config: &VmConfig) -> Result<Self, VmError> {
        let vars = disk::with_suffix(&config.disk, "vars.fd");
        let firmware = firmware::find()?;
        firmware.prepare_vars(&vars)?;
        // Not beside the disk: paths of sockets may be 107 bytes long.
        let control = tempfile::tempdir().map_err(VmError::io("make a folder in", &std::env::temp_dir()))?;
        let command = command::qemu(config, &firmware, &vars, &control.path().join(CONTROL));
        let started = Instant::now();
        let child = KeptChild::spawn(command).map_err(|source| VmError::NoQemu { program: command::QEMU, source })?;
        let mut vm = Vm { child, started, serial: None, control };
        vm.serial = match (config.console, &config.serial_log, vm.child.stdout.take()) {
            (Console::Log, Some(path), Some(out)) => Some(SerialLog::follow(out, path, started)?),
            (Console::Log, None, Some(out)) => Some(SerialLog::discard(out, started)),
            _ => None,
        };
        if config.network == Network::Unplugged {
            // The firmware takes longer than this to look at the network.
            vm.plug(false).map_err(|e| VmError::Start(format!("the network cannot be unplugged: {e}")))?;
        }
        Ok(vm)
    }

    /// Plug the network cable in or out.
    ///
    /// # Errors
    /// If QEMU cannot be reached or refuses.
    pub fn plug(&self, up: bool) -> std::io::Result<()> {
        self.execute("set_link", serde_json::json!({"name": command::NIC, "up": up})).map(drop)
    }

    /// Send a non-maskable interrupt: a kernel that was told to panics.
    ///
    /// # Errors
    /// If QEMU cannot be reached or refuses.
    pub fn inject_nmi(&self) -> std::io::Result<()> {
        self.execute("inject-nmi", serde_json::json!({})).map(drop)
    }

    /// Bytes that the guest has written to its disk since it was powered on.
    ///
    /// # Errors
    /// If QEMU cannot be reached or does not tell.
    pub fn disk_bytes_written(&self) -> std::io::Result<u64> {
        let all = self.execute("query-blockstats", serde_json::json!({}))?;
        let disk = all.as_array().and_then(|a| a.iter().find(|d| d["device"] == command::DISK));
        let bytes = disk.and_then(|d| d["stats"]["wr_bytes"].as_u64());
        bytes.ok_or_else(|| std::io::Error::other(format!("QEMU tells no writes of the disk: {all}")))
    }

    fn execute(&self, name: &str, arguments: serde_json::Value) -> std::io::Result<serde_json::Value> {
        qmp::execute(&self.control.path().join(CONTROL), name, arguments)
    }

    /// Press the reset button.
    ///
    /// # Errors
    /// If QEMU cannot be reached or refuses.
    pub fn reset(&self) -> std::io::Result<()> {
        self.execute("system_reset", serde_json::json!({})).map(drop)
    }

    /// When QEMU was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Process id of QEMU.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The serial console so far; only with [`Console::Log`].
    pub fn serial(&self) -> Option<&SerialLog> {
        self.serial.as_ref()
    }

    /// Ended already?
    ///
    /// # Errors
    /// If the process cannot be asked.
    pub fn try_wait(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Wait until the machine is off.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Wait at most `timeout`; `None`: still running.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub fn wait_timeout(&mut self, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Switch off, without any notice to the guest, but let QEMU write what it
    /// holds and give the terminal back. Kills it if it does not.
    ///
    /// # Errors
    /// If the process can be neither ended nor killed.
    pub fn quit(&mut self) -> std::io::Result<()> {
        if self.try_wait()?.is_none() {
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), Signal::TERM)?;
            self.wait_timeout(QUIT_MAX)?;
        }
        self.kill()
    }

    /// Cut the power: SIGKILL, without any notice to the guest.
    ///
    /// # Errors
    /// If the process cannot be killed.
    pub fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        if let Some(serial) = &mut self.serial {
            serial.finish();
        }
        Ok(())
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the process is gone
        // already in most of them.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forwards_are_two_ports() {
        assert_eq!("8080:30080".parse(), Ok(Forward { host: 8080, node: 30080 }));
        for bad in ["8080", "0:1", "1:0", "a:b", "1:2:3", "70000:1", ":", ""] {
            assert!(bad.parse::<Forward>().unwrap_err().contains("HOST:NODE"), "{bad}");
        }
    }

    #[test]
    fn firmware_runs_and_says_so_on_the_serial_console() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk.img");
        std::fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
        let log = dir.path().join("serial.log");
        let config = VmConfig {
            memory_mib: 256,
            console: Console::Log,
            serial_log: Some(log.clone()),
            network: Network::Unplugged,
            ..VmConfig::new(&disk)
        };
        let mut vm = Vm::start(&config).unwrap();
        assert!(vm.serial().unwrap().wait_for("BdsDxe", Duration::from_secs(120)), "{}", vm.serial().unwrap().tail(50));
        assert!(vm.try_wait().unwrap().is_none());
        vm.kill().unwrap();
        let text = std::fs::read_to_string(log).unwrap();
        let line = text.lines().find(|l| l.contains("BdsDxe")).unwrap();
        assert!(line.trim_start().split(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
    }

    #[test]
    fn a_disk_that_is_not_there_ends_qemu_with_its_own_words() {
        let dir = tempfile::tempdir().unwrap();
        let config = VmConfig { console: Console::Log, ..VmConfig::new(dir.path().join("missing.img")) };
        let mut vm = Vm::start(&config).unwrap();
        assert!(!vm.wait_timeout(Duration::from_secs(60)).unwrap().expect("QEMU ends").success());
    }
}
