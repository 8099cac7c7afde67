//! The table as text, and as the real `nft` takes it.
#![allow(clippy::unwrap_used)]
use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::*;
use crate::network::{
    policy::{Allow, Direction, Isolation, Peers, PortRange, Protocol},
    ruleset::{Endpoint, Forward},
};

fn endpoint(n: u8) -> Endpoint {
    Endpoint { ip: std::net::Ipv4Addr::new(10, 244, 0, n).into(), port: 8080 }
}

fn rules() -> Ruleset {
    let forward = |ip: &str, udp, node_port, affinity_secs, endpoints| Forward {
        udp,
        cluster_ip: ip.parse().unwrap(),
        port: 80,
        node_port,
        affinity_secs,
        endpoints,
    };
    let v6 = Endpoint { ip: "fd00:1::2".parse().unwrap(), port: 8080 };
    let allows = vec![
        Allow { peers: Peers::Any, ports: vec![PortRange { protocol: Protocol::Tcp, first: 80, last: 90 }] },
        Allow {
            peers: Peers::Pods(["10.244.0.3".parse().unwrap(), "fd00:1::3".parse().unwrap()].into()),
            ports: vec![],
        },
        Allow {
            peers: Peers::Block { cidr: "10.0.0.0/8".into(), except: vec!["10.1.0.0/16".into()] },
            ports: vec![PortRange { protocol: Protocol::Udp, first: 0, last: u16::MAX }],
        },
    ];
    let isolation = |direction| Isolation {
        direction,
        pods: ["10.244.0.2".parse().unwrap(), "fd00:1::2".parse().unwrap()].into(),
        allows: allows.clone(),
    };
    Ruleset {
        forwards: vec![
            forward("10.96.1.2", false, Some(30080), None, vec![endpoint(2), endpoint(3)]),
            forward("10.96.1.3", true, Some(30081), None, vec![]),
            forward("10.96.1.4", false, None, Some(10_800), vec![endpoint(2), endpoint(3), endpoint(4)]),
            forward("fd00:2::2", false, Some(30080), Some(60), vec![v6]),
        ],
        isolations: vec![isolation(Direction::Ingress), isolation(Direction::Egress)],
    }
}

fn rendered(rules: &Ruleset, kept: Option<&Kept>) -> Value {
    let networks = ["10.244.0.0/24".to_owned(), "fd00:1::/64".to_owned()];
    let gateways = ["10.244.0.1".parse().unwrap(), "fd00:1::1".parse().unwrap()];
    render(rules, &Names { pod_links: "skp*", pod_networks: &networks, gateways: &gateways }, kept)
}

fn lines(value: &Value) -> String {
    value["nftables"].as_array().unwrap().iter().map(|l| format!("{l}\n")).collect()
}

#[test]
fn table_with_everything() {
    insta::assert_snapshot!(lines(&rendered(&rules(), None)));
}

#[test]
fn what_is_kept_and_what_goes() {
    let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect();
    let mut few = rules();
    few.forwards.truncate(3);
    let set = lines(&rendered(&few, None)).split('"').find(|w| w.starts_with("clients-")).unwrap().to_owned();
    let kept = Kept {
        chains: names(&["guard", "services", "endpoint-0-0", "endpoint-9-9"]),
        sets: names(&[&set, "clients-0"]),
    };
    let text = lines(&rendered(&few, Some(&kept)));
    let deleted: Vec<&str> = text.lines().filter(|l| l.starts_with(r#"{"delete""#)).collect();
    let named = |what: &str, name: &str| {
        json!({"delete": {what: {"family": "inet", "table": "skerry", "name": name}}}).to_string()
    };
    assert_eq!(deleted[1..], [named("chain", "endpoint-9-9"), named("set", "clients-0")]);
    let added = |n: &str| text.lines().any(|l| l.starts_with(r#"{"add":{"set""#) && l.contains(n));
    assert!(!added(&set) && added("clients-"), "{text}");
}

/// Run commands of a shell in a network namespace of its own.
fn in_namespace(script: &str, input: &str) -> String {
    let root = nix::unistd::geteuid().is_root();
    let mut child = Command::new("unshare")
        .args(if root { vec!["-n"] } else { vec!["-rn"] })
        .args(["sh", "-ec", script])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The real `nft`. Twice: the second replaces the first.
#[test]
fn nft_takes_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rendered(&rules(), None).to_string()).unwrap();
    let at = file.path().display();
    let text = in_namespace(&format!("nft -j -f {at}; nft -j -f {at}; nft list table inet skerry"), "");
    for line in [
        "numgen random mod 2",
        "reject",
        "masquerade",
        "tcp dport 80-90",
        "update @clients-",
        "fib saddr . iif oif missing",
    ] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}

/// The clients of a pod are remembered while other rules change, and forgotten
/// when the pod goes.
#[test]
fn clients_outlive_other_changes() {
    let first = rendered(&rules(), None);
    let set = lines(&first).split('"').find(|w| w.starts_with("clients-")).unwrap().to_owned();
    let before = in_namespace(&format!("nft -j -f -; nft {}", LIST.join(" ")), &first.to_string());
    let kept = Kept::parse(before.as_bytes()).unwrap();
    assert!(kept.sets.contains(&set) && kept.chains.contains("policy-1"), "{kept:?}");
    let (mut other, mut gone) = (rules(), rules());
    other.isolations.clear();
    other.forwards.truncate(3);
    gone.forwards.clear();
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [("1", &first), ("2", &rendered(&other, Some(&kept))), ("3", &rendered(&gone, Some(&kept)))] {
        std::fs::write(dir.path().join(name), value.to_string()).unwrap();
    }
    let (at, add) = (dir.path().display(), format!("nft add element inet skerry {set} '{{ 192.0.2.9 timeout 9s }}'"));
    let show = "nft list table inet skerry";
    let text = in_namespace(&format!("nft -j -f {at}/1; {add}; nft -j -f {at}/2; {show}"), "");
    assert!(text.contains("192.0.2.9") && !text.contains("policy-"), "{text}");
    let text = in_namespace(&format!("nft -j -f {at}/1; {add}; nft -j -f {at}/3; {show}"), "");
    assert!(!text.contains("clients-") && !text.contains("endpoint-"), "{text}");
    assert_eq!(Kept::parse(b""), None);
}
