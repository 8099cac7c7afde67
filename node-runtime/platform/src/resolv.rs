//! `/run/skerry/resolv.conf`, where `/etc/resolv.conf` points: the name servers
//! that the network gave.
//!
//! systemd-networkd knows them, and without systemd-resolved nobody writes them
//! down. The resolver of the C library, which the node's static programs carry,
//! reads the file anew when it changes.

use std::{fmt::Write as _, fs, io, net::IpAddr, path::Path};

/// Where the name servers are written.
pub const RESOLV_CONF: &str = "/run/skerry/resolv.conf";
/// Name servers that the C library uses (`MAXNS`).
pub const SERVERS_MAX: usize = 3;

/// A network link as networkd describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Interface name.
    pub name: String,
    /// Content of `/run/systemd/netif/links/INDEX`.
    pub state: String,
}

/// The file for what networkd says: `links` in order of preference, and its
/// summary `state` (`/run/systemd/netif/state`) for what no link names.
pub fn render(links: &[Link], state: &str) -> String {
    let mut servers: Vec<String> = vec![];
    let from_links = links.iter().flat_map(|l| dns(&l.state).filter_map(|word| server(word, Some(&l.name))));
    for s in from_links.chain(dns(state).filter_map(|word| server(word, None))) {
        if !servers.contains(&s) {
            servers.push(s);
        }
    }
    let mut out = String::from("# Name servers that the network gave. Written by Skerry.\n");
    for s in servers.iter().take(SERVERS_MAX) {
        let _ = writeln!(out, "nameserver {s}");
    }
    // Three servers, two tries each: known within the time to get a connection.
    out + "options timeout:3 attempts:2\n"
}

/// Words of the `DNS=` lines.
fn dns(state: &str) -> impl Iterator<Item = &str> {
    state.lines().filter_map(|l| l.strip_prefix("DNS=")).flat_map(str::split_ascii_whitespace)
}

/// A server as `resolv.conf` takes it. networkd may write `ADDRESS%LINK#NAME`
/// and `[ADDRESS]:PORT`; there is no room for a port other than 53. A
/// link-local address means something on its link only.
fn server(word: &str, link: Option<&str>) -> Option<String> {
    let word = word.split('#').next()?;
    let (address, scope) = match word.split_once('%') {
        Some((a, s)) => (a, Some(s)),
        None => (word, link),
    };
    match address.parse().ok()? {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => scope.filter(|s| is_link_name(s)).map(|s| format!("{v6}%{s}")),
        ip if ip.is_unspecified() || ip.is_multicast() => None,
        ip => Some(ip.to_string()),
    }
}

fn is_link_name(s: &str) -> bool {
    (1..16).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Write the file `path` ([`RESOLV_CONF`]) anew if it is not what networkd says
/// now. `root` is `/` outside tests. Returns whether it changed.
///
/// # Errors
/// I/O errors of writing; what cannot be read counts as empty.
pub fn refresh(root: &Path, path: &Path) -> io::Result<bool> {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let state = fs::read_to_string(at("/run/systemd/netif/state")).unwrap_or_default();
    let text = render(&links(&at("/run/systemd/netif/links"), &at("/sys/class/net")), &state);
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(false);
    }
    // Two processes write it: each has its own temporary file.
    let tmp = path.with_extension(format!("conf.{}", std::process::id()));
    fs::write(&tmp, text)?;
    fs::rename(&tmp, path)?;
    Ok(true)
}

