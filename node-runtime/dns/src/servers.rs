//! The name servers to ask, from the text of `/etc/resolv.conf`.

use std::{
    fs,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    path::Path,
};

/// Servers that are asked, one after the other.
const SERVERS_MAX: usize = 3;
/// Port of name servers.
const PORT: u16 = 53;

/// Servers that the file at `path` names, without those at `own` addresses: a
/// server that asks itself would never answer. On a node the file is
/// `skerry_platform::resolv::RESOLV_CONF`. One that cannot be read names none.
pub fn read_upstreams(path: &Path, own: &[IpAddr]) -> Vec<SocketAddr> {
    let index = |link: &str| fs::read_to_string(format!("/sys/class/net/{link}/ifindex")).ok()?.trim().parse().ok();
    upstreams(&fs::read_to_string(path).unwrap_or_default(), own, index)
}

/// Servers that the text names. `index` gives the number of a network link, for
/// link-local addresses (`fe80::1%eth0`).
pub fn upstreams(text: &str, own: &[IpAddr], index: impl Fn(&str) -> Option<u32>) -> Vec<SocketAddr> {
    let words = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|w| *w == "nameserver").and(words.next())
    });
    let server = |word: &str| match word.split_once('%') {
        Some((ip, link)) if !link.contains(['/', '.']) => {
            Some(SocketAddr::V6(SocketAddrV6::new(ip.parse().ok()?, PORT, 0, index(link)?)))
        }
        Some(_) => None,
        None => Some(SocketAddr::new(word.parse().ok()?, PORT)),
    };
    let mut out: Vec<SocketAddr> = vec![];
    for s in words.filter_map(server).filter(|s| !own.contains(&s.ip())) {
        if !out.contains(&s) {
            out.push(s);
        }
    }
    out.truncate(SERVERS_MAX);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn servers_of_a_file() {
        let own = ["10.244.0.1".parse().unwrap()];
        let index = |link: &str| (link == "eth0").then_some(7);
        for (text, want) in [
            ("# made\nnameserver 192.0.2.1\nsearch x\nnameserver 192.0.2.1\n", vec!["192.0.2.1:53"]),
            ("nameserver fe80::1%eth0\nnameserver fe80::2%eth9\n", vec!["[fe80::1%7]:53"]),
            ("nameserver 10.244.0.1\nnameserver 127.0.0.53", vec!["127.0.0.53:53"]),
            ("nameserver\nnameserver x\n nameserver 2001:db8::1 #x\n", vec!["[2001:db8::1]:53"]),
            (
                "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4",
                vec!["1.1.1.1:53", "1.1.1.2:53", "1.1.1.3:53"],
            ),
            ("", vec![]),
        ] {
            let got: Vec<String> = upstreams(text, &own, index).iter().map(ToString::to_string).collect();
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_names_none() {
        assert!(read_upstreams(Path::new("/nowhere/resolv.conf"), &[]).is_empty());
    }
}
