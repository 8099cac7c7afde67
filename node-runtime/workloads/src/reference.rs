//! The page that says which kinds and fields are supported, from the shapes.

use std::fmt::Write as _;

use skerry_machinery::{KINDS, Source};

use crate::{
    fields::{PODS_MAX, SHARED, shape_of},
    security::VERSION,
    shape::Shape,
};

/// `docs/kubernetes.md`.
pub fn reference() -> String {
    let mut page = format!(
        "# Kubernetes kinds and fields\n\n\
         <!-- Written by the tests of node-runtime/workloads: SKERRY_UPDATE_DOCS=1 cargo test -p skerry-workloads -->\n\n\
         A node serves these kinds of the Kubernetes {VERSION} API with these fields. A field that Kubernetes has and \
         this list has not is refused by name, never ignored; so is a value that is not listed. A field that \
         Kubernetes does not have is refused, dropped with a warning or dropped, as the client asks \
         (`fieldValidation`). Defaults are those of the Kubernetes API server. `skerry workloads check` says for any \
         manifest what a node would say.\n\n\
         Limits: {PODS_MAX} replicas in a workload and {PODS_MAX} pods on a node; {} bytes an object; {} bytes a \
         manifest file. IPv6 where the kernel has it; TCP and UDP only. Pods get no credentials for the API. `status` is written by the \
         node.\n\n\
         Pods must pass the Pod Security Standard of their namespace (labels \
         `pod-security.kubernetes.io/enforce`, `warn`, `audit`), by default `restricted`, version {VERSION}. \
         Workloads whose pods would not pass are taken with a warning by the API and refused when an image is built.\n\n\
         Resources: requests and limits of CPU and memory are the containers' and pods' cgroups (`cpu.weight`, \
         `cpu.max`, `memory.max`; requested memory is protected by `memory.min`), with 1024 processes a container. \
         A pod whose writable layers, logs and emptyDirs take more than its `ephemeral-storage` limits, or an emptyDir \
         on the disk more than its `sizeLimit`, is evicted. A claim's size holds: writes above it fail (EDQUOT), \
         unless its events say `CapacityNotEnforced`.\n\n\
         AppArmor: `Localhost` takes a profile that is loaded on the node; without it the container does not start \
         (`CreateContainerError`). The node brings no profiles: `RuntimeDefault` is the profile \
         `cri-containerd.apparmor.d` where somebody loaded that, else none.\n",
        crate::OBJECT_BYTES_MAX,
        crate::FILE_BYTES_MAX,
    );
    page.push_str("\n## Kinds\n\n| kind | API | short | namespaced |\n|---|---|---|---|\n");
    let stored = || KINDS.iter().filter(|k| k.source == Source::Stored);
    for k in stored() {
        let namespaced = if k.namespaced { "yes" } else { "no" };
        let anchor = k.kind.to_lowercase();
        let short = k.short_names.join(", ");
        let _ = writeln!(page, "| [{}](#{anchor}) | {} | {short} | {namespaced} |", k.kind, k.api_version());
    }
    for k in stored() {
        if let Some(shape) = shape_of(k) {
            section(&mut page, k.kind, shape);
        }
    }
    page.push_str("\n# Parts of several kinds\n");
    for shared in SHARED {
        if let Shape::Named(name, shape) = shared {
            section(&mut page, name, shape);
        }
    }
    page
}

fn section(page: &mut String, title: &str, shape: &Shape) {
    let _ = write!(page, "\n## {title}\n\n| field | value |\n|---|---|\n");
    rows(page, "", shape);
}

fn rows(page: &mut String, path: &str, shape: &Shape) {
    let Shape::Obj(fields) = shape else { return };
    for (name, shape) in *fields {
        // Every object has these, and the node alone writes a status.
        if path.is_empty() && ["apiVersion", "kind", "status"].contains(name) {
            continue;
        }
        let here = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        match shape {
            Shape::Obj(_) => rows(page, &here, shape),
            Shape::List(item) if matches!(item, Shape::Obj(_)) => rows(page, &format!("{here}[]"), item),
            _ => {
                let _ = writeln!(page, "| `{here}` | {} |", shape.describe());
            }
        }
    }
}
