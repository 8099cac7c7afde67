//! The name server of the pods: names of Services and pods from the store, the
//! world's names from the node's own servers.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use skerry_dns::{Server, Settings, Zone, read_upstreams, zone};
use skerry_machinery::kind;
use skerry_platform::resolv::RESOLV_CONF;
use skerry_store::Store;

use crate::view::Cache;

/// Domain of the cluster.
const DOMAIN: &str = "cluster.local.";
/// Port of name servers.
const PORT: u16 = 53;
/// The gateway's address is made by the kubelet part; until then, and after
/// an error, it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Vain tries after which the log says so.
const TELL_AFTER: u32 = 30;
/// How often the node's own servers are read again.
const REREAD: Duration = Duration::from_secs(30);

/// Serve names at the pods' gateway until the future is dropped.
pub(crate) async fn serve(gateway: Ipv4Addr, store: Store) {
    let server = match Server::new(DOMAIN) {
        Ok(server) => server,
        Err(e) => return tracing::error!("no names for pods: {e}"),
    };
    let listening = async {
        let mut tries = 0u32;
        loop {
            if let Err(e) = server.serve(SocketAddr::new(gateway.into(), PORT)).await {
                tries = tries.saturating_add(1);
                if tries == TELL_AFTER {
                    tracing::error!("pods have no name server at {gateway}: {e}");
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::join!(listening, follow(&server, gateway.into(), &store));
}

/// Tell the server what the store holds.
async fn follow(server: &Server, gateway: IpAddr, store: &Store) {
    let mut services = Cache::<Service>::new("", "Service");
    let mut slices = Cache::<EndpointSlice>::new("discovery.k8s.io", "EndpointSlice");
    let mut revisions = store.revisions();
    let mut known: (Arc<Zone>, Vec<SocketAddr>) = (Arc::default(), vec![]);
    loop {
        revisions.borrow_and_update();
        services.refresh(store);
        slices.refresh(store);
        let namespaces: Vec<String> =
            store.list(kind("", "Namespace"), None).1.iter().map(|n| n.key.name.clone()).collect();
        let now = (
            Arc::new(zone(services.all().map(Arc::as_ref), slices.all().map(Arc::as_ref), &namespaces)),
            read_upstreams(Path::new(RESOLV_CONF), &[gateway]),
        );
        if now != known {
            server.set(Settings { zone: now.0.clone(), upstream: now.1.clone() });
            known = now;
        }
        tokio::select! {
            changed = revisions.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(REREAD) => {}
        }
    }
}
