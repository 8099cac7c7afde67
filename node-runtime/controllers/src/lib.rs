//! The controllers of the Kubernetes API, as one pure function.
//!
//! [`run`] looks at all objects ([`World`]) and returns what must change
//! ([`Change`]) to come nearer to what they say: ReplicaSets for Deployments,
//! pods for ReplicaSets, Jobs for CronJobs, addresses for Services, statuses
//! for all. The caller carries the changes out through the registry and calls
//! again; no change means rest until [`Outcome::wake_at`] or another change of
//! the world. A change that fails (conflict, quota) is simply found again.

mod claims;
mod cron;
mod cronjob;
mod daemonset;
mod deployment;
mod endpoints;
mod gc;
mod job;
mod kinds;
mod labels;
mod namespaces;
mod pods;
mod replicaset;
mod revisions;
mod run;
mod scheduler;
mod statefulset;
mod volumes;
mod world;

pub use world::{Change, EventKind, Outcome, World};

/// What must change now.
pub fn run(world: &World<'_>) -> Outcome {
    let mut run = run::Run::new(world);
    let pods = run.all(kinds::pod());
    let nodes = run.all(kinds::node());
    let claims = run.all(kinds::claim());
    let revisions = run.all(kinds::revision());
    let jobs = run.all(kinds::job());
    let by_owner = run::by_owner(&pods);
    // Deletions first: an object is written once a run, and what goes should
    // not be kept by a new status.
    namespaces::run(&mut run);
    gc::run(&mut run);
    let sets = run.all(kinds::replica_set());
    let deployments = run.all(kinds::deployment());
    deployment::run(&mut run, &deployments, &sets, &by_owner);
    replicaset::run(&mut run, &sets, &pods);
    let sets = run.all(kinds::stateful_set());
    statefulset::run(&mut run, &sets, &pods, &claims, &revisions);
    let sets = run.all(kinds::daemon_set());
    daemonset::run(&mut run, &sets, &pods, &nodes, &revisions);
    let cron_jobs = run.all(kinds::cron_job());
    cronjob::run(&mut run, &cron_jobs, &jobs);
    job::run(&mut run, &jobs, &pods);
    let classes = run.all(kinds::storage_class());
    let volumes = run.all(kinds::volume());
    volumes::run(&mut run, &classes, &volumes, &claims, &pods);
    scheduler::run(&mut run, &nodes, &pods, &claims);
    let services = run.all(kinds::service());
    let slices = run.all(kinds::endpoint_slice());
    endpoints::run(&mut run, &services, &slices, &pods);
    run.finish()
}
