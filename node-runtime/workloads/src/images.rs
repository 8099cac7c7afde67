//! Which images the workloads need.

use serde_json::Value;

use crate::{Origin, Workload, pod_of, template::full_path};

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
        let Some(spec) = pod_of(w.kind, &w.value).and_then(|p| p.get("spec")) else { continue };
        for list in ["initContainers", "containers"] {
            for (i, c) in spec.get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
                uses.push(ImageUse {
                    image: c.get("image").and_then(Value::as_str).unwrap_or("").to_owned(),
                    origin: w.origin.clone(),
                    field: full_path(w.kind, &format!("spec.{list}[{i}].image")),
                });
            }
        }
    }
    uses
}
