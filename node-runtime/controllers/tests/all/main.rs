//! The controllers against a small world in memory.
#![allow(clippy::unwrap_used, missing_docs)]

mod cluster;
mod deployments;
mod replicasets;
mod scheduling;
