//! Who this box is and what time it is at least.

use std::{fs, io::Read, path::Path};

use anyhow::{Context, Result};
use skerry_formats::layout::MACHINE_ID;
use skerry_platform::{clock, durable};

use crate::{log, places};

/// Newest time that the box has proof of, decimal Unix seconds.
const TIME_FLOOR: &str = "var/lib/skerry/time-floor";

/// 16 random bytes as a version 4 UUID.
pub fn random_uuid() -> Result<[u8; 16]> {
    let mut b = [0; 16];
    // `/dev/random` waits until the kernel has entropy; `/dev/urandom` would
    // give all boxes of a batch the same answer this early.
    fs::File::open("/dev/random").and_then(|mut f| f.read_exact(&mut b)).context("/dev/random")?;
    Ok(as_version_4(b))
}

fn as_version_4(mut b: [u8; 16]) -> [u8; 16] {
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    b
}

fn inside(path: &str) -> std::path::PathBuf {
    Path::new(places::NEW_ROOT).join(path.trim_start_matches('/'))
}

/// Machine id and hostname, kept on DATA, copied to `/etc`.
pub fn set_identity() -> Result<()> {
    let kept = inside(MACHINE_ID);
    let id = match fs::read_to_string(&kept).ok().as_deref().and_then(parse_machine_id) {
        Some(id) => id,
        None => {
            let id = random_uuid()?.iter().map(|b| format!("{b:02x}")).collect();
            durable::write_file_atomic(&kept, format!("{id}\n").as_bytes())?;
            log::info(&format!("new machine id {id}"));
            id
        }
    };
    fs::write(inside("etc/machine-id"), format!("{id}\n")).context("/etc/machine-id")?;
    let etc_hostname = inside("etc/hostname");
    let baked = fs::read_to_string(&etc_hostname).unwrap_or_default();
    let name = hostname(&baked, &id);
    if baked.trim() != name {
        fs::write(&etc_hostname, format!("{name}\n")).context("/etc/hostname")?;
    }
    rustix::system::sethostname(name.as_bytes()).context("set the hostname")?;
    Ok(())
}

/// 32 lower-case hex characters, not all zero.
fn parse_machine_id(text: &str) -> Option<String> {
    let id = text.strip_suffix('\n').unwrap_or(text);
    let good = id.len() == 32
        && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && id.bytes().any(|b| b != b'0');
    good.then(|| id.to_owned())
}

/// The image's hostname if it has one, else one from the machine id.
fn hostname(baked: &str, machine_id: &str) -> String {
    match baked.trim() {
        "" => format!("skerry-{}", &machine_id[..8]),
        name => name.to_owned(),
    }
}

/// Set the clock forward to the newest time that is known to have passed.
/// A clock that cannot be set is worth a line, not a dead box.
pub fn raise_clock(epoch: u64) {
    let kept = fs::read_to_string(inside(TIME_FLOOR)).ok();
    let floor = time_floor(epoch, kept.as_deref());
    match clock::raise_to_floor(floor) {
        Ok(true) => log::info(&format!("clock set forward to {floor}")),
        Ok(false) => {}
        Err(e) => log::warn(&format!("{:#}", anyhow::Error::from(e))),
    }
}

fn time_floor(epoch: u64, kept: Option<&str>) -> u64 {
    kept.and_then(|k| k.trim().parse().ok()).unwrap_or(0).max(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_ids() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(parse_machine_id(&format!("{id}\n")).as_deref(), Some(id));
        for bad in ["", "uninitialized\n", &id[1..], &id.to_uppercase(), &"0".repeat(32)] {
            assert_eq!(parse_machine_id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn uuid_version_and_variant_bits() {
        for b in [[0u8; 16], [0xff; 16]] {
            let u = as_version_4(b);
            assert_eq!((u[6] >> 4, u[8] >> 6), (4, 2));
        }
    }

    #[test]
    fn hostnames() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(hostname("", id), "skerry-01234567");
        assert_eq!(hostname("\n", id), "skerry-01234567");
        assert_eq!(hostname("till-7\n", id), "till-7");
    }

    #[test]
    fn floors() {
        for (kept, floor) in
            [(None, 100), (Some("250\n"), 250), (Some("50"), 100), (Some("garbage"), 100), (Some(""), 100)]
        {
            assert_eq!(time_floor(100, kept), floor, "{kept:?}");
        }
    }
}
