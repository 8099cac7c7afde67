//! Starts programs and reports what they said when they fail.

use std::{
    io,
    process::{Command, ExitStatus, Output, Stdio},
};

/// Lines of a program's complaint that are shown.
const STDERR_LINES_MAX: usize = 20;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// It could not be started.
    #[error("{what}: cannot start {program}")]
    Start {
        /// What it was to do.
        what: String,
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not there.
    #[error("{what}: {program} is not installed; install it with your package manager")]
    Missing {
        /// What it was to do.
        what: String,
        /// The program.
        program: String,
    },
    /// It failed.
    #[error("{what}: {program} ended with {status}:\n{stderr}")]
    Failed {
        /// What it was to do.
        what: String,
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
}

/// Run a program to its end, with no input and in the C locale. `what` begins
/// the error message: "making the SYSTEM file system".
///
/// # Errors
/// If it cannot be started or does not end with 0.
pub fn run(mut command: Command, what: &str) -> Result<Output, HostError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let what = what.to_string();
    let output = match command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").output() {
        Ok(output) => output,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(HostError::Missing { what, program }),
        Err(source) => return Err(HostError::Start { what, program, source }),
    };
    tracing::debug!(program, args = ?command.get_args().collect::<Vec<_>>(), status = %output.status, "{what}");
    if output.status.success() {
        return Ok(output);
    }
    Err(HostError::Failed { what, program, status: output.status, stderr: tail(&output) })
}

/// The last lines of standard error, or of standard output if there are none.
fn tail(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = if stderr.trim().is_empty() { String::from_utf8_lossy(&output.stdout) } else { stderr };
    let lines: Vec<&str> = said.trim_end().lines().collect();
    lines[lines.len().saturating_sub(STDERR_LINES_MAX)..].join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn output_is_captured() {
        let mut c = Command::new("printf");
        c.arg("hello");
        assert_eq!(run(c, "greeting").unwrap().stdout, b"hello");
    }

    #[test]
    fn failures_say_what_and_why() {
        let mut c = Command::new("ls");
        c.arg("/nowhere-at-all");
        let text = run(c, "listing").unwrap_err().to_string();
        assert!(text.starts_with("listing: ls ended with exit status") && text.contains("nowhere-at-all"), "{text}");
        let text = run(Command::new("no-such-program-here"), "trying").unwrap_err().to_string();
        assert!(text.contains("no-such-program-here is not installed"), "{text}");
    }
}
