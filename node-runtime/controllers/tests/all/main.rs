//! The controllers against a small world in memory.
#![allow(clippy::unwrap_used, missing_docs)]

mod cluster;
mod cronjobs;
mod daemonsets;
mod deployments;
mod endpoints;
mod garbage;
mod jobs;
mod replicasets;
mod scheduling;
mod statefulsets;
mod volumes;
