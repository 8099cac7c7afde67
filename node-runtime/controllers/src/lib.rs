//! The controllers of the Kubernetes API, as one pure function.
//!
//! [`run`] looks at all objects ([`World`]) and returns what must change
//! ([`Change`]) to come nearer to what they say: ReplicaSets for Deployments,
//! pods for ReplicaSets, Jobs for CronJobs, addresses for Services, statuses
//! for all. The caller carries the changes out through the registry and calls
//! again; no change means rest until [`Outcome::wake_at`] or another change of
//! the world. A change that fails (conflict, quota) is simply found again.

mod claims;
mod deployment;
mod kinds;
mod labels;
mod pods;
mod replicaset;
mod run;
mod scheduler;
mod world;

pub use world::{Change, EventKind, Outcome, World};

/// What must change now.
pub fn run(world: &World<'_>) -> Outcome {
    let mut run = run::Run::new(world);
    let pods = run.all(kinds::pod());
    let sets = run.all(kinds::replica_set());
    let deployments = run.all(kinds::deployment());
    let nodes = run.all(kinds::node());
    let claims = run.all(kinds::claim());
    let by_owner = run::by_owner(&pods);
    deployment::run(&mut run, &deployments, &sets, &by_owner);
    replicaset::run(&mut run, &sets, &pods);
    scheduler::run(&mut run, &nodes, &pods, &claims);
    run.finish()
}
