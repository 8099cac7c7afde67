//! Clock and randomness, from outside, so that tests know both.

use jiff::Timestamp;
use rand_core::{OsRng, RngCore};

/// Letters and digits of generated names: none that form words or look alike
/// (apimachinery `util/rand`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Length of the random part of a generated name.
const SUFFIX_LEN: u32 = 5;

/// Where times, uids and random names come from.
pub trait Environment: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// A random number.
    fn random(&self) -> u64;
}

/// The system's clock and random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn random(&self) -> u64 {
        OsRng.next_u64()
    }
}

/// A time as Kubernetes writes it: RFC 3339, UTC, seconds.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A random UUID (RFC 9562 version 4).
pub(crate) fn uid(environment: &dyn Environment) -> String {
    let (a, b) = (environment.random(), environment.random());
    let (a, b) = (a & !0xf000 | 0x4000, b >> 2 | 1 << 63);
    format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", a >> 32, a >> 16 & 0xffff, a & 0xffff, b >> 48, b & 0xffff_ffff_ffff)
}

/// The random part of a generated name.
pub(crate) fn suffix(environment: &dyn Environment) -> String {
    let random = environment.random();
    let digits = (0..SUFFIX_LEN).map(|i| (random / 27u64.pow(i) % 27) as usize);
    digits.map(|d| char::from(ALPHABET[d])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u64);
    impl Environment for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
        fn random(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn forms() {
        assert_eq!(uid(&Fixed(u64::MAX)), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uid(&Fixed(0)), "00000000-0000-4000-8000-000000000000");
        assert_eq!(suffix(&Fixed(0)), "bbbbb");
        assert_eq!(suffix(&Fixed(26 + 27 * 25)), "98bbb");
        assert_ne!(uid(&SystemEnvironment), uid(&SystemEnvironment));
        assert_eq!(rfc3339(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
