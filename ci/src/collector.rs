//! An HTTP endpoint that collects what boxes send it, and the link to it, which
//! can be cut.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use skerry::deliver::vm::HOST_FROM_GUEST;

use crate::tools::run;

/// Largest item taken.
const ITEM_BYTES_MAX: usize = 64 << 10;
/// Longest silence of a sender.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Name of the table that cuts links.
const TABLE: &str = "skerry_partition";

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The path to which it was posted, without the `/`.
    pub name: String,
    /// Its content.
    pub body: String,
}

/// A running endpoint; what is sent again under the same name is taken and kept
/// once. It ends with the process.
#[derive(Debug, Clone)]
pub struct Collector {
    items: Arc<Mutex<Vec<Item>>>,
    port: u16,
}

impl Collector {
    /// Collect on a port of the loopback.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
        let collector = Self { items: Arc::default(), port: listener.local_addr()?.port() };
        let items = collector.items.clone();
        // One after another: the order in which items come is the order kept.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A sender that breaks off sends again.
                let _ = serve(stream, &items);
            }
        });
        Ok(collector)
    }

    /// URL as a node names it, with a `/` at the end.
    pub fn url(&self) -> String {
        format!("http://{HOST_FROM_GUEST}:{}/", self.port)
    }

    /// What came, in order.
    pub fn items(&self) -> Vec<Item> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Cut the link to it: packets vanish, and nobody is told. It is whole again
    /// when the value is dropped.
    ///
    /// # Errors
    /// If this process may not change the packet filter.
    pub fn cut(&self) -> Result<Cut> {
        let rules = format!(
            "table inet {TABLE} {{ chain input {{ type filter hook input priority 0; tcp dport {} drop; }}; }}",
            self.port
        );
        run(Command::new("nft").arg(rules))
            .context("cutting a link with nftables, in a network namespace of its own")?;
        Ok(Cut)
    }
}

/// A link that is cut.
#[derive(Debug)]
pub struct Cut;

impl Drop for Cut {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("nft").args(["delete", "table", "inet", TABLE])) {
            eprintln!("a link stays cut: {error:#}");
        }
    }
}

/// Take one item; answered when it is kept.
fn serve(stream: TcpStream, items: &Mutex<Vec<Item>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    let name = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; std::cmp::min(length, ITEM_BYTES_MAX)];
    reader.read_exact(&mut body)?;
    let item = Item { name, body: String::from_utf8_lossy(&body).into_owned() };
    let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
    if !items.iter().any(|i| i.name == item.name) {
        items.push(item);
    }
    drop(items);
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn items_are_kept_whole_and_in_order() {
        let collector = Collector::start().unwrap();
        let mut broken = TcpStream::connect((Ipv4Addr::LOCALHOST, collector.port)).unwrap();
        broken.write_all(b"POST /000001 HTTP/1.1\r\nContent-Length: 9\r\n\r\nhal").unwrap();
        drop(broken);
        for (name, body) in [("000001", "whole"), ("000002", ""), ("000001", "again")] {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, collector.port)).unwrap();
            write!(stream, "POST /{name} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        let got = collector.items();
        assert_eq!(got.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["000001", "000002"]);
        assert_eq!(got[0].body, "whole");
    }
}
