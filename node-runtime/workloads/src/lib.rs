//! Kubernetes manifests as Skerry understands them: parse, refuse what is not
//! supported, check against the Pod Security Standard "restricted".
//!
//! Pure: the builder calls it when an image is built, so that a bad manifest
//! never reaches a node, and the orchestrator calls it again on what is baked.
//! It does not decide what to do with a workload; that is the orchestrator's
//! `plan`.
//!
//! Nothing is silently dropped: a kind, a field or a value that the
//! orchestrator does not act on is an error that names file, document and
//! field.

mod fields;
mod images;
mod parse;
mod problem;
pub mod quantity;
mod restricted;
mod shape;
mod validate;

pub use images::{ImageUse, images_used};
pub use parse::{FILE_BYTES_MAX, Object, Workload, parse_manifests};
pub use problem::{Origin, Problem};
pub use restricted::check_restricted;
