//! Forgets UDP flows that lead to pods which serve no longer.
//!
//! A TCP connection ends with its pod. A UDP client that keeps sending from
//! one port would for ever be sent where its first packet went, because
//! conntrack remembers the choice as long as packets come.

use std::net::IpAddr;

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
        sockopt::ReceiveTimeout,
    },
    time::TimeVal,
};
use std::os::fd::{AsRawFd, OwnedFd};

use super::ruleset::Ruleset;
use crate::desired::services::{NETWORK4, NETWORK6};

/// Protocol number of UDP.
const UDP: u8 = 17;
/// Longest wait for the kernel.
const ANSWER_SECS: i64 = 2;
/// `NLMSG_ERROR`, `NLMSG_DONE` and the three kinds of messages, of
/// `linux/netlink.h` and `linux/netfilter/nfnetlink_conntrack.h`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const CT_NEW: u16 = 0x100;
const CT_GET: u16 = 0x101;
const CT_DELETE: u16 = 0x102;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
/// Attributes.
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
/// Length of the headers of netlink and nfnetlink together.
const HEADER: usize = 20;

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tuple {
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
    protocol: u8,
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flow {
    original: Tuple,
    reply: Tuple,
    /// The original direction as the kernel gave it.
    raw: Vec<u8>,
}

/// Forget flows that these rules would not make. Returns how many there were.
///
/// # Errors
/// The kernel does not let us ask.
pub(super) fn forget_stale(rules: &Ruleset) -> nix::Result<usize> {
    let socket = open()?;
    let mut stale = vec![];
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        send(&socket, &request(family as u8, CT_GET, REQUEST | DUMP, &[]))?;
        receive(&socket, |body| stale.extend(flow(body).filter(|f| is_stale(f, rules))))?;
    }
    for f in &stale {
        let family = if f.original.source.0.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        send(&socket, &request(family as u8, CT_DELETE, REQUEST | ACK, &attribute(TUPLE_ORIG | 0x8000, &f.raw)))?;
        match receive(&socket, |_| {}) {
            // It ended by itself in the meantime.
            Ok(()) | Err(nix::Error::ENOENT) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(stale.len())
}

/// Would today's rules not send the first packet of this flow where it went?
fn is_stale(flow: &Flow, rules: &Ruleset) -> bool {
    let Flow { original, reply, .. } = flow;
    let (ip, port) = original.destination;
    if original.protocol != UDP {
        return false;
    }
    let mut udp = rules.forwards.iter().filter(|f| f.udp && f.cluster_ip.is_ipv4() == ip.is_ipv4());
    let serves = |f: &super::Forward| f.endpoints.iter().any(|e| (e.ip, e.port) == reply.source);
    if is_virtual(ip) {
        return !udp.any(|f| (f.cluster_ip, f.port) == (ip, port) && serves(f));
    }
    // Not translated at all: from before the port was a Service's, or on its
    // way through the node; forgetting it changes nothing then.
    let translated = reply.source != original.destination;
    let plain = !translated && reply.destination == original.source;
    (translated || plain) && udp.any(|f| f.node_port == Some(port) && !f.endpoints.is_empty() && !serves(f))
        || translated && is_node_port(port) && !rules.forwards.iter().any(|f| f.udp && f.node_port == Some(port))
}

fn is_virtual(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..2] == NETWORK4.0.octets()[..2],
        IpAddr::V6(ip) => ip.to_bits() >> 16 == NETWORK6.0.to_bits() >> 16,
    }
}

/// Ports that only Services have.
fn is_node_port(port: u16) -> bool {
    (30_000..=32_767).contains(&port)
}

fn open() -> nix::Result<OwnedFd> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(ANSWER_SECS, 0))?;
    Ok(socket)
}

fn send(socket: &OwnedFd, message: &[u8]) -> nix::Result<()> {
    sendto(socket.as_raw_fd(), message, &NetlinkAddr::new(0, 0), MsgFlags::empty()).map(drop)
}

/// Hand each message's attributes to `take` until the kernel is done.
fn receive(socket: &OwnedFd, mut take: impl FnMut(&[u8])) -> nix::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        let size = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..size];
        while let Some((kind, body, after)) = message(rest) {
            rest = after;
            match kind {
                DONE => return Ok(()),
                ERROR => {
                    let code = body.first_chunk().map_or(-nix::libc::EIO, |b| i32::from_ne_bytes(*b));
                    return if code == 0 { Ok(()) } else { Err(nix::Error::from_raw(-code)) };
                }
                CT_NEW => take(body.get(4..).unwrap_or_default()),
                _ => {}
            }
        }
    }
}

