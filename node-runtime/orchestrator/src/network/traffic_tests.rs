//! Real packets between real network namespaces through the real `nft`. Needs
//! root; without it there is nothing to test and it says so.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use serde_json::{Value, json};
use skerry_platform::netns;

use super::{filter, ipam::Ipam, links, ruleset_input};
use crate::{
    Config,
    desired::{Desired, Pod, Service, ServicePort, Target},
    observed::{Observed, Sandbox},
};

/// For packets that come.
const LONG: Duration = Duration::from_secs(20);
/// For packets that are thrown away: a test that waited too short would pass
/// where it must not, but never fail where it must pass.
const SHORT: Duration = Duration::from_millis(700);
/// Where everything serves.
const PORT: u16 = 8080;
/// Pods of every test by their last octets.
const PODS: [(&str, u8); 3] = [("web", 2), ("db", 3), ("other", 4)];

/// A node, its pods and a network outside.
struct Lab {
    dir: tempfile::TempDir,
    config: Config,
    desired: Desired,
    observed: Observed,
    runtime: tokio::runtime::Runtime,
}

/// Run a test on a thread with namespaces of its own.
fn lab(test: impl FnOnce(&mut Lab) + Send) {
    if !nix::unistd::geteuid().is_root() {
        println!("not root, nothing tested");
        return;
    }
    std::thread::scope(|s| s.spawn(|| test(&mut Lab::new())).join()).unwrap();
}

fn ip(args: &str) {
    let out = Command::new("ip").args(args.split(' ')).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap();
    assert!(out.status.success(), "ip {args}: {}", String::from_utf8_lossy(&out.stderr));
}

