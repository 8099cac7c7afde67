//! What the node itself knows: Services, their endpoints, pods. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Protocol of a port, as SRV names have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// `_tcp`
    Tcp,
    /// `_udp`
    Udp,
}

/// A named port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Name; ports without a name have no SRV record.
    pub name: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Number: of the Service, or of the pod where the Service is headless.
    pub number: u16,
}

/// A pod behind a headless Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// `hostname` of a pod whose `subdomain` is the Service; others get a name
    /// made from their address.
    pub hostname: Option<String>,
    /// Ports of the pod by the names that the Service gives them.
    pub ports: Vec<Port>,
}

/// A Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Virtual addresses; none: headless.
    pub cluster_ips: Vec<IpAddr>,
    /// Its ports; only of Services that are not headless.
    pub ports: Vec<Port>,
    /// Pods that are to be found: the Ready ones, or all where
    /// `publishNotReadyAddresses` is set. Only of headless Services.
    pub endpoints: Vec<Endpoint>,
}

/// All names of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone {
    /// Services by namespace and name.
    pub services: BTreeMap<(String, String), Service>,
    /// Namespaces, so that a name in one without Services is "no data" and not
    /// "no such name".
    pub namespaces: BTreeSet<String>,
}

/// What stands behind a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lookup {
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Ports and the names they are at, relative to the zone (`web.default.svc`).
    pub services: Vec<(u16, String)>,
}

/// What DNS labels of the zone `cluster.local` mean, last label first removed.
/// `None`: there is no such name. An empty [`Lookup`]: there is, without data.
impl Zone {
    /// Look a name up, as labels without the zone: `["web", "default", "svc"]`.
    pub fn lookup(&self, labels: &[&str]) -> Option<Lookup> {
        match labels {
            [] | ["svc" | "pod"] => Some(Lookup::default()),
            [namespace, "svc" | "pod"] => self.namespaces.contains(*namespace).then(Lookup::default),
            [address, namespace, "pod"] => self.pod(address, namespace),
            [rest @ .., name, namespace, "svc"] => {
                let service = self.services.get(&((*namespace).to_owned(), (*name).to_owned()))?;
                service.lookup(rest, &format!("{name}.{namespace}.svc"))
            }
            _ => None,
        }
    }

    /// Name of an address, relative to the zone.
    pub fn reverse(&self, address: IpAddr) -> Option<String> {
        self.services.iter().find_map(|((namespace, name), s)| {
            let base = format!("{name}.{namespace}.svc");
            if s.cluster_ips.contains(&address) {
                return Some(base);
            }
            let e = s.endpoints.iter().find(|e| e.addresses.contains(&address))?;
            Some(format!("{}.{base}", e.label()))
        })
    }

    /// `10-244-0-2.default.pod`: the address is in the name.
    fn pod(&self, address: &str, namespace: &str) -> Option<Lookup> {
        if !self.namespaces.contains(namespace) {
            return None;
        }
        let ip = address.replace('-', ".").parse().ok().or_else(|| address.replace('-', ":").parse().ok());
        ip.map(|ip| Lookup { addresses: vec![ip], services: vec![] })
    }
}

