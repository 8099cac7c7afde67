//! Field selectors: few fields, a table per kind, as the Kubernetes API server
//! has it.

use std::fmt;

use serde_json::Value;

use crate::{ApiError, Kind, Stored};

/// A field selector of one kind: all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldQuery {
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    field: String,
    equal: bool,
    value: String,
}

impl FieldQuery {
    /// From the query grammar (`metadata.name=web,status.phase!=Running`;
    /// `\` quotes `,`, `=` and itself in values).
    ///
    /// # Errors
    /// 400 if a term makes no sense or the kind has no such field.
    pub fn parse(text: &str, kind: &Kind) -> Result<Self, ApiError> {
        let mut conditions = vec![];
        for term in split_terms(text) {
            let condition = condition(term).ok_or_else(|| {
                ApiError::bad_request(format!("invalid selector: '{text}'; can't understand '{term}'"))
            })?;
            if !supported(kind, &condition.field) {
                return Err(ApiError::bad_request(not_supported(kind, &condition.field)));
            }
            conditions.push(condition);
        }
        Ok(Self { conditions })
    }

    /// Does this object match?
    pub fn matches(&self, object: &Value) -> bool {
        self.conditions.iter().all(|c| c.equal == (value_of(object, &c.field) == c.value))
    }

    /// Does this object match? Its JSON is parsed only if a condition asks for
    /// more than the name.
    pub fn matches_stored(&self, object: &Stored) -> bool {
        let of_key = |field: &str| match field {
            "metadata.name" => Some(object.key.name.as_str()),
            "metadata.namespace" => Some(object.key.namespace.as_str()),
            _ => None,
        };
        let by_key = |c: &Condition| of_key(&c.field).map(|v| c.equal == (v == c.value));
        if self.conditions.iter().any(|c| by_key(c) == Some(false)) {
            return false;
        }
        self.conditions.iter().all(|c| by_key(c).is_some()) || self.matches(&object.value())
    }

    /// Does it select everything?
    pub fn is_everything(&self) -> bool {
        self.conditions.is_empty()
    }

    /// The name that is asked for, if one is: then a read of one object will
    /// do.
    pub fn name(&self) -> Option<&str> {
        self.conditions.iter().find(|c| c.equal && c.field == "metadata.name").map(|c| c.value.as_str())
    }
}

impl fmt::Display for FieldQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, c) in self.conditions.iter().enumerate() {
            let value = c.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            let (comma, sign) = (if i > 0 { "," } else { "" }, if c.equal { "=" } else { "!=" });
            write!(f, "{comma}{}{sign}{value}", c.field)?;
        }
        Ok(())
    }
}

/// Fields beside `metadata.name` and `metadata.namespace`.
fn fields(kind: &Kind) -> &'static [&'static str] {
    match (kind.group, kind.kind) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Namespace") => &["status.phase"],
        ("", "Secret") => &["type"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("batch", "Job") => &["status.successful"],
        _ => &[],
    }
}

fn supported(kind: &Kind, field: &str) -> bool {
    field == "metadata.name" || field == "metadata.namespace" || fields(kind).contains(&field)
}

fn not_supported(kind: &Kind, field: &str) -> String {
    match fields(kind) {
        [] => format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""),
        _ if kind.kind == "Job" => format!("field label {field:?} not supported for Job"),
        _ => format!("field label not supported: {field}"),
    }
}

/// A field as a selector sees it: absent is the empty text, or what the type
/// has when nothing is set.
fn value_of(object: &Value, field: &str) -> String {
    let at = |path: &str| path.split('.').try_fold(object, |v, name| v.get(name));
    let path = match field {
        "source" => "source.component",
        "status.successful" => "status.succeeded",
        other => other,
    };
    match at(path) {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(Value::Bool(yes)) => yes.to_string(),
        Some(Value::Number(n)) => n.to_string(),
        _ => absent(object, field),
    }
}

fn absent(object: &Value, field: &str) -> String {
    match field {
        "spec.hostNetwork" | "spec.unschedulable" => "false".into(),
        "status.successful" => "0".into(),
        "source" => object["reportingComponent"].as_str().unwrap_or_default().into(),
        _ => String::new(),
    }
}

