//! New objects.

use serde_json::{Value, json};
use skerry_machinery::{ApiError, Cause, Kind, Reason, Subresource};

use crate::{
    Environment, Operation, Registry, WriteOptions, Written, body,
    environment::{rfc3339, suffix, uid},
    namespace,
    registry::check_writable,
    store::Locked,
};

/// A generated name is tried so often until it is free.
const NAME_TRIES: u32 = 8;
/// Longest prefix of a generated name: 63 less its random part.
const PREFIX_LEN_MAX: usize = 58;
/// Metadata that only the server sets.
const SYSTEM_FIELDS: &[&str] = &["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"];
/// Kinds whose `metadata.generation` counts changes.
const WITH_GENERATION: &[&str] = &[
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
    "Pod",
    "NetworkPolicy",
    "EndpointSlice",
];

impl Registry {
    /// Make a new object. `metadata.name` may be left out for a
    /// `generateName`; apiVersion, kind and namespace are filled in.
    ///
    /// # Errors
    /// 400 if the body does not fit the address; 404 or 403 if the namespace
    /// does not exist or is going; 409 if the name is taken; 413 if it is too
    /// large; what admission says.
    pub fn create(
        &self,
        kind: &'static Kind,
        namespace: &str,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        check_writable(kind)?;
        body::fit(&mut object, kind, namespace, "")?;
        if !body::metadata_str(&object, "resourceVersion").is_empty() {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let mut locked = self.store().lock();
        let environment = &*self.environment;
        let name = choose_name(&locked, kind, &mut object, environment)?;
        namespace::check_open(locked.state(), kind, &name, namespace)?;
        prepare(kind, &mut object, environment)?;
        let warnings = self.review(&locked, Operation::Create, kind, &mut object, None, options)?;
        let key = body::key(&object, kind);
        if locked.get(&key).is_some() {
            return Err(ApiError::already_exists(kind, &key.name));
        }
        let (object, ack) = self.commit(&mut locked, kind, None, object, options)?;
        Ok(Written { object, warnings, ack })
    }
}

/// Find the name or make one, and set it.
fn choose_name(
    locked: &Locked<'_>,
    kind: &'static Kind,
    object: &mut Value,
    environment: &dyn Environment,
) -> Result<String, ApiError> {
    let name = body::metadata_str(object, "name").to_owned();
    if !name.is_empty() {
        body::check_name(kind, &name)?;
        return Ok(name);
    }
    let prefix = body::metadata_str(object, "generateName").to_owned();
    if prefix.is_empty() {
        let message = "Required value: name or generateName is required";
        return Err(body::invalid_field(kind, "", "FieldValueRequired", "metadata.name", message));
    }
    body::check_name(kind, &prefix)?;
    let short = prefix.char_indices().nth(PREFIX_LEN_MAX).map_or(prefix.as_str(), |(end, _)| &prefix[..end]);
    for _ in 0..NAME_TRIES {
        let name = format!("{short}{}", suffix(environment));
        body::metadata_mut(object)?.insert("name".into(), name.clone().into());
        if locked.get(&body::key(object, kind)).is_none() {
            return Ok(name);
        }
    }
    let mut error = ApiError::new(Reason::AlreadyExists, format!("no free name was found for {prefix:?}, try again"));
    error.causes.push(Cause { reason: "FieldValueDuplicate", field: "metadata.generateName".into(), message: prefix });
    Err(error.about(kind, &name))
}

/// What the server itself sets on a new object.
fn prepare(kind: &'static Kind, object: &mut Value, environment: &dyn Environment) -> Result<(), ApiError> {
    let metadata = body::metadata_mut(object)?;
    for field in SYSTEM_FIELDS {
        metadata.shift_remove(*field);
    }
    metadata.shift_remove("resourceVersion");
    metadata.insert("uid".into(), uid(environment).into());
    metadata.insert("creationTimestamp".into(), rfc3339(environment.now()).into());
    if has_generation(kind) {
        metadata.insert("generation".into(), 1.into());
    }
    if let Some(status) = first_status(kind) {
        object["status"] = status;
    }
    if namespace::is(kind) {
        namespace::prepare_new(object)?;
    }
    Ok(())
}

/// Does `metadata.generation` count its changes?
pub(crate) fn has_generation(kind: &Kind) -> bool {
    WITH_GENERATION.contains(&kind.kind)
}

/// The status that a new object has, whatever its body says. `None`: what the
/// body says; a Node is registered together with its status.
fn first_status(kind: &Kind) -> Option<Value> {
    if !kind.has(Subresource::Status) {
        return None;
    }
    match kind.kind {
        "Node" => None,
        "Namespace" => Some(json!({"phase": "Active"})),
        "Pod" | "PersistentVolume" | "PersistentVolumeClaim" => Some(json!({"phase": "Pending"})),
        "Service" => Some(json!({"loadBalancer": {}})),
        _ => Some(json!({})),
    }
}