/// Kind and content of the first message, and what follows it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(16..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn request(family: u8, kind: u16, flags: u16, attributes: &[u8]) -> Vec<u8> {
    let length = (HEADER + attributes.len()) as u32;
    let mut out = length.to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    // Sequence and port number; then version and resource of nfnetlink.
    out.extend([0; 8]);
    out.extend([family, 0, 0, 0]);
    out.extend(attributes);
    out
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// The attribute of this kind.
fn get(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

fn flow(attributes: &[u8]) -> Option<Flow> {
    let raw = get(attributes, TUPLE_ORIG)?;
    Some(Flow { original: tuple(raw)?, reply: tuple(get(attributes, TUPLE_REPLY)?)?, raw: raw.to_vec() })
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (ips, proto) = (get(bytes, TUPLE_IP)?, get(bytes, TUPLE_PROTO)?);
    let ip = |v4, v6| -> Option<IpAddr> {
        let four = get(ips, v4).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(Into::into);
        four.or_else(|| get(ips, v6).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(Into::into))
    };
    // Protocols without ports have none.
    let port = |kind| get(proto, kind).and_then(|b| Some(u16::from_be_bytes(*b.first_chunk()?))).unwrap_or(0);
    let protocol = *get(proto, 1)?.first()?;
    Some(Tuple { source: (ip(1, 3)?, port(2)), destination: (ip(2, 4)?, port(3)), protocol })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::network::{Endpoint, Forward};

    fn at(text: &str) -> (IpAddr, u16) {
        let at: std::net::SocketAddr = text.parse().unwrap();
        (at.ip(), at.port())
    }

    fn udp(from: &str, to: &str, served_by: &str, answered_to: &str) -> Flow {
        let tuple = |source, destination| Tuple { source: at(source), destination: at(destination), protocol: UDP };
        Flow { original: tuple(from, to), reply: tuple(served_by, answered_to), raw: vec![] }
    }

    #[test]
    fn which_flows_are_stale() {
        let endpoint = |text| Endpoint { ip: at(text).0, port: at(text).1 };
        let forward = |ip: &str, node_port, endpoints| Forward {
            udp: true,
            cluster_ip: at(ip).0,
            port: at(ip).1,
            node_port,
            affinity_secs: None,
            endpoints,
        };
        let rules = Ruleset {
            forwards: vec![
                forward("10.96.0.5:53", Some(30053), vec![endpoint("10.244.0.2:5353")]),
                forward("10.96.0.6:53", Some(30054), vec![]),
            ],
            isolations: vec![],
        };
        let client = "10.244.0.9:4000";
        for (to, by, back, want) in [
            ("10.96.0.5:53", "10.244.0.2:5353", client, false),
            ("10.96.0.5:53", "10.244.0.3:5353", client, true),
            ("10.96.0.5:54", "10.244.0.2:5353", client, true),
            ("10.96.0.6:53", "10.244.0.2:5353", client, true),
            ("192.0.2.1:30053", "10.244.0.2:5353", client, false),
            ("192.0.2.1:30053", "10.244.0.3:5353", client, true),
            ("192.0.2.1:30053", "192.0.2.1:30053", client, true),
            ("192.0.2.1:30053", "192.0.2.1:30053", "198.51.100.1:9", false),
            ("192.0.2.1:30055", "10.244.0.3:5353", client, true),
            ("192.0.2.1:123", "192.0.2.1:123", "198.51.100.1:9", false),
        ] {
            assert_eq!(is_stale(&udp(client, to, by, back), &rules), want, "{to} {by} {back}");
        }
        let mut tcp = udp(client, "10.96.0.5:53", "10.244.0.3:5353", client);
        tcp.original.protocol = 6;
        assert!(!is_stale(&tcp, &rules));
    }

    #[test]
    fn flows_as_the_kernel_writes_them() {
        let ips = [attribute(1, &[10, 0, 0, 1]), attribute(2, &[10, 0, 0, 2])].concat();
        let proto = [attribute(1, &[17]), attribute(2, &4000u16.to_be_bytes()), attribute(3, &53u16.to_be_bytes())];
        let one = [attribute(TUPLE_IP | 0x8000, &ips), attribute(TUPLE_PROTO | 0x8000, &proto.concat())].concat();
        let both = [attribute(TUPLE_ORIG | 0x8000, &one), attribute(TUPLE_REPLY | 0x8000, &one)].concat();
        let found = flow(&both).unwrap();
        assert_eq!((found.original.source, found.original.destination), (at("10.0.0.1:4000"), at("10.0.0.2:53")));
        assert_eq!(found.raw, one);
        let bytes = request(2, CT_DELETE, REQUEST, &both);
        let (kind, body, rest) = message(&bytes).unwrap();
        assert_eq!((kind, &body[4..], rest.len()), (CT_DELETE, &both[..], 0));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = (flow(&bytes), message(&bytes));
        }
    }
}