impl Service {
    fn lookup(&self, rest: &[&str], base: &str) -> Option<Lookup> {
        match rest {
            [] => Some(Lookup { addresses: self.addresses(), services: self.all_ports(base) }),
            [port, protocol] if port.starts_with('_') => {
                let protocol = match *protocol {
                    "_tcp" => Protocol::Tcp,
                    "_udp" => Protocol::Udp,
                    _ => return None,
                };
                let services = self.ports_named(&port[1..], protocol, base);
                (!services.is_empty()).then(|| Lookup { addresses: vec![], services })
            }
            [host] => {
                let same = self.endpoints.iter().filter(|e| e.label() == *host);
                let addresses: Vec<IpAddr> = same.flat_map(|e| e.addresses.iter().copied()).collect();
                (!addresses.is_empty()).then(|| Lookup { addresses, services: vec![] })
            }
            _ => None,
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        if !self.cluster_ips.is_empty() {
            return self.cluster_ips.clone();
        }
        self.endpoints.iter().flat_map(|e| e.addresses.iter().copied()).collect()
    }

    fn all_ports(&self, base: &str) -> Vec<(u16, String)> {
        if !self.cluster_ips.is_empty() {
            return self.ports.iter().map(|p| (p.number, base.to_owned())).collect();
        }
        let of = |e: &Endpoint| -> Vec<(u16, String)> {
            e.ports.iter().map(|p| (p.number, format!("{}.{base}", e.label()))).collect()
        };
        self.endpoints.iter().flat_map(of).collect()
    }

    fn ports_named(&self, name: &str, protocol: Protocol, base: &str) -> Vec<(u16, String)> {
        let same = |p: &&Port| p.name == name && p.protocol == protocol;
        if !self.cluster_ips.is_empty() {
            return self.ports.iter().filter(same).map(|p| (p.number, base.to_owned())).collect();
        }
        let of = |e: &Endpoint| -> Vec<(u16, String)> {
            e.ports.iter().filter(same).map(|p| (p.number, format!("{}.{base}", e.label()))).collect()
        };
        self.endpoints.iter().flat_map(of).collect()
    }
}

impl Endpoint {
    /// The label of this pod below its Service.
    fn label(&self) -> String {
        match (&self.hostname, self.addresses.first()) {
            (Some(name), _) => name.clone(),
            (None, Some(ip)) => ip.to_string().replace(['.', ':'], "-"),
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    pub(crate) fn zone() -> Zone {
        let port = |name: &str, number| Port { name: name.into(), protocol: Protocol::Tcp, number };
        let web = Service {
            cluster_ips: vec!["10.96.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
            ports: vec![port("http", 80)],
            endpoints: vec![],
        };
        let pod = |ip: &str, hostname: Option<&str>| Endpoint {
            addresses: vec![ip.parse().unwrap()],
            hostname: hostname.map(Into::into),
            ports: vec![port("redis", 6379)],
        };
        let redis = Service {
            endpoints: vec![pod("10.244.0.5", Some("redis-0")), pod("10.244.0.6", None)],
            ..Service::default()
        };
        let key = |name: &str| ("shop".to_owned(), name.to_owned());
        Zone {
            services: [(key("web"), web), (key("redis"), redis)].into(),
            namespaces: ["default".to_owned(), "shop".to_owned()].into(),
        }
    }

    type Ports = Vec<(u16, String)>;

    fn found(name: &str) -> Option<(Vec<String>, Ports)> {
        let labels: Vec<&str> = name.split('.').filter(|l| !l.is_empty()).collect();
        zone().lookup(&labels).map(|l| (l.addresses.iter().map(ToString::to_string).collect(), l.services))
    }

    #[test]
    fn addresses_by_name() {
        for (name, want) in [
            ("web.shop.svc", Some(vec!["10.96.0.7", "fd00::7"])),
            ("redis.shop.svc", Some(vec!["10.244.0.5", "10.244.0.6"])),
            ("redis-0.redis.shop.svc", Some(vec!["10.244.0.5"])),
            ("10-244-0-6.redis.shop.svc", Some(vec!["10.244.0.6"])),
            ("10-244-0-9.shop.pod", Some(vec!["10.244.0.9"])),
            ("shop.svc", Some(vec![])),
            ("default.svc", Some(vec![])),
            ("svc", Some(vec![])),
            ("", Some(vec![])),
            ("nobody.shop.svc", None),
            ("web.nowhere.svc", None),
            ("nowhere.svc", None),
            ("redis-1.redis.shop.svc", None),
            ("x.web.shop.svc", None),
            ("10-244-0-9.nowhere.pod", None),
            ("what.ever", None),
        ] {
            let got = found(name).map(|(a, _)| a);
            assert_eq!(got, want.map(|w| w.into_iter().map(String::from).collect()), "{name}");
        }
    }

    #[test]
    fn ports_by_name() {
        let at = |n, name: &str| (n, name.to_owned());
        for (name, want) in [
            ("_http._tcp.web.shop.svc", Some(vec![at(80, "web.shop.svc")])),
            (
                "_redis._tcp.redis.shop.svc",
                Some(vec![at(6379, "redis-0.redis.shop.svc"), at(6379, "10-244-0-6.redis.shop.svc")]),
            ),
            ("_http._udp.web.shop.svc", None),
            ("_ftp._tcp.web.shop.svc", None),
            ("_http._sctp.web.shop.svc", None),
        ] {
            assert_eq!(found(name).map(|(_, s)| s), want, "{name}");
        }
    }

    #[test]
    fn names_of_addresses() {
        for (ip, want) in [
            ("10.96.0.7", Some("web.shop.svc")),
            ("fd00::7", Some("web.shop.svc")),
            ("10.244.0.5", Some("redis-0.redis.shop.svc")),
            ("10.244.0.99", None),
        ] {
            assert_eq!(zone().reverse(ip.parse().unwrap()).as_deref(), want, "{ip}");
        }
    }
}
