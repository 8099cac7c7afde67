//! Links, addresses and routes through rtnetlink.
//!
//! The loopback link carries the node's address in the pod network. Each pod
//! has a veth pair; the node has a route to the pod's one address over it, and
//! the pod a default route to the node's address. The node answers ARP for that
//! address on every link, as Linux does for all its addresses.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{link::LinkAttribute, route::RouteScope},
};
use skerry_platform::netns;

/// Prefix of the virtual addresses of services.
const SERVICES: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 16);
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

/// The node's address in the pod network, the services' route, forwarding. Safe
/// to repeat; changes nothing where all is there.
pub(crate) async fn ensure_base(gateway: Ipv4Addr) -> Result<(), LinkError> {
    let nl = Netlink::open()?;
    let index = nl.index(LOOPBACK).await?;
    let up = LinkUnspec::new_with_index(index).up().build();
    nl.handle.link().set(up).execute().await.map_err(refused("set up", LOOPBACK))?;
    nl.handle
        .address()
        .add(index, IpAddr::V4(gateway), 32)
        .replace()
        .execute()
        .await
        .map_err(refused("set the pods' gateway on", LOOPBACK))?;
    // Without it, clients on the node would have no way to a service where
    // there is no default route. Only unserved packets would ever go there, and
    // those are rejected.
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(SERVICES.0, SERVICES.1)
        .output_interface(index)
        .pref_source(gateway)
        .build();
    nl.handle.route().add(route).replace().execute().await.map_err(refused("set the services' route on", LOOPBACK))?;
    sysctl("net/ipv4/ip_forward", "1")
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
pub(crate) async fn create_pod(ns: &Path, uid: &str, ip: Ipv4Addr, gateway: Ipv4Addr) -> Result<(), LinkError> {
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
    let up = LinkUnspec::new_with_index(index).up().build();
    nl.handle.link().set(up).execute().await.map_err(refused("set up", &host))?;
    // Clients on the node may use 127.0.0.1:NODEPORT; see the guard rule.
    sysctl(&format!("net/ipv4/conf/{host}/route_localnet"), "1")?;
    netns::run_in(ns, || inside(&peer, ip, gateway))??;
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(ip, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
        .pref_source(gateway)
        .build();
    nl.handle.route().add(route).replace().execute().await.map_err(refused("set the pod's route on", &host))
}

/// Set the pod's side up. Runs on a thread of its own inside the namespace.
fn inside(peer: &str, ip: Ipv4Addr, gateway: Ipv4Addr) -> Result<(), LinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io("start", Path::new("a runtime in the pod's namespace")))?;
    runtime.block_on(async {
        let nl = Netlink::open()?;
        let lo = LinkUnspec::new_with_index(nl.index(LOOPBACK).await?).up().build();
        nl.handle.link().set(lo).execute().await.map_err(refused("set up", LOOPBACK))?;
        let index = nl.index(peer).await?;
        let named = LinkMessageBuilder::<LinkUnspec>::new()
            .index(index)
            .append_extra_attribute(LinkAttribute::IfName(POD_INTERFACE.into()))
            .build();
        nl.handle.link().set(named).execute().await.map_err(refused("rename", peer))?;
        let refuse = |operation| refused(operation, POD_INTERFACE);
        nl.handle.address().add(index, IpAddr::V4(ip), 32).execute().await.map_err(refuse("set the address of"))?;
        let up = LinkUnspec::new_with_index(index).up().build();
        nl.handle.link().set(up).execute().await.map_err(refuse("set up"))?;
        let node = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(gateway, 32)
            .output_interface(index)
            .scope(RouteScope::Link)
            .build();
        nl.handle.route().add(node).execute().await.map_err(refuse("set the route to the node on"))?;
        let rest = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index).build();
        nl.handle.route().add(rest).execute().await.map_err(refuse("set the default route of"))
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
