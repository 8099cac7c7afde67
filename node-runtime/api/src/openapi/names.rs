//! Names of types and operations, as Kubernetes has them: programs that make
//! clients out of the documents go by them.

use skerry_machinery::Kind;

/// `metav1.ObjectMeta` and its neighbours.
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// A type of `meta/v1`.
pub fn meta(name: &str) -> String {
    format!("{META}.{name}")
}

/// `apps/v1` → `io.k8s.api.apps.v1`.
fn package(group: &str, version: &str) -> String {
    match group {
        "metrics.k8s.io" => format!("io.k8s.metrics.pkg.apis.metrics.{version}"),
        "os.skerry.dev" => format!("dev.skerry.os.{version}"),
        _ => format!("io.k8s.api.{}.{version}", short(group)),
    }
}

/// First part of a group's name.
fn short(group: &str) -> &str {
    if group.is_empty() { "core" } else { group.split('.').next().unwrap_or_default() }
}

/// Type of a group, version and kind.
pub fn of([group, version, kind]: [&str; 3]) -> String {
    format!("{}.{kind}", package(group, version))
}

/// Type of a kind.
pub fn of_kind(kind: &Kind) -> String {
    of([kind.group, kind.version, kind.kind])
}

/// `api/v1`, `apis/apps/v1`.
pub fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `listCoreV1NamespacedPod`; `middle` and `end` stand around the kind.
pub fn operation(verb: &str, [group, version, kind]: [&str; 3], middle: &str, end: &str) -> String {
    format!("{verb}{}{}{middle}{kind}{}", capital(short(group)), capital(version), capital(end))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}
