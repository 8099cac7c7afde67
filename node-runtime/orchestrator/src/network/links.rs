//! Links, addresses and routes through rtnetlink.
//!
//! The loopback link carries the node's address in the pod network. Each pod
//! has a veth pair; the node has a route to the pod's one address over it, and
//! the pod a default route to the node's address. The node answers ARP for that
//! address on every link, as Linux does for all its addresses. Where the node
//! has IPv6, the same goes for a second address, with `fe80::1` on the node's
//! end of each pair as the pod's way out.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::AddressHeaderFlags,
        link::LinkAttribute,
        route::{RouteMessage, RouteScope, RouteType},
    },
};
use skerry_platform::netns;

use crate::desired::services::{NETWORK4, NETWORK6};

/// The node's address on each pod's link: IPv6 answers for an address only on
/// the link that has it.
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Link of the node's own addresses.
const LOOPBACK: &str = "lo";
/// What the names of the node's ends of the pods' links begin with.
pub(crate) const HOST_LINKS: &str = "skp";
/// Name of a pod's interface inside the pod.
const POD_INTERFACE: &str = "eth0";

/// What failed on a link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A netlink request was refused.
    #[error("cannot {operation} {link}: {detail}")]
    Netlink {
        /// What was tried.
        operation: &'static str,
        /// On which link.
        link: String,
        /// The kernel's answer.
        detail: String,
    },
    /// A network namespace could not be made or entered.
    #[error("{0}: {source}", source = std::error::Error::source(.0).map(ToString::to_string).unwrap_or_default())]
    Namespace(#[from] netns::NetnsError),
    /// A kernel setting or a socket failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn refused<'a>(operation: &'static str, link: &'a str) -> impl Fn(rtnetlink::Error) -> LinkError + 'a {
    move |e| LinkError::Netlink { operation, link: link.into(), detail: e.to_string() }
}

fn io<'a>(operation: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> LinkError + 'a {
    move |source| LinkError::Io { operation, path: path.display().to_string(), source }
}

/// A netlink connection in the current network namespace.
struct Netlink {
    handle: Handle,
    task: tokio::task::JoinHandle<()>,
}

impl Netlink {
    fn open() -> Result<Self, LinkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(io("open", Path::new("a netlink socket")))?;
        Ok(Self { handle, task: tokio::spawn(connection) })
    }

    async fn index(&self, name: &str) -> Result<u32, LinkError> {
        use futures::TryStreamExt;
        let mut found = self.handle.link().get().match_name(name).execute();
        let link = found.try_next().await.map_err(refused("find", name))?;
        link.map(|l| l.header.index).ok_or_else(|| LinkError::Netlink {
            operation: "find",
            link: name.into(),
            detail: "not there".into(),
        })
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Netlink {
    /// Give a link an address that is not looked for on the link first: nobody
    /// else can have it, and it is needed at once.
    async fn address(&self, index: u32, ip: IpAddr, length: u8) -> Result<(), rtnetlink::Error> {
        let mut request = self.handle.address().add(index, ip, length).replace();
        if ip.is_ipv6() {
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        request.execute().await
    }

    async fn up(&self, index: u32, name: &str) -> Result<(), LinkError> {
        let up = LinkUnspec::new_with_index(index).up().build();
        self.handle.link().set(up).execute().await.map_err(refused("set up", name))
    }

    async fn route(&self, route: RouteMessage) -> Result<(), rtnetlink::Error> {
        self.handle.route().add(route).replace().execute().await
    }
}

/// Is there a link of this name in the current namespace?
pub(crate) fn link_exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
        || std::fs::read_to_string("/proc/thread-self/net/dev")
            .is_ok_and(|t| t.lines().any(|l| l.split(':').next().is_some_and(|n| n.trim() == name)))
}

/// Name of the node's end of a pod's veth pair; at most 15 bytes.
pub(crate) fn host_link(uid: &str) -> String {
    let short: String = uid.chars().filter(|c| *c != '-').take(11).collect();
    format!("{HOST_LINKS}{short}")
}

/// The node's addresses in the pod networks, the services' routes, forwarding.
/// Safe to repeat; changes nothing where all is there.
pub(crate) async fn ensure_base(gateway: Ipv4Addr, gateway6: Option<Ipv6Addr>) -> Result<(), LinkError> {
    let nl = Netlink::open()?;
    let index = nl.index(LOOPBACK).await?;
    nl.up(index, LOOPBACK).await?;
    let refuse = |operation| refused(operation, LOOPBACK);
    nl.address(index, gateway.into(), 32).await.map_err(refuse("set the pods' gateway on"))?;
    // Without it, clients on the node would have no way to a service where
    // there is no default route. Only unserved packets would ever go there, and
    // those are rejected.
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(NETWORK4.0, NETWORK4.1)
        .output_interface(index)
        .pref_source(gateway);
    nl.route(route.build()).await.map_err(refuse("set the services' route on"))?;
    sysctl("net/ipv4/ip_forward", "1")?;
    let Some(gateway6) = gateway6 else { return Ok(()) };
    nl.address(index, gateway6.into(), 128).await.map_err(refuse("set the pods' gateway of IPv6 on"))?;
    // IPv6 takes a plain route over the loopback link for one to nowhere; a
    // local one serves the same end.
    let route = RouteMessageBuilder::<Ipv6Addr>::new()
        .kind(RouteType::Local)
        .destination_prefix(NETWORK6.0, NETWORK6.1)
        .output_interface(index)
        .pref_source(gateway6);
    nl.route(route.build()).await.map_err(refuse("set the services' route of IPv6 on"))?;
    forwarding6()
}

/// Forwarding of IPv6 is for all links or none. A link that finds its router by
/// itself would stop to do so on a forwarding node, so it is told to go on.
fn forwarding6() -> Result<(), LinkError> {
    const ALL: &str = "net/ipv6/conf/all/forwarding";
    if std::fs::read_to_string(Path::new("/proc/sys").join(ALL)).is_ok_and(|v| v.trim() == "1") {
        return Ok(());
    }
    for link in std::fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten() {
        let key = format!("net/ipv6/conf/{}/accept_ra", link.file_name().to_string_lossy());
        if std::fs::read_to_string(Path::new("/proc/sys").join(&key)).is_ok_and(|v| v.trim() == "1") {
            sysctl(&key, "2")?;
        }
    }
    sysctl(ALL, "1")
}

/// Addresses of a pod and of its gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) ip: Ipv4Addr,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) ip6: Option<Ipv6Addr>,
}

