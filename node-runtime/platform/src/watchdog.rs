//! Hardware watchdog: resets the board when nobody feeds it any more.
//!
//! Init arms it so that a boot that hangs is a boot that failed; systemd takes
//! it over (`RuntimeWatchdogSec=`). It is never disarmed: closing the device
//! without the magic character leaves it running.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::fd::AsRawFd,
    path::Path,
};

/// Why the watchdog could not be armed or fed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} watchdog {path}")]
pub struct WatchdogError {
    /// `open`, `feed`, `set the timeout of`.
    pub operation: &'static str,
    /// Device.
    pub path: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

mod ioctl {
    #![allow(missing_docs)]
    // `WDIOC_SETTIMEOUT` of `linux/watchdog.h`.
    nix::ioctl_readwrite!(set_timeout, b'W', 6, nix::libc::c_int);
}

/// An armed watchdog.
#[derive(Debug)]
pub struct Watchdog {
    file: File,
    path: String,
    /// Timeout in seconds that the hardware accepted; 0: it did not say.
    pub timeout_secs: u32,
}

impl Watchdog {
    /// Arm the watchdog at `path` (`/dev/watchdog`). `Ok(None)`: there is none.
    ///
    /// # Errors
    /// [`WatchdogError`]; a driver that cannot change its timeout is not one.
    pub fn arm(path: &Path, timeout_secs: u32) -> Result<Option<Self>, WatchdogError> {
        let name = path.display().to_string();
        let file = match OpenOptions::new().write(true).open(path) {
            Ok(f) => f,
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(nix::libc::ENODEV) => {
                return Ok(None);
            }
            Err(source) => return Err(WatchdogError { operation: "open", path: name, source }),
        };
        let mut accepted = i32::try_from(timeout_secs).unwrap_or(i32::MAX);
        // SAFETY: the ioctl reads and writes one int that lives on the stack.
        #[expect(unsafe_code, reason = "ioctl")]
        let set = unsafe { ioctl::set_timeout(file.as_raw_fd(), &mut accepted) };
        let timeout_secs = if set.is_ok() { u32::try_from(accepted).unwrap_or(0) } else { 0 };
        Ok(Some(Self { file, path: name, timeout_secs }))
    }

    /// Feed it.
    ///
    /// # Errors
    /// [`WatchdogError`].
    pub fn feed(&mut self) -> Result<(), WatchdogError> {
        self.file.write_all(b"\0").map_err(|source| WatchdogError {
            operation: "feed",
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_watchdog_is_no_error() {
        assert!(Watchdog::arm(Path::new("/nonexistent/watchdog"), 30).unwrap().is_none());
    }

    #[test]
    fn feeding_never_writes_the_character_that_disarms() {
        let d = tempfile::tempdir().unwrap();
        let p = d.path().join("wd");
        std::fs::write(&p, b"").unwrap();
        let mut w = Watchdog::arm(&p, 30).unwrap().unwrap();
        assert_eq!(w.timeout_secs, 0, "a plain file accepts no timeout");
        w.feed().unwrap();
        w.feed().unwrap();
        assert_eq!(std::fs::read(&p).unwrap(), b"\0\0");
    }
}