/// Links that networkd describes, by interface index.
fn links(states: &Path, interfaces: &Path) -> Vec<Link> {
    let mut found: Vec<(u32, Link)> = vec![];
    for entry in fs::read_dir(interfaces).into_iter().flatten().flatten() {
        let index = fs::read_to_string(entry.path().join("ifindex")).ok().and_then(|t| t.trim().parse().ok());
        let Some(index) = index else { continue };
        if let Ok(state) = fs::read_to_string(states.join(format!("{index}"))) {
            found.push((index, Link { name: entry.file_name().to_string_lossy().into_owned(), state }));
        }
    }
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, link)| link).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn link(name: &str, state: &str) -> Link {
        Link { name: name.into(), state: state.into() }
    }

    fn servers(text: &str) -> Vec<&str> {
        text.lines().filter_map(|l| l.strip_prefix("nameserver ")).collect()
    }

    #[test]
    fn servers_of_links_in_order_without_doubles() {
        let links = [
            link(
                "eth0",
                "# This is private data. Do not parse.\nADMIN_STATE=configured\nDNS=10.0.2.3 2001:db8::1\nNTP=10.0.2.9\n",
            ),
            link("eth1", "DNS=10.0.2.3 192.0.2.53\n"),
        ];
        let text = render(&links, "OPER_STATE=routable\nDNS=192.0.2.99\n");
        assert_eq!(servers(&text), ["10.0.2.3", "2001:db8::1", "192.0.2.53"], "three at most, in order");
        assert_eq!(servers(&render(&[], "DNS=10.0.2.3\n")), ["10.0.2.3"], "the summary serves without links");
    }

    #[test]
    fn nothing_known_is_an_empty_list() {
        let text = render(&[link("eth0", "DNS=\n")], "");
        assert_eq!(servers(&text).len(), 0);
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn forms_of_an_address() {
        for (word, scope, expected) in [
            ("10.0.2.3", Some("eth0"), Some("10.0.2.3")),
            ("fe80::1", Some("eth0"), Some("fe80::1%eth0")),
            ("fe80::1%eth1", Some("eth0"), Some("fe80::1%eth1")),
            ("fe80::1", None, None),
            ("fe80::1%a b", None, None),
            ("192.0.2.1#dns.example", None, Some("192.0.2.1")),
            ("192.0.2.1%eth0", None, Some("192.0.2.1")),
            ("192.0.2.1:5353", None, None),
            ("[2001:db8::1]:5353", None, None),
            ("0.0.0.0", None, None),
            ("224.0.0.251", None, None),
            ("dns.example", None, None),
            ("", None, None),
        ] {
            assert_eq!(server(word, scope).as_deref(), expected, "{word}");
        }
    }

    #[test]
    fn a_lease_that_changes_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        for (index, name) in [("10", "eth1"), ("9", "eth0")] {
            fs::create_dir_all(at("sys/class/net").join(name)).unwrap();
            fs::write(at("sys/class/net").join(name).join("ifindex"), format!("{index}\n")).unwrap();
        }
        fs::create_dir_all(at("run/systemd/netif/links")).unwrap();
        fs::create_dir_all(at("run/skerry")).unwrap();
        fs::write(at("run/systemd/netif/links/10"), "DNS=192.0.2.10\n").unwrap();
        fs::write(at("run/systemd/netif/links/9"), "DNS=fe80::9\n").unwrap();
        assert!(refresh(dir.path(), &at(&RESOLV_CONF[1..])).unwrap());
        assert!(!refresh(dir.path(), &at(&RESOLV_CONF[1..])).unwrap(), "nothing changed");
        let text = fs::read_to_string(at("run/skerry/resolv.conf")).unwrap();
        assert_eq!(servers(&text), ["fe80::9%eth0", "192.0.2.10"], "by index, not by name");

        fs::write(at("run/systemd/netif/links/9"), "DNS=10.0.2.3\n").unwrap();
        assert!(refresh(dir.path(), &at(&RESOLV_CONF[1..])).unwrap());
        assert_eq!(servers(&fs::read_to_string(at("run/skerry/resolv.conf")).unwrap()), ["10.0.2.3", "192.0.2.10"]);
        assert_eq!(fs::read_dir(at("run/skerry")).unwrap().count(), 1, "no temporary file is left");
    }
}
