//! The controllers of the Kubernetes API, as one pure function.
//!
//! [`run`] looks at all objects ([`World`]) and returns what must change
//! ([`Change`]) to come nearer to what they say: ReplicaSets for Deployments,
//! pods for ReplicaSets, Jobs for CronJobs, addresses for Services, statuses
//! for all. The caller carries the changes out through the registry and calls
//! again; no change means rest until [`Outcome::wake_at`] or another change of
//! the world. A change that fails (conflict, quota) is simply found again.

mod world;

pub use world::{Change, EventKind, Outcome, World};
