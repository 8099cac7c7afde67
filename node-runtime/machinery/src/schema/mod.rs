//! What the messages of the served kinds are made of: one table for the
//! protobuf decoder (tags, JSON names, types) and for patches (how lists and
//! maps merge). `types.rs` is written by `examples/schema` from the Kubernetes
//! API's own definitions.

#[rustfmt::skip]
mod types;

use crate::Kind;

/// A message: an object or a part of one.
#[derive(Debug)]
pub(crate) struct Message {
    /// `core.v1.Pod`.
    pub(crate) name: &'static str,
    /// Owned and replaced as a whole (`structType=atomic`).
    pub(crate) atomic: bool,
    /// Fields.
    pub(crate) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    /// Number in protobuf.
    pub(crate) tag: u32,
    /// Name in JSON.
    pub(crate) name: &'static str,
    /// Type of the value, of each item, or of each value of a map.
    pub(crate) ty: Ty,
    /// One, a list or a map.
    pub(crate) shape: Shape,
    /// How server-side apply merges it.
    pub(crate) list: List,
    /// Strategic merge: merge lists by this key; by value if it is empty.
    pub(crate) merge_key: Option<&'static str>,
    /// A zero that was sent is kept: absent means something else.
    pub(crate) keeps_zero: bool,
}

/// Type of a single value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ty {
    Text,
    Int,
    Bool,
    Bytes,
    Quantity,
    Time,
    MicroTime,
    IntOrString,
    /// JSON inside (`FieldsV1`, `RawExtension`).
    Raw,
    Nested(&'static Message),
    /// Fields stand in the JSON object of the parent.
    Inline(&'static Message),
}

/// How many values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    Many,
    Map,
}

/// `x-kubernetes-list-type`, `x-kubernetes-map-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// Lists are atomic, maps and structs granular.
    Default,
    Atomic,
    Set,
    Keyed(&'static [&'static str]),
}

/// How a value is looked at by server-side apply.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// Owned as a whole.
    Leaf,
    /// Owned by field.
    Struct(&'static Message),
    /// Owned by key.
    Map(&'static Field),
    /// A list of objects, owned by item.
    Keyed(&'static Field, &'static [&'static str]),
    /// A list of scalars, owned by value.
    Set,
}

const fn field(tag: u32, name: &'static str, ty: Ty, shape: Shape) -> Field {
    Field { tag, name, ty, shape, list: List::Default, merge_key: None, keeps_zero: false }
}

const fn one(tag: u32, name: &'static str, ty: Ty) -> Field {
    field(tag, name, ty, Shape::One)
}

const fn many(tag: u32, name: &'static str, ty: Ty) -> Field {
    field(tag, name, ty, Shape::Many)
}

const fn map(tag: u32, name: &'static str, ty: Ty) -> Field {
    field(tag, name, ty, Shape::Map)
}

impl Field {
    const fn list(self, list: List) -> Self {
        Self { list, ..self }
    }

    const fn merge(self, key: &'static str) -> Self {
        Self { merge_key: Some(key), ..self }
    }

    const fn keeps_zero(self) -> Self {
        Self { keeps_zero: true, ..self }
    }

    /// The message that the field or its items are.
    pub(crate) fn message(&self) -> Option<&'static Message> {
        match self.ty {
            Ty::Nested(message) => Some(message),
            _ => None,
        }
    }

    /// Form of the whole value.
    pub(crate) fn form(&'static self) -> Form {
        match (self.shape, self.list) {
            (_, List::Atomic) => Form::Leaf,
            (Shape::One, _) => self.item(),
            (Shape::Map, _) => Form::Map(self),
            (Shape::Many, List::Keyed(keys)) => Form::Keyed(self, keys),
            (Shape::Many, List::Set) => Form::Set,
            (Shape::Many, _) => Form::Leaf,
        }
    }

    /// Form of one item or value.
    pub(crate) fn item(&self) -> Form {
        match self.message() {
            Some(message) if !message.atomic => Form::Struct(message),
            _ => Form::Leaf,
        }
    }
}

impl Message {
    /// The field of this JSON name, of embedded structs too.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find_map(|field| match field.ty {
            Ty::Inline(message) => message.field(name),
            _ if field.name == name => Some(field),
            _ => None,
        })
    }
}

/// The message of a document's `apiVersion` and `kind`. `DeleteOptions` belong
/// to every group.
pub(crate) fn find(api_version: &str, kind: &str) -> Option<&'static Message> {
    let same = |(v, k, _): &&(&str, &str, _)| *k == kind && (*v == api_version || kind == "DeleteOptions");
    types::ROOTS.iter().find(same).map(|(_, _, message)| *message)
}

/// The message of a served kind; `None` for kinds that nobody writes.
pub(crate) fn of(kind: &Kind) -> Option<&'static Message> {
    find(&kind.api_version(), kind.kind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{KINDS, Source};

    #[test]
    fn every_stored_kind_has_a_message() {
        for kind in KINDS.iter().filter(|k| k.source == Source::Stored) {
            assert!(of(kind).unwrap().field("metadata").is_some(), "{}", kind.kind);
        }
    }

    #[test]
    fn as_kubernetes_has_it() {
        let pod = find("v1", "Pod").unwrap().field("spec").unwrap().message().unwrap();
        let containers = pod.field("containers").unwrap();
        assert_eq!((containers.list, containers.merge_key), (List::Keyed(&["name"]), Some("name")));
        let ports = containers.message().unwrap().field("ports").unwrap();
        assert_eq!((ports.list, ports.merge_key), (List::Keyed(&["containerPort", "protocol"]), Some("containerPort")));
        let volumes = pod.field("volumes").unwrap();
        assert_eq!(volumes.merge_key, Some("name"));
        assert!(volumes.message().unwrap().field("configMap").is_some(), "embedded");
        assert!(matches!(pod.field("nodeSelector").unwrap().form(), Form::Leaf));
        let service = find("v1", "Service").unwrap().field("spec").unwrap().message().unwrap();
        assert!(service.field("clusterIPs").is_some() && service.field("loadBalancerIP").is_some());
        assert!(find("apps/v1", "DeleteOptions").is_some());
        let meta = find("v1", "Pod").unwrap().field("metadata").unwrap().message().unwrap();
        assert!(matches!(meta.field("finalizers").unwrap().form(), Form::Set));
        assert_eq!(meta.field("ownerReferences").unwrap().merge_key, Some("uid"));
    }
}
