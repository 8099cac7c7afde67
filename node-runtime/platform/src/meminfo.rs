//! Figures of the machine from `/proc`: memory, load.

use std::{collections::BTreeMap, fs, io};

/// Memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Usable memory.
    pub total_bytes: u64,
    /// What could be handed out without swapping.
    pub available_bytes: u64,
}

impl Memory {
    /// What is in use and not given back on demand.
    pub fn used_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.available_bytes)
    }

    /// The map that status documents carry: `total`, `available`, `used`.
    pub fn as_map(&self) -> BTreeMap<String, u64> {
        [("total", self.total_bytes), ("available", self.available_bytes), ("used", self.used_bytes())]
            .map(|(k, v)| (k.to_owned(), v))
            .into()
    }
}

/// Read `/proc/meminfo`.
///
/// # Errors
/// I/O errors of reading it.
pub fn memory() -> io::Result<Memory> {
    Ok(parse_meminfo(&fs::read_to_string("/proc/meminfo")?))
}

/// Load averages over 1, 5 and 15 minutes from `/proc/loadavg`.
///
/// # Errors
/// I/O errors of reading it; malformed content.
pub fn load_average() -> io::Result<[f64; 3]> {
    parse_loadavg(&fs::read_to_string("/proc/loadavg")?).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_meminfo(text: &str) -> Memory {
    let field = |key: &str| {
        let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
        value.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Memory {
        total_bytes: field("MemTotal").unwrap_or(0),
        available_bytes: field("MemAvailable").unwrap_or(0),
    }
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
        let m = parse_meminfo("MemTotal:        1000 kB\nMemFree: 1 kB\nMemAvailable:     400 kB\n");
        assert_eq!((m.total_bytes, m.available_bytes, m.used_bytes()), (1_024_000, 409_600, 614_400));
        assert_eq!(parse_meminfo("garbage"), Memory::default());
        assert!(memory().unwrap().total_bytes > 0);
    }

    #[test]
    fn loadavg_fields() {
        assert_eq!(parse_loadavg("0.50 1.25 2.00 1/100 5\n"), Some([0.5, 1.25, 2.0]));
        assert_eq!(parse_loadavg("0.50"), None);
        load_average().unwrap();
    }
}
