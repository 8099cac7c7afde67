//! A node under test: an image, booted, asked, unplugged.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use skerry::deliver::vm::{Console, DiskCache, Forward, Network, SerialLog, Vm, VmConfig, probe, work_copy};
use skerry_formats::status::{NodeStatus, UpdaterStatus};

use crate::http;

/// NodePort of the demo app.
const APP_PORT: u16 = 30080;
/// Port of the status page.
const STATUS_PORT: u16 = 9180;
/// Port of the Kubernetes API.
const API_PORT: u16 = 6443;
/// Size of a node's disk; sparse.
const DISK_BYTES: u64 = 4 << 30;
/// Time limit of one question; an emulated guest can be slow to answer.
const ASK_MAX: Duration = Duration::from_secs(10);
/// Pause between questions.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// The kernel's last words before a reset.
const RESTARTING: &str = "reboot: Restarting system";
/// Once in many hundred resets the emulated firmware has been seen to stand
/// still after these words, with nothing on the console. The node can do nothing
/// about it, so after this time somebody presses the reset button, once.
const FIRMWARE_MAX: Duration = Duration::from_secs(180);
/// Lines of the console shown with a failure.
const TAIL_LINES: usize = 60;

/// Time limit for a boot until the app answers. Generous: emulation on a busy
/// machine is slow, and a limit is no measurement.
pub const BOOT_MAX: Duration = Duration::from_secs(900);
/// Time limit for an update: download, reboot, health gate.
pub const UPDATE_MAX: Duration = Duration::from_secs(1500);

/// What the app said.
#[derive(Debug, Clone, PartialEq)]
pub struct AppAnswer {
    /// Version it tells.
    pub version: String,
    /// The whole answer.
    pub json: serde_json::Value,
    /// Time since power-on of the machine.
    pub after: Duration,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    config: VmConfig,
    vm: Option<Vm>,
    button_pressed: bool,
    app_port: u16,
    status_port: u16,
    api_port: u16,
}

impl Node {
    /// A node in `dir` with a fresh disk from `image`, not powered on yet.
    ///
    /// # Errors
    /// If the disk cannot be made.
    pub fn create(image: &Path, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let disk = dir.join("disk.img");
        work_copy(image, &disk, DISK_BYTES)?;
        let [app_port, status_port, api_port] = [http::free_port()?, http::free_port()?, http::free_port()?];
        let config = VmConfig {
            forwards: vec![
                Forward { host: app_port, node: APP_PORT },
                Forward { host: status_port, node: STATUS_PORT },
                Forward { host: api_port, node: API_PORT },
            ],
            console: Console::Log,
            serial_log: Some(dir.join("serial.log")),
            disk_cache: DiskCache::Fast,
            accel: probe().0,
            ..VmConfig::new(disk)
        };
        Ok(Node { config, vm: None, button_pressed: false, app_port, status_port, api_port })
    }

    /// Machine settings for the next power-on.
    pub fn config(&mut self) -> &mut VmConfig {
        &mut self.config
    }

    /// The disk; only to be touched while the power is off.
    pub fn disk(&self) -> PathBuf {
        self.config.disk.clone()
    }

    /// Port of the host that leads to the app.
    pub fn app_port(&self) -> u16 {
        self.app_port
    }

    /// Port of the host that leads to the Kubernetes API.
    pub fn api_port(&self) -> u16 {
        self.api_port
    }

    /// Power on.
    ///
    /// # Errors
    /// If QEMU does not start.
    pub fn power_on(&mut self) -> Result<()> {
        self.power_cut()?;
        self.vm = Some(Vm::start(&self.config)?);
        Ok(())
    }

    /// Cut the power, at once.
    ///
    /// # Errors
    /// If QEMU cannot be killed.
    pub fn power_cut(&mut self) -> Result<()> {
        if let Some(mut vm) = self.vm.take() {
            vm.kill().context("cutting the power")?;
        }
        Ok(())
    }

    /// Plug the network cable in or out.
    ///
    /// # Errors
    /// If the power is off or QEMU refuses.
    pub fn plug(&self, up: bool) -> Result<()> {
        self.vm.as_ref().context("the power is off")?.plug(up).context("plugging the network")
    }

    /// Send a non-maskable interrupt.
    ///
    /// # Errors
    /// If the power is off or QEMU refuses.
    pub fn inject_nmi(&self) -> Result<()> {
        self.vm.as_ref().context("the power is off")?.inject_nmi().context("sending an interrupt")
    }

    /// Bytes that were written to the disk since the last power-on.
    ///
    /// # Errors
    /// If the power is off or QEMU does not tell.
    pub fn disk_bytes_written(&self) -> Result<u64> {
        self.vm.as_ref().context("the power is off")?.disk_bytes_written().context("counting the disk's writes")
    }

    /// Set the network for the next power-on.
    pub fn set_network(&mut self, network: Network) {
        self.config.network = network;
    }

    /// The console since the last power-on.
    pub fn serial(&self) -> Option<&SerialLog> {
        self.vm.as_ref().and_then(Vm::serial)
    }

