//! Benchmarks: the figures that the project promises, measured in one run and
//! written down with the command that repeats them.
//!
//! Each group writes one file of [`Entry`]s; [`report`] turns all files into
//! `docs/benchmarks.md` and its plot. Nothing here passes or fails: a missed
//! goal is shown as missed.

pub mod bed;
pub mod boot;
pub mod build;
pub mod entry;
pub mod image;
pub mod mkosi;
pub mod plot;
pub mod pods;
pub mod report;
pub mod update;

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use self::{
    bed::{Bed, say},
    entry::{Entry, Machine},
};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Group {
    /// Sizes of the image and of what is in it.
    Image,
    /// Time of builds, beside mkosi.
    Build,
    /// Time of boots, and memory.
    Boot,
    /// Bytes of an update, and a node with little memory.
    Update,
    /// What pods cost, in a guest and on this machine, beside podman.
    Pods,
    /// Nothing: only write the report again.
    Report,
}

impl Group {
    /// All that measure, in the order of the report; the longest is last.
    pub const ALL: [Group; 5] = [Group::Image, Group::Boot, Group::Update, Group::Pods, Group::Build];

    /// Name of the option's value and of the file.
    pub fn name(self) -> &'static str {
        match self {
            Group::Image => "image",
            Group::Build => "build",
            Group::Boot => "boot",
            Group::Update => "update",
            Group::Pods => "pods",
            Group::Report => "report",
        }
    }

    /// The command that measures this group again.
    fn repeat(self) -> String {
        format!("ci/bench --only {}", self.name())
    }
}

/// Measure `groups`; results go to `out`, the report of all results in `out`
/// to `docs`.
///
/// # Errors
/// If something cannot be measured.
pub fn run(out: &Path, docs: &Path, groups: &[Group]) -> Result<()> {
    // A whole run starts from nothing; a part takes the releases of the last.
    let fresh = groups.is_empty();
    let groups: Vec<Group> = Group::ALL.into_iter().filter(|g| groups.is_empty() || groups.contains(g)).collect();
    if !groups.is_empty() {
        let machine = Machine::this()?;
        let bed = Bed::open(out, fresh)?;
        for group in groups {
            say(&format!("Measure: {}", group.name()));
            let mut entries = match group {
                Group::Image => image::measure(&bed)?,
                Group::Build => build::measure(&bed)?,
                Group::Boot => boot::measure(&bed)?,
                Group::Update => update::measure(&bed)?,
                Group::Pods => pods::measure(&bed)?,
                Group::Report => Vec::new(),
            };
            for entry in &mut entries {
                entry.repeat = group.repeat();
                entry.machine = machine.clone();
                println!("  {}", entry.line());
            }
            entry::write(&out.join(format!("{}.json", group.name())), &entries)?;
        }
    }
    let results = Group::ALL.iter().map(|g| Ok((*g, entry::read(&out.join(format!("{}.json", g.name())))?)));
    let results: Vec<(Group, Vec<Entry>)> = results.collect::<Result<_>>()?;
    std::fs::create_dir_all(docs).with_context(|| format!("making {}", docs.display()))?;
    report::write(docs, &results)
}