impl Lab {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = Config::default();
        assert!(config.ipv6(), "these tests need a kernel with IPv6");
        let (mut desired, mut observed) = (Desired::default(), Observed::default());
        observed.gateways = config.gateways();
        for (name, octet) in PODS {
            let labels = [("app".to_owned(), name.to_owned())].into();
            let pod = Pod { uid: name.into(), namespace: "shop".into(), labels, ..Pod::default() };
            desired.pods.insert(name.into(), pod);
            let (ip, ip6) = (Ipam::address(config.pod_network, octet), config.address6(octet));
            observed.sandboxes.insert(name.into(), Sandbox { ip, ip6, intact: true });
        }
        let lab = Self { dir: tempfile::tempdir().unwrap(), config, desired, observed, runtime };
        lab.runtime.block_on(links::ensure_base(lab.config.gateway(), lab.config.gateway6())).unwrap();
        for (name, _) in PODS {
            let Sandbox { ip, ip6, .. } = lab.observed.sandboxes[name];
            let addresses = links::Addresses { ip, ip6, gateway: lab.config.gateway() };
            lab.runtime.block_on(links::create_pod(&lab.ns(name), name, &addresses)).unwrap();
        }
        lab.outside();
        lab.apply();
        lab
    }

    /// Another machine, 192.0.2.2, and networks behind it.
    fn outside(&self) {
        let ns = self.ns("outside");
        netns::create(&ns).unwrap();
        ip("link add out type veth peer name far");
        ip(&format!("link set far netns {}", ns.display()));
        ip("addr add 192.0.2.1/24 dev out");
        ip("link set out up");
        ip("route add 198.51.100.0/24 via 192.0.2.2");
        netns::run_in(&ns, || {
            for args in [
                "link set lo up",
                "addr add 192.0.2.2/24 dev far",
                "addr add 198.51.100.1/32 dev lo",
                "addr add 198.51.100.200/32 dev lo",
                "link set far up",
                "route add default via 192.0.2.1",
            ] {
                ip(args);
            }
        })
        .unwrap();
    }

    fn ns(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Put the rules of this state in force.
    fn apply(&self) {
        let rules = ruleset_input(&self.desired, &self.observed);
        self.runtime.block_on(filter::apply(&self.config, &rules)).unwrap();
    }

    fn policy(&mut self, spec: Value) {
        let object = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec});
        self.desired.policies.push(Arc::new(serde_json::from_value(object).unwrap()));
        self.apply();
    }

    /// A service for the pods of these names.
    fn service(&mut self, octet: u8, pods: &[&str], udp: bool, affinity_secs: Option<u32>, node_port: Option<u16>) {
        for name in pods {
            self.desired.pods.get_mut(*name).unwrap().labels.insert(format!("s{octet}"), "yes".into());
        }
        self.desired.services.push(Service {
            namespace: "shop".into(),
            name: format!("s{octet}"),
            cluster_ips: vec![
                [10, 96, 0, octet].into(),
                format!("fd73:6b79:7200:96::{octet}").parse::<std::net::Ipv6Addr>().unwrap().into(),
            ],
            selector: [(format!("s{octet}"), "yes".to_owned())].into(),
            ports: vec![ServicePort { udp, port: 80, node_port, target: Target::Number(PORT) }],
            not_ready_too: false,
            affinity_secs,
        });
        self.apply();
    }

    /// Pods without containers are Ready as long as they are not finished.
    fn ready(&mut self, name: &str, ready: bool) {
        self.desired.pods.get_mut(name).unwrap().finished = !ready;
        self.apply();
    }

    fn v4(&self, name: &str) -> IpAddr {
        self.observed.sandboxes[name].ip.into()
    }

    fn v6(&self, name: &str) -> IpAddr {
        self.observed.sandboxes[name].ip6.unwrap().into()
    }

    /// Serve TCP in all pods: each line is answered with the pod's name and
    /// the client's address.
    fn serve(&self) {
        for (name, _) in PODS {
            let listener = netns::run_in(&self.ns(name), || TcpListener::bind(("::", PORT)).unwrap()).unwrap();
            serve_tcp(listener, name);
        }
    }

    fn serve_udp(&self) {
        for (name, _) in PODS {
            serve_udp(netns::run_in(&self.ns(name), || UdpSocket::bind(("::", PORT)).unwrap()).unwrap(), name);
        }
    }

    fn connect(&self, from: &str, to: impl Into<SocketAddr>, limit: Duration) -> std::io::Result<TcpStream> {
        let to = to.into();
        netns::run_in(&self.ns(from), || TcpStream::connect_timeout(&to, limit)).unwrap()
    }

    /// What answers, and whom it sees.
    fn ask(&self, from: &str, to: impl Into<SocketAddr>) -> (String, String) {
        let to = to.into();
        let mut stream = self.connect(from, to, LONG).unwrap_or_else(|e| panic!("{from} to {to}: {e}"));
        say(&mut stream)
    }

    fn reaches(&self, from: &str, to: impl Into<SocketAddr>) -> bool {
        self.connect(from, to, SHORT).is_ok()
    }
}

fn serve_tcp(listener: TcpListener, name: &'static str) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let peer = stream.peer_addr().unwrap().ip().to_canonical();
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
                    let _ = writeln!(reader.get_mut(), "{name} {peer}");
                }
            });
        }
    });
}

fn serve_udp(socket: UdpSocket, name: &'static str) {
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(format!("{name} {}", peer.ip().to_canonical()).as_bytes(), peer);
        }
    });
}

