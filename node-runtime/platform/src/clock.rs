//! Clock and reboot.
//!
//! The system clock only ever goes forward to a floor: a signed or persisted
//! time that is certainly in the past. Without that, a box without a battery
//! would judge certificates and metadata in 1970.

use std::io;

use rustix::{
    system::RebootCommand,
    time::{ClockId, Timespec},
};

/// Why the clock or the power state could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// `clock_settime` failed.
    #[error("cannot set the system clock to {to_secs} s")]
    Set {
        /// Unix seconds that were to be set.
        to_secs: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `reboot` failed.
    #[error("the kernel refused to reboot")]
    Reboot(#[source] io::Error),
}

/// Unix seconds by the system clock; 0 if it stands before 1970.
pub fn now_secs() -> u64 {
    u64::try_from(rustix::time::clock_gettime(ClockId::Realtime).tv_sec).unwrap_or(0)
}

/// Seconds since the kernel started, suspend included (`CLOCK_BOOTTIME`).
pub fn boottime_secs() -> f64 {
    let t = rustix::time::clock_gettime(ClockId::Boottime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// Set the system clock to `floor_secs` if it is behind; never sets it back.
/// Returns whether the clock was changed.
///
/// # Errors
/// [`ClockError::Set`].
pub fn raise_to_floor(floor_secs: u64) -> Result<bool, ClockError> {
    if !floor_applies(now_secs(), floor_secs) {
        return Ok(false);
    }
    let to = Timespec { tv_sec: i64::try_from(floor_secs).unwrap_or(i64::MAX), tv_nsec: 0 };
    rustix::time::clock_settime(ClockId::Realtime, to)
        .map_err(|e| ClockError::Set { to_secs: floor_secs, source: e.into() })?;
    Ok(true)
}

fn floor_applies(now: u64, floor: u64) -> bool {
    now < floor
}

/// Write all file systems to the disk, then restart the machine at once,
/// without asking anybody. Does not return when it works.
///
/// # Errors
/// [`ClockError::Reboot`] if the kernel refuses.
pub fn sync_and_reboot() -> Result<(), ClockError> {
    rustix::fs::sync();
    reboot_now()
}

/// Restart the machine at once, without writing anything back.
///
/// # Errors
/// [`ClockError::Reboot`] if the kernel refuses.
pub fn reboot_now() -> Result<(), ClockError> {
    rustix::system::reboot(RebootCommand::Restart).map_err(|e| ClockError::Reboot(e.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_floor_in_the_past_or_present_changes_nothing() {
        assert!(!floor_applies(100, 99));
        assert!(!floor_applies(100, 100));
        assert!(floor_applies(100, 101));
        assert!(!raise_to_floor(1).unwrap());
    }
}
