//! Container output: FIFOs from the shim, files for people.
//!
//! The shim keeps both ends of a FIFO open, so nothing is lost or blocked while
//! this process restarts: the kernel holds up to [`PIPE_BYTES`] per stream. An
//! app that writes more than that while no orchestrator runs waits for it.
//!
//! Files have the format of the Kubernetes container runtime interface: time,
//! stream, `F` (full line) or `P` (part of one), text. A file that reaches
//! [`FILE_BYTES_MAX`] is renamed and the one before it is dropped.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    sys::stat::Mode,
};
use tokio::{io::AsyncReadExt, net::unix::pipe, sync::watch};

/// Size at which a log file is renamed.
const FILE_BYTES_MAX: u64 = 10 << 20;
/// What the kernel holds per stream.
const PIPE_BYTES: i32 = 1 << 20;
/// Longer lines are written in parts.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Make the FIFOs of a container.
pub(crate) fn make_fifo(path: &Path) -> std::io::Result<()> {
    match nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Readers of all containers, by container id.
#[derive(Default)]
pub(crate) struct Logs {
    readers: BTreeMap<String, watch::Sender<bool>>,
}

impl Logs {
    /// Read the FIFOs of a container into `file`, unless that is done already.
    pub(crate) fn follow(&mut self, id: &str, stdout: &Path, stderr: &Path, file: &Path) {
        if self.readers.contains_key(id) {
            return;
        }
        let (stop, stopped) = watch::channel(false);
        let log = match LogFile::open(file) {
            Ok(log) => Arc::new(Mutex::new(log)),
            Err(e) => return tracing::warn!("cannot write {}: {e}", file.display()),
        };
        for (name, fifo) in [("stdout", stdout), ("stderr", stderr)] {
            match open(fifo) {
                Ok(pipe) => drop(tokio::spawn(copy(pipe, name, log.clone(), stopped.clone()))),
                Err(e) => tracing::warn!("cannot read {}: {e}", fifo.display()),
            }
        }
        self.readers.insert(id.into(), stop);
    }

    /// The container is gone: read what is left, then end.
    pub(crate) fn stop(&mut self, id: &str) {
        if let Some(stop) = self.readers.remove(id) {
            let _ = stop.send(true);
        }
    }
}

/// The end of a log, text only, at most `bytes` of it and 80 lines.
pub(crate) fn tail(file: &Path, bytes: usize) -> String {
    const LINES: usize = 80;
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4 * bytes)..]).into_owned();
    let lines: Vec<&str> = text.lines().filter_map(|l| l.splitn(4, ' ').nth(3)).collect();
    let mut out = lines[lines.len().saturating_sub(LINES)..].join("\n");
    let mut cut = out.len().saturating_sub(bytes);
    while !out.is_char_boundary(cut) {
        cut += 1;
    }
    out.split_off(cut)
}

/// Remove the log of a run.
pub(crate) fn remove(file: &Path) {
    for path in [file.to_path_buf(), file.with_extension("log.1")] {
        let _ = fs::remove_file(path);
    }
}

fn open(fifo: &Path) -> std::io::Result<pipe::Receiver> {
    // Read and write: no end of file while the shim is not there yet.
    let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(fifo)?;
    // A smaller pipe works too.
    let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    Ok(pipe)
}

async fn copy(
    mut pipe: pipe::Receiver,
    stream: &'static str,
    log: Arc<Mutex<LogFile>>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut lines = Lines::default();
    let mut buf = vec![0; 4096];
    loop {
        let n = tokio::select! {
            biased;
            n = pipe.read(&mut buf) => n,
            _ = stopped.wait_for(|s| *s) => break,
        };
        let Ok(n) = n else { break };
        if let Ok(mut log) = log.lock() {
            lines.push(&buf[..n], |full, text| log.write(stream, full, text));
        }
    }
    if let Ok(mut log) = log.lock() {
        lines.finish(|full, text| log.write(stream, full, text));
    }
}

/// Cuts a byte stream into lines.
#[derive(Default)]
struct Lines {
    open: Vec<u8>,
}

impl Lines {
    fn push(&mut self, mut data: &[u8], mut out: impl FnMut(bool, &[u8])) {
        while let Some(end) = data.iter().position(|b| *b == b'\n') {
            self.open.extend_from_slice(&data[..end]);
            out(true, &self.open);
            self.open.clear();
            data = &data[end + 1..];
        }
        self.open.extend_from_slice(data);
        if self.open.len() >= LINE_BYTES_MAX {
            out(false, &self.open);
            self.open.clear();
        }
    }

    fn finish(&mut self, mut out: impl FnMut(bool, &[u8])) {
        if !self.open.is_empty() {
            out(false, &self.open);
        }
    }
}

struct LogFile {
    path: PathBuf,
    file: File,
    size_bytes: u64,
}

impl LogFile {
    fn open(path: &Path) -> std::io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let size_bytes = file.metadata()?.len();
        Ok(Self { path: path.into(), file, size_bytes })
    }

    /// A full disk costs log lines, never the app.
    fn write(&mut self, stream: &str, full: bool, text: &[u8]) {
        if self.size_bytes >= FILE_BYTES_MAX {
            let _ = fs::rename(&self.path, self.path.with_extension("log.1"));
            match Self::open(&self.path) {
                Ok(new) => *self = new,
                Err(_) => return,
            }
        }
        let mut line = format!("{} {stream} {} ", jiff::Timestamp::now(), if full { "F" } else { "P" }).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        if self.file.write_all(&line).is_ok() {
            self.size_bytes += line.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_in_any_portions() {
        let mut got = vec![];
        let mut l = Lines::default();
        for part in [&b"a"[..], b"b\nc\n\nd", b"e"] {
            l.push(part, |full, t| got.push((full, String::from_utf8_lossy(t).into_owned())));
        }
        l.finish(|full, t| got.push((full, String::from_utf8_lossy(t).into_owned())));
        let want = [(true, "ab"), (true, "c"), (true, ""), (false, "de")];
        assert_eq!(got, want.map(|(f, t)| (f, t.to_owned())));
    }

    #[test]
    fn the_end_of_a_log_is_its_text() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("0.log");
        let line = |i: usize| format!("2026-01-01T00:00:00Z stderr F line {i}\n");
        fs::write(&path, (0..100).map(line).collect::<String>()).unwrap();
        assert_eq!(tail(&path, 15), "line 98\nline 99");
        assert_eq!(tail(&path, 2048).lines().count(), 80);
        assert_eq!(tail(&d.path().join("none"), 9), "");
    }

    #[test]
    fn files_stay_bounded() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("pod/0.log");
        let mut log = LogFile::open(&path).unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..35 {
            log.write("stdout", true, &line);
        }
        let sizes: Vec<u64> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|s| *s <= FILE_BYTES_MAX + (1 << 20) + 100), "{sizes:?}");
    }
}
