//! `skerry vm` leaves no QEMU behind, however it ends.
#![allow(clippy::unwrap_used)]

use std::{
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// `skerry vm` on an empty disk: the firmware runs and finds nothing to boot.
struct Machine {
    dir: tempfile::TempDir,
    skerry: Child,
    qemu: Option<Pid>,
}

impl Machine {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("disk.img");
        std::fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        let skerry = Command::new(env!("CARGO_BIN_EXE_skerry"))
            .args(["vm", "--memory", "256", "--disk-size", "1"])
            .arg(&image)
            .env("SKERRY_VM_ACCEL", "tcg")
            .env("TMPDIR", dir.path().join("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut machine = Self { dir, skerry, qemu: None };
        while machine.qemu.is_none() {
            assert!(machine.skerry.try_wait().unwrap().is_none(), "skerry vm ended: {}", machine.said());
            machine.qemu = qemu_of(machine.skerry.id());
            pause();
        }
        machine
    }

    /// Folders that `skerry vm` made for itself and that are still there.
    fn scratch(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.dir.path().join("tmp")).unwrap().map(|e| e.unwrap().path()).collect()
    }

    fn send(&mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.skerry), signal).unwrap();
        self.skerry.wait().unwrap()
    }

    /// Returns when QEMU has ended. It may stay a zombie where nobody reaps
    /// orphans.
    fn wait_for_end_of_qemu(&mut self) {
        let qemu = self.qemu.unwrap();
        while stat(qemu.as_raw_pid() as u32).is_some_and(|s| s.state != 'Z') {
            pause();
        }
        self.qemu = None;
    }

    fn said(&mut self) -> String {
        std::io::read_to_string(self.skerry.stderr.take().unwrap()).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.skerry.kill();
        let _ = self.skerry.wait();
        if let Some(qemu) = self.qemu {
            let _ = kill_process(qemu, Signal::KILL);
        }
    }
}

fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

struct Stat {
    name: String,
    state: char,
    parent: u32,
}

/// Name, state and parent out of `/proc/PID/stat`.
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = text.rsplit_once(") ")?;
    let name = head.split_once(" (")?.1.to_string();
    let mut fields = rest.split(' ');
    Some(Stat { name, state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}

/// The child of `skerry` that has become QEMU.
fn qemu_of(skerry: u32) -> Option<Pid> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|s| s.parent == skerry && s.name.starts_with("qemu")))
        .find_map(|pid: u32| Pid::from_raw(pid as i32))
}

#[test]
fn a_signal_to_end_switches_the_machine_off_and_cleans_up() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP"), (Signal::INT, "SIGINT")] {
        let mut machine = Machine::start();
        assert!(!machine.scratch().is_empty(), "the machine's disk is in $TMPDIR");
        let status = machine.send(signal);
        assert_eq!(status.code(), Some(1), "{name}");
        machine.wait_for_end_of_qemu();
        assert_eq!(machine.scratch(), Vec::<PathBuf>::new(), "{name}");
        let said = machine.said();
        assert!(said.contains(&format!("ended by {name}; the machine is switched off")), "{said}");
    }
}

#[test]
fn killing_skerry_kills_the_machine() {
    let mut machine = Machine::start();
    let status = machine.send(Signal::KILL);
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    machine.wait_for_end_of_qemu();
}
