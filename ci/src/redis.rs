//! A client for Redis as far as scenarios need it (protocol RESP2).

use std::{
    io::{BufRead, BufReader, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// Longest silence of the server.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A connection.
#[derive(Debug)]
pub struct Redis(BufReader<TcpStream>);

impl Redis {
    /// Connect to a port of the loopback.
    ///
    /// # Errors
    /// If nothing listens.
    pub fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting to redis")?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Give a command; its answer as text, `None` for nothing.
    ///
    /// # Errors
    /// If the server refuses or breaks off.
    pub fn command(&mut self, words: &[&str]) -> Result<Option<String>> {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.get_mut().write_all(text.as_bytes()).context("asking redis")?;
        answer(&mut self.0).with_context(|| format!("redis, asked {words:?}"))
    }
}

fn answer(reader: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let Some(rest) = line.strip_suffix("\r\n").and_then(|l| l.get(1..)) else { bail!("no answer: {line:?}") };
    match line.as_bytes()[0] {
        b'+' | b':' => Ok(Some(rest.to_owned())),
        b'$' if rest == "-1" => Ok(None),
        b'$' => {
            let mut bytes = vec![0; rest.parse::<usize>()? + 2];
            reader.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Ok(Some(String::from_utf8(bytes)?))
        }
        _ => bail!("{rest}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn answers() {
        for (bytes, want) in
            [("+OK\r\n", Some("OK")), (":7\r\n", Some("7")), ("$-1\r\n", None), ("$2\r\nab\r\n", Some("ab"))]
        {
            assert_eq!(answer(&mut bytes.as_bytes()).unwrap().as_deref(), want);
        }
        for bytes in ["-ERR no\r\n", "", "$5\r\nab\r\n", "+OK"] {
            assert!(answer(&mut bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
