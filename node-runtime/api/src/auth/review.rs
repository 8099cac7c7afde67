//! `SelfSubjectReview`, `SelfSubjectAccessReview`, `SelfSubjectRulesReview`:
//! `kubectl auth whoami` and `kubectl auth can-i`.

use serde_json::{Value, json};
use skerry_machinery::ApiError;

use super::{Attributes, Identity};
use crate::http::Review;

/// Answer a review: the request with its status filled in.
///
/// # Errors
/// If an access review asks about nothing.
pub fn answer(review: Review, mut body: Value, who: &Identity) -> Result<Value, ApiError> {
    if !body.is_object() {
        return Err(ApiError::bad_request("the body is not an object"));
    }
    body["kind"] = review.kind().into();
    body["apiVersion"] = format!("{}/v1", review.group()).into();
    body["status"] = match review {
        Review::Subject => json!({"userInfo": {"username": who.user, "groups": who.groups}}),
        Review::Access => access(&body["spec"], who)?,
        Review::Rules => json!({
            "resourceRules": who.role().map(|r| r.rules()).unwrap_or_default(),
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version"]}],
            "incomplete": false,
        }),
    };
    Ok(body)
}

fn access(spec: &Value, who: &Identity) -> Result<Value, ApiError> {
    let text = |of: &'static str, field: &'static str| spec[of][field].as_str().unwrap_or_default();
    let attributes = if spec["resourceAttributes"].is_object() {
        let of = "resourceAttributes";
        Attributes {
            verb: text(of, "verb"),
            group: text(of, "group"),
            resource: text(of, "resource"),
            subresource: text(of, "subresource"),
            namespace: text(of, "namespace"),
            name: text(of, "name"),
            path: "",
        }
    } else if spec["nonResourceAttributes"].is_object() {
        let of = "nonResourceAttributes";
        Attributes { verb: text(of, "verb"), path: text(of, "path"), ..Attributes::default() }
    } else {
        let why = "spec.resourceAttributes or spec.nonResourceAttributes is required";
        return Err(ApiError::bad_request(why));
    };
    let allowed = who.may(&attributes);
    let reason = match (allowed, who.role()) {
        (_, None) => "no role",
        (true, Some(_)) => "built-in role",
        (false, Some(_)) => "not in the built-in role",
    };
    Ok(json!({"allowed": allowed, "reason": reason}))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::auth::Role;

    #[test]
    fn who_and_whether() {
        let who = Identity::of_token("ann", Role::View);
        let got = answer(Review::Subject, json!({}), &who).unwrap();
        assert_eq!(got["status"]["userInfo"]["username"], "ann");
        let ask = |verb| json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "pods"}}});
        assert_eq!(answer(Review::Access, ask("get"), &who).unwrap()["status"]["allowed"], true);
        assert_eq!(answer(Review::Access, ask("delete"), &who).unwrap()["status"]["allowed"], false);
        assert!(answer(Review::Access, json!({"spec": {}}), &who).is_err());
        assert!(answer(Review::Access, json!([]), &who).is_err());
        let rules = answer(Review::Rules, json!({}), &who).unwrap();
        assert!(rules["status"]["resourceRules"].as_array().unwrap().len() > 10);
    }
}
