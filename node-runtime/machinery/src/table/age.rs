//! Times as people read them.

use jiff::Timestamp;

/// Seconds in at most two units (apimachinery `HumanDuration`): `90s`, `3m5s`,
/// `5h20m`, `2d3h`, `400d`.
pub fn human_duration(seconds: i64) -> String {
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{small_unit}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        i64::MIN..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// How long ago a time was; `<unknown>` without one.
pub fn since(time: Option<&str>, now: Timestamp) -> String {
    match time.and_then(|t| t.parse::<Timestamp>().ok()) {
        None => "<unknown>".into(),
        Some(time) => human_duration(seconds_between(time, now)),
    }
}

/// Whole seconds from one time to another.
pub(super) fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    (to.duration_since(from)).as_secs()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn units() {
        const M: i64 = 60;
        const H: i64 = 60 * M;
        const D: i64 = 24 * H;
        for (seconds, text) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (2 * M + 5, "2m5s"),
            (10 * M + 59, "10m"),
            (179 * M, "179m"),
            (3 * H, "3h"),
            (7 * H + 59 * M, "7h59m"),
            (8 * H + 59 * M, "8h"),
            (47 * H, "47h"),
            (2 * D, "2d"),
            (2 * D + 3 * H, "2d3h"),
            (8 * D + 5 * H, "8d"),
            (729 * D, "729d"),
            (730 * D, "2y"),
            (731 * D, "2y1d"),
            (8 * 365 * D + 5 * D, "8y"),
        ] {
            assert_eq!(human_duration(seconds), text);
        }
    }

    #[test]
    fn since_a_time() {
        let now = "2026-05-01T12:00:00Z".parse().unwrap();
        assert_eq!(since(Some("2026-05-01T11:59:30.5Z"), now), "29s");
        assert_eq!(since(Some("2026-05-01T12:00:01Z"), now), "0s");
        assert_eq!(since(Some("2026-05-01T13:00:01Z"), now), "<invalid>");
        assert_eq!(since(None, now), "<unknown>");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(seconds: i64) {
            human_duration(seconds);
        }
    }
}
