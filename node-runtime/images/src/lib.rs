//! Images that are not baked into the release: pulled from OCI registries into a
//! store on DATA of the same form as SYSTEM's objects.
//!
//! [`Puller`] is what the orchestrator talks to: pull policies, back-off, events.
//! Below it [`Store::pull`] does one pull:
//!
//! reference → registry → blobs in `partial/` → layers merged in memory, contents
//! to objects → EROFS image → record
//!
//! On the disk (`/var/lib/skerry/images`, DATA):
//!
//! - `objects/ab/cdef…`: files by fs-verity digest, sealed where the file system
//!   has fs-verity ([`Store::sealing`] tells);
//! - `images/DIGEST.json` and `.objects`: one image, by its manifest's digest. An
//!   image is there once its `.json` is;
//! - `partial/DIGEST.part` and `.blob`: downloads.
//!
//! Not here: baked images (SYSTEM, the updater's) and mounting (orchestrator).

mod auth;
mod credentials;
mod document;
mod download;
mod erofs;
mod gc;
mod layers;
mod locks;
mod objects;
mod pull;
mod puller;
mod record;
mod reference;
mod registry;
mod store;
mod tree;

pub use credentials::{CredentialsError, Keyring, Login};
pub use document::DocumentError;
pub use download::Progress;
pub use gc::{Collected, pressure};
pub use layers::LayerError;
pub use objects::{ObjectError, Sealing, Space};
pub use pull::PullError;
pub use puller::{
    BACKOFF_SECS_FIRST, BACKOFF_SECS_MAX, Event, ImageState, PullPolicy, Puller, PullerHandle, Request, by_image,
};
pub use reference::{Reference, ReferenceError};
pub use registry::{Registry, RegistryError, RegistryOptions};
pub use store::{Listed, PulledImage, Store, StoreError, StoreOptions};
