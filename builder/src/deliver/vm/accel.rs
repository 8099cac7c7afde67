//! Which accelerator works here. A `/dev/kvm` that opens is no proof: inside
//! other virtual machines guests may crash or hang on it. So firmware is started
//! under it for a moment and has to say something.

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    sync::{OnceLock, mpsc},
    time::Duration,
};

use super::{VmError, child::KeptChild, command::QEMU, firmware};

/// How guest code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// On the CPU.
    Kvm,
    /// Translated, one thread per guest CPU.
    Tcg,
}

/// Time in which firmware under KVM must have written something; it takes
/// about 2 s.
const PROBE_MAX: Duration = Duration::from_secs(8);

/// The best accelerator that runs a guest, and why it is not KVM if it is not.
/// Probed once per process; `SKERRY_VM_ACCEL=tcg|kvm` decides without a probe.
pub fn probe() -> (Accel, Option<&'static str>) {
    static RESULT: OnceLock<(Accel, Option<&'static str>)> = OnceLock::new();
    *RESULT.get_or_init(|| match std::env::var("SKERRY_VM_ACCEL").as_deref() {
        Ok("kvm") => (Accel::Kvm, None),
        Ok("tcg") => (Accel::Tcg, Some("SKERRY_VM_ACCEL=tcg")),
        _ => match probe_kvm() {
            Ok(()) => (Accel::Kvm, None),
            Err(why) => (Accel::Tcg, Some(why)),
        },
    })
}

fn probe_kvm() -> Result<(), &'static str> {
    if !Path::new("/dev/kvm").exists() {
        return Err("this machine has no /dev/kvm");
    }
    if std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return Err("/dev/kvm may not be opened; add yourself to the group kvm");
    }
    match try_guest() {
        Ok(true) => Ok(()),
        Ok(false) => Err("/dev/kvm is there, but a guest does not run on it"),
        Err(_) => Err("the KVM probe could not be started"),
    }
}

/// Did firmware write to its serial console within [`PROBE_MAX`]?
fn try_guest() -> Result<bool, VmError> {
    let dir = tempfile::tempdir().map_err(VmError::io("make a folder in", &std::env::temp_dir()))?;
    let vars = dir.path().join("vars.fd");
    let firmware = firmware::find()?;
    firmware.prepare_vars(&vars)?;
    let mut command = Command::new(QEMU);
    command
        .args(["-M", "q35", "-accel", "kvm", "-cpu", "host", "-smp", "2", "-m", "256", "-nodefaults", "-vga", "none"])
        .args(["-display", "none", "-no-reboot", "-serial", "stdio"])
        .args(firmware.args(&vars))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = KeptChild::spawn(command).map_err(|source| VmError::NoQemu { program: QEMU, source })?;
    let (sender, receiver) = mpsc::channel();
    if let Some(mut out) = child.stdout.take() {
        // Ends with QEMU, which is killed below.
        std::thread::spawn(move || {
            let mut first = [0u8; 64];
            let said = out.read(&mut first).is_ok_and(|n| n > 0);
            let _ = sender.send(said);
        });
    }
    let said = receiver.recv_timeout(PROBE_MAX).unwrap_or(false);
    let _ = child.kill();
    let _ = child.wait();
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_ends_with_an_answer() {
        let (accel, why) = probe();
        assert_eq!(accel == Accel::Tcg, why.is_some());
    }
}
