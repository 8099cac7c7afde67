//! Ownership of what is written other than by server-side apply.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    compare::compare,
    fields::FieldSet,
    managers::{self, Manager, Operation},
};
use crate::{
    Kind,
    schema::{self, Form},
};

/// Who writes, and to which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// `status`, `scale`; empty for the object itself.
    pub subresource: &'a str,
}

/// Fields that have no owner.
const UNOWNED: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:generateName"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:deletionTimestamp"],
    &["f:metadata", "f:deletionGracePeriodSeconds"],
    &["f:metadata", "f:managedFields"],
];

/// Takes fields out that the machinery owns, or that this part of the object
/// does not write.
pub(super) fn strip(set: &mut FieldSet, kind: &Kind, subresource: &str) {
    UNOWNED.iter().for_each(|path| set.cut(path));
    if let Some(metadata) = set.children.get_mut("f:metadata") {
        metadata.own = false;
        if metadata.is_empty() {
            set.children.remove("f:metadata");
        }
    }
    if subresource == "status" {
        set.cut(&["f:spec"]);
    } else if kind.has(crate::Subresource::Status) {
        set.cut(&["f:status"]);
    }
}

/// The form of a whole object.
pub(super) fn form_of(kind: &Kind) -> Form {
    schema::of(kind).map_or(Form::Leaf, Form::Struct)
}

/// `new` with `managedFields` that say what `writer` changed against `old`
/// (`Null`: it was created). A client may have edited `managedFields` itself;
/// what it left there is taken as the state before.
pub fn track_update(old: &Value, new: &mut Value, writer: Writer, now: Timestamp, kind: &Kind) {
    let mut known = managers::read(new).or_else(|| managers::read(old)).unwrap_or_default();
    let mut difference = compare(old, new, form_of(kind));
    strip(&mut difference.changed, kind, writer.subresource);
    strip(&mut difference.removed, kind, writer.subresource);
    let gone = difference.changed.union(&difference.removed);
    if !gone.is_empty() {
        let mut own = Manager::new(writer.manager, Operation::Update, kind.api_version(), writer.subresource, now);
        if let Some(at) = known.iter().position(|m| m.same(&own)) {
            own.fields = known.remove(at).fields;
        }
        known.iter_mut().for_each(|m| m.fields = m.fields.difference(&gone));
        own.fields = own.fields.union(&difference.changed).difference(&difference.removed);
        known.push(own);
    }
    managers::write(new, known);
}
