//! What init takes from the kernel command line.
//!
//! `composefs=`, `skerry.sequence=` and `skerry.epoch=` are required;
//! `skerry.system-mib=` (size of SYSTEM after the first boot) and
//! `skerry.watchdog=` (seconds, 0: leave the hardware alone) are not, and of
//! these the last one counts.

use skerry_formats::{FormatError, cmdline::BootArgs};

/// Hardware watchdog timeout when the command line says nothing, and the least
/// that init sets: longer than a slow boot step, shorter than anybody's
/// patience. systemd sets the board's own timeout when it takes over.
const WATCHDOG_SECS: u64 = 60;

/// Everything init was told.
#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    /// The release to boot.
    pub boot: BootArgs,
    /// Size of SYSTEM in MiB after the first boot; `None`: leave it.
    pub system_mib: Option<u64>,
    /// Hardware watchdog timeout; 0: do not arm.
    pub watchdog_secs: u32,
}

impl Args {
    /// Parse `/proc/cmdline`.
    ///
    /// # Errors
    /// A missing, doubled or unreadable argument.
    pub fn parse(cmdline: &str) -> Result<Self, FormatError> {
        let number = |key: &str| -> Result<Option<u64>, FormatError> {
            let value = cmdline.split_ascii_whitespace().rev().find_map(|w| w.strip_prefix(key)?.strip_prefix('='));
            value
                .map(|v| {
                    v.parse().map_err(|_| FormatError::Malformed {
                        format: "kernel command line",
                        detail: format!("{key}={v:?} is not a number"),
                    })
                })
                .transpose()
        };
        let watchdog_secs = match number("skerry.watchdog")? {
            Some(0) => 0,
            Some(secs) => secs.max(WATCHDOG_SECS),
            None => WATCHDOG_SECS,
        };
        Ok(Self {
            boot: BootArgs::parse(cmdline)?,
            system_mib: number("skerry.system-mib")?,
            watchdog_secs: u32::try_from(watchdog_secs).unwrap_or(u32::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use skerry_formats::{ObjectDigest, Sequence};

    use super::*;

    #[test]
    fn optional_arguments() {
        let boot = BootArgs { composefs: ObjectDigest([3; 32]), sequence: Sequence(4), epoch: 5 };
        let base = boot.render();
        for (line, system_mib, watchdog_secs) in [
            (base.clone(), None, 60),
            (format!("quiet {base} skerry.system-mib=900 skerry.watchdog=0"), Some(900), 0),
            (format!("skerry.system-mib=1 {base} skerry.system-mib=2 skerry.watchdog=30"), Some(2), 60),
            (format!("{base} skerry.watchdog=300"), None, 300),
        ] {
            assert_eq!(Args::parse(&line).unwrap(), Args { boot: boot.clone(), system_mib, watchdog_secs }, "{line}");
        }
        let e = Args::parse(&format!("{base} skerry.system-mib=big")).unwrap_err();
        assert!(e.to_string().contains("skerry.system-mib"), "{e}");
        assert!(Args::parse("quiet").is_err());
    }
}
