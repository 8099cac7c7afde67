//! Tree: from unpacked packages, node binaries and app images to finished file
//! trees.

pub mod app;
pub mod config;
pub mod elf;
#[cfg(test)]
pub(crate) mod elf_fixture;
pub mod error;
pub mod lint;
pub mod model;
pub mod modules;
pub mod os;
pub mod select;
pub mod users;
