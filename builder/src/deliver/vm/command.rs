//! The QEMU command line of a machine: a pure function of its configuration.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    process::{Command, Stdio},
};

use super::{Accel, Console, DiskCache, Firmware, Network, VmConfig};

/// QEMU for x86-64.
pub const QEMU: &str = "qemu-system-x86_64";

/// Name of the guest's disk.
pub const DISK: &str = "disk0";

/// Name of the guest's network card.
pub const NIC: &str = "nic0";

/// Kernel arguments of an emulated machine, which systemd's stub takes from
/// here. On a busy host the timer may stand still for so long that the kernel's
/// check of it fails and the kernel panics.
const EMULATED: &str = "type=11,value=io.systemd.stub.kernel-cmdline-extra=no_timer_check";

/// A path as part of a QEMU option, where a comma ends the value.
pub fn escaped(path: &Path) -> OsString {
    let mut out = Vec::new();
    for b in path.as_os_str().as_bytes() {
        out.push(*b);
        if *b == b',' {
            out.push(b',');
        }
    }
    OsString::from_vec(out)
}

/// The command that starts the machine.
pub fn qemu(config: &VmConfig, firmware: &Firmware, vars: &Path, control: &Path) -> Command {
    let mut command = Command::new(QEMU);
    let mut qmp = OsString::from("unix:");
    qmp.push(escaped(control));
    qmp.push(",server=on,wait=off");
    command.args(args(config, firmware, vars)).arg("-qmp").arg(qmp);
    match config.console {
        Console::Terminal => {}
        Console::Log => {
            command.stdin(Stdio::null()).stdout(Stdio::piped());
        }
    }
    command
}

fn args(config: &VmConfig, firmware: &Firmware, vars: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut add = |list: &[&str]| args.extend(list.iter().map(OsString::from));
    let (accel, cpu) = match config.accel {
        Accel::Kvm => ("kvm", "host"),
        Accel::Tcg => ("tcg,thread=multi", "max"),
    };
    add(&["-nodefaults", "-M", "q35", "-accel", accel, "-cpu", cpu]);
    add(&["-smp", &config.cpus.to_string(), "-m", &config.memory_mib.to_string()]);
    if config.accel == Accel::Tcg {
        add(&["-smbios", EMULATED]);
    }
    add(&["-display", "none", "-vga", "none"]);
    add(&["-object", "rng-random,filename=/dev/urandom,id=rng0", "-device", "virtio-rng-pci,rng=rng0"]);
    add(&["-device", "i6300esb", "-action", "watchdog=reset"]);
    if config.other_disk.is_some() {
        add(&["-device", "virtio-blk-pci,drive=disk1"]);
    }
    // Without romfile= and bootindex the firmware tries the network first, for
    // a minute.
    add(&[
        "-device",
        "virtio-blk-pci,drive=disk0,bootindex=1",
        "-device",
        &format!("virtio-net-pci,netdev=net0,romfile=,id={NIC}"),
    ]);
    add(&["-netdev", &netdev(config)]);
    args.extend(drive(DISK, &config.disk, config.disk_cache));
    if let Some(other) = &config.other_disk {
        args.extend(drive("disk1", other, config.disk_cache));
    }
    args.extend(console_args(config));
    args.extend(firmware.args(vars));
    args
}

fn netdev(config: &VmConfig) -> String {
    let mut net = String::from("user,id=net0");
    match config.network {
        Network::Open | Network::Unplugged => {}
        Network::Restricted => net.push_str(",restrict=on"),
    }
    for f in &config.forwards {
        net.push_str(&format!(",hostfwd=tcp:127.0.0.1:{}-:{}", f.host, f.node));
    }
    net
}

fn drive(id: &str, disk: &Path, cache: DiskCache) -> [OsString; 2] {
    let cache = match cache {
        DiskCache::Safe => "writeback",
        DiskCache::Fast => "unsafe",
    };
    let mut drive = OsString::from(format!("if=none,id={id},format=raw,cache={cache},discard=unmap,file="));
    drive.push(escaped(disk));
    ["-drive".into(), drive]
}

fn console_args(config: &VmConfig) -> Vec<OsString> {
    let mut chardev = OsString::from("stdio,id=con0");
    if config.console == Console::Terminal {
        // Ctrl-C belongs to the guest; Ctrl-A X ends the machine.
        chardev.push(",mux=on,signal=off");
        if let Some(log) = &config.serial_log {
            chardev.push(",logappend=on,logfile=");
            chardev.push(escaped(log));
        }
    }
    let mut args: Vec<OsString> = vec!["-chardev".into(), chardev, "-serial".into(), "chardev:con0".into()];
    match config.console {
        Console::Terminal => args.extend(["-mon".into(), "chardev=con0,mode=readline".into()]),
        Console::Log => args.extend(["-monitor".into(), "none".into()]),
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::vm::Forward;

    fn line(config: &VmConfig) -> String {
        let firmware = Firmware { code: "/code.fd".into(), vars: "/vars.fd".into() };
        let args = args(config, &firmware, Path::new("/own,vars.fd"));
        args.iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_end_up_on_the_command_line() {
        let config = VmConfig {
            memory_mib: 512,
            forwards: vec![Forward { host: 8080, node: 30080 }, Forward { host: 9180, node: 9180 }],
            ..VmConfig::new("/a,b/disk.img")
        };
        let text = line(&config);
        for want in [
            "-m 512",
            "hostfwd=tcp:127.0.0.1:8080-:30080,hostfwd=tcp:127.0.0.1:9180-:9180",
            "file=/a,,b/disk.img",
            "file=/own,,vars.fd",
            "cache=writeback",
            "bootindex=1",
            "-accel tcg,thread=multi -cpu max",
            "no_timer_check",
            "watchdog=reset",
        ] {
            assert!(text.contains(want), "{want} in {text}");
        }
        assert!(!text.contains("-no-reboot"), "an update reboots");
    }

    #[test]
    fn another_disk_comes_first_and_is_not_booted_from() {
        let text = line(&VmConfig { other_disk: Some("/other.img".into()), ..VmConfig::new("/own.img") });
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} in {text}"));
        assert!(at("drive=disk1 ") < at("drive=disk0,bootindex=1"));
        assert!(text.contains("id=disk1,format=raw,cache=writeback,discard=unmap,file=/other.img"));
    }

    #[test]
    fn networks_differ() {
        let with = |network| line(&VmConfig { network, ..VmConfig::new("/d") });
        assert!(!with(Network::Open).contains("restrict"));
        assert!(with(Network::Restricted).contains("restrict=on"));
    }
}
