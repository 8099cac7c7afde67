//! What goes into a step and what comes out of it.

use serde::{Deserialize, Serialize};
use skerry_formats::{
    Sequence,
    layout::UkiName,
    status::{Progress, ReleaseRef},
};

/// The two clocks. Deadlines inside one boot count on `boot_secs`, which no
/// time server can move; dates in records use `unix_secs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, Unix seconds.
    pub unix_secs: u64,
    /// Seconds since boot (`CLOCK_BOOTTIME`).
    pub boot_secs: u64,
}

/// The node's configured rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Mean time between checks; `None`: this image never updates itself.
    pub check_interval_secs: Option<u64>,
    /// Time for the health gate, from the first observation after boot.
    pub health_timeout_secs: u64,
    /// Time for which the gate must hold without a break.
    pub health_stable_secs: u64,
}

/// Everything a step may know beside the state and the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Env {
    /// The clocks.
    pub now: Now,
    /// The configuration.
    pub policy: Policy,
    /// Fresh random bits, for jitter.
    pub random: u64,
}

/// A complete release found on SYSTEM, or an entry on the ESP without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRelease {
    /// Which release; the version is `?` if its record is not on SYSTEM.
    pub release: ReleaseRef,
    /// Its UKI on the ESP.
    pub entry: Option<UkiName>,
    /// Record and all objects are on SYSTEM.
    pub complete: bool,
}

/// What the daemon sees when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootObservation {
    /// `/proc/sys/kernel/random/boot_id`: tells a restarted daemon from a
    /// rebooted node.
    pub boot_id: String,
    /// Release that runs.
    pub running: ReleaseRef,
    /// Everything on SYSTEM and the ESP, the running release included.
    pub on_disk: Vec<DiskRelease>,
}

impl BootObservation {
    /// The ESP entry of a release.
    pub fn entry(&self, sequence: Sequence) -> Option<UkiName> {
        self.on_disk.iter().find(|d| d.release.sequence == sequence)?.entry
    }
}

/// What an update is going to cost, known before the first byte is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The release to fetch.
    pub candidate: ReleaseRef,
    /// Compressed bytes of all missing objects.
    pub planned_bytes: u64,
    /// Missing objects.
    pub objects: u64,
    /// What a node without any object would fetch.
    pub full_bytes: u64,
}

/// Who or what is to blame when something did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The link or the server is not there: try again soon.
    Network,
    /// The server answers, but with something that must not be used: flipped
    /// bytes, stale or wrongly signed metadata, truncated objects. The signed
    /// release is not to blame and may come back intact.
    Server,
    /// No room on SYSTEM, the ESP or DATA.
    DiskFull,
    /// A local read or write failed for another reason.
    Local,
    /// The correctly signed release itself cannot be used on this node: never
    /// try this sequence again.
    Release,
}

/// A step of the update that did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Who is to blame.
    pub cause: Cause,
    /// One line for people.
    pub reason: String,
    /// Bytes arrived since the last attempt: the back-off starts afresh.
    pub progressed: bool,
}

/// What keeps the health gate from passing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What does not hold, such as `workload default/hello: 0/1 Ready`.
    pub what: String,
    /// Why, as far as known; may be empty.
    pub why: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The daemon started.
    Boot(BootObservation),
    /// Time has passed.
    Timer,
    /// The channel pointer was read and is genuine.
    Offered(ReleaseRef),
    /// The offered release was read, is genuine, and this is what it costs.
    Planned(Plan),
    /// A download moved on: `received` bytes since the last report.
    Received {
        /// Bytes from the server since the last report.
        received: u64,
        /// Where the download stands.
        progress: Progress,
    },
    /// All objects of the candidate are on SYSTEM, sealed and verified.
    Fetched,
    /// Release record and UKI are durably written.
    Staged,
    /// What was ordered did not work.
    Failed(Failure),
    /// The health gate was looked at; `Err` carries what does not hold.
    Health(Result<(), Problem>),
    /// The running release's entry lost its counter.
    Blessed,
}

/// What to do next. The state is made durable before any of them is carried
/// out, and each may be carried out again after a power cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the channel pointer; answer `Offered` or `Failed`.
    Check,
    /// Read release and index; answer `Planned` or `Failed`.
    Plan(ReleaseRef),
    /// Remove releases and objects that belong to none of these.
    Prune {
        /// Releases whose records and objects stay.
        keep: Vec<Sequence>,
    },
    /// Fetch the missing objects; answer `Received`…, then `Fetched` or
    /// `Failed`.
    Fetch(ReleaseRef),
    /// Write the release record, then the UKI with a fresh counter; answer
    /// `Staged` or `Failed`.
    Stage(ReleaseRef),
    /// Take the counter off the running release's entry; answer `Blessed`.
    Bless(Sequence),
    /// Set the counter of a release's entry to no tries left.
    MarkBad(Sequence),
    /// Reboot the node.
    Reboot,
    /// One line for the consoles and the journal.
    Announce(String),
}
