//! Tell the service manager about readiness and liveness (`sd_notify(3)`).

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

/// Why the service manager could not be told.
#[derive(Debug, thiserror::Error)]
#[error("cannot notify the service manager at {socket}")]
pub struct NotifyError {
    /// The socket, from `$NOTIFY_SOCKET`.
    pub socket: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Send `text` (such as `READY=1` or `WATCHDOG=1`) to the socket named by
/// `$NOTIFY_SOCKET`. Returns `false` if there is none: not started by systemd.
///
/// # Errors
/// [`NotifyError`].
pub fn sd_notify(text: &str) -> Result<bool, NotifyError> {
    match std::env::var("NOTIFY_SOCKET") {
        Ok(socket) if !socket.is_empty() => notify_at(&socket, text).map(|()| true),
        _ => Ok(false),
    }
}

/// Send `text` to `socket`: a path, or an abstract name after `@`.
///
/// # Errors
/// [`NotifyError`].
pub fn notify_at(socket: &str, text: &str) -> Result<(), NotifyError> {
    let send = || -> io::Result<()> {
        let address = match socket.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name.as_bytes())?,
            None => SocketAddr::from_pathname(socket)?,
        };
        UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address)?;
        Ok(())
    };
    send().map_err(|source| NotifyError { socket: socket.to_owned(), source })
}

/// Interval in which `WATCHDOG=1` is to be sent: half of `$WATCHDOG_USEC`.
/// `None`: the unit has no watchdog.
pub fn watchdog_interval() -> Option<std::time::Duration> {
    interval_from(std::env::var("WATCHDOG_USEC").ok()?.as_str())
}

fn interval_from(usec: &str) -> Option<std::time::Duration> {
    usec.parse::<u64>().ok().filter(|u| *u > 0).map(|u| std::time::Duration::from_micros(u / 2))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn path_and_abstract_sockets_receive_the_text() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("n.sock");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("skerry-notify-test-{}", std::process::id());
        let abs = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
        for (socket, at) in [(by_path, path.to_str().unwrap().to_owned()), (abs, format!("@{name}"))] {
            notify_at(&at, "READY=1").unwrap();
            let mut b = [0; 32];
            let n = socket.recv(&mut b).unwrap();
            assert_eq!(&b[..n], b"READY=1");
        }
    }

    #[test]
    fn nobody_listening_is_an_error_with_the_socket_name() {
        let e = notify_at("/nonexistent/notify", "READY=1").unwrap_err();
        assert!(e.to_string().contains("/nonexistent/notify"));
    }

    #[test]
    fn half_of_the_watchdog_time() {
        assert_eq!(interval_from("30000000"), Some(std::time::Duration::from_secs(15)));
        assert_eq!(interval_from("0"), None);
        assert_eq!(interval_from("x"), None);
    }
}
