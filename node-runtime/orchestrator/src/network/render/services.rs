//! Services: from their addresses and the node's ports to pods.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::{Value, json};

use super::{
    Names, Table,
    expr::{equal, family, field, for_the_node, goto, jump, matches, meta, prefix, same_family, to_itself, transport},
};
use crate::network::ruleset::{Endpoint, Forward};

/// Clients that are remembered for one pod and port; more are not sent to the
/// same pod again.
const CLIENTS_MAX: u32 = 65_535;

pub(super) fn services(forwards: &[Forward], out: &mut Table) {
    for chain in ["prerouting", "output"] {
        out.rule(chain, vec![jump("services")]);
    }
    for chain in ["forward", "input", "local"] {
        out.rule(chain, vec![jump("unserved")]);
    }
    for (i, f) in forwards.iter().enumerate() {
        let port = |n: u16| equal(field(transport(f.udp), "dport"), json!(n));
        let address = equal(field(family(&f.cluster_ip), "daddr"), json!(f.cluster_ip.to_string()));
        let mut ways = vec![vec![address, port(f.port)]];
        ways.extend(f.node_port.map(|n| vec![same_family(&f.cluster_ip), for_the_node(), port(n)]));
        let (chain, end) = if f.endpoints.is_empty() {
            // Refused before conntrack remembers the packet: the next one of
            // the same client may be served.
            let no = if f.udp { json!({"reject": null}) } else { json!({"reject": {"type": "tcp reset"}}) };
            ("unserved", no)
        } else {
            ("services", pick(i, f, out))
        };
        for way in ways {
            out.rule(chain, [way, vec![end.clone()]].concat());
        }
    }
}

/// Choose one of the endpoints; their chains are made here.
fn pick(i: usize, f: &Forward, out: &mut Table) -> Value {
    let chain = |j: usize| format!("endpoint-{i}-{j}");
    let source = || field(family(&f.cluster_ip), "saddr");
    for (j, e) in f.endpoints.iter().enumerate() {
        out.chain(&chain(j));
        if let Some(secs) = f.affinity_secs {
            let (set, kind) = (clients(f, e, secs), if f.cluster_ip.is_ipv4() { "ipv4_addr" } else { "ipv6_addr" });
            out.set(&set, kind, secs, CLIENTS_MAX);
            // Each new connection counts anew, as kube-proxy counts.
            let elem = json!({"elem": {"val": source(), "timeout": secs}});
            out.rule(&chain(j), vec![json!({"set": {"op": "update", "elem": elem, "set": format!("@{set}")}})]);
        }
        let dnat = json!({"dnat": {"family": family(&f.cluster_ip), "addr": e.ip.to_string(), "port": e.port}});
        out.rule(&chain(j), vec![equal(meta("l4proto"), json!(transport(f.udp))), dnat]);
    }
    let n = f.endpoints.len();
    let any = if n == 1 {
        goto(&chain(0))
    } else {
        let key = json!({"numgen": {"mode": "random", "mod": n, "offset": 0}});
        let choices: Vec<Value> = (0..n).map(|j| json!([j, goto(&chain(j))])).collect();
        json!({"vmap": {"key": key, "data": {"set": choices}}})
    };
    let Some(secs) = f.affinity_secs.filter(|_| n > 1) else { return any };
    let again = format!("service-{i}");
    out.chain(&again);
    for (j, e) in f.endpoints.iter().enumerate() {
        out.rule(&again, vec![equal(source(), json!(format!("@{}", clients(f, e, secs)))), goto(&chain(j))]);
    }
    out.rule(&again, vec![any]);
    goto(&again)
}

/// Name of the set of a pod's clients. The same as long as it means the same,
/// so that it outlives other changes of the table.
fn clients(f: &Forward, e: &Endpoint, secs: u32) -> String {
    let text = format!("{}/{}/{}/{}/{}/{secs}", transport(f.udp), f.cluster_ip, f.port, e.ip, e.port);
    // FNV-1a, 64 bits.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("clients-{hash:016x}")
}

pub(super) fn way_out(forwards: &[Forward], names: &Names<'_>, out: &mut Table) {
    let masquerade = || json!({"masquerade": null});
    // A pod that reaches itself through a service must get the answer from the
    // service, so it has to come back through the node. Others see who asks.
    let endpoints: BTreeSet<IpAddr> = forwards.iter().flat_map(|f| f.endpoints.iter().map(|e| e.ip)).collect();
    for same in to_itself(endpoints.iter()) {
        let translated = matches(json!({"ct": {"key": "status"}}), "in", json!("dnat"));
        out.rule("postrouting", vec![same, translated, masquerade()]);
    }
    for network in names.pod_networks {
        let family = if network.contains(':') { "ip6" } else { "ip" };
        out.rule(
            "postrouting",
            vec![
                equal(field(family, "saddr"), prefix(network)),
                matches(field(family, "daddr"), "!=", prefix(network)),
                matches(meta("oifname"), "!=", json!(names.pod_links)),
                masquerade(),
            ],
        );
    }
    // The node's own loopback clients of node ports.
    for (family, loopback) in [("ip", prefix("127.0.0.0/8")), ("ip6", json!("::1"))] {
        let from = equal(field(family, "saddr"), loopback);
        out.rule("postrouting", vec![from, equal(meta("oifname"), json!(names.pod_links)), masquerade()]);
    }
}
