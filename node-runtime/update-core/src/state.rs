//! The persisted state (`/var/lib/skerry/updater/state.json`).

use serde::{Deserialize, Serialize};
use skerry_formats::{
    Sequence,
    status::{FailedRelease, LastUpdate, Progress, ReleaseRef},
    versioned::{Document, Header},
};

use crate::event::{Plan, Problem};

/// Above this many, failures of releases older than the running one are
/// dropped: those are refused for their age anyway.
pub const FAILED_MAX: usize = 64;
/// Longest reason that is kept, in bytes.
pub const REASON_BYTES_MAX: usize = 300;

/// Everything the machine knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Name `skerry-updater-state`.
    pub format: Header,
    /// Boot in which this was written.
    pub boot_id: String,
    /// Release that runs.
    pub running: ReleaseRef,
    /// Complete blessed release to fall back to, if one is on the disk.
    pub previous: Option<ReleaseRef>,
    /// Where the machine stands.
    pub phase: Phase,
    /// What the update in progress has cost so far.
    pub cost: Option<Cost>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Releases that are never tried again, newest first.
    pub failed: Vec<FailedRelease>,
    /// Last completed update.
    pub last_update: Option<LastUpdate>,
    /// Last roll-back.
    pub last_rollback: Option<FailedRelease>,
    /// Unix seconds of the last check that reached the server.
    pub last_check: Option<u64>,
    /// Why the last check or download failed.
    pub last_error: Option<String>,
    /// Versions of TUF metadata seen; kept here because this file is written
    /// durably.
    pub tuf_floor: TufFloor,
}

impl Document for State {
    const NAME: &'static str = "skerry-updater-state";
    const VERSION: u32 = 1;
}

/// Lowest metadata versions that are still accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TufFloor {
    /// Root version.
    pub root: u64,
    /// Timestamp version under that root.
    pub timestamp: u64,
}

/// Bytes of one update over all its attempts and reboots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Release that ran when the update began.
    pub from: ReleaseRef,
    /// The first plan for this candidate.
    pub plan: Plan,
    /// Bytes received so far.
    pub fetched_bytes: u64,
}

/// Where the machine stands. Times are seconds since boot and only valid in
/// the boot of [`State::boot_id`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing to do until then; `None`: never checks.
    Idle {
        /// When to check next.
        next_check_at: Option<u64>,
    },
    /// Reading the channel pointer, then the release it names.
    Checking {
        /// The release named, once known.
        offer: Option<ReleaseRef>,
    },
    /// Objects are being fetched.
    Fetching {
        /// What and how much.
        plan: Plan,
        /// How far.
        progress: Progress,
    },
    /// All objects are here; record and UKI are being written.
    Staging {
        /// Candidate.
        candidate: ReleaseRef,
    },
    /// The UKI is in place and the reboot is ordered.
    ReadyToReboot {
        /// Candidate.
        candidate: ReleaseRef,
        /// When to order it again.
        retry_at: u64,
    },
    /// An unblessed release runs and has to prove its health.
    Trial {
        /// When the gate must have passed.
        deadline_at: u64,
        /// Since when the gate holds without a break.
        healthy_since: Option<u64>,
        /// What did not hold when last looked at.
        problem: Option<Problem>,
    },
    /// Health is proven; the counter is being taken off.
    Blessing {
        /// When to try again.
        retry_at: u64,
    },
    /// The running release failed; back to the previous one.
    RollingBack {
        /// What failed and why.
        failed: FailedRelease,
        /// When to order the reboot again.
        retry_at: u64,
    },
}

impl Phase {
    /// Name in status documents.
    pub fn status_name(&self) -> &'static str {
        match self {
            Phase::ReadyToReboot { .. } => "rebooting",
            Phase::Blessing { .. } => "trial",
            other => other.name(),
        }
    }

    /// Name in the diagram.
    pub fn name(&self) -> &'static str {
        match self {
            Phase::Idle { .. } => "idle",
            Phase::Checking { .. } => "checking",
            Phase::Fetching { .. } => "fetching",
            Phase::Staging { .. } => "staging",
            Phase::ReadyToReboot { .. } => "ready-to-reboot",
            Phase::Trial { .. } => "trial",
            Phase::Blessing { .. } => "blessing",
            Phase::RollingBack { .. } => "rolling-back",
        }
    }

    /// The release being fetched, staged or waiting for the reboot.
    pub fn candidate(&self) -> Option<&ReleaseRef> {
        match self {
            Phase::Fetching { plan, .. } => Some(&plan.candidate),
            Phase::Staging { candidate } | Phase::ReadyToReboot { candidate, .. } => Some(candidate),
            _ => None,
        }
    }
}

impl State {
    /// State of a node about which nothing is on record.
    pub fn new(running: ReleaseRef) -> Self {
        Self {
            format: Self::header(),
            boot_id: String::new(),
            running,
            previous: None,
            phase: Phase::Idle { next_check_at: None },
            cost: None,
            attempts: 0,
            failed: vec![],
            last_update: None,
            last_rollback: None,
            last_check: None,
            last_error: None,
            tuf_floor: TufFloor::default(),
        }
    }

    /// Why a release must not be tried, if it has failed here before.
    pub fn failure_of(&self, sequence: Sequence) -> Option<&FailedRelease> {
        self.failed.iter().find(|f| f.release.sequence == sequence)
    }

    /// Is the running release blessed?
    pub fn blessed(&self) -> bool {
        !matches!(self.phase, Phase::Trial { .. } | Phase::Blessing { .. } | Phase::RollingBack { .. })
    }

    /// Sequences whose objects must stay whatever happens.
    pub fn keep(&self) -> Vec<Sequence> {
        let mut keep = vec![self.running.sequence];
        keep.extend(self.previous.as_ref().map(|p| p.sequence));
        keep.extend(self.phase.candidate().map(|c| c.sequence));
        keep.dedup();
        keep
    }

    /// Remember a failure; the first reason for a sequence stays.
    pub(crate) fn remember(&mut self, failed: FailedRelease) {
        if self.failure_of(failed.release.sequence).is_none() {
            self.failed.insert(0, failed);
            if self.failed.len() > FAILED_MAX {
                let running = self.running.sequence;
                self.failed.retain(|f| f.release.sequence >= running);
            }
        }
    }
}

/// One line of bounded length.
pub(crate) fn one_line(reason: &str) -> String {
    let mut out = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    if out.len() > REASON_BYTES_MAX {
        let mut at = REASON_BYTES_MAX;
        while !out.is_char_boundary(at) {
            at -= 1;
        }
        out.truncate(at);
        out.push('…');
    }
    out
}
