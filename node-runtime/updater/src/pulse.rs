//! The updater's pulse: the service manager's watchdog is fed only while the
//! loop goes on. A task that feeds it from beside the loop would go on feeding
//! when the loop waits for something that never comes.

use std::sync::atomic::{AtomicU64, Ordering};

use skerry_update_core::Action;

/// Longest time between two turns of the loop, and for work on the machine.
pub const TURN_SECS_MAX: u64 = 120;
/// Longest time between two pieces of a download: silent connections and
/// unpacking a large object.
pub const PIECE_SECS_MAX: u64 = 300;
/// Longest time that asking a slow server may take; cut off by the loop itself.
pub const ASK_SECS_MAX: u64 = 900;

/// Until when the loop is to show itself next.
#[derive(Debug)]
pub struct Pulse(AtomicU64);

impl Pulse {
    /// A pulse of a loop that starts at `now_secs`.
    pub fn new(now_secs: u64) -> Self {
        Self(AtomicU64::new(now_secs + TURN_SECS_MAX))
    }

    /// The loop is alive, and shows itself again within `secs`.
    pub fn beat(&self, now_secs: u64, secs: u64) {
        self.0.store(now_secs.saturating_add(secs), Ordering::Relaxed);
    }

    /// Did the loop keep its word?
    pub fn is_alive(&self, now_secs: u64) -> bool {
        now_secs <= self.0.load(Ordering::Relaxed)
    }
}

/// How long an action may take.
pub fn allowance_secs(action: &Action) -> u64 {
    match action {
        // A little longer than the loop's own limit.
        Action::Check | Action::Plan(_) => ASK_SECS_MAX + TURN_SECS_MAX,
        Action::Fetch(_) => PIECE_SECS_MAX,
        _ => TURN_SECS_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_does_not_come_back_is_dead() {
        let pulse = Pulse::new(1000);
        assert!(pulse.is_alive(1000) && pulse.is_alive(1000 + TURN_SECS_MAX));
        assert!(!pulse.is_alive(1001 + TURN_SECS_MAX));
        pulse.beat(2000, allowance_secs(&Action::Check));
        assert!(pulse.is_alive(2000 + ASK_SECS_MAX));
        assert!(!pulse.is_alive(2001 + ASK_SECS_MAX + TURN_SECS_MAX));
        pulse.beat(2000, allowance_secs(&Action::Reboot));
        assert!(!pulse.is_alive(2000 + ASK_SECS_MAX), "the last word counts");
    }
}
