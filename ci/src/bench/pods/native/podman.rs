//! The peer: Debian's podman plays the same pods, with the same crun.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};

use super::{super::workload, Podman, host, starts::millis};
use crate::tools::{Tools, run};

/// Pods that are played, one after the other; all stay.
const PODS: u32 = 20;
/// What podman keeps running beside the app.
const OWN: [&str; 3] = ["conmon", "catatonit", "aardvark-dns"];

/// Play pods. To be called in namespaces of their own.
///
/// # Errors
/// If podman is not installed, or cannot run here.
pub fn measure(dir: &Path, tools: &Tools, app: &Path) -> Result<Podman> {
    host::enter()?;
    // What it keeps beside its root folder stays in these namespaces.
    fs::create_dir_all("/run/containers").context("making /run/containers")?;
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run/containers"]))?;
    let podman = |words: &[&str]| {
        let mut command = Command::new("podman");
        for (option, folder) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(dir.join(folder));
        }
        command.args(["--cgroup-manager=cgroupfs", "--runtime=crun", "--events-backend=file"]).args(words);
        run(&mut command)
    };
    let version = podman(&["--version"])?.trim().to_owned();
    let image = podman(&["pull", "--quiet", &format!("oci:{}", app.display())])?;
    podman(&["tag", image.trim(), "localhost/hello:demo"])?;
    let mut running = vec![];
    // The first makes the image of its pause container.
    for n in 0..=PODS {
        let path = dir.join(format!("{n}.json"));
        let pod = workload::pod_without_probes(&format!("p{n}"));
        fs::write(&path, pod.to_string()).with_context(|| format!("writing {}", path.display()))?;
        let begun = Instant::now();
        podman(&["kube", "play", &path.to_string_lossy()])?;
        if n > 0 {
            running.push(millis(begun.elapsed()));
        }
    }
    let status = host::status(&tools.runtime.join("skerry-node"), dir)?;
    let apps = status.processes.get("hello").map_or(0, |p| p.count);
    ensure!(apps == PODS + 1, "podman started {} pods, and {apps} apps run", PODS + 1);
    let own = OWN.iter().filter_map(|name| status.processes.get(*name));
    let own: u64 = own.filter_map(|p| p.pss_bytes).sum();
    podman(&["pod", "rm", "--all", "--force", "--time=0"])?;
    Ok(Podman { version, running, own_bytes_each: own / u64::from(apps) })
}
