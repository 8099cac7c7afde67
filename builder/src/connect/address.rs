//! `NODE[:PORT]`.

use std::{fmt, net::IpAddr, str::FromStr};

/// Port of the API where none is given.
pub const PORT: u16 = 6443;

/// A node's API: name or address, and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl FromStr for NodeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |what: &str| format!("{what}; write NODE, NODE:PORT or [IPV6]:PORT");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(|| bad("the ] is missing"))?,
            // An address of IPv6 without brackets has no port.
            None if text.parse::<IpAddr>().is_ok() => (text, ""),
            None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => PORT,
            Some(port) => port.parse().ok().filter(|p| *p > 0).ok_or_else(|| bad("that is no port"))?,
            None => return Err(bad("that is no port")),
        };
        let safe = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        if host.is_empty() || !host.chars().all(safe) || host.contains(':') && host.parse::<IpAddr>().is_err() {
            return Err(bad("that is no name or address of a node"));
        }
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, want) in [
            ("10.0.0.7", Some("10.0.0.7:6443")),
            ("10.0.0.7:443", Some("10.0.0.7:443")),
            ("box.example", Some("box.example:6443")),
            ("fd00::7", Some("[fd00::7]:6443")),
            ("[fd00::7]", Some("[fd00::7]:6443")),
            ("[fd00::7]:443", Some("[fd00::7]:443")),
            ("", None),
            (":443", None),
            ("box:", None),
            ("box:0", None),
            ("box:x", None),
            ("[fd00::7", None),
            ("[fd00::7]x", None),
            ("https://box", None),
            ("a b", None),
        ] {
            let found = text.parse::<NodeAddress>().ok().map(|a| a.to_string());
            assert_eq!(found.as_deref(), want, "{text}");
        }
    }
}