/// Splits at commas that are not quoted.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut quoted) = (vec![], 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if quoted => quoted = false,
            '\\' => quoted = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms.retain(|t| !t.is_empty());
    terms
}

fn condition(term: &str) -> Option<Condition> {
    let at = term.find(['=', '!'])?;
    let (field, rest) = term.split_at(at);
    let (equal, value) = if let Some(value) = rest.strip_prefix("!=") {
        (false, value)
    } else {
        let value = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?;
        (true, value)
    };
    Some(Condition { field: field.into(), equal, value: unquoted(value)? })
}

/// A value without its quoting; `None` if it is wrong.
fn unquoted(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                c @ ('\\' | ',' | '=') => text.push(c),
                _ => return None,
            },
            ',' | '=' => return None,
            c => text.push(c),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web-0", "namespace": "shop", "resourceVersion": "7"},
            "spec": {"nodeName": "box", "restartPolicy": "Always"},
            "status": {"phase": "Running", "podIP": "10.42.0.5"},
        })
    }

    #[test]
    fn pods() {
        let kind = crate::kind("", "Pod");
        let stored = Stored::from_json(object().to_string()).unwrap();
        for (query, matches) in [
            ("", true),
            ("metadata.name=web-0", true),
            ("metadata.name==web-1", false),
            ("metadata.namespace!=shop", false),
            ("metadata.name=web-0,status.phase=Running", true),
            ("status.phase!=Running", false),
            ("spec.nodeName=box,spec.restartPolicy!=Never", true),
            ("status.podIP=10.42.0.5", true),
            ("spec.hostNetwork=false", true),
            ("status.nominatedNodeName=", true),
        ] {
            let parsed = FieldQuery::parse(query, kind).unwrap();
            assert_eq!(parsed.matches(&object()), matches, "{query}");
            assert_eq!(parsed.matches_stored(&stored), matches, "{query}");
            assert_eq!(FieldQuery::parse(&parsed.to_string(), kind).unwrap(), parsed, "{query}");
        }
        assert_eq!(FieldQuery::parse("metadata.name=a\\,b\\=", kind).unwrap().name(), Some("a,b="));
    }

    #[test]
    fn refused() {
        for (kind, query, message) in [
            (("", "Pod"), "spec.foo=1", "field label not supported: spec.foo"),
            (("batch", "Job"), "status.phase=x", "field label \"status.phase\" not supported for Job"),
            (
                ("apps", "Deployment"),
                "spec.replicas=1",
                "\"spec.replicas\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            ),
            (("", "Pod"), "metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
            (
                ("", "Pod"),
                "metadata.name=a=b",
                "invalid selector: 'metadata.name=a=b'; can't understand 'metadata.name=a=b'",
            ),
        ] {
            let error = FieldQuery::parse(query, crate::kind(kind.0, kind.1)).unwrap_err();
            assert_eq!((error.code(), error.message.as_str()), (400, message));
        }
    }

    #[test]
    fn other_kinds() {
        for (kind, object, query, matches) in [
            (("", "Event"), json!({"source": {"component": "kubelet"}}), "source=kubelet", true),
            (("", "Event"), json!({"reportingComponent": "kubelet"}), "source=kubelet", true),
            (("", "Event"), json!({"involvedObject": {"kind": "Pod", "name": "a"}}), "involvedObject.name=a", true),
            (("", "Event"), json!({"type": "Normal"}), "type!=Normal", false),
            (("batch", "Job"), json!({"status": {"succeeded": 2}}), "status.successful=2", true),
            (("batch", "Job"), json!({}), "status.successful=0", true),
            (("", "Node"), json!({"spec": {"unschedulable": true}}), "spec.unschedulable=true", true),
            (("", "Secret"), json!({"type": "Opaque"}), "type=Opaque", true),
        ] {
            let query = FieldQuery::parse(query, crate::kind(kind.0, kind.1)).unwrap();
            assert_eq!(query.matches(&object), matches, "{query}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC*|[a.=!,\\\\]*") {
            let _ = FieldQuery::parse(&text, crate::kind("", "Pod"));
        }
    }
}
