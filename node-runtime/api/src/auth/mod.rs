//! Who asks, and what they may do.
//!
//! Who: a client certificate of the node's authority (CN is the user, O the
//! groups) or a bearer token ([`tokens`]). May: one of three built-in roles
//! ([`Role`]), given by a group.

mod protobuf;
mod review;
mod role;
pub mod tokens;

pub use protobuf::decode as decode_review;
pub use review::answer as answer_review;
pub use role::{Attributes, Role, refusal};

use crate::pki::Subject;

/// Group of the administrators, as in Kubernetes.
const MASTERS: &str = "system:masters";
/// Group of everybody who has shown who they are.
const AUTHENTICATED: &str = "system:authenticated";

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name.
    pub user: String,
    /// Groups.
    pub groups: Vec<String>,
}

impl Identity {
    /// Nobody has shown who they are.
    pub fn anonymous() -> Self {
        Self { user: "system:anonymous".into(), groups: vec!["system:unauthenticated".into()] }
    }

    /// The owner of a client certificate.
    pub fn of_certificate(subject: Subject) -> Self {
        Self::authenticated(subject.common_name, subject.organizations)
    }

    /// The owner of a token.
    pub fn of_token(user: &str, role: Role) -> Self {
        Self::authenticated(user.into(), vec![role.group().into()])
    }

    fn authenticated(user: String, mut groups: Vec<String>) -> Self {
        groups.push(AUTHENTICATED.into());
        Self { user, groups }
    }

    /// The strongest role that a group gives; `None`: none.
    pub fn role(&self) -> Option<Role> {
        Role::ALL.into_iter().find(|role| self.groups.iter().any(|g| g == role.group()))
    }

    /// May they?
    pub fn may(&self, attributes: &Attributes<'_>) -> bool {
        self.role().is_some_and(|role| role.allows(attributes))
    }
}
