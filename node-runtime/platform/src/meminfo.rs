//! Figures of the machine from `/proc`: memory as a whole, load.

use std::{collections::BTreeMap, fs, io};

/// Names of status documents for lines of `/proc/meminfo`.
const FIELDS: [(&str, &str); 12] = [
    ("total", "MemTotal"),
    ("available", "MemAvailable"),
    ("free", "MemFree"),
    ("cached", "Cached"),
    ("anon", "AnonPages"),
    ("shmem", "Shmem"),
    ("slab_reclaimable", "SReclaimable"),
    ("slab_unreclaimable", "SUnreclaim"),
    ("kernel_stack", "KernelStack"),
    ("page_tables", "PageTables"),
    ("percpu", "Percpu"),
    ("vmalloc", "VmallocUsed"),
];

/// Memory in bytes, by name: the lines of `/proc/meminfo` that tell where it
/// went, `used` (total without available), `modules` and `kept_free`.
///
/// # Errors
/// I/O errors of reading `/proc/meminfo`; what else is missing is left out.
pub fn memory() -> io::Result<BTreeMap<String, u64>> {
    let mut map = parse_meminfo(&fs::read_to_string("/proc/meminfo")?);
    if let Ok(text) = fs::read_to_string("/proc/modules") {
        map.insert("modules".into(), parse_modules(&text));
    }
    let kept_free = fs::read_to_string("/proc/sys/vm/min_free_kbytes");
    if let Some(kib) = kept_free.ok().and_then(|t| t.trim().parse::<u64>().ok()) {
        map.insert("kept_free".into(), kib << 10);
    }
    Ok(map)
}

/// Load averages over 1, 5 and 15 minutes from `/proc/loadavg`.
///
/// # Errors
/// I/O errors of reading it; malformed content.
pub fn load_average() -> io::Result<[f64; 3]> {
    parse_loadavg(&fs::read_to_string("/proc/loadavg")?).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Value in bytes of a line `KEY:   N kB`.
fn kib_line(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

fn parse_meminfo(text: &str) -> BTreeMap<String, u64> {
    let mut map: BTreeMap<_, _> =
        FIELDS.iter().filter_map(|(name, key)| Some(((*name).to_owned(), kib_line(text, key)?))).collect();
    if let (Some(total), Some(available)) = (map.get("total"), map.get("available")) {
        map.insert("used".into(), total.saturating_sub(*available));
    }
    map
}

/// Bytes of all loaded modules: second word of each line.
fn parse_modules(text: &str) -> u64 {
    text.lines().filter_map(|l| l.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

fn parse_loadavg(text: &str) -> Option<[f64; 3]> {
    let mut v = text.split_ascii_whitespace().map_while(|w| w.parse::<f64>().ok());
    Some([v.next()?, v.next()?, v.next()?])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn meminfo_fields() {
        let m = parse_meminfo(
            "MemTotal:        1000 kB\nMemFree: 1 kB\nMemAvailable:     400 kB\nShmemHugePages: 7 kB\nShmem: 3 kB\n",
        );
        let expected =
            [("total", 1_024_000), ("available", 409_600), ("used", 614_400), ("free", 1024), ("shmem", 3072)];
        assert_eq!(m, expected.map(|(k, v)| (k.to_owned(), v)).into());
        assert!(parse_meminfo("garbage").is_empty());
        let here = memory().unwrap();
        for key in ["total", "used", "anon", "slab_unreclaimable", "kept_free"] {
            assert!(here.get(key).is_some_and(|v| *v > 0), "{key}");
        }
    }

    #[test]
    fn module_sizes_are_added_up() {
        assert_eq!(parse_modules("ext4 1000 2 - Live 0x0\nmbcache 24 1 ext4, Live 0x0\n\nshort\n"), 1024);
    }

    #[test]
    fn loadavg_fields() {
        assert_eq!(parse_loadavg("0.50 1.25 2.00 1/100 5\n"), Some([0.5, 1.25, 2.0]));
        assert_eq!(parse_loadavg("0.50"), None);
        load_average().unwrap();
    }
}
