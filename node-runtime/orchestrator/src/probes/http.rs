//! One HTTP GET, of which only the status line is read. A whole HTTP client
//! would cost more memory than the rest of this process.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::tls;
use crate::desired::HttpGet;

/// Longest status line that is read.
const STATUS_LINE_BYTES_MAX: usize = 256;

/// `Ok` if the answer's status is 200 to 399 (kubelet's rule).
pub(crate) async fn get(ip: Ipv4Addr, get: &HttpGet, limit: Duration) -> Result<(), String> {
    let host = get.host.clone().unwrap_or_else(|| ip.to_string());
    let place = format!("{}://{host}:{}{}", if get.tls { "https" } else { "http" }, get.port, get.path);
    match timeout(limit, exchange(&host, get)).await {
        Err(_) => Err(format!("Get \"{place}\": no answer within {} s", limit.as_secs())),
        Ok(Err(e)) => Err(format!("Get \"{place}\": {e}")),
        Ok(Ok(line)) => match status(&line) {
            Some(200..=399) => Ok(()),
            Some(code) => Err(format!("Get \"{place}\": HTTP probe failed with statuscode: {code}")),
            None => Err(format!("Get \"{place}\": the answer is not HTTP")),
        },
    }
}

async fn exchange(host: &str, get: &HttpGet) -> std::io::Result<Vec<u8>> {
    let stream = TcpStream::connect((host, get.port)).await?;
    let request = request(host, get);
    if get.tls { ask(tls::connect(stream, host).await?, &request).await } else { ask(stream, &request).await }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> std::io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut line = Vec::with_capacity(STATUS_LINE_BYTES_MAX);
    while line.len() < STATUS_LINE_BYTES_MAX && !line.contains(&b'\n') {
        let mut part = [0; STATUS_LINE_BYTES_MAX];
        let n = stream.read(&mut part).await?;
        if n == 0 {
            break;
        }
        line.extend_from_slice(&part[..n]);
    }
    Ok(line)
}

fn request(host: &str, probe: &HttpGet) -> String {
    let given = |name: &str| probe.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut text = format!("GET {} HTTP/1.1\r\n", probe.path);
    for (name, value) in [
        ("Host", format!("{host}:{}", probe.port)),
        ("User-Agent", concat!("kube-probe/skerry-", env!("CARGO_PKG_VERSION")).to_owned()),
        ("Accept", "*/*".to_owned()),
    ] {
        if !given(name) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    for (name, value) in &probe.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + "Connection: close\r\n\r\n"
}

fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line.split(|b| *b == b'\n').next()?).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|v| v.starts_with("HTTP/1."))?;
    words.next().filter(|c| c.len() == 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn status_lines() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\nX: y"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503\r\n"), Some(503));
        for bad in [&b""[..], b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n", b"HTTP/1.1 2000 x", b"HTTP/1.1 abc x", b"\xff\xfe"] {
            assert_eq!(status(bad), None, "{bad:?}");
        }
    }

    fn answer(response: &'static str) -> Result<(), String> {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = tokio::spawn(async move {
                let (mut s, _) = listener.accept().await.unwrap();
                let mut buf = [0; 1024];
                let n = s.read(&mut buf).await.unwrap();
                s.write_all(response.as_bytes()).await.unwrap();
                String::from_utf8_lossy(&buf[..n]).into_owned()
            });
            let probe = HttpGet {
                tls: false,
                host: None,
                path: "/ready?x=1".into(),
                port,
                headers: vec![("host".into(), "app.example".into())],
            };
            let got = get(Ipv4Addr::LOCALHOST, &probe, Duration::from_secs(30)).await;
            let asked = server.await.unwrap();
            assert!(asked.starts_with("GET /ready?x=1 HTTP/1.1\r\n"), "{asked}");
            assert_eq!(asked.to_lowercase().matches("host: ").count(), 1, "{asked}");
            got
        })
    }

    #[test]
    fn answers_are_judged_by_their_status() {
        assert_eq!(answer("HTTP/1.1 204 No Content\r\n\r\n"), Ok(()));
        assert_eq!(answer("HTTP/1.1 302 Found\r\n\r\n"), Ok(()));
        assert!(answer("HTTP/1.1 500 Oh\r\n\r\n").unwrap_err().ends_with("statuscode: 500"));
        assert!(answer("hello\r\n").unwrap_err().ends_with("not HTTP"));
    }
}
