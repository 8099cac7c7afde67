//! Children that do not outlive their parent.

use std::{io, os::unix::process::CommandExt as _, process::Command};

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// Have the kernel kill the child as soon as the *thread* that spawns it ends,
/// however it ends: SIGKILL of the parent leaves no child behind (`prctl(2)`,
/// `PR_SET_PDEATHSIG`). So spawn from a thread that lives as long as the child
/// is wanted.
pub fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    let arm = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the call; then no signal comes.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from(rustix::io::Errno::SRCH)) }
    };
    #[expect(unsafe_code, reason = "runs between fork and exec: two system calls, no allocation, no lock")]
    unsafe {
        command.pre_exec(arm);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{os::unix::process::ExitStatusExt as _, sync::mpsc};

    use super::*;

    #[test]
    fn a_child_ends_with_the_thread_that_spawned_it() {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut command = Command::new("sleep");
            command.arg("600");
            die_with_parent(&mut command);
            sender.send(command.spawn().unwrap()).unwrap();
        });
        let status = receiver.recv().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    }

    #[test]
    fn a_child_of_a_living_thread_runs_to_its_end() {
        let mut command = Command::new("true");
        die_with_parent(&mut command);
        assert!(command.status().unwrap().success());
    }
}
