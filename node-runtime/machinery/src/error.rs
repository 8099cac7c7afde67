//! Errors of the API, as clients expect them (apimachinery `Status`).

use serde_json::{Value, json};

/// Machine-readable reason (apimachinery `StatusReason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 409, the name is taken
    AlreadyExists,
    /// 409, somebody else changed it
    Conflict,
    /// 410
    Expired,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 422
    Invalid,
    /// 429
    TooManyRequests,
    /// 500
    InternalError,
    /// 503
    ServiceUnavailable,
    /// 504
    Timeout,
}

impl Reason {
    /// HTTP status code.
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }
}

/// One field that is wrong (apimachinery `StatusCause`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, `FieldManagerConflict`, …
    pub reason: &'static str,
    /// Path of the field, such as `spec.replicas`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

/// An error that is answered to a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Reason.
    pub reason: Reason,
    /// One line for people.
    pub message: String,
    /// API group, resource (plural) or kind, and name that it is about; empty
    /// as far as unknown.
    pub about: (String, String, String),
    /// Single fields.
    pub causes: Vec<Cause>,
}

impl ApiError {
    /// An error without details.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), about: Default::default(), causes: vec![] }
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// A mistake of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Reason::InternalError, message)
    }

    /// There is no such object.
    pub fn not_found(kind: &crate::Kind, name: &str) -> Self {
        Self::new(Reason::NotFound, format!("{} \"{name}\" not found", kind.qualified())).about(kind, name)
    }

    /// The name is taken.
    pub fn already_exists(kind: &crate::Kind, name: &str) -> Self {
        Self::new(Reason::AlreadyExists, format!("{} \"{name}\" already exists", kind.qualified())).about(kind, name)
    }

    /// Somebody else changed it in between.
    pub fn conflict(kind: &crate::Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        Self::new(Reason::Conflict, message).about(kind, name)
    }

    /// Not allowed, `why` says what would be.
    pub fn forbidden(kind: &crate::Kind, name: &str, why: &str) -> Self {
        Self::new(Reason::Forbidden, format!("{} \"{name}\" is forbidden: {why}", kind.qualified())).about(kind, name)
    }

    /// Fields are wrong.
    pub fn invalid(kind: &crate::Kind, name: &str, causes: Vec<Cause>) -> Self {
        let list: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let list = match list.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut error = Self::new(Reason::Invalid, format!("{} \"{name}\" is invalid: {list}", kind.kind));
        error.causes = causes;
        error.about(kind, name)
    }

    /// Say what it is about.
    #[must_use]
    pub fn about(mut self, kind: &crate::Kind, name: &str) -> Self {
        let what = if self.reason == Reason::Invalid { kind.kind } else { kind.plural };
        self.about = (kind.group.into(), what.into(), name.into());
        self
    }

    /// HTTP status code.
    pub fn code(&self) -> u16 {
        self.reason.code()
    }

    /// `v1` Status, the body of the answer.
    pub fn to_status(&self) -> Value {
        let (group, kind, name) = &self.about;
        let mut details = serde_json::Map::new();
        for (field, text) in [("name", name), ("group", group), ("kind", kind)] {
            if !text.is_empty() {
                details.insert(field.into(), text.as_str().into());
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter();
            let causes: Vec<Value> =
                causes.map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field})).collect();
            details.insert("causes".into(), causes.into());
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": format!("{:?}", self.reason), "code": self.code(),
        });
        if !details.is_empty() {
            status["details"] = details.into();
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kubernetes_says_it() {
        let deployments = crate::kind("apps", "Deployment");
        let e = ApiError::not_found(deployments, "web");
        assert_eq!(e.message, "deployments.apps \"web\" not found");
        assert_eq!(
            e.to_status(),
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "deployments.apps \"web\" not found", "reason": "NotFound", "code": 404,
                "details": {"name": "web", "group": "apps", "kind": "deployments"},
            })
        );
    }
}
