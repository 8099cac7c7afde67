//! A small schema language for "which fields does this node act on".
//!
//! The generated Kubernetes types ignore unknown fields and know thousands that
//! the node does not act on. A shape is the list of those it does. `walk`
//! checks objects against shapes, `reference` prints them for people.

/// What may stand at a place in an object.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A string.
    Str,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A whole number in this range.
    Int(i64, i64),
    /// `true` or `false`.
    Bool,
    /// Only this one of `true` and `false`.
    Only(bool),
    /// A port number or a port name.
    Port,
    /// A whole number or a percentage.
    IntOrPercent,
    /// A quantity such as `250m` or `64Mi`.
    Quantity,
    /// String to string.
    StrMap,
    /// String to base64.
    BytesMap,
    /// A list.
    List(&'static Shape),
    /// An object with exactly these optional fields.
    Obj(Fields),
    /// A shape that stands in several places, with its name for readers.
    Named(&'static str, &'static Shape),
    /// Only what the Kubernetes type says; the node itself writes it, or it has
    /// no meaning on one node.
    Any,
    /// Known, but refused by design; says why or what to use instead.
    Refused(&'static str),
}

/// Names and shapes of an object's fields.
pub type Fields = &'static [(&'static str, Shape)];

impl Shape {
    /// What may stand here, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Str => "string".into(),
            Self::OneOf(allowed) => allowed.iter().map(|a| format!("`{a:?}`")).collect::<Vec<_>>().join(", "),
            Self::Int(0, max) if *max == i64::from(i32::MAX) => "whole number".into(),
            Self::Int(1, max) if *max == i64::from(i32::MAX) => "whole number from 1".into(),
            Self::Int(min, max) if min == max => format!("only {min}"),
            Self::Int(min, max) => format!("whole number, {min} to {max}"),
            Self::Bool => "`true` or `false`".into(),
            Self::Only(only) => format!("only `{only}`"),
            Self::Port => "port number or name of a container port".into(),
            Self::IntOrPercent => "whole number or percentage".into(),
            Self::Quantity => "quantity".into(),
            Self::StrMap => "map of strings".into(),
            Self::BytesMap => "map of base64 texts".into(),
            Self::List(item) => format!("list of {}", item.describe()),
            Self::Obj(_) => "object".into(),
            Self::Named(name, _) => format!("[{name}](#{})", name.to_lowercase().replace(' ', "-")),
            Self::Any => "as in Kubernetes".into(),
            Self::Refused(why) => format!("**refused**: {why}"),
        }
    }

    /// The shape itself, without its name.
    pub fn inner(&self) -> &Shape {
        match self {
            Self::Named(_, shape) => shape.inner(),
            shape => shape,
        }
    }
}
