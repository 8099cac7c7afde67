//! Kubernetes objects as Skerry understands them: which fields the node acts
//! on, defaults, validation, Pod Security Standards, manifest files.
//!
//! Pure: the builder calls it when an image is built, so that a bad manifest
//! never reaches a node, and the node calls it on every write ([`admit`]). It
//! does not decide what to do with a workload; that is `controllers` and the
//! orchestrator.
//!
//! Nothing is silently dropped: a kind, a field or a value that the node does
//! not act on is an error that names it. `fields` is the list of what is
//! supported, [`reference()`] prints it.

mod across;
mod admit;
mod cause;
mod checks;
mod defaults;
mod family;
mod fields;
mod images;
mod nearest;
mod parse;
mod problem;
mod qos;
pub mod quantity;
mod reference;
mod security;
mod shape;
mod template;
mod types;
mod verdict;
mod walk;

pub use across::{check_restricted, check_security};
pub use admit::{FieldValidation, OBJECT_BYTES_MAX, admit, admit_status, refusal};
pub use cause::UNKNOWN_FIELD;
pub use defaults::initial_status;
pub use family::{Family, SERVICE_NETWORK4, SERVICE_NETWORK6, is_service_address, service_networks};
pub use fields::{PODS_MAX, shape_of};
pub use images::{ImageUse, images_used};
pub use parse::{FILE_BYTES_MAX, Head, Object, Workload, parse_manifests};
pub use problem::{Origin, Problem};
pub use qos::qos_class;
pub use reference::reference;
pub use security::{
    Level, NamespaceLevels, VERSION as POD_SECURITY_VERSION, Violation, message as pod_security_message,
    namespace_levels, pod_security,
};
pub use shape::{Fields, Shape};
pub use template::{pod_of, pod_path};
pub use verdict::{Reason, Verdict, check_manifests};
