//! The update daemon: it carries out what `skerry-update-core` decides.
//!
//! In the order of an update: [`check`] (TUF, release, index), [`fetch`]
//! (objects over HTTP, resumable), [`store`] (SYSTEM: landing, sealing,
//! pruning), [`stage`] (release record and boot entry), [`health`] (the gate),
//! all driven by [`daemon`]. What touches the machine goes through
//! [`facilities`], so that the daemon runs in tests on a folder. [`pulse`] tells
//! the service manager whether the daemon still moves.

pub mod check;
pub mod config;
pub mod daemon;
pub mod error;
pub mod facilities;
pub mod fetch;
pub mod health;
pub mod pulse;
pub mod source;
pub mod stage;
pub mod status;
pub mod store;
pub mod web;

pub use config::Config;
pub use daemon::run;
pub use error::UpdateError;
