//! What an address means.

use skerry_machinery::{Kind, Source, Subresource, by_resource};

/// A served address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/`: the list of addresses.
    Root,
    /// `/healthz`, `/livez`, `/readyz`.
    Health(&'static str),
    /// `/version`.
    Version,
    /// `/metrics`.
    Metrics,
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3` (empty) and `/openapi/v3/apis/apps/v1`.
    OpenApiV3(String),
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/apps`.
    Group(String),
    /// `/api/v1`, `/apis/apps/v1`: group and version.
    Resources(String, String),
    /// A review about oneself.
    Review(Review),
    /// Objects.
    Objects(Place),
}

/// A review about oneself: created, answered and not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// Who am I?
    Subject,
    /// May I?
    Access,
    /// What may I?
    Rules,
}

/// Where objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Kind.
    pub kind: &'static Kind,
    /// Namespace; empty for none or all.
    pub namespace: String,
    /// Name; empty: all.
    pub name: String,
    /// Part of the object.
    pub sub: Option<Subresource>,
}

impl Review {
    /// All.
    pub const ALL: [Self; 3] = [Self::Subject, Self::Access, Self::Rules];

    /// API group; the version is `v1`.
    pub fn group(self) -> &'static str {
        match self {
            Self::Subject => "authentication.k8s.io",
            Self::Access | Self::Rules => "authorization.k8s.io",
        }
    }

    /// Kind.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Subject => "SelfSubjectReview",
            Self::Access => "SelfSubjectAccessReview",
            Self::Rules => "SelfSubjectRulesReview",
        }
    }

    /// Plural.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Subject => "selfsubjectreviews",
            Self::Access => "selfsubjectaccessreviews",
            Self::Rules => "selfsubjectrulesreviews",
        }
    }
}

/// What a path means; `None`: nothing.
pub fn parse(path: &str) -> Option<Route> {
    let mut parts = Vec::new();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        parts.push(percent_encoding::percent_decode_str(part).decode_utf8().ok()?);
    }
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    Some(match *parts.as_slice() {
        [] => Route::Root,
        // Parts of the health checks are all the same check here.
        ["healthz", ..] => Route::Health("healthz"),
        ["livez", ..] => Route::Health("livez"),
        ["readyz", ..] => Route::Health("readyz"),
        ["version"] => Route::Version,
        ["metrics"] => Route::Metrics,
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3", ref rest @ ..] => Route::OpenApiV3(rest.join("/")),
        ["api"] => Route::CoreVersions,
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group(group.into()),
        ["api", version] => Route::Resources(String::new(), version.into()),
        ["apis", group, version] => Route::Resources(group.into(), version.into()),
        ["api", version, ref rest @ ..] => resource("", version, rest)?,
        ["apis", group, version, ref rest @ ..] => resource(group, version, rest)?,
        _ => return None,
    })
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Option<Route> {
    if let [plural] = *rest {
        let review = Review::ALL.into_iter().find(|r| (r.group(), "v1", r.plural()) == (group, version, plural));
        if let Some(review) = review {
            return Some(Route::Review(review));
        }
    }
    let (namespace, rest) = match *rest {
        // `namespaces/NAME/status` is about the Namespace itself.
        ["namespaces", _, "status" | "finalize"] if group.is_empty() => ("", rest),
        ["namespaces", namespace, _, ..] => (namespace, &rest[2..]),
        _ => ("", rest),
    };
    let (plural, name, sub) = match *rest {
        [plural] => (plural, "", None),
        [plural, name] => (plural, name, None),
        [plural, name, sub] => (plural, name, Some(sub)),
        _ => return None,
    };
    let kind = by_resource(group, version, plural)?;
    let sub = match sub {
        None => None,
        Some(name) => Some(*kind.subresources.iter().find(|s| s.name() == name)?),
    };
    // Objects in namespaces have no address without one, and the other way
    // round; only lists do.
    let fits = if kind.namespaced { !namespace.is_empty() || name.is_empty() } else { namespace.is_empty() };
    fits.then(|| Route::Objects(Place { kind, namespace: namespace.into(), name: name.into(), sub }))
}

impl Place {
    /// Is it the list of a kind that is only looked at?
    pub fn is_view(&self) -> bool {
        self.kind.source == Source::View
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses() {
        for (path, expected) in [
            ("/api/v1/pods", Some(("Pod", "", "", None))),
            ("/api/v1/namespaces", Some(("Namespace", "", "", None))),
            ("/api/v1/namespaces/a", Some(("Namespace", "", "a", None))),
            ("/api/v1/namespaces/a/status", Some(("Namespace", "", "a", Some(Subresource::Status)))),
            ("/api/v1/namespaces/a/pods", Some(("Pod", "a", "", None))),
            ("/api/v1/namespaces/a/pods/b", Some(("Pod", "a", "b", None))),
            ("/api/v1/namespaces/a/pods/b/log", Some(("Pod", "a", "b", Some(Subresource::Log)))),
            (
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                Some(("Deployment", "a", "b", Some(Subresource::Scale))),
            ),
            ("/apis/metrics.k8s.io/v1beta1/nodes/x", Some(("NodeMetrics", "", "x", None))),
            ("/api/v1/namespaces/a/pods/b/nothing", None),
            ("/api/v1/namespaces/a/pods/b/log/c", None),
            ("/api/v1/pods/b", None),
            ("/api/v1/namespaces/a/nodes", None),
            ("/apis/apps/v2/deployments", None),
            ("/apis/apps/v1/daemonsets/x/y/z/a", None),
        ] {
            let expected = expected.map(|(kind, ns, name, sub)| {
                let kind = skerry_machinery::KINDS.iter().find(|k| k.kind == kind).unwrap();
                Route::Objects(Place { kind, namespace: ns.into(), name: name.into(), sub })
            });
            assert_eq!(parse(path), expected, "{path}");
        }
        assert_eq!(parse("/readyz/ping"), Some(Route::Health("readyz")));
        assert_eq!(parse("/openapi/v3/apis/apps/v1"), Some(Route::OpenApiV3("apis/apps/v1".into())));
        assert_eq!(parse("/apis/authentication.k8s.io/v1/selfsubjectreviews"), Some(Route::Review(Review::Subject)));
        assert_eq!(parse("/apis/"), Some(Route::Groups));
        assert_eq!(parse("/nothing"), None);
        assert_eq!(parse("/api/v1/%ff"), None);
    }

    proptest! {
        #[test]
        fn never_panics(path in ".{0,80}") {
            let _ = parse(&path);
        }
    }
}
