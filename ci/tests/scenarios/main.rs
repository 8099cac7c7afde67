//! What a node must survive, tried on real images in virtual machines.
#![allow(clippy::unwrap_used, missing_docs)]

mod apps;
mod corruption;
mod life;
mod network;
mod power;
mod reproducible;
mod rollback;
mod storage;
mod watchdog;
