//! One measured figure, with everything that is needed to judge and repeat it.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use skerry::deliver::vm::{Accel, probe};

use crate::tools::run;

/// A measured figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What was measured.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit; MB are 10^6 bytes.
    pub unit: String,
    /// What it is compared with.
    pub peer: Option<String>,
    /// The peer's figure, same unit, same run.
    pub peer_value: Option<f64>,
    /// `value` divided by `peer_value`.
    pub ratio: Option<f64>,
    /// What it should be.
    pub goal: Option<Goal>,
    /// Command that measures it again.
    pub repeat: String,
    /// What has to be known to read the figure.
    pub note: String,
    /// Where and when.
    pub machine: Machine,
}

/// A limit, and whether the figure keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// What is limited.
    pub of: Of,
    /// The limit.
    pub max: f64,
    /// It is kept.
    pub met: bool,
}

/// What a goal limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// The figure.
    Value,
    /// The ratio to the peer.
    Ratio,
}

/// Where and when a figure was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Processor, its number of cores, memory, kernel.
    pub host: String,
    /// How guests run: `kvm` or `tcg`.
    pub accel: String,
    /// Load averages when the run began: other work slows all times down.
    pub load: String,
    /// Day, UTC.
    pub date: String,
    /// Commit of the source tree; empty without history.
    pub commit: String,
}

impl Entry {
    /// A figure without peer and goal.
    pub fn new(name: impl Into<String>, value: f64, unit: &str, note: impl Into<String>) -> Self {
        Entry {
            name: name.into(),
            value: round(value),
            unit: unit.into(),
            peer: None,
            peer_value: None,
            ratio: None,
            goal: None,
            repeat: String::new(),
            note: note.into(),
            machine: Machine::default(),
        }
    }

    /// A number of bytes.
    pub fn megabytes(name: impl Into<String>, bytes: u64, note: impl Into<String>) -> Self {
        Self::new(name, bytes as f64 / 1e6, "MB", note)
    }

    /// Compare with a peer.
    #[must_use]
    pub fn beside(mut self, peer: impl Into<String>, value: f64) -> Self {
        let value = round(value);
        self.peer = Some(peer.into());
        self.peer_value = Some(value);
        self.ratio = (value > 0.0).then(|| round(self.value / value));
        self
    }

    /// Limit the figure.
    #[must_use]
    pub fn at_most(mut self, max: f64) -> Self {
        self.goal = Some(Goal { of: Of::Value, max, met: self.value <= max });
        self
    }

    /// Limit the ratio; without a peer there is nothing to judge.
    #[must_use]
    pub fn ratio_at_most(mut self, max: f64) -> Self {
        self.goal = self.ratio.map(|ratio| Goal { of: Of::Ratio, max, met: ratio <= max });
        self
    }

    /// Share of the limit that is used.
    pub fn of_goal(&self) -> Option<f64> {
        let goal = self.goal?;
        match goal.of {
            Of::Value => Some(self.value / goal.max),
            Of::Ratio => Some(self.ratio? / goal.max),
        }
    }

    /// The goal for people, such as `≤ 50 MB, met`.
    pub fn goal_text(&self) -> Option<String> {
        let goal = self.goal?;
        let limit = match goal.of {
            Of::Value => format!("≤ {} {}", goal.max, self.unit),
            Of::Ratio => format!("ratio ≤ {}", goal.max),
        };
        Some(format!("{limit}, {}", if goal.met { "met" } else { "**missed**" }))
    }

    /// For the terminal.
    pub fn line(&self) -> String {
        let peer =
            self.peer.iter().zip(self.peer_value).map(|(p, v)| format!("; {p}: {v} {}", self.unit)).collect::<String>();
        let ratio = self.ratio.map(|r| format!("; ratio {r}")).unwrap_or_default();
        let goal = self.goal_text().map(|g| format!("; goal {}", g.replace('*', ""))).unwrap_or_default();
        format!("{:<44} {:>8} {}{peer}{ratio}{goal}", self.name, self.value, self.unit)
    }
}

/// Three decimals are more than any of these measurements is worth.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Machine {
    /// This one, now.
    ///
    /// # Errors
    /// If `/proc` or `date` is missing.
    pub fn this() -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("reading {path}"));
        let cpu = read("/proc/cpuinfo")?;
        let model = cpu.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m.to_owned()));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = read("/proc/meminfo")?;
        let kib: f64 = memory.split_whitespace().nth(1).and_then(|n| n.parse().ok()).context("no MemTotal")?;
        let kernel = read("/proc/sys/kernel/osrelease")?;
        let accel = match probe().0 {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        };
        Ok(Machine {
            host: format!(
                "{}, {cores} cores, {:.0} GB of memory, Linux {}",
                model.unwrap_or_else(|| "unknown processor".into()),
                kib * 1024.0 / 1e9,
                // What follows is the host's own name for its build.
                kernel.trim().split('-').next().unwrap_or_default()
            ),
            accel: accel.into(),
            load: read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(", "),
            date: run(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned(),
            // A source tree without history has no commit to tell.
            commit: run(Command::new("git").args(["rev-parse", "--short", "HEAD"]))
                .unwrap_or_default()
                .trim()
                .to_owned(),
        })
    }
}

/// Write a group's figures.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, entries: &[Entry]) -> Result<()> {
    let mut text = serde_json::to_string_pretty(entries)?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Read a group's figures; none if it was not measured yet.
///
/// # Errors
/// If the file is malformed.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).with_context(|| format!("reading {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn goals_are_judged_on_what_they_limit() {
        let image = Entry::megabytes("image", 44_015_038, "").at_most(50.0);
        assert_eq!((image.value, image.goal.unwrap().met), (44.015, true));
        assert!(!Entry::megabytes("image", 50_001_000, "").at_most(50.0).goal.unwrap().met);
        let build = Entry::new("build", 10.0, "s", "").beside("peer", 30.0).ratio_at_most(0.25);
        assert_eq!((build.ratio, build.goal.unwrap().met), (Some(0.333), false));
        assert!((build.of_goal().unwrap() - 0.333 / 0.25).abs() < 1e-9);
        assert_eq!(build.goal_text().unwrap(), "ratio ≤ 0.25, **missed**");
        assert_eq!(Entry::new("build", 10.0, "s", "").ratio_at_most(0.25).goal, None, "no peer, no verdict");
    }

    #[test]
    fn files_are_arrays_of_entries_with_the_documented_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        assert_eq!(read(&path).unwrap(), []);
        let entries = vec![Entry::new("a", 1.0, "s", "n").beside("p", 4.0).ratio_at_most(0.25)];
        write(&path, &entries).unwrap();
        assert_eq!(read(&path).unwrap(), entries);
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let keys: Vec<&String> = json[0].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "value", "unit", "peer", "peer_value", "ratio", "goal", "repeat", "note", "machine"]);
    }
}
