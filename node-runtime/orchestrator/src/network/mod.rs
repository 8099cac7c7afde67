//! Pod networks: one veth pair and namespace per pod, routed by the node, one
//! nftables table.
//!
//! Which addresses exist is state ([`ipam`]); what the packet filter does
//! follows from it ([`ruleset`] and [`policy`], pure; [`render`] writes it down
//! for `nft`). `links`, `filter` and `conntrack` talk to the kernel.
//!
//! Pods share no Ethernet: each hangs on the node by a link of its own, so that
//! every packet between pods passes the node's forwarding and its policies, and
//! no pod can pose as another.

mod conntrack;
pub(crate) mod filter;
pub mod ipam;
pub(crate) mod links;
pub mod policy;
mod render;
mod ruleset;

pub use render::{Kept, Names, render};
pub use ruleset::{Endpoint, Forward, Ruleset, ruleset_input};

#[cfg(test)]
mod traffic_tests;
