//! Names for pods: Services and pods of the node, and the world's names
//! through the node's name servers, remembered for when the WAN is down.
//!
//! [`Zone`], made by [`zone()`] from objects, is what the node itself knows (Kubernetes DNS-Based Service
//! Discovery 1.1.0); [`answer`] turns a question into an answer from it, pure.
//! Everything else goes to the upstream servers through [`Cache`], which hands
//! out stale answers where no fresh ones can be had (RFC 8767). [`Server`]
//! listens on UDP and TCP.
//!
//! Not a resolver: it asks the node's name servers and does not recurse, and it
//! does not check DNSSEC (it passes the bits on).

mod answer;
mod cache;
mod objects;
mod server;
mod servers;
mod upstream;
mod zone;

pub use answer::{Verdict, answer};
pub use cache::{Cache, Found};
pub use objects::zone;
pub use server::{Server, Settings};
pub use servers::{read_upstreams, upstreams};
pub use zone::{Endpoint, Lookup, Port, Protocol, Service, Zone};
