//! The end of a boot that failed: one line on every console, sync, reboot.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::sleep,
    time::Duration,
};

use skerry_platform::{clock, console};

/// Time to read the line.
const WAIT: Duration = Duration::from_secs(5);

/// Say why, write everything to the disk, reboot. Never returns: PID 1 must not
/// exit. If even the reboot fails, the unfed watchdog resets the board.
pub fn fatal(why: &str) -> ! {
    static ALREADY: AtomicBool = AtomicBool::new(false);
    if !ALREADY.swap(true, Ordering::SeqCst) {
        console::console_line(&line(why));
        // A disk that hangs must not keep the box from rebooting.
        let _ = std::thread::Builder::new().spawn(rustix::fs::sync);
    }
    sleep(WAIT);
    loop {
        if let Err(e) = clock::reboot_now() {
            console::console_line(&format!("skerry-init: {e}"));
        }
        sleep(WAIT);
    }
}

fn line(why: &str) -> String {
    let why: String = why.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("skerry-init: FATAL {why}; rebooting in {} s", WAIT.as_secs())
}

/// A panic ends the boot like any other failure.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|p| {
        let what = p.payload().downcast_ref::<&str>().copied().map(str::to_owned);
        let what = what.or_else(|| p.payload().downcast_ref::<String>().cloned()).unwrap_or_default();
        let at = p.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
        fatal(&format!("internal error: {what} ({at})"))
    }));
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_line_whatever_the_reason_contains() {
        assert_eq!(super::line("SYSTEM: a\nb"), "skerry-init: FATAL SYSTEM: a b; rebooting in 5 s");
    }
}
