//! Pod networks: one bridge, one veth pair and namespace per pod, one
//! nftables table.
//!
//! Which addresses exist is state ([`ipam`]); what the packet filter does
//! follows from it ([`ruleset`], pure). [`links`] talks to the kernel.

pub mod ipam;
pub(crate) mod links;
mod ruleset;

pub use ruleset::{Endpoint, Forward, Ruleset, render, ruleset_input};
