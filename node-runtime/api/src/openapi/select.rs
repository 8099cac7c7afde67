//! Which types and fields are in a document: those that the node acts on
//! ([`shape_of`]), and everything below what it writes itself.

use std::collections::{BTreeMap, BTreeSet};

use skerry_machinery::Kind;
use skerry_workloads::{Shape, shape_of};

use super::{
    names,
    table::{Field, Table},
};

/// Fields by type, with what may stand in them.
pub struct Selection<'a> {
    table: &'a Table<'a>,
    types: BTreeMap<&'a str, BTreeMap<&'a str, Values>>,
    seen: BTreeSet<(&'a str, *const Shape)>,
    /// Fields that are supported and not in the table.
    pub missing: Vec<String>,
}

/// What may stand in a field. A type that stands in several places has what
/// any of them takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Whatever its type says.
    All,
    /// Only these.
    Of(Vec<&'static str>),
}

static ANY: Shape = Shape::Any;

impl<'a> Selection<'a> {
    /// Nothing.
    pub fn new(table: &'a Table<'a>) -> Self {
        Self { table, types: BTreeMap::new(), seen: BTreeSet::new(), missing: vec![] }
    }

    /// A kind and all that it is made of.
    pub fn kind(&mut self, kind: &Kind) {
        self.walk(&names::of_kind(kind), shape_of(kind).unwrap_or(&ANY));
    }

    /// A type with all its fields.
    pub fn whole(&mut self, name: &str) {
        self.walk(name, &ANY);
    }

    /// Names of the types.
    pub fn types(&self) -> impl Iterator<Item = &'a str> {
        self.types.keys().copied()
    }

    /// The fields of a type.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = (&'a str, &Values)> {
        self.types.get(name).into_iter().flatten().map(|(field, values)| (*field, values))
    }

    fn walk(&mut self, name: &str, shape: &'static Shape) {
        let table = self.table;
        let Some(ty) = table.get(name) else {
            self.missing.push(name.to_string());
            return;
        };
        let shape = shape.inner();
        if !self.seen.insert((ty.name, shape)) {
            return;
        }
        self.types.entry(ty.name).or_default();
        match shape {
            // Quantities in a list of names, for example, have no fields.
            _ if ty.fields.is_empty() => {}
            Shape::Obj(fields) => {
                for (field, shape) in fields.iter().filter(|(_, s)| !matches!(s.inner(), Shape::Refused(_))) {
                    match ty.field(field) {
                        Some(field) => self.field(ty.name, field, shape),
                        None => self.missing.push(format!("{}.{field}", ty.name)),
                    }
                }
            }
            Shape::Any => ty.fields.iter().for_each(|field| self.field(ty.name, field, &ANY)),
            _ => {}
        }
    }

    fn field(&mut self, owner: &'a str, field: &'a Field<'a>, shape: &'static Shape) {
        let mut shape = shape.inner();
        while let Shape::List(item) = shape {
            shape = item.inner();
        }
        let fields = self.types.entry(owner).or_default();
        let values = match (shape, fields.remove(field.name)) {
            (Shape::OneOf(new), None) => Values::Of(new.to_vec()),
            (Shape::OneOf(new), Some(Values::Of(mut old))) => {
                let more: Vec<_> = new.iter().filter(|n| !old.contains(n)).copied().collect();
                old.extend(more);
                Values::Of(old)
            }
            _ => Values::All,
        };
        fields.insert(field.name, values);
        if let Some(target) = field.target() {
            self.walk(target, shape);
        }
    }
}
