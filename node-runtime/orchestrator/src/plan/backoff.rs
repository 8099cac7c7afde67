//! Crash-loop back-off, with the figures of the kubelet.

/// Delay before the second restart; the first is immediate.
pub const BACKOFF_FIRST_SECS: u32 = 10;
/// Longest delay.
pub const BACKOFF_MAX_SECS: u32 = 300;
/// A container that ran this long starts over without delay.
pub const BACKOFF_RESET_SECS: u32 = 600;

/// For a container that carried `backoff_secs` and ran for `ran_secs`: delay
/// before its restart, and what the next one carries.
pub(crate) fn after_exit(backoff_secs: u32, ran_secs: f64) -> (u32, u32) {
    if ran_secs >= f64::from(BACKOFF_RESET_SECS) {
        return (0, BACKOFF_FIRST_SECS);
    }
    (backoff_secs, next(backoff_secs))
}

fn next(delay: u32) -> u32 {
    delay.saturating_mul(2).clamp(BACKOFF_FIRST_SECS, BACKOFF_MAX_SECS)
}

/// Delay after an action failed, given the delay before it: starts at 1 s,
/// because the reason is often gone at once (containerd restarting).
pub fn failure_delay(previous_secs: Option<u32>) -> u32 {
    previous_secs.map_or(1, |p| p.saturating_mul(2).clamp(1, BACKOFF_MAX_SECS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_of_a_container_that_always_crashes() {
        let mut carried = 0;
        let delays: Vec<u32> = (0..8)
            .map(|_| {
                let (delay, next) = after_exit(carried, 1.0);
                carried = next;
                delay
            })
            .collect();
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn ten_minutes_of_running_reset_it() {
        assert_eq!(after_exit(300, 599.9), (300, 300));
        assert_eq!(after_exit(300, 600.0), (0, 10));
    }

    #[test]
    fn failed_actions_wait_longer_each_time() {
        let mut d = None;
        let delays: Vec<u32> = (0..10).map(|_| *d.insert(failure_delay(d))).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }
}
