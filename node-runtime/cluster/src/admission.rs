//! What the node lets into its store: the fields that it acts on, the Pod
//! Security profile of the namespace, addresses that are free.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{api::core::v1::PodSpec, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde::Deserialize as _;
use serde_json::Value;
use skerry_machinery::{ApiError, Kind, kind};
use skerry_store::{Admission, FieldValidation, Lookup, Operation, Part, Review};
use skerry_workloads::{Level, NamespaceLevels, namespace_levels, pod_of, pod_security, pod_security_message};

use crate::addresses;

/// Admission of all writes.
#[derive(Debug)]
pub struct NodeAdmission {
    /// Pod Security profile of namespaces that ask for none.
    pub default: Level,
    /// Has the node IPv6? Services get addresses of it only then.
    pub ipv6: bool,
}

impl Default for NodeAdmission {
    fn default() -> Self {
        Self { default: Level::Restricted, ipv6: false }
    }
}

impl Admission for NodeAdmission {
    fn review(&self, review: &mut Review<'_>, store: &dyn Lookup) -> Result<(), ApiError> {
        match review.operation {
            Operation::Delete => Ok(()),
            Operation::Update(Part::Status) => {
                let name = name_of(review.object);
                skerry_workloads::admit_status(review.kind, review.object)
                    .map_err(|causes| skerry_workloads::refusal(review.kind, &name, causes))
            }
            Operation::Create | Operation::Update(Part::Main) => self.admit(review, store),
        }
    }
}

impl NodeAdmission {
    fn admit(&self, review: &mut Review<'_>, store: &dyn Lookup) -> Result<(), ApiError> {
        let (kind, name) = (review.kind, name_of(review.object));
        let refusal = |causes| skerry_workloads::refusal(kind, &name, causes);
        let status = review.object.get("status").cloned();
        let validation = match review.field_validation {
            FieldValidation::Strict => skerry_workloads::FieldValidation::Strict,
            FieldValidation::Warn => skerry_workloads::FieldValidation::Warn,
            FieldValidation::Ignore => skerry_workloads::FieldValidation::Ignore,
        };
        let old = review.old.map(|o| o.value());
        let warnings = skerry_workloads::admit(kind, review.object, old.as_ref(), validation).map_err(refusal)?;
        review.warnings.extend(warnings);
        self.pod_security(review, old.as_ref(), store)?;
        if kind.kind == "Service" {
            addresses::allocate(review.object, old.as_ref(), self.ipv6, store).map_err(refusal)?;
        }
        if kind.kind == "Namespace" {
            let labels = labels_of(review.object);
            review.warnings.extend(namespace_levels(&labels, self.default).1);
        }
        // The status is not this write's to change.
        let status = match review.operation {
            Operation::Create => skerry_workloads::initial_status(kind, review.object),
            _ => status,
        };
        if let (Some(status), Some(map)) = (status, review.object.as_object_mut()) {
            map.insert("status".into(), status);
        }
        Ok(())
    }

    /// Pods that violate the profile are refused; of templates their author is
    /// warned, since their pods will be.
    fn pod_security(&self, review: &mut Review<'_>, old: Option<&Value>, store: &dyn Lookup) -> Result<(), ApiError> {
        let Some(pod) = pod_of(review.kind, review.object) else { return Ok(()) };
        let before = old.and_then(|o| pod_of(review.kind, o));
        if before.is_some_and(|b| b["spec"] == pod["spec"]) {
            return Ok(());
        }
        let levels = self.levels(review.object, store);
        let metadata = ObjectMeta::deserialize(&pod["metadata"]).ok();
        let spec = PodSpec::deserialize(&pod["spec"]).unwrap_or_default();
        let check = |level: Level| {
            let violations = pod_security(level, metadata.as_ref(), &spec);
            (!violations.is_empty()).then(|| pod_security_message(level, &violations))
        };
        let is_pod = review.kind.kind == "Pod";
        if is_pod && let Some(message) = check(levels.enforce) {
            return Err(ApiError::forbidden(review.kind, &name_of(review.object), &message));
        }
        let warn = if is_pod { levels.warn } else { levels.warn.max(levels.enforce) };
        review.warnings.extend(check(warn).map(|m| format!("would violate PodSecurity{}", after_first_word(&m))));
        if let Some(message) = check(levels.audit).filter(|_| is_pod && levels.audit > levels.enforce) {
            tracing::warn!(namespace = namespace_of(review.object), pod = name_of(review.object), "audit: {message}");
        }
        Ok(())
    }