    /// Everything that was ever on the console.
    pub fn serial_text(&self) -> String {
        self.config
            .serial_log
            .as_ref()
            .and_then(|p| std::fs::read(p).ok())
            .map_or_else(String::new, |b| String::from_utf8_lossy(&b).into_owned())
    }

    /// Ask the app once.
    ///
    /// # Errors
    /// If it does not answer with its identity.
    pub fn app(&self) -> Result<AppAnswer> {
        let (code, body) = http::get(self.app_port, "/", ASK_MAX)?;
        if code != 200 {
            bail!("the app answers {code}");
        }
        let json: serde_json::Value =
            serde_json::from_str(&body).with_context(|| format!("the app answers {body:?}"))?;
        let version = json["version"].as_str().context("no version in the app's answer")?.to_owned();
        let after = self.vm.as_ref().map_or(Duration::ZERO, |vm| vm.started().elapsed());
        Ok(AppAnswer { version, json, after })
    }

    /// Wait until the app answers.
    ///
    /// # Errors
    /// If it does not within `timeout`, with the end of the console.
    pub fn wait_app(&mut self, timeout: Duration) -> Result<AppAnswer> {
        self.wait("the app to answer", timeout, |node| node.app().map(Some))
    }

    /// Wait until the app answers with this version.
    ///
    /// # Errors
    /// If it does not within `timeout`, with the end of the console.
    pub fn wait_app_version(&mut self, version: &str, timeout: Duration) -> Result<AppAnswer> {
        self.wait(&format!("version {version} of the app to answer"), timeout, |node| {
            let answer = node.app()?;
            Ok((answer.version == version).then_some(answer))
        })
    }

    /// The node's status page.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn status(&self) -> Result<NodeStatus> {
        let (code, body) = http::get(self.status_port, "/status", ASK_MAX)?;
        if code != 200 {
            bail!("the status page answers {code}");
        }
        serde_json::from_str(&body).with_context(|| format!("the status page answers {body:?}"))
    }

    /// Wait until the updater's status is as wanted; `on_change` sees every
    /// state on the way.
    ///
    /// # Errors
    /// If it is not within `timeout`, with the last status and the end of the
    /// console.
    pub fn wait_updater(
        &mut self,
        what: &str,
        timeout: Duration,
        mut on_change: impl FnMut(&UpdaterStatus),
        wanted: impl Fn(&UpdaterStatus) -> bool,
    ) -> Result<NodeStatus> {
        let mut last: Option<UpdaterStatus> = None;
        let result = self.wait(what, timeout, |node| {
            let status = node.status()?;
            let Some(updater) = &status.updater else { bail!("the updater publishes no status") };
            if last.as_ref().is_none_or(|l| (&l.state, &l.message) != (&updater.state, &updater.message)) {
                on_change(updater);
            }
            last = Some(updater.clone());
            Ok(wanted(updater).then_some(status))
        });
        result.with_context(|| match &last {
            None => "the status page never answered".to_owned(),
            Some(u) => format!(
                "updater: running {} (blessed: {}), state {}, {:?}, last error {:?}, last roll-back {:?}",
                u.running.sequence, u.blessed, u.state, u.message, u.last_error, u.last_rollback
            ),
        })
    }

    /// Wait until release `sequence` runs and is blessed.
    ///
    /// # Errors
    /// As [`wait_updater`](Self::wait_updater).
    pub fn wait_blessed(&mut self, sequence: u32, timeout: Duration) -> Result<NodeStatus> {
        let what = format!("release {sequence} to be blessed");
        self.wait_updater(&what, timeout, |_| (), |u| u.running.sequence.0 == sequence && u.blessed)
    }

    /// Ask until there is an answer.
    fn wait<T>(&mut self, what: &str, timeout: Duration, mut ask: impl FnMut(&Node) -> Result<Option<T>>) -> Result<T> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(vm) = &mut self.vm
                && let Some(status) = vm.try_wait()?
            {
                bail!("QEMU ended with {status} while waiting for {what}\n{}", self.tail());
            }
            self.help_firmware()?;
            let why = match ask(self) {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => "not yet".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() >= end {
                bail!("waited {} s for {what}: {why}\n{}", timeout.as_secs(), self.tail());
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// Press the reset button where the emulated firmware stands still; see
    /// [`FIRMWARE_MAX`].
    fn help_firmware(&mut self) -> Result<()> {
        let Some(vm) = &self.vm else { return Ok(()) };
        let Some((at, line)) = vm.serial().and_then(SerialLog::last) else { return Ok(()) };
        let still = vm.started().elapsed().saturating_sub(at) > FIRMWARE_MAX;
        if still && line.ends_with(RESTARTING) && !self.button_pressed {
            self.button_pressed = true;
            eprintln!("the emulated firmware stands still after a reset: pressing the reset button\n{}", self.tail());
            vm.reset().context("pressing the reset button")?;
        }
        Ok(())
    }

    /// The end of the console, as text for a failure.
    pub fn tail(&self) -> String {
        let log = self.config.serial_log.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        let tail = self.serial().map(|s| s.tail(TAIL_LINES)).unwrap_or_default();
        format!("--- end of the console ({log}):\n{tail}\n---")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
    }
}
