//! Address families of Services, and the networks of their addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Virtual addresses of IPv4, and the length of their prefix.
pub const SERVICE_NETWORK4: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 16);
/// Virtual addresses of IPv6, and the length of their prefix.
pub const SERVICE_NETWORK6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd73, 0x6b79, 0x7200, 0x96, 0, 0, 0, 0), 112);

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// As in `spec.ipFamilies`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family of an address.
    pub fn of(ip: &IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// A family by its name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::V4, Self::V6].into_iter().find(|f| f.as_str() == name)
    }

    /// The one that this is not.
    pub fn other(self) -> Self {
        if self == Self::V4 { Self::V6 } else { Self::V4 }
    }
}

/// Can a Service have this address?
pub fn is_service_address(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => in4(*ip, SERVICE_NETWORK4),
        IpAddr::V6(ip) => in6(*ip, SERVICE_NETWORK6),
    }
}

/// The networks that Services have their addresses from, for messages.
pub fn service_networks() -> String {
    let ((four, len4), (six, len6)) = (SERVICE_NETWORK4, SERVICE_NETWORK6);
    format!("{four}/{len4} or {six}/{len6}")
}

fn in4(ip: Ipv4Addr, (net, len): (Ipv4Addr, u8)) -> bool {
    prefix(u128::from(ip.to_bits()) << 96, len) == u128::from(net.to_bits()) << 96
}

fn in6(ip: Ipv6Addr, (net, len): (Ipv6Addr, u8)) -> bool {
    prefix(ip.to_bits(), len) == net.to_bits()
}

/// The first bits, the others 0.
pub(crate) fn prefix(bits: u128, len: u8) -> u128 {
    bits & u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_of_services() {
        for (ip, is) in [
            ("10.96.0.0", true),
            ("10.96.255.255", true),
            ("10.97.0.0", false),
            ("fd73:6b79:7200:96::ffff", true),
            ("fd73:6b79:7200:96::1:0", false),
            ("::ffff:10.96.0.1", false),
        ] {
            assert_eq!(is_service_address(&ip.parse().unwrap()), is, "{ip}");
        }
    }

    #[test]
    fn prefixes() {
        assert_eq!((prefix(u128::MAX, 0), prefix(u128::MAX, 128)), (0, u128::MAX));
        assert_eq!(prefix(u128::MAX, 1), 1 << 127);
    }
}
