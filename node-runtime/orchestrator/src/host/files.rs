//! The text of a pod's `/etc/hosts` and `/etc/resolv.conf`. Pure.

use std::net::{IpAddr, Ipv4Addr};

use crate::desired::{DnsPolicy, Pod};

/// `/etc/hosts` of a pod.
pub(super) fn hosts(pod: &Pod, ips: &[IpAddr]) -> String {
    let names = match &pod.fqdn {
        Some(fqdn) => format!("{fqdn}\t{}", pod.hostname),
        None => pod.hostname.clone(),
    };
    let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost\n");
    for ip in ips {
        text += &format!("{ip}\t{names}\n");
    }
    for (ip, names) in &pod.host_aliases {
        text += &format!("{ip}\t{}\n", names.join("\t"));
    }
    text
}

/// `/etc/resolv.conf` of a pod on a node whose own is `node`.
pub(super) fn resolv_conf(pod: &Pod, node: &str, cluster_dns: Option<Ipv4Addr>) -> String {
    let dns = &pod.dns;
    let (mut servers, mut searches, mut options) = match (dns.policy, cluster_dns) {
        (DnsPolicy::None, _) => Default::default(),
        (DnsPolicy::ClusterFirst, Some(ip)) => {
            let zones =
                [format!("{}.svc.cluster.local", pod.namespace), "svc.cluster.local".into(), "cluster.local".into()];
            let (_, more, _) = parse(node);
            (vec![ip.to_string()], zones.into_iter().chain(more).collect(), vec!["ndots:5".into()])
        }
        _ => parse(node),
    };
    servers.extend(dns.servers.iter().cloned());
    searches.extend(dns.searches.iter().cloned());
    // An option given by the pod replaces one of the same name.
    let name = |o: &str| o.split(':').next().unwrap_or_default().to_owned();
    options.retain(|o: &String| !dns.options.iter().any(|n| name(n) == name(o)));
    options.extend(dns.options.iter().cloned());
    let mut text = String::new();
    for s in servers {
        text += &format!("nameserver {s}\n");
    }
    for (word, list) in [("search", searches), ("options", options)] {
        if !list.is_empty() {
            text += &format!("{word} {}\n", list.join(" "));
        }
    }
    text
}

type Parsed = (Vec<String>, Vec<String>, Vec<String>);

/// Servers that pods can reach, search domains, options.
fn parse(text: &str) -> Parsed {
    let (mut servers, mut searches, mut options) = Parsed::default();
    let local = |a: &str| a.starts_with("127.") || a == "::1" || a.contains('%');
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().filter(|a| !local(a)).map(Into::into)),
            Some("search" | "domain") => searches = words.map(Into::into).collect(),
            Some("options") => options.extend(words.map(Into::into)),
            _ => {}
        }
    }
    (servers, searches, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Dns;

    #[test]
    fn name_servers_by_policy() {
        let node = "# made\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch site.example\noptions edns0\n";
        let dns = Some(Ipv4Addr::new(10, 96, 0, 10));
        for (policy, cluster, want) in [
            (DnsPolicy::Default, dns, "nameserver 192.0.2.1\nsearch site.example\noptions edns0\n"),
            (DnsPolicy::ClusterFirst, None, "nameserver 192.0.2.1\nsearch site.example\noptions edns0\n"),
            (
                DnsPolicy::ClusterFirst,
                dns,
                "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local site.example\n\
                 options ndots:5\n",
            ),
            (DnsPolicy::None, dns, ""),
        ] {
            let pod = Pod { namespace: "shop".into(), dns: Dns { policy, ..Dns::default() }, ..Pod::default() };
            assert_eq!(resolv_conf(&pod, node, cluster), want, "{policy:?} {cluster:?}");
        }
        let own = Dns {
            policy: DnsPolicy::ClusterFirst,
            servers: vec!["198.51.100.1".into()],
            searches: vec!["x.example".into()],
            options: vec!["ndots:2".into()],
        };
        let text = resolv_conf(&Pod { namespace: "n".into(), dns: own, ..Pod::default() }, "", dns);
        assert!(text.contains("nameserver 10.96.0.10\nnameserver 198.51.100.1\n"), "{text}");
        assert!(text.contains("cluster.local x.example\noptions ndots:2\n"), "{text}");
    }

    #[test]
    fn names_of_a_pod() {
        let pod = Pod {
            hostname: "web-0".into(),
            fqdn: Some("web-0.web.shop.svc.cluster.local".into()),
            host_aliases: vec![("192.0.2.9".into(), vec!["a".into(), "b".into()])],
            ..Pod::default()
        };
        let text = hosts(&pod, &[Ipv4Addr::new(10, 244, 0, 2).into()]);
        assert!(text.ends_with("10.244.0.2\tweb-0.web.shop.svc.cluster.local\tweb-0\n192.0.2.9\ta\tb\n"), "{text}");
    }
}
