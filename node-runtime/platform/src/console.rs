//! Lines for people who stand in front of the box: consoles and kernel log.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
};

/// Kernel log priority (syslog severity).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// The system is unusable.
    Emergency = 0,
    /// An error.
    Error = 3,
    /// Something to look at.
    Warning = 4,
    /// Normal, but worth a line.
    Notice = 5,
    /// Chatter.
    Info = 6,
}

/// Write one line to the kernel log. Best effort: there is nobody to tell when
/// the log itself does not work.
pub fn kmsg(priority: Priority, text: &str) {
    if let Ok(mut f) = OpenOptions::new().write(true).open("/dev/kmsg") {
        // One write per record; longer ones are cut by the kernel at about 1 KiB.
        let _ = f.write_all(record(priority, text).as_bytes());
    }
}

fn record(priority: Priority, text: &str) -> String {
    let line: String = text.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }).take(900).collect();
    format!("<{}>{line}\n", priority as u8)
}

/// Write one line to every active console and to the kernel log. Best effort.
pub fn console_line(text: &str) {
    // The kernel log may be shown on the consoles or not (loglevel); a line that
    // must be seen is therefore written to both.
    kmsg(Priority::Error, text);
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    for name in console_names(&active) {
        // Non-blocking: a serial line with flow control and nobody at the other
        // end must not hold up a reboot.
        let dev = OpenOptions::new().write(true).custom_flags(libc_o_noctty_nonblock()).open(format!("/dev/{name}"));
        if let Ok(mut tty) = dev {
            let _ = tty.write_all(format!("\r\n{text}\r\n").as_bytes());
        }
    }
}

fn libc_o_noctty_nonblock() -> i32 {
    (rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK).bits() as i32
}

/// Names in `/sys/class/tty/console/active`; `console` if there are none.
fn console_names(active: &str) -> Vec<&str> {
    let names: Vec<&str> = active.split_ascii_whitespace().filter(|n| !n.contains('/')).collect();
    if names.is_empty() { vec!["console"] } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_and_records() {
        assert_eq!(console_names("tty0 ttyS0\n"), ["tty0", "ttyS0"]);
        assert_eq!(console_names(""), ["console"]);
        assert_eq!(console_names("../etc/passwd tty1"), ["tty1"]);
        assert_eq!(record(Priority::Error, "a\nb"), "<3>a b\n");
        assert!(record(Priority::Info, &"x".repeat(5000)).len() < 1000);
    }
}
