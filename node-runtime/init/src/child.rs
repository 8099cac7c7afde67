//! Programs of the tree, run inside of it while init waits.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use skerry_platform::{clock, mount};

use crate::{early, log, places};

/// The longest that a check of a large disk may take, in seconds; afterwards
/// the watchdog is not fed any more.
const CHILD_SECS_MAX: f64 = 3600.0;
/// What the programs wrote, for whoever looks later.
pub const OUTPUT: &str = "/run/skerry/data-fsck.log";

/// `/dev` and `/proc` inside the tree, for as long as this lives.
pub struct Visible(Vec<std::path::PathBuf>);

impl Visible {
    /// Bind them.
    pub fn new() -> Result<Self> {
        let mut bound = Self(vec![]);
        for dir in ["dev", "proc"] {
            let at = Path::new(places::NEW_ROOT).join(dir);
            mount::bind(&Path::new("/").join(dir), &at)?;
            bound.0.push(at);
        }
        Ok(bound)
    }
}

impl Drop for Visible {
    fn drop(&mut self) {
        for at in &self.0 {
            if let Err(e) = mount::unmount_detach(at) {
                log::warn(&e.to_string());
            }
        }
    }
}

/// Run `program` of the tree and return its exit code; `None`: killed.
/// [`Visible`] must live.
pub fn run(program: &str, args: &[&str]) -> Result<Option<i32>> {
    let output = File::options().create(true).append(true).open(OUTPUT).context(OUTPUT)?;
    let errors = output.try_clone().context(OUTPUT)?;
    let before = output.metadata().map(|m| m.len()).unwrap_or(0);
    let mut command = Command::new(program);
    command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin").stdin(Stdio::null()).stdout(output).stderr(errors);
    // SAFETY: between fork and exec only two system calls are made, on constants;
    // nothing is allocated and no lock is taken.
    #[expect(unsafe_code, reason = "the program must see the tree as its root")]
    unsafe {
        command.pre_exec(|| {
            rustix::process::chroot(places::NEW_ROOT)?;
            rustix::process::chdir("/")?;
            Ok(())
        });
    }
    let mut child = command.spawn().with_context(|| format!("start {program}"))?;
    let start = clock::boottime_secs();
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("wait for {program}"))? {
            break status;
        }
        if clock::boottime_secs() - start < CHILD_SECS_MAX {
            early::feed_watchdog();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = fs::read(OUTPUT).unwrap_or_default();
    let said = String::from_utf8_lossy(said.get(before as usize..).unwrap_or_default()).into_owned();
    for line in said.lines().filter(|l| !l.trim().is_empty()).take(20) {
        log::info(&format!("{program}: {line}"));
    }
    log::info(&format!("{program} {}: {status}", args.join(" ")));
    Ok(status.code())
}