fn sysctl(key: &str, value: &str) -> Result<(), LinkError> {
    let path = PathBuf::from("/proc/sys").join(key);
    if std::fs::read_to_string(&path).is_ok_and(|v| v.trim() == value) {
        return Ok(());
    }
    std::fs::write(&path, value).map_err(io("write", &path))
}

/// Namespace at `ns`, veth pair, addresses and routes of a pod. What is left of
/// an earlier attempt is removed first.
pub(crate) async fn create_pod(ns: &Path, uid: &str, addresses: &Addresses) -> Result<(), LinkError> {
    delete_pod(ns, uid).await?;
    netns::create(ns)?;
    let host = host_link(uid);
    let peer = format!("{host}p").replacen(HOST_LINKS, "sk", 1);
    let nl = Netlink::open()?;
    nl.handle.link().add(LinkVeth::new(&host, &peer).build()).execute().await.map_err(refused("create", &host))?;
    let file = File::open(ns).map_err(io("open", ns))?;
    let into = LinkUnspec::new_with_index(nl.index(&peer).await?).setns_by_fd(file.as_raw_fd()).build();
    nl.handle.link().set(into).execute().await.map_err(refused("move into the pod", &peer))?;
    let index = nl.index(&host).await?;
    nl.up(index, &host).await?;
    // Clients on the node may use 127.0.0.1:NODEPORT; see the guard rule.
    sysctl(&format!("net/ipv4/conf/{host}/route_localnet"), "1")?;
    netns::run_in(ns, || inside(&peer, addresses))??;
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(addresses.ip, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
        .pref_source(addresses.gateway);
    nl.route(route.build()).await.map_err(refused("set the pod's route on", &host))?;
    let Some(ip6) = addresses.ip6 else { return Ok(()) };
    nl.address(index, GATEWAY6.into(), 64).await.map_err(refused("set the gateway of IPv6 on", &host))?;
    let route = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(ip6, 128).output_interface(index);
    nl.route(route.build()).await.map_err(refused("set the pod's route of IPv6 on", &host))
}

/// Set the pod's side up. Runs on a thread of its own inside the namespace.
fn inside(peer: &str, addresses: &Addresses) -> Result<(), LinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io("start", Path::new("a runtime in the pod's namespace")))?;
    runtime.block_on(async {
        let nl = Netlink::open()?;
        nl.up(nl.index(LOOPBACK).await?, LOOPBACK).await?;
        let index = nl.index(peer).await?;
        let named = LinkMessageBuilder::<LinkUnspec>::new()
            .index(index)
            .append_extra_attribute(LinkAttribute::IfName(POD_INTERFACE.into()))
            .build();
        nl.handle.link().set(named).execute().await.map_err(refused("rename", peer))?;
        let refuse = |operation| refused(operation, POD_INTERFACE);
        nl.address(index, addresses.ip.into(), 32).await.map_err(refuse("set the address of"))?;
        nl.up(index, POD_INTERFACE).await?;
        let gateway = addresses.gateway;
        let node = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(gateway, 32)
            .output_interface(index)
            .scope(RouteScope::Link);
        nl.route(node.build()).await.map_err(refuse("set the route to the node on"))?;
        let rest = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index);
        nl.route(rest.build()).await.map_err(refuse("set the default route of"))?;
        let Some(ip6) = addresses.ip6 else { return Ok(()) };
        nl.address(index, ip6.into(), 128).await.map_err(refuse("set the address of IPv6 of"))?;
        let rest = RouteMessageBuilder::<Ipv6Addr>::new().gateway(GATEWAY6).output_interface(index);
        nl.route(rest.build()).await.map_err(refuse("set the default route of IPv6 of"))
    })
}

/// Namespace and link go; what is not there is fine.
pub(crate) async fn delete_pod(ns: &Path, uid: &str) -> Result<(), LinkError> {
    let host = host_link(uid);
    let nl = Netlink::open()?;
    // Gone already, or goes with its namespace.
    if let Ok(index) = nl.index(&host).await {
        nl.handle.link().del(index).execute().await.map_err(refused("delete", &host))?;
    }
    Ok(netns::delete(ns)?)
}
