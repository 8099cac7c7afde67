//! Container output: FIFOs from the shim, files for people, readers of both.
//!
//! The shim keeps both ends of a FIFO open, so nothing is lost or blocked while
//! this process restarts: the kernel holds up to [`PIPE_BYTES`] per stream. An
//! app that writes more than that while no orchestrator runs waits for it.
//! Nothing read from a FIFO stays in memory: a line that is not complete yet
//! is written as a part at once.
//!
//! Files have the format of the Kubernetes container runtime interface: time,
//! stream, `F` (end of a line) or `P` (part of one), text. A file that is full
//! is renamed and the one before it is dropped; over all containers there is a
//! bound too (`bounds`).

mod bounds;
mod copy;
mod live;
mod read;
mod record;
mod write;

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use nix::{errno::Errno, sys::stat::Mode};

pub(crate) use bounds::node_bytes_max;
pub(crate) use copy::{Logs, Run};
pub use live::Attached;
pub(crate) use live::Live;
pub use read::{ReadError, Request, read};

/// What the kernel holds per stream.
const PIPE_BYTES: i32 = 1 << 20;
/// What is read from a FIFO or a file at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Make a FIFO of a container.
pub(crate) fn make_fifo(path: &Path) -> std::io::Result<()> {
    match nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Where a full log file goes.
fn rotated(file: &Path) -> PathBuf {
    file.with_extension("log.1")
}

/// Remove the log of a run.
pub(crate) fn remove(file: &Path) {
    for path in [file.to_path_buf(), rotated(file)] {
        let _ = fs::remove_file(path);
    }
}

/// The end of a log, text only, at most `bytes` of it and 80 lines.
pub(crate) fn tail(file: &Path, bytes: usize) -> String {
    const LINES: usize = 80;
    // Each line has a head, and may be in parts.
    let text = end_of(file, (2 * bytes + 2 * LINES * record::HEAD_BYTES_MAX) as u64).unwrap_or_default();
    let mut out = vec![];
    for record in text.split(|b| *b == b'\n').filter_map(record::parse) {
        out.extend_from_slice(record.text);
        out.extend_from_slice(if record.full { b"\n" } else { b"" });
    }
    let text = String::from_utf8_lossy(&out);
    let lines: Vec<&str> = text.lines().collect();
    let mut out = lines[lines.len().saturating_sub(LINES)..].join("\n");
    let mut cut = out.len().saturating_sub(bytes);
    while !out.is_char_boundary(cut) {
        cut += 1;
    }
    out.split_off(cut)
}

fn end_of(file: &Path, bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(file)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(bytes)))?;
    let mut text = vec![];
    file.take(bytes).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_end_of_a_log_is_its_text() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("0.log");
        let line = |i: usize| format!("2026-01-01T00:00:00Z stderr P line\n2026-01-01T00:00:00Z stderr F  {i}\n");
        fs::write(&path, (0..100).map(line).collect::<String>()).unwrap();
        assert_eq!(tail(&path, 15), "line 98\nline 99");
        assert_eq!(tail(&path, 2048).lines().count(), 80);
        assert_eq!(tail(&d.path().join("none"), 9), "");
    }
}
