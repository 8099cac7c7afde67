//! Log files: appended, bounded, renamed when full.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{
    CHUNK_BYTES,
    record::{Stream, records},
    rotated,
};

/// Size at which a log file is renamed.
pub(super) const FILE_BYTES_MAX: u64 = 10 << 20;

/// The log file of one run.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    size_bytes: u64,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut size_bytes = file.metadata()?.len();
        if size_bytes > 0 {
            // Killed while it wrote: the next record begins on a line of its own.
            let mut last = [b'\n'];
            file.seek(SeekFrom::Start(size_bytes - 1))?;
            file.read_exact(&mut last)?;
            if last != [b'\n'] {
                file.write_all(b"\n")?;
                size_bytes += 1;
            }
        }
        Ok(Self { path: path.into(), file, size_bytes })
    }

    /// Write what came from the app; how many bytes that made of the file. A
    /// full disk costs log lines, never the app.
    pub(super) fn append(&mut self, time: &str, stream: Stream, data: &[u8], file_bytes_max: u64) -> u64 {
        let mut batch = Vec::with_capacity(data.len() + 512);
        let mut written = 0;
        records(time, stream, data, |record| {
            record.iter().for_each(|part| batch.extend_from_slice(part));
            if batch.len() >= CHUNK_BYTES {
                written += self.put(&batch, file_bytes_max);
                batch.clear();
            }
        });
        written + self.put(&batch, file_bytes_max)
    }

    fn put(&mut self, batch: &[u8], file_bytes_max: u64) -> u64 {
        if batch.is_empty() {
            return 0;
        }
        if self.size_bytes >= file_bytes_max {
            let _ = fs::rename(&self.path, rotated(&self.path));
            match Self::open(&self.path) {
                Ok(new) => *self = new,
                Err(_) => return 0,
            }
        }
        if self.file.write_all(batch).is_err() {
            // What a failed write left is not a whole record.
            let _ = self.file.set_len(self.size_bytes);
            return 0;
        }
        self.size_bytes += batch.len() as u64;
        batch.len() as u64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_stay_bounded() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("pod/0.log");
        let mut log = LogFile::open(&path).unwrap();
        let line = [vec![b'x'; 1 << 20], vec![b'\n']].concat();
        for _ in 0..35 {
            log.append("t", Stream::Out, &line, FILE_BYTES_MAX);
        }
        let sizes: Vec<u64> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|s| *s <= FILE_BYTES_MAX + 2 * CHUNK_BYTES as u64), "{sizes:?}");
    }

    #[test]
    fn a_record_cut_by_a_kill_does_not_swallow_the_next() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("0.log");
        fs::write(&path, "t stdout F whole\nt stdout F cu").unwrap();
        LogFile::open(&path).unwrap().append("t", Stream::Out, b"next\n", FILE_BYTES_MAX);
        assert_eq!(fs::read_to_string(&path).unwrap(), "t stdout F whole\nt stdout F cu\nt stdout F next\n");
    }
}