fn say(stream: &mut TcpStream) -> (String, String) {
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(b"hello\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let (name, peer) = line.trim().split_once(' ').unwrap();
    (name.into(), peer.into())
}

/// Ask over UDP until somebody answers.
fn ask_udp(socket: &UdpSocket, to: SocketAddr, tries: usize) -> Option<String> {
    socket.set_read_timeout(Some(SHORT)).unwrap();
    let mut buffer = [0; 64];
    (0..tries).find_map(|_| {
        socket.send_to(b"hello", to).unwrap();
        let size = socket.recv(&mut buffer).ok()?;
        String::from_utf8_lossy(&buffer[..size]).split(' ').next().map(Into::into)
    })
}

#[test]
fn a_denied_pod_is_out_of_reach_until_it_is_allowed() {
    lab(|lab| {
        lab.serve();
        let db = [(lab.v4("db"), PORT), (lab.v6("db"), PORT)];
        for to in db {
            let of = if to.0.is_ipv4() { lab.v4("web") } else { lab.v6("web") };
            assert_eq!(lab.ask("web", to), ("db".into(), of.to_string()));
        }
        let mut before = lab.connect("other", db[0], LONG).unwrap();
        lab.policy(json!({"podSelector": {"matchLabels": {"app": "db"}}}));
        for to in db {
            assert!(!lab.reaches("web", to) && !lab.reaches("other", to), "{to:?}");
            // The node always may: it probes.
            assert!(TcpStream::connect_timeout(&to.into(), LONG).is_ok());
            // So may the pod itself; and it may go where it likes.
            assert!(lab.connect("db", to, LONG).is_ok());
        }
        assert_eq!(lab.ask("db", (lab.v4("web"), PORT)).0, "web");
        assert_eq!(say(&mut before).0, "db", "what was connected stays so");
        lab.policy(json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{
            "from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 8000, "endPort": 8080}]}]}));
        for to in db {
            assert_eq!(lab.ask("web", to).0, "db");
            assert!(!lab.reaches("other", to), "{to:?}");
        }
    });
}

#[test]
fn egress_to_a_network_without_a_part_of_it_and_to_the_name_server() {
    lab(|lab| {
        serve_tcp(netns::run_in(&lab.ns("outside"), || TcpListener::bind(("::", PORT)).unwrap()).unwrap(), "outside");
        serve_tcp(TcpListener::bind((lab.config.gateway(), 53)).unwrap(), "dns");
        let (inside, except): (IpAddr, IpAddr) = ([198, 51, 100, 1].into(), [198, 51, 100, 200].into());
        let dns = SocketAddr::from((lab.config.gateway(), 53));
        for to in [inside, except] {
            assert_eq!(lab.ask("web", (to, PORT)), ("outside".into(), "192.0.2.1".into()), "masqueraded");
        }
        assert_eq!(lab.ask("web", dns).0, "dns");
        assert!(!lab.reaches("outside", dns), "not a name server for the world");
        lab.policy(json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [{
            "to": [{"ipBlock": {"cidr": "198.51.100.0/24", "except": ["198.51.100.128/25"]}}]}]}));
        assert_eq!(lab.ask("web", (inside, PORT)).0, "outside");
        assert!(!lab.reaches("web", (except, PORT)));
        assert!(!lab.reaches("web", dns), "isolation cuts off names too");
        assert_eq!(lab.ask("other", (except, PORT)).0, "outside", "others are not meant");
        lab.policy(json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [{
            "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
            "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}]}));
        assert_eq!(lab.ask("web", dns).0, "dns");
        assert!(!lab.reaches("web", (except, PORT)));
    });
}

#[test]
fn clients_stay_with_their_pod_where_the_service_says_so() {
    lab(|lab| {
        lab.serve();
        lab.service(1, &["web", "db"], false, Some(600), None);
        lab.service(2, &["web", "db"], false, None, None);
        let vips = |n: u8| lab.desired.services[usize::from(n) - 1].cluster_ips.clone();
        let (sticky, loose) = (vips(1), vips(2));
        let mut owners = vec![];
        for ip in &sticky {
            let first = lab.ask("other", (*ip, 80));
            assert_eq!(first.1, if ip.is_ipv4() { lab.v4("other") } else { lab.v6("other") }.to_string());
            for _ in 0..12 {
                assert_eq!(lab.ask("other", (*ip, 80)), first, "{ip}");
            }
            owners.push(first.0);
        }
        for ip in &loose {
            let mut seen: Vec<String> = (0..40).map(|_| lab.ask("other", (*ip, 80)).0).collect();
            seen.sort();
            seen.dedup();
            assert_eq!(seen, ["db", "web"], "chance decides");
        }
        // Another pod, and rules that have nothing to do with it.
        lab.desired.pods.get_mut("other").unwrap().labels.insert("s1".into(), "yes".into());
        lab.desired.services.pop();
        lab.policy(json!({"podSelector": {"matchLabels": {"app": "nobody"}}}));
        for (ip, owner) in sticky.iter().zip(&owners) {
            for _ in 0..12 {
                assert_eq!(lab.ask("other", (*ip, 80)).0, *owner, "a pod more moves nobody");
            }
            // Through the service to itself, which needs the node's address.
            assert!(["db", "web", "other"].contains(&lab.ask("db", (*ip, 80)).0.as_str()));
        }
        lab.ready(&owners[0].clone(), false);
        assert_ne!(lab.ask("other", (sticky[0], 80)).0, owners[0]);
    });
}

#[test]
fn who_is_not_ready_gets_nothing_new_and_keeps_what_it_has() {
    lab(|lab| {
        lab.serve();
        lab.service(1, &["db"], false, None, Some(30_080));
        let vip = lab.desired.services[0].cluster_ips.clone();
        let to = SocketAddr::from((vip[0], 80));
        let mut before = lab.connect("web", to, LONG).unwrap();
        assert_eq!(say(&mut before).0, "db");
        assert_eq!(lab.ask("db", to), ("db".into(), lab.config.gateway().to_string()), "to itself");
        assert_eq!(lab.ask("outside", (Ipv4Addr::new(192, 0, 2, 1), 30_080)), ("db".into(), "192.0.2.2".into()));
        for ip in &vip {
            assert!(TcpStream::connect_timeout(&(*ip, 80).into(), LONG).is_ok(), "from the node: {ip}");
        }
        lab.ready("db", false);
        assert_eq!(say(&mut before).0, "db");
        for ip in vip {
            let refused = lab.connect("web", (ip, 80), LONG).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{ip}");
            assert!(TcpStream::connect_timeout(&(ip, 80).into(), LONG).is_err());
        }
        assert!(lab.connect("outside", (Ipv4Addr::new(192, 0, 2, 1), 30_080), LONG).is_err());
    });
}

#[test]
fn a_udp_client_with_one_port_moves_when_its_pod_goes() {
    lab(|lab| {
        lab.serve_udp();
        lab.service(1, &["web", "db"], true, None, None);
        for ip in lab.desired.services[0].cluster_ips.clone() {
            let any = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let client = netns::run_in(&lab.ns("other"), || UdpSocket::bind(any).unwrap()).unwrap();
            let to = SocketAddr::from((ip, 80));
            let first = ask_udp(&client, to, 20).expect("an answer");
            assert_eq!(ask_udp(&client, to, 20).unwrap(), first, "one flow, one pod");
            lab.ready(&first, false);
            let second = ask_udp(&client, to, 20).expect("an answer of the other");
            assert_ne!(second, first);
            lab.ready(&first, true);
        }
    });
}

#[test]
fn no_pod_speaks_in_anothers_name() {
    lab(|lab| {
        let receiver = netns::run_in(&lab.ns("db"), || UdpSocket::bind(("::", PORT)).unwrap()).unwrap();
        receiver.set_read_timeout(Some(SHORT)).unwrap();
        let db = SocketAddr::from((lab.v4("db"), PORT));
        let send = |from: &str| {
            netns::run_in(&lab.ns("other"), || UdpSocket::bind(from).unwrap().send_to(b"x", db)).unwrap().unwrap();
        };
        netns::run_in(&lab.ns("other"), || ip(&format!("addr add {}/32 dev eth0", lab.v4("web")))).unwrap();
        let mut buffer = [0; 8];
        send(&format!("{}:0", lab.v4("web")));
        assert!(receiver.recv_from(&mut buffer).is_err(), "the address of another pod");
        send(&format!("{}:0", lab.v4("other")));
        receiver.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(receiver.recv_from(&mut buffer).unwrap().1.ip().to_canonical(), lab.v4("other"));
    });
}

#[test]
fn links_go_without_a_trace() {
    lab(|lab| {
        let exists = |p: &Path| netns::exists(p);
        assert!(exists(&lab.ns("web")) && links::link_exists(&links::host_link("web")));
        lab.runtime.block_on(links::delete_pod(&lab.ns("web"), "web")).unwrap();
        assert!(!exists(&lab.ns("web")) && !links::link_exists(&links::host_link("web")));
    });
}
