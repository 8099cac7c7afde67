//! The kubelet's part: which images are pulled when, for whom, and what pods are
//! told about it.

mod desk;
mod task;

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

pub use desk::{BACKOFF_SECS_FIRST, BACKOFF_SECS_MAX};
pub use task::{Puller, PullerHandle};

use crate::{credentials::Keyring, store::PulledImage};

/// When the registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Once for every request: the image is then the one that the registry has.
    Always,
    /// Only if the image is not here.
    IfNotPresent,
    /// Never.
    Never,
}

impl FromStr for PullPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "Always" => Ok(Self::Always),
            "IfNotPresent" => Ok(Self::IfNotPresent),
            "Never" => Ok(Self::Never),
            other => Err(format!("imagePullPolicy {other:?} is not Always, IfNotPresent or Never")),
        }
    }
}

/// Somebody wants an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who, in words of the caller, such as `POD-UID/CONTAINER`. With
    /// [`PullPolicy::Always`] the registry is asked once for each key.
    pub key: String,
    /// The image, as the pod names it.
    pub image: String,
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// Passwords of the pod's `imagePullSecrets`.
    pub keyring: Keyring,
}

/// State of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// The image can be used. It is not collected while this value lives.
    Present(Arc<PulledImage>),
    /// It is on its way.
    Pulling,
    /// It could not be had.
    Failed {
        /// `ErrImagePull`, `ImagePullBackOff`, `ErrImageNeverPull`,
        /// `InvalidImageName`.
        reason: &'static str,
        /// One line.
        message: String,
    },
}

/// Something to tell people about a request, in the kubelet's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Of which request.
    pub key: String,
    /// Worth a look?
    pub warning: bool,
    /// `Pulling`, `Pulled`, `Failed`, `BackOff`, `InspectFailed`,
    /// `ErrImageNeverPull`.
    pub reason: &'static str,
    /// One line.
    pub message: String,
}

/// States by the names that pods use, where several requests for one name count
/// as one: present if any of them has it, failed only if all have failed.
pub fn by_image(requests: &[Request], states: &BTreeMap<String, ImageState>) -> BTreeMap<String, ImageState> {
    let rank = |s: &ImageState| match s {
        ImageState::Failed { .. } => 0,
        ImageState::Pulling => 1,
        ImageState::Present(_) => 2,
    };
    let mut images: BTreeMap<String, ImageState> = BTreeMap::new();
    for request in requests {
        let Some(state) = states.get(&request.key) else { continue };
        match images.get(&request.image) {
            Some(better) if rank(better) >= rank(state) => {}
            _ => drop(images.insert(request.image.clone(), state.clone())),
        }
    }
    images
}
