//! Ending all containers when the system goes down, each with its hook and its
//! time, as the kubelet's graceful node shutdown does.
//!
//! When only this process ends, containers keep running and are found again by
//! the next one.

use std::{path::Path, process::Stdio, time::Duration};

use skerry_platform::clock;
use tokio::process::Command;

use crate::{
    containerd::{Runtime, RuntimeError},
    desired::Desired,
    executor::Executor,
    host::Host,
    plan::drain,
};

/// Longest time of a container from its hook to SIGKILL. A box that is told to
/// reboot must do so.
const GRACE_MOST_SECS: u32 = 30;
/// After this nobody waits any more; the unit's TimeoutStopSec is longer.
const LIMIT_SECS: f64 = 40.0;
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// systemd answers at once, if at all.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Is this process ended because the system reboots or is switched off?
pub(crate) async fn system_goes_down(systemctl: &Path) -> bool {
    let ask = Command::new(systemctl).arg("is-system-running").stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(ANSWER_MAX, ask).await {
        Ok(Ok(answer)) => answer.stdout.trim_ascii() == b"stopping",
        Ok(Err(e)) => {
            tracing::warn!("cannot ask {} whether the system goes down: {e}", systemctl.display());
            false
        }
        Err(_) => {
            tracing::warn!("{} does not say whether the system goes down", systemctl.display());
            false
        }
    }
}

/// End all containers; returns when none is left, or it takes too long.
pub(crate) async fn run<R: Runtime, H: Host>(executor: &mut Executor<R, H>, desired: &Desired) {
    let end = clock::boottime_secs() + LIMIT_SECS;
    loop {
        let now = clock::boottime_secs();
        match round(executor, desired, now).await {
            Ok(0) => return,
            Ok(left) if now >= end => {
                return tracing::warn!("{left} containers have not ended after {LIMIT_SECS} s");
            }
            Ok(_) => {}
            Err(e) => return tracing::warn!("cannot end containers: {e}"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One look and what follows from it; how many containers there were.
async fn round<R: Runtime, H: Host>(
    executor: &mut Executor<R, H>,
    desired: &Desired,
    now: f64,
) -> Result<usize, RuntimeError> {
    let observed = executor.observe(desired, now).await?;
    for action in &drain(desired, &observed, GRACE_MOST_SECS, now).actions {
        executor.execute(action, desired, clock::boottime_secs()).await?;
    }
    Ok(observed.containers.len())
}
