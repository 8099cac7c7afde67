//! The serial console of a machine: kept in memory, and written to a log with
//! the seconds since power-on before each line.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ChildStdout,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::VmError;

/// Lines kept in memory; the file has all.
const LINES_MAX: usize = 20_000;

/// The console so far.
#[derive(Debug)]
pub struct SerialLog {
    path: Option<PathBuf>,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl SerialLog {
    /// Follow the console and append it to the file at `path`.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn follow(out: ChildStdout, path: &Path, started: Instant) -> Result<Self, VmError> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(VmError::io("open", path))?;
        Ok(Self::spawn(out, Some((path.to_owned(), file)), started))
    }

    /// Follow the console without a file.
    pub fn discard(out: ChildStdout, started: Instant) -> Self {
        Self::spawn(out, None, started)
    }

    fn spawn(mut out: ChildStdout, file: Option<(PathBuf, File)>, started: Instant) -> Self {
        let (path, mut file) = file.unzip();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let shared = lines.clone();
        let reader = std::thread::spawn(move || {
            let (mut buffer, mut line) = ([0u8; 4096], Vec::new());
            while let Ok(n @ 1..) = out.read(&mut buffer) {
                for byte in &buffer[..n] {
                    if *byte == b'\n' {
                        keep(&shared, file.as_mut(), &line, started);
                        line.clear();
                    } else {
                        line.push(*byte);
                    }
                }
            }
            if !line.is_empty() {
                keep(&shared, file.as_mut(), &line, started);
            }
        });
        SerialLog { path, lines, reader: Some(reader) }
    }

    /// File of the log, if it has one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The last `n` lines.
    pub fn tail(&self, n: usize) -> String {
        let lines = self.lock();
        lines[lines.len().saturating_sub(n)..].join("\n")
    }

    /// The last line, and when it came, counted from power-on.
    pub fn last(&self) -> Option<(Duration, String)> {
        let line = self.lock().last()?.clone();
        let (stamp, text) = line.trim_start().split_once(' ')?;
        Some((Duration::try_from_secs_f64(stamp.parse().ok()?).ok()?, text.to_owned()))
    }

    /// First line with `needle` in it.
    pub fn find(&self, needle: &str) -> Option<String> {
        self.lock().iter().find(|l| l.contains(needle)).cloned()
    }

    /// How many lines contain `needle`.
    pub fn count(&self, needle: &str) -> usize {
        self.lock().iter().filter(|l| l.contains(needle)).count()
    }

    /// Wait until a line contains `needle`; `false`: not within `timeout`.
    pub fn wait_for(&self, needle: &str, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        while self.find(needle).is_none() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    /// Wait until everything that QEMU wrote is taken; QEMU must have ended.
    pub fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(lines: &Mutex<Vec<String>>, file: Option<&mut File>, line: &[u8], started: Instant) {
    let text = format!("{:9.3} {}", started.elapsed().as_secs_f64(), clean(line));
    if let Some(file) = file {
        // A full disk of the host must not stop the guest.
        let _ = writeln!(file, "{text}");
    }
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() >= LINES_MAX {
        lines.drain(..LINES_MAX / 2);
    }
    lines.push(text);
}

/// Without escape sequences and control characters.
fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next_if_eq(&'[').is_some() {
                // CSI: parameters end with a letter or another final byte.
                for c in chars.by_ref() {
                    if ('@'..='~').contains(&c) {
                        break;
                    }
                }
            }
        } else if c == '\t' || !c.is_control() {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn lines_are_stamped_cleaned_and_kept_even_without_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut child = Command::new("printf")
            .arg("\\033[2J\\033[01;01Hone\\r\\ntw\\377o\\nlast")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = SerialLog::follow(child.stdout.take().unwrap(), &path, Instant::now()).unwrap();
        child.wait().unwrap();
        log.finish();
        let text = std::fs::read_to_string(&path).unwrap();
        let words: Vec<&str> = text.lines().map(|l| l.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(words, ["one", "tw\u{fffd}o", "last"]);
        assert_eq!(log.tail(1).split_whitespace().nth(1), Some("last"));
        assert_eq!(log.last().unwrap().1, "last");
        assert!(log.find("one").is_some() && log.find("four").is_none());
    }
}
