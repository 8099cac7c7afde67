//! The built-in roles, as one pure function.

use serde::{Deserialize, Serialize};
use skerry_machinery::{ApiError, Reason};

use super::MASTERS;

/// A built-in role, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// [`Role::View`], and writing of workloads and what belongs to them.
    Deploy,
    /// Reading of everything but Secrets, and logs.
    View,
}

/// One thing that somebody wants to do, in Kubernetes' words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
    /// `deletecollection`.
    pub verb: &'a str,
    /// API group.
    pub group: &'a str,
    /// Plural; empty: not about a resource.
    pub resource: &'a str,
    /// `status`, `log`, …
    pub subresource: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// Path of what is no resource.
    pub path: &'a str,
}

/// What a deployer writes: group, resource.
const DEPLOYED: &[(&str, &str)] = &[
    ("", "configmaps"),
    ("", "persistentvolumeclaims"),
    ("", "pods"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
    ("networking.k8s.io", "networkpolicies"),
];
/// Reviews about oneself: for everybody.
const SELF_REVIEWS: &[(&str, &str)] = &[
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];
const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];

impl Role {
    /// All, strongest first.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Deploy, Self::View];

    /// The group whose members have the role.
    pub fn group(self) -> &'static str {
        match self {
            Self::Admin => MASTERS,
            Self::Deploy => "skerry:deploy",
            Self::View => "skerry:view",
        }
    }

    /// May somebody of this role do it?
    pub fn allows(self, a: &Attributes<'_>) -> bool {
        if self == Self::Admin {
            return true;
        }
        if a.resource.is_empty() {
            return a.verb == "get";
        }
        if SELF_REVIEWS.contains(&(a.group, a.resource)) {
            return a.verb == "create";
        }
        match self {
            Self::Admin => true,
            Self::View => views(a),
            Self::Deploy => views(a) || deploys(a),
        }
    }

    /// The rules of the role, as `SelfSubjectRulesReview` lists them.
    pub fn rules(self) -> Vec<Rule> {
        let own = SELF_REVIEWS.iter().map(|(group, resource)| Rule::new(&["create"], group, resource));
        let kinds = skerry_machinery::KINDS.iter();
        let read = kinds.filter(|k| k.plural != "secrets").map(|k| Rule::new(READ, k.group, k.plural));
        let read = read.chain([Rule::new(&["get"], "", "pods/log")]);
        let secrets = [Rule::new(READ, "", "secrets")];
        let write = DEPLOYED.iter().map(|(group, resource)| Rule::new(WRITE, group, resource));
        match self {
            Self::Admin => vec![Rule::new(&["*"], "*", "*")],
            Self::View => own.chain(read).collect(),
            Self::Deploy => own.chain(read).chain(secrets).chain(write).collect(),
        }
    }
}

/// One rule, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    verbs: &'static [&'static str],
    #[serde(rename = "apiGroups")]
    groups: [&'static str; 1],
    resources: [&'static str; 1],
}

impl Rule {
    fn new(verbs: &'static [&'static str], group: &'static str, resource: &'static str) -> Self {
        Self { verbs, groups: [group], resources: [resource] }
    }
}

fn views(a: &Attributes<'_>) -> bool {
    let secret = (a.group, a.resource) == ("", "secrets");
    READ.contains(&a.verb) && !secret && matches!(a.subresource, "" | "status" | "scale" | "log")
}

fn deploys(a: &Attributes<'_>) -> bool {
    let writes = WRITE.contains(&a.verb) && matches!(a.subresource, "" | "scale" | "eviction");
    let reads = READ.contains(&a.verb) && a.subresource.is_empty();
    (writes || reads) && DEPLOYED.contains(&(a.group, a.resource))
}

/// The refusal, in Kubernetes' words.
pub fn refusal(user: &str, a: &Attributes<'_>) -> ApiError {
    let Attributes { verb, group, resource, subresource, namespace, name, path } = *a;
    if resource.is_empty() {
        let message = format!("forbidden: User {user:?} cannot {verb} path {path:?}");
        return ApiError::new(Reason::Forbidden, message);
    }
    let qualified = if group.is_empty() { resource.to_string() } else { format!("{resource}.{group}") };
    let about = if name.is_empty() { qualified } else { format!("{qualified} {name:?}") };
    let full = if subresource.is_empty() { resource.to_string() } else { format!("{resource}/{subresource}") };
    let place =
        if namespace.is_empty() { "at the cluster scope".into() } else { format!("in the namespace {namespace:?}") };
    let message =
        format!("{about} is forbidden: User {user:?} cannot {verb} resource {full:?} in API group {group:?} {place}");
    let mut error = ApiError::new(Reason::Forbidden, message);
    error.about = (group.into(), resource.into(), name.into());
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_roles_may() {
        // verb, group, resource, subresource: view, deploy
        for (verb, group, resource, sub, view, deploy) in [
            ("get", "", "pods", "", true, true),
            ("watch", "apps", "deployments", "", true, true),
            ("list", "", "nodes", "", true, true),
            ("get", "", "pods", "log", true, true),
            ("get", "apps", "deployments", "scale", true, true),
            ("list", "metrics.k8s.io", "pods", "", true, true),
            ("get", "", "secrets", "", false, true),
            ("list", "", "secrets", "", false, true),
            ("create", "", "secrets", "", false, true),
            ("create", "", "pods", "", false, true),
            ("patch", "apps", "deployments", "", false, true),
            ("update", "apps", "deployments", "scale", false, true),
            ("patch", "apps", "deployments", "status", false, false),
            ("delete", "", "pods", "", false, true),
            ("create", "", "pods", "eviction", false, true),
            ("create", "", "pods", "exec", false, false),
            ("get", "", "pods", "exec", false, false),
            ("create", "", "pods", "attach", false, false),
            ("create", "", "pods", "portforward", false, false),
            ("create", "", "namespaces", "", false, false),
            ("delete", "", "nodes", "", false, false),
            ("create", "", "persistentvolumes", "", false, false),
            ("create", "authorization.k8s.io", "selfsubjectaccessreviews", "", true, true),
            ("impersonate", "", "users", "", false, false),
        ] {
            let a = Attributes { verb, group, resource, subresource: sub, ..Attributes::default() };
            assert_eq!(Role::View.allows(&a), view, "view: {a:?}");
            assert_eq!(Role::Deploy.allows(&a), deploy, "deploy: {a:?}");
            assert!(Role::Admin.allows(&a));
        }
    }

    #[test]
    fn refusals_in_kubernetes_words() {
        let mut a =
            Attributes { verb: "delete", resource: "pods", namespace: "default", name: "web", ..Default::default() };
        assert_eq!(
            refusal("bob", &a).message,
            r#"pods "web" is forbidden: User "bob" cannot delete resource "pods" in API group "" in the namespace "default""#
        );
        a = Attributes { verb: "list", group: "apps", resource: "deployments", ..Default::default() };
        assert_eq!(
            refusal("bob", &a).message,
            r#"deployments.apps is forbidden: User "bob" cannot list resource "deployments" in API group "apps" at the cluster scope"#
        );
        a = Attributes { verb: "get", path: "/metrics", ..Default::default() };
        assert_eq!(
            refusal("system:anonymous", &a).message,
            r#"forbidden: User "system:anonymous" cannot get path "/metrics""#
        );
    }
}
