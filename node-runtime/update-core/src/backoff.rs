//! Retry times: exponential back-off with jitter.

/// First retry delay in seconds.
pub const RETRY_FIRST_SECS: u64 = 15;
/// Longest retry delay in seconds, before jitter.
pub const RETRY_SECS_MAX: u64 = 3600;
/// Delay of the first check after a boot, in seconds, before jitter.
pub const FIRST_CHECK_SECS: u64 = 5;
/// Delay after which an ordered reboot that did not happen is ordered again.
pub const REBOOT_RETRY_SECS: u64 = 120;

/// Delay before attempt `attempt` (1 = first retry): doubles from
/// [`RETRY_FIRST_SECS`] to [`RETRY_SECS_MAX`], then spread by ±25 % with
/// `random`, so that a site's boxes do not all come back in the same second.
pub fn retry_secs(attempt: u32, random: u64) -> u64 {
    let base = RETRY_FIRST_SECS.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(RETRY_SECS_MAX);
    spread(base, random)
}

/// `base` ± 25 %.
pub fn spread(base: u64, random: u64) -> u64 {
    let width = base / 2;
    base - width / 2 + if width == 0 { 0 } else { random % (width + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_and_stops_at_the_limit() {
        // 'random' = half of the width puts the delay on its base.
        let mid = |attempt: u32, base: u64| retry_secs(attempt, base / 4);
        assert_eq!([mid(1, 15), mid(2, 30), mid(3, 60), mid(30, 3600)], [15, 30, 60, 3600]);
    }

    proptest! {
        #[test]
        fn stays_within_a_quarter_of_the_base(attempt in 0u32..100, random: u64) {
            let s = retry_secs(attempt, random);
            prop_assert!((RETRY_FIRST_SECS * 3 / 4..=RETRY_SECS_MAX * 5 / 4).contains(&s));
        }
    }
}
