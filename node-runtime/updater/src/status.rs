//! Status documents: the updater's own, and the node's as a whole.

use std::{fs, io, path::Path};

use skerry_formats::{
    baked::NodeConfig,
    layout::{API_STATUS, ORCHESTRATOR_STATUS, UPDATER_STATUS},
    status::{NodeStatus, OrchestratorStatus, UpdaterStatus},
    versioned::Document,
};
use skerry_platform::{clock, meminfo, procmem};
use skerry_update_core::{Phase, State};

use crate::Config;

/// Where init leaves the times of its stages: a JSON object, stage → seconds.
pub const BOOT_STAGES: &str = "/run/skerry/boot-stages.json";
/// Largest status document that is read.
const STATUS_BYTES_MAX: u64 = 4 << 20;

/// The updater's document for a state.
pub fn document(node: &NodeConfig, s: &State) -> UpdaterStatus {
    UpdaterStatus {
        format: UpdaterStatus::header(),
        product: node.product.clone(),
        board: node.board.clone(),
        running: s.running.clone(),
        blessed: s.blessed(),
        previous: s.previous.clone(),
        candidate: s.phase.candidate().cloned(),
        state: s.phase.status_name().into(),
        message: message(s),
        progress: match &s.phase {
            Phase::Fetching { progress, .. } => Some(*progress),
            _ => None,
        },
        last_update: s.last_update.clone(),
        last_rollback: s.last_rollback.clone(),
        failed: s.failed.clone(),
        last_check: s.last_check,
        last_error: s.last_error.clone(),
    }
}

fn message(s: &State) -> String {
    match &s.phase {
        Phase::Idle { next_check_at: None } => "this image does not update itself".into(),
        Phase::Idle { .. } => match &s.last_error {
            Some(_) => "waiting for the next try".into(),
            None => "up to date as far as known".into(),
        },
        Phase::Checking { offer: None } => "asking the update server".into(),
        Phase::Checking { offer: Some(o) } => format!("planning the update to release {} ({})", o.sequence, o.version),
        Phase::Fetching { plan, progress } => format!(
            "fetching release {} ({}): {} of {} objects, {} of {} bytes",
            plan.candidate.sequence,
            plan.candidate.version,
            progress.objects_done,
            progress.objects,
            progress.done_bytes,
            progress.planned_bytes
        ),
        Phase::Staging { candidate } => format!("writing release {} to the disk", candidate.sequence),
        Phase::ReadyToReboot { candidate, .. } => format!("rebooting into release {}", candidate.sequence),
        Phase::Trial { problem: Some(p), .. } => format!("not healthy yet: {}: {}", p.what, p.why),
        Phase::Trial { .. } => "healthy; waiting until it has proven stable".into(),
        Phase::Blessing { .. } => "healthy; blessing".into(),
        Phase::RollingBack { failed, .. } => format!("rolling back: {}", failed.reason),
    }
}

/// Replace a document in `/run`: atomic for readers, not durable.
///
/// # Errors
/// I/O errors.
pub fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let tmp = path.with_extension("tmp");
    fs::write(&tmp, bytes)?;
    fs::rename(&tmp, path)
}

/// Read a document; `None` if it is missing, too large or malformed.
pub fn read<D: Document>(path: &Path) -> Option<D> {
    if fs::metadata(path).ok()?.len() > STATUS_BYTES_MAX {
        return None;
    }
    D::parse(&fs::read(path).ok()?).ok()
}

/// Everything that is known about the node.
pub fn node_status(cfg: &Config) -> NodeStatus {
    let hostname = fs::read_to_string(cfg.path("/proc/sys/kernel/hostname")).unwrap_or_default();
    let boot = fs::read(cfg.path(BOOT_STAGES)).ok().and_then(|b| serde_json::from_slice(&b).ok());
    NodeStatus {
        format: NodeStatus::header(),
        node: hostname.trim().to_owned(),
        uptime_secs: clock::boottime_secs(),
        memory: meminfo::memory().unwrap_or_default(),
        processes: procmem::processes(Path::new("/proc")).unwrap_or_default(),
        updater: read(&cfg.path(UPDATER_STATUS)),
        orchestrator: read::<OrchestratorStatus>(&cfg.path(ORCHESTRATOR_STATUS)),
        api: read(&cfg.path(API_STATUS)),
        boot: boot.unwrap_or_default(),
    }
}
