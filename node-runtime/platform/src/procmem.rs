//! Memory and processor time of the processes, by name, from `/proc/PID`.
//!
//! Only what every user may read is needed; the split of shared pages is added
//! where the kernel shows it.

use std::{collections::BTreeMap, fs, io, path::Path};

use skerry_formats::status::ProcessUse;

/// Names that are told; smaller ones are left out.
pub const NAMES_MAX: usize = 24;
/// The kernel counts processor time for programs in hundredths of a second, on
/// all architectures that nodes have (`USER_HZ`).
const MILLIS_PER_TICK: u64 = 10;

/// What the processes use below `proc` (`/proc`), by name, the
/// [`NAMES_MAX`] largest. Kernel threads have none of their own.
///
/// # Errors
/// `proc` is not readable. A process that ends meanwhile is no error.
pub fn processes(proc: &Path) -> io::Result<BTreeMap<String, ProcessUse>> {
    let mut all: BTreeMap<String, ProcessUse> = BTreeMap::new();
    for entry in fs::read_dir(proc)?.flatten() {
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        // The name may be any bytes; a process can choose it.
        let Ok(status) = fs::read(entry.path().join("status")) else { continue };
        let Some((name, mut one)) = parse_status(&String::from_utf8_lossy(&status)) else { continue };
        one.cpu_millis = fs::read(entry.path().join("stat")).map_or(0, |t| cpu_millis(&String::from_utf8_lossy(&t)));
        one.pss_bytes = fs::read_to_string(entry.path().join("smaps_rollup")).ok().and_then(|t| kib(&t, "Pss"));
        let sum = all.entry(name).or_insert(ProcessUse { pss_bytes: Some(0), ..Default::default() });
        sum.count += 1;
        sum.rss_bytes += one.rss_bytes;
        sum.anon_bytes += one.anon_bytes;
        sum.cpu_millis += one.cpu_millis;
        sum.pss_bytes = sum.pss_bytes.zip(one.pss_bytes).map(|(a, b)| a + b);
    }
    Ok(largest(all))
}

fn largest(all: BTreeMap<String, ProcessUse>) -> BTreeMap<String, ProcessUse> {
    let mut sorted: Vec<_> = all.into_iter().collect();
    sorted.sort_by_key(|(_, m)| std::cmp::Reverse(m.rss_bytes));
    sorted.truncate(NAMES_MAX);
    sorted.into_iter().collect()
}

/// Name and memory from `/proc/PID/status`; `None` for kernel threads.
fn parse_status(text: &str) -> Option<(String, ProcessUse)> {
    let name = text.lines().find_map(|l| l.strip_prefix("Name:"))?.trim();
    let one = ProcessUse {
        count: 1,
        rss_bytes: kib(text, "VmRSS")?,
        anon_bytes: kib(text, "RssAnon").unwrap_or(0),
        ..Default::default()
    };
    Some((name.to_owned(), one))
}

/// User and system time from `/proc/PID/stat`; ended threads count too.
fn cpu_millis(text: &str) -> u64 {
    // The name before may hold anything, parentheses too.
    let after = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = after.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok());
    ticks.sum::<u64>().saturating_mul(MILLIS_PER_TICK)
}

fn kib(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn process(dir: &Path, pid: u32, status: &str, rollup: Option<&str>) {
        let dir = dir.join(pid.to_string());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("status"), status).unwrap();
        if let Some(r) = rollup {
            fs::write(dir.join("smaps_rollup"), r).unwrap();
        }
    }

    #[test]
    fn processes_of_one_name_are_added_up() {
        let dir = tempfile::tempdir().unwrap();
        process(
            dir.path(),
            1,
            "Name:\tsystemd\nVmRSS:\t  12 kB\nRssAnon:\t 2 kB\n",
            Some("00-ff ---p [rollup]\nRss: 12 kB\nPss: 5 kB\nPss_Anon: 2 kB\n"),
        );
        process(dir.path(), 2, "Name:\tkthreadd\nThreads:\t1\n", None);
        process(dir.path(), 7, "Name:\tshim\nVmRSS:\t3 kB\nRssAnon:\t1 kB\n", Some("Pss: 2 kB\n"));
        process(dir.path(), 8, "Name:\tshim\nVmRSS:\t3 kB\nRssAnon:\t1 kB\n", None);
        let stat = "7 (shim) (x) S 1 7 7 0 -1 4194560 2207 70 1 0 12 30 5 6 20 0 1 0 3211 9998336";
        fs::write(dir.path().join("7/stat"), stat).unwrap();
        fs::create_dir(dir.path().join("self")).unwrap();
        let found = processes(dir.path()).unwrap();
        let systemd =
            ProcessUse { count: 1, rss_bytes: 12 << 10, anon_bytes: 2 << 10, pss_bytes: Some(5 << 10), cpu_millis: 0 };
        let shim = ProcessUse { count: 2, rss_bytes: 6 << 10, anon_bytes: 2 << 10, pss_bytes: None, cpu_millis: 420 };
        assert_eq!(found, [("systemd".to_owned(), systemd), ("shim".to_owned(), shim)].into());
    }

    #[test]
    fn the_largest_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for pid in 1..100 {
            process(dir.path(), pid, &format!("Name:\tp{pid}\nVmRSS:\t{pid} kB\n"), None);
        }
        let found = processes(dir.path()).unwrap();
        assert_eq!(found.len(), NAMES_MAX);
        assert!(found.contains_key("p99") && !found.contains_key("p75"), "{found:?}");
    }

    #[test]
    fn this_process_is_among_them() {
        let found = processes(Path::new("/proc")).unwrap();
        assert!(found.values().any(|m| m.rss_bytes > 1 << 20));
    }
}
