//! HTTP GET as far as the harness needs it. A forwarded port of a machine takes
//! connections long before anything in the guest listens, so that every step has
//! a time limit and no failure is special.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// Largest answer taken.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Status code and body of `http://127.0.0.1:PORT/PATH`.
///
/// # Errors
/// If nothing answers within `timeout`, or not in HTTP.
pub fn get(port: u16, path: &str, timeout: Duration) -> Result<(u16, String)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream =
        TcpStream::connect_timeout(&address, timeout).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    // 1.0: the body ends with the connection, and nothing is chunked.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut text = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut text).with_context(|| format!("reading {path} from {address}"))?;
    parse(&String::from_utf8_lossy(&text)).with_context(|| format!("{path} from {address}"))
}

fn parse(text: &str) -> Result<(u16, String)> {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { bail!("no HTTP answer: {} bytes", text.len()) };
    let code = head.split(' ').nth(1).and_then(|c| c.parse().ok()).context("no status code")?;
    let length = head.lines().find_map(|l| {
        l.to_ascii_lowercase().strip_prefix("content-length:").and_then(|v| v.trim().parse::<usize>().ok())
    });
    if length.is_some_and(|l| l != body.len()) {
        bail!("cut off after {} bytes", body.len());
    }
    Ok((code, body.to_owned()))
}

/// A port of the loopback that nobody uses at the moment.
///
/// # Errors
/// If the system gives none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A free port below the range from which the system hands ports out, with the
/// one after it: they stay free for long, so that they can be baked into images.
///
/// # Errors
/// If all are taken.
pub fn lasting_port() -> Result<u16> {
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (18080..18980).step_by(2).find(|p| free(*p) && free(p + 1)).context("ports 18080 to 18979 are all taken")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn answers_are_whole_or_refused() {
        assert_eq!(parse("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno").unwrap(), (503, "no".into()));
        assert!(parse("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno").is_err());
        assert!(parse("").is_err());
    }
}
