//! A part of a file as a file of its own: a partition of a disk image.

use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes `start..start + len` of `inner`.
#[derive(Debug)]
pub struct Window<F> {
    inner: F,
    start: u64,
    len: u64,
    at: u64,
}

impl<F> Window<F> {
    /// Open the window.
    pub fn new(inner: F, start: u64, len: u64) -> Self {
        Self { inner, start, len, at: 0 }
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.len
    }

    fn clamp(&self, n: usize) -> usize {
        usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX).min(n)
    }
}

impl<F: Read + Seek> Read for Window<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.clamp(buf.len());
        if n == 0 {
            return Ok(0);
        }
        self.inner.seek(SeekFrom::Start(self.start + self.at))?;
        let n = self.inner.read(&mut buf[..n])?;
        self.at += n as u64;
        Ok(n)
    }
}

impl<F: Write + Seek> Write for Window<F> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.clamp(buf.len());
        if n == 0 {
            return Ok(0);
        }
        self.inner.seek(SeekFrom::Start(self.start + self.at))?;
        let n = self.inner.write(&buf[..n])?;
        self.at += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<F> Seek for Window<F> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        let at = match pos {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.len.checked_add_signed(n),
            SeekFrom::Current(n) => self.at.checked_add_signed(n),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_outside_the_window_is_read_or_written() {
        let mut disk = vec![b'.'; 10];
        let mut w = Window::new(io::Cursor::new(&mut disk), 3, 4);
        assert!(w.write_all(b"abcdef").is_err());
        assert_eq!(w.seek(SeekFrom::End(-3)).unwrap(), 1);
        let mut text = String::new();
        w.read_to_string(&mut text).unwrap();
        assert_eq!(text, "bcd");
        assert_eq!(disk, b"...abcd...");
    }
}
