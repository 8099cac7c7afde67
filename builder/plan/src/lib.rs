//! Plan: what will be built, as a value.
//!
//! Pure: parsers take text, `plan` takes parsed inputs and returns a printable,
//! serializable, lintable `Plan`; other crates open files and act.

pub mod base;
pub mod board;
pub mod lock;
pub mod plan;
mod read;
pub mod spec;

pub use plan::{Plan, PlanInputs, lint, plan};
pub use read::{Problem, Problems};