    fn levels(&self, object: &Value, store: &dyn Lookup) -> NamespaceLevels {
        let namespace = store.get(namespace_kind(), "", &namespace_of(object));
        let none = BTreeMap::new();
        let labels = namespace.as_ref().map_or(&none, |n| &n.meta.labels);
        namespace_levels(labels, self.default).0
    }
}

/// `violates PodSecurity "restricted…` without its first two words.
fn after_first_word(message: &str) -> &str {
    message.strip_prefix("violates PodSecurity").unwrap_or(message)
}

fn namespace_kind() -> &'static Kind {
    kind("", "Namespace")
}

fn text(object: &Value, at: &str) -> String {
    object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn name_of(object: &Value) -> String {
    text(object, "/metadata/name")
}

fn namespace_of(object: &Value) -> String {
    text(object, "/metadata/namespace")
}

fn labels_of(object: &Value) -> BTreeMap<String, String> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let text = |(k, v): (&String, &Value)| Some((k.clone(), v.as_str()?.to_owned()));
    labels.into_iter().flatten().filter_map(text).collect()
}

/// A registry in memory with this admission, for tests.
#[doc(hidden)]
pub fn registry_in_memory() -> skerry_store::Registry {
    use skerry_store::{Registry, Store, StoreOptions, SystemEnvironment};
    let store = Store::in_memory(&StoreOptions::default());
    Registry::new(store, Arc::new(NodeAdmission::default()), Arc::new(SystemEnvironment))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;
    use skerry_store::{Registry, WriteOptions};

    use super::*;

    fn with_namespaces() -> Registry {
        let registry = registry_in_memory();
        for (name, labels) in
            [("strict", json!({})), ("free", json!({"pod-security.kubernetes.io/enforce": "privileged"}))]
        {
            let object = json!({"metadata": {"name": name, "labels": labels}});
            registry.create(namespace_kind(), "", object, &WriteOptions::default()).unwrap();
        }
        registry
    }

    fn pod(security: Value) -> Value {
        json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "main", "image": "localhost/a:1", "securityContext": security}]}})
    }

    fn restricted() -> Value {
        json!({"runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"}})
    }

    #[test]
    fn pods_are_held_to_the_profile_of_their_namespace() {
        let registry = with_namespaces();
        let create = |namespace: &str, security| {
            registry.create(kind("", "Pod"), namespace, pod(security), &WriteOptions::default())
        };
        let refused = create("strict", json!({})).unwrap_err();
        assert_eq!(refused.code(), 403);
        assert!(refused.message.contains("violates PodSecurity \"restricted:v1.34\""), "{}", refused.message);
        create("strict", restricted()).unwrap();
        let written = create("free", json!({})).unwrap();
        let warned = written.warnings.iter().any(|w| w.starts_with("would violate PodSecurity \"restricted"));
        assert!(warned, "{:?}", written.warnings);
        assert_eq!(written.object.value()["status"]["phase"], "Pending");
    }

    #[test]
    fn unknown_fields_are_named() {
        let registry = with_namespaces();
        let object = json!({"metadata": {"name": "c"}, "date": {}});
        let e = registry.create(kind("", "ConfigMap"), "strict", object, &WriteOptions::default()).unwrap_err();
        assert!(e.message.contains("date"), "{}", e.message);
    }

    #[test]
    fn a_write_of_the_main_part_leaves_the_status() {
        let registry = with_namespaces();
        let options = WriteOptions::default();
        let made = registry.create(kind("", "Pod"), "strict", pod(restricted()), &options).unwrap().object;
        let status = |was: &Value| {
            let mut new = was.clone();
            new["status"]["phase"] = json!("Running");
            Ok(new)
        };
        registry.update_with(&made.key, Part::Status, &options, status).unwrap();
        let label = |was: &Value| {
            let mut new = was.clone();
            new["metadata"]["labels"] = json!({"a": "b"});
            new["status"] = json!({"phase": "Failed"});
            Ok(new)
        };
        let now = registry.update_with(&made.key, Part::Main, &options, label).unwrap().object;
        assert_eq!(now.value()["status"]["phase"], "Running");
        assert_eq!(now.meta.labels["a"], "b");
    }
}
