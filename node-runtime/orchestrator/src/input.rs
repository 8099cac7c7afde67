//! What comes in and what goes out: the seam to whoever keeps the objects.
//!
//! The other side hands a whole [`Input`] through a `tokio::sync::watch`
//! channel whenever something changed, and takes [`Output`]s from a bounded
//! channel. Statuses and deletions that do not fit are offered again in the
//! next round; an event that does not fit is lost.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use k8s_openapi::api::{core::v1 as core, networking::v1 as networking};
use skerry_formats::ObjectDigest;
use skerry_formats::baked::{AppConfig, BakedApp};

use crate::desired::Workload;

/// Namespace and name.
pub type Name = (String, String);

/// Everything that shall be. Objects are shared, so that a copy is cheap.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Pods of this node, with uid, name and namespace.
    pub pods: Vec<Arc<core::Pod>>,
    /// Services.
    pub services: Vec<Arc<core::Service>>,
    /// Network policies.
    pub policies: Vec<Arc<networking::NetworkPolicy>>,
    /// Labels of the namespaces, by name. The label
    /// `kubernetes.io/metadata.name` need not be among them.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Do pods and Services get IPv6 addresses beside the others? See
    /// [`crate::Config::ipv6`].
    pub ipv6: bool,
    /// ConfigMaps.
    pub config_maps: BTreeMap<Name, Arc<core::ConfigMap>>,
    /// Secrets.
    pub secrets: BTreeMap<Name, Arc<core::Secret>>,
    /// Folders of claims.
    pub claims: BTreeMap<Name, PathBuf>,
    /// Images by the reference that pods use.
    pub images: BTreeMap<String, ImageState>,
    /// Baked workloads, for the status document.
    pub workloads: Vec<Workload>,
    /// What is wrong with the manifests, one line each.
    pub errors: Vec<String>,
}

/// State of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageState {
    /// It can be used.
    Present(Arc<Image>),
    /// It is on its way.
    Pulling,
    /// It could not be had.
    Failed {
        /// `ErrImagePull`, `ImagePullBackOff`, `InvalidImageName`.
        reason: String,
        /// One line.
        message: String,
    },
}

/// An image that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Name of the app.
    pub app: String,
    /// Digest, `sha256:…`.
    pub id: String,
    /// EROFS image.
    pub composefs: ObjectDigest,
    /// How it runs.
    pub config: AppConfig,
}

/// Baked apps as images.
pub fn baked_images(apps: &[BakedApp]) -> BTreeMap<String, ImageState> {
    let one = |a: &BakedApp| {
        let image = Image {
            app: a.name.clone(),
            id: format!("sha256:{}", hex::encode(a.manifest_digest.0)),
            composefs: a.composefs,
            config: a.config.clone(),
        };
        (a.image.clone(), ImageState::Present(Arc::new(image)))
    };
    apps.iter().map(one).collect()
}

/// What the node tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The status of a pod is another now.
    Status {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Only the pod with this uid.
        uid: String,
        /// The whole status.
        status: Box<core::PodStatus>,
    },
    /// Something happened.
    Event(Event),
    /// Nothing is left of a pod that was to be deleted: its object may go.
    Deleted {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Only the pod with this uid.
        uid: String,
    },
}

/// Something to tell people about a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// `spec.containers{main}`; empty: the pod.
    pub field_path: String,
    /// Worth a look?
    pub warning: bool,
    /// `Started`, `Killing`, …
    pub reason: &'static str,
    /// One line.
    pub message: String,
}
