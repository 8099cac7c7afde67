//! Which images the workloads need.

use crate::{Object, Origin, Workload};

/// One use of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageUse {
    /// Reference as written in `image:`.
    pub image: String,
    /// Where.
    pub origin: Origin,
    /// Field path of the `image:`.
    pub field: String,
}

/// Every `image:` of every container, in file order. The builder compares them
/// with the baked apps.
pub fn images_used(workloads: &[Workload]) -> Vec<ImageUse> {
    let mut uses = vec![];
    for w in workloads {
        let Object::Deployment(d) = &w.object else { continue };
        let containers = d.spec.as_ref().and_then(|s| s.template.spec.as_ref()).map(|p| p.containers.as_slice());
        for (i, c) in containers.unwrap_or_default().iter().enumerate() {
            uses.push(ImageUse {
                image: c.image.clone().unwrap_or_default(),
                origin: w.origin.clone(),
                field: format!("spec.template.spec.containers[{i}].image"),
            });
        }
    }
    uses
}
