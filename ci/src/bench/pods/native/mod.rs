//! The same programs on this machine itself, without emulation: times, processor
//! time and memory that mean something, beside podman.
//!
//! What is measured runs in namespaces of its own, made by `unshare` around this
//! program, so that it sees no other process and leaves none behind.

mod entries;
mod host;
mod lists;
mod podman;
mod starts;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::entries::rest as rest_entries;
use self::host::Host;
use super::{PODS_REST, look::Look, workload};
use crate::{
    bench::{
        bed::{Bed, say},
        entry::Entry,
    },
    product::Variant,
    tools::Tools,
};

/// File with what a part has measured.
const RESULT: &str = "result.json";
/// Time for a node to come to rest.
const SETTLE: Duration = Duration::from_secs(10);

/// A part, measured in namespaces of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Start pods.
    Starts,
    /// Many objects and watchers.
    Lists,
    /// A node at rest.
    Rest,
    /// The peer.
    Podman,
}

/// Pods that were started; milliseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Starts {
    running: Vec<f64>,
    ready: Vec<f64>,
    crun: Vec<f64>,
    looks: Vec<Look>,
}

/// Lists and events; milliseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Lists {
    lists: Vec<f64>,
    events: Vec<f64>,
}

/// A node at rest.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rest {
    pub(super) before: Look,
    pub(super) after: Look,
    pub(super) secs: f64,
}

/// What podman takes; milliseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Podman {
    version: String,
    running: Vec<f64>,
    own_bytes_each: u64,
}

/// What a part needs to know.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    dir: PathBuf,
    containerd: PathBuf,
    app: PathBuf,
    rest_secs: u64,
}

/// Starts, memory, lists, and the peer.
///
/// # Errors
/// If our programs fail. A peer that does not run is told, not an error.
pub fn measure(bed: &Bed) -> Result<Vec<Entry>> {
    say("Pods: on this machine, one after the other");
    let starts: Starts = part(bed, Part::Starts, Duration::ZERO)?;
    say("Pods: many objects and watchers");
    let lists: Lists = part(bed, Part::Lists, Duration::ZERO)?;
    say("Pods: podman plays the same");
    let podman: Result<Podman> = part(bed, Part::Podman, Duration::ZERO);
    Ok(entries::all(&starts, &lists, &podman, &starts::crun_version()?))
}

/// Measure a part in a process of its own.
///
/// # Errors
/// If it fails, or the namespaces cannot be had: they need root.
pub fn part<T: DeserializeOwned>(bed: &Bed, part: Part, rest: Duration) -> Result<T> {
    let dir = tempfile::Builder::new().prefix("skerry-bench").tempdir().context("making a folder")?;
    let app = bed.product.layout(&Variant::V1);
    let order = Order { dir: dir.path().into(), containerd: containerd(bed)?, app, rest_secs: rest.as_secs() };
    let name = part.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(std::env::current_exe().context("finding this program")?);
    let status = command.args(["bench-part", &name, &serde_json::to_string(&order)?]).status();
    let status = status.context("starting unshare")?;
    remove_cgroups(dir.path());
    ensure!(status.success(), "measuring {name} ended with {status}");
    let path = dir.path().join(RESULT);
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))
}

/// Pods' cgroups outlive their processes; they are named like the folder.
fn remove_cgroups(dir: &Path) {
    fn remove(dir: &Path) {
        let inner = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir());
        inner.for_each(|d| remove(&d));
        // One that is in use stays.
        let _ = fs::remove_dir(dir);
    }
    let name = dir.file_name().unwrap_or_default();
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path());
    for at in hierarchies.chain([root.to_owned()]).map(|h| h.join(name)).filter(|p| p.is_dir()) {
        remove(&at);
    }
}

/// containerd as it is in the image: the package that the lock names, unpacked
/// by the build.
fn containerd(bed: &Bed) -> Result<PathBuf> {
    let unpacked = bed.tools.cache_dir()?.join("unpacked");
    let entries = fs::read_dir(&unpacked).with_context(|| format!("reading {}", unpacked.display()))?;
    let programs = entries.flatten().map(|e| e.path().join("root/usr/bin/containerd"));
    programs.into_iter().find(|p| p.is_file()).with_context(|| format!("no containerd in {}", unpacked.display()))
}

/// The process of a part.
///
/// # Errors
/// If something cannot be measured.
pub fn child(part: Part, order: &str) -> Result<()> {
    let order: Order = serde_json::from_str(order).context("reading what to do")?;
    let tools = Tools::locate()?;
    let host = || Host::start(&order.dir, &tools, &order.containerd);
    let result = match part {
        Part::Starts => serde_json::to_vec(&starts::measure(&host()?)?),
        Part::Lists => serde_json::to_vec(&lists::measure(&host()?)?),
        Part::Rest => serde_json::to_vec(&rest(&host()?, Duration::from_secs(order.rest_secs))?),
        Part::Podman => serde_json::to_vec(&podman::measure(&order.dir, &tools, &order.app)?),
    }?;
    write(&order.dir, &result)
}

fn write(dir: &Path, result: &[u8]) -> Result<()> {
    fs::write(dir.join(RESULT), result).context("writing the result")
}

/// A node with pods that nobody asks for anything.
fn rest(host: &Host, time: Duration) -> Result<Rest> {
    let mut connection = host.connect()?;
    for n in 0..PODS_REST {
        connection.ask("POST", starts::PODS_PATH, Some(&workload::pod(&format!("p{n}"))))?;
    }
    host.wait("a node with all pods Ready", || {
        let list: serde_json::Value = serde_json::from_slice(&connection.ask("GET", starts::PODS_PATH, None)?)?;
        let ready = list["items"].as_array().map_or(0, |l| l.iter().filter(|p| starts::is_ready(p)).count());
        ensure!(ready == PODS_REST as usize, "{ready} of {PODS_REST} pods are Ready");
        Ok(())
    })?;
    drop(connection);
    sleep(SETTLE);
    let before = host.look()?.with(PODS_REST)?;
    let begun = Instant::now();
    sleep(time);
    let secs = begun.elapsed().as_secs_f64();
    Ok(Rest { before, after: host.look()?.with(PODS_REST)?, secs })
}
