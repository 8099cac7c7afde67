//! Kernel command line that the builder writes into the UKI and init reads.

use crate::{FormatError, ObjectDigest, Sequence};

/// Skerry's own arguments on the kernel command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootArgs {
    /// `composefs=`: digest of the EROFS image of the OS tree.
    pub composefs: ObjectDigest,
    /// `skerry.sequence=`: sequence of the release.
    pub sequence: Sequence,
    /// `skerry.epoch=`: build time in Unix seconds, the clock's first floor.
    pub epoch: u64,
}

impl BootArgs {
    /// Render the arguments.
    pub fn render(&self) -> String {
        format!("composefs={} skerry.sequence={} skerry.epoch={}", self.composefs, self.sequence, self.epoch)
    }

    /// Find the arguments in `/proc/cmdline`.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if one is missing, doubled or unreadable.
    pub fn parse(cmdline: &str) -> Result<Self, FormatError> {
        let bad = |detail: String| FormatError::Malformed { format: "kernel command line", detail };
        let get = |key: &str| {
            let mut hits = cmdline.split_ascii_whitespace().filter_map(|w| w.strip_prefix(key)?.strip_prefix('='));
            match (hits.next(), hits.next()) {
                (Some(v), None) => Ok(v),
                (None, _) => Err(bad(format!("{key}= is missing"))),
                (Some(_), Some(_)) => Err(bad(format!("{key}= is given twice"))),
            }
        };
        let num = |key: &str, v: &str| bad(format!("{key}={v:?} is not a number"));
        let seq = get("skerry.sequence")?;
        let epoch = get("skerry.epoch")?;
        Ok(Self {
            composefs: get("composefs")?.parse()?,
            sequence: Sequence(seq.parse().map_err(|_| num("skerry.sequence", seq))?),
            epoch: epoch.parse().map_err(|_| num("skerry.epoch", epoch))?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn render_parse_round_trip_among_other_arguments() {
        let a = BootArgs { composefs: ObjectDigest([0xab; 32]), sequence: Sequence(7), epoch: 1_790_000_000 };
        let line = format!("quiet {} console=ttyS0\n", a.render());
        assert_eq!(BootArgs::parse(&line).unwrap(), a);
    }

    #[test]
    fn missing_doubled_and_garbled_arguments_are_refused() {
        let good = BootArgs { composefs: ObjectDigest([1; 32]), sequence: Sequence(1), epoch: 1 }.render();
        for bad in
            [String::new(), format!("{good} composefs={}", "0".repeat(64)), good.replace("sequence=1", "sequence=x")]
        {
            assert!(BootArgs::parse(&bad).is_err(), "{bad}");
        }
    }
}
