//! `skerry`: builds signed, minimal, bootable images for edge boxes.
//!
//! The modules stand in the order of the data: plan (crate `skerry-plan`),
//! [`packages`], [`tree`], [`commit`], [`image`], [`release`], [`deliver`];
//! [`inputs`] reads what people wrote, [`build`] runs the line; [`connect`] gets
//! to the nodes afterwards. [`host`] is the only place that starts programs, and
//! [`progress`] the only way a step talks to the person in front of it.

pub mod build;
pub mod cli;
pub mod commit;
pub mod connect;
pub mod deliver;
pub mod host;
pub mod image;
pub mod inputs;
pub mod packages;
pub mod progress;
pub mod release;
pub mod tree;
