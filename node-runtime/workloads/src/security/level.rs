//! Which profile applies: the labels of a namespace.

use std::collections::BTreeMap;

/// Version of the profiles; labels that ask for another one get this one.
pub const VERSION: &str = "v1.34";

const PREFIX: &str = "pod-security.kubernetes.io/";

/// A profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Privileged,
    /// No known ways out of the container.
    Baseline,
    /// Hardened; the default.
    Restricted,
}

impl Level {
    /// The name in labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }

    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Privileged, Self::Baseline, Self::Restricted].into_iter().find(|l| l.name() == name)
    }
}

/// The profiles of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamespaceLevels {
    /// Pods that violate it are refused.
    pub enforce: Level,
    /// Clients are warned.
    pub warn: Level,
    /// The journal says so.
    pub audit: Level,
}

/// The profiles that the labels of a namespace ask for; `default` where they
/// do not. A label without meaning counts as the strictest profile, as in
/// Kubernetes. Returns warnings for who writes the labels.
pub fn namespace_levels(labels: &BTreeMap<String, String>, default: Level) -> (NamespaceLevels, Vec<String>) {
    let mut warnings = vec![];
    let mut level = |mode: &str| {
        let key = format!("{PREFIX}{mode}");
        if let Some(version) = labels.get(&format!("{key}-version"))
            && version != "latest"
            && version != VERSION
        {
            warnings.push(format!("{key}-version: this node checks {VERSION} of the profiles, not {version}"));
        }
        match labels.get(&key) {
            None => default,
            Some(name) => Level::parse(name).unwrap_or_else(|| {
                warnings
                    .push(format!("{key}: {name:?} is none of privileged, baseline, restricted; restricted applies"));
                Level::Restricted
            }),
        }
    };
    let levels = NamespaceLevels { enforce: level("enforce"), warn: level("warn"), audit: level("audit") };
    (levels, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_namespaces() {
        let labels = |list: &[(&str, &str)]| list.iter().map(|(k, v)| (format!("{PREFIX}{k}"), (*v).into())).collect();
        use Level::*;
        for (list, enforce, warn, warnings) in [
            (&[][..], Restricted, Restricted, 0),
            (&[("enforce", "privileged")], Privileged, Restricted, 0),
            (
                &[("enforce", "baseline"), ("enforce-version", "latest"), ("warn", "privileged")],
                Baseline,
                Privileged,
                0,
            ),
            (&[("enforce", "baseline"), ("enforce-version", "v1.20")], Baseline, Restricted, 1),
            (&[("enforce", "lax")], Restricted, Restricted, 1),
        ] {
            let (found, said) = namespace_levels(&labels(list), Restricted);
            assert_eq!((found.enforce, found.warn, said.len()), (enforce, warn, warnings), "{list:?} {said:?}");
        }
    }
}
