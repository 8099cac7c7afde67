//! Plan: what will be built, as a value.
//!
//! Pure: parsers take text, `plan` takes parsed inputs and returns a printable,
//! serializable, lintable `Plan`; other crates open files and act.

pub mod board;
pub mod lock;
pub mod spec;
