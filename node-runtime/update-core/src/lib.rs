//! The update machine, pure: `step(state, event, env)` returns the next state
//! and what to do. It knows no disk, no clock, no network and no randomness;
//! all of that comes in with the event and [`Env`]. The daemon around it is
//! `skerry-updater`.
//!
//! The diagram of `docs/update-states.md` is compared with [`TRANSITIONS`] by a
//! test, and [`TRANSITIONS`] with what [`step`] does.

pub mod backoff;
pub mod boot;
pub mod event;
pub mod state;
pub mod step;
pub mod table;

pub use event::{Action, BootObservation, Cause, DiskRelease, Env, Event, Failure, Now, Plan, Policy, Problem};
pub use state::{Cost, Phase, State, TufFloor};
pub use step::{IllegalTransition, step};
pub use table::{TRANSITIONS, mermaid};
