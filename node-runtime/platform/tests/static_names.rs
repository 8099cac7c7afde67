//! Static programs resolve names from the file that this crate writes: the C
//! library carries its resolver along (glibc 2.34 and later) and needs nothing
//! of the node but `nsswitch.conf` and `resolv.conf`.
#![allow(clippy::unwrap_used)]

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use skerry_platform::resolv;

/// Of the loopback network, so that nobody else's server is in the way.
const SERVER: &str = "127.77.53.1";

fn build(to: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/static_names/resolve.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    // With --target, as the node's programs are built.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built = Command::new(rustc)
        .args(["--edition", "2024", "--target", &target, "-C", "target-feature=+crt-static", source, "-o"])
        .arg(to)
        .status();
    assert!(built.unwrap().success());
}

#[test]
fn static_program_follows_the_written_file() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: port 53 and chroot need root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    for d in ["etc", "run/skerry", "run/systemd/netif"] {
        fs::create_dir_all(root.join(d)).unwrap();
    }
    fs::write(root.join("etc/nsswitch.conf"), "hosts: files dns\n").unwrap();
    symlink("../run/skerry/resolv.conf", root.join("etc/resolv.conf")).unwrap();
    let program = dir.path().join("resolve");
    build(&program);
    let resolve = || {
        let out = Command::new(&program).arg(&root).args([SERVER, "updates.example"]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(resolve().starts_with("error: "), "no server is known yet");

    fs::write(root.join("run/systemd/netif/state"), format!("DNS={SERVER}\n")).unwrap();
    assert!(resolv::refresh(&root, &root.join(&resolv::RESOLV_CONF[1..])).unwrap());
    assert_eq!(resolve(), "192.0.2.7:443\n");
}
