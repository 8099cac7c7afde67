//! Checks an object against its shape, and removes what the API treats as
//! absent: `null`s, and unknown fields where the client wants that.

use serde_json::{Map, Value};
use skerry_machinery::Kind;

use crate::{
    FieldValidation,
    cause::Causes,
    nearest::nearest,
    shape::{Fields, Shape},
    types::{self, Step},
};

/// After so many causes the rest is not looked at.
const CAUSES_MAX: usize = 50;

/// More unknown fields than this are no typing mistakes.
const UNKNOWN_MAX: usize = 200;

/// A walk over one object.
pub(crate) struct Walk {
    kind: &'static Kind,
    validation: FieldValidation,
    steps: Vec<Step>,
    unknown: usize,
    /// What is wrong.
    pub(crate) out: Causes,
    /// What the client should know.
    pub(crate) warnings: Vec<String>,
}

impl Walk {
    /// A walk over an object of this kind.
    pub(crate) fn new(kind: &'static Kind, validation: FieldValidation) -> Self {
        Self { kind, validation, steps: vec![], unknown: 0, out: Causes::default(), warnings: vec![] }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Item(i) => path.push_str(&format!("[{i}]")),
            }
        }
        path
    }

    /// Check `value`, which stands where the walk is.
    pub(crate) fn value(&mut self, value: &mut Value, shape: &Shape) {
        if self.out.list.len() >= CAUSES_MAX {
            return;
        }
        match (shape.inner(), value) {
            (Shape::Any, _) => {}
            (Shape::Refused(why), _) => self.out.forbidden(self.path(), format!("not supported on this node: {why}")),
            (Shape::List(item), Value::Array(list)) => {
                for (i, v) in list.iter_mut().enumerate() {
                    self.steps.push(Step::Item(i));
                    self.value(v, item);
                    self.steps.pop();
                }
            }
            (Shape::Obj(fields), Value::Object(map)) => self.object(map, fields),
            (Shape::StrMap | Shape::BytesMap, Value::Object(map)) => {
                map.retain(|_, v| !v.is_null());
                for (key, v) in map.iter().filter(|(_, v)| !v.is_string()) {
                    let field = format!("{}[{key}]", self.path());
                    self.out.wrong_type(field, v, "a string (quote it if it looks like a number or a boolean)");
                }
            }
            (shape, v) => self.leaf(v, shape),
        }
    }

    fn object(&mut self, map: &mut Map<String, Value>, fields: Fields) {
        map.retain(|_, v| !v.is_null());
        let mut drop = vec![];
        for (key, v) in map.iter_mut() {
            let shape = fields.iter().find(|(name, _)| name == key).map(|(_, shape)| shape);
            self.steps.push(Step::Field(key.clone()));
            match shape {
                Some(Shape::Refused(_)) | None if *v == Value::Array(vec![]) => drop.push(key.clone()),
                Some(shape) => self.value(v, shape),
                None if self.strange(key, v, fields) => drop.push(key.clone()),
                None => {}
            }
            self.steps.pop();
        }
        for key in drop {
            map.remove(&key);
        }
    }

    /// A field without shape; is it to be dropped?
    fn strange(&mut self, key: &str, value: &Value, fields: Fields) -> bool {
        if self.unknown >= UNKNOWN_MAX || self.out.list.len() >= CAUSES_MAX {
            return true;
        }
        let path = self.path();
        if types::knows(self.kind, &self.steps, value) {
            self.out.forbidden(path, "not supported on this node");
            return false;
        }
        self.unknown += 1;
        if self.unknown == UNKNOWN_MAX {
            self.out.forbidden(&path, format!("more than {UNKNOWN_MAX} unknown fields in one object"));
        }
        let names = fields.iter().filter(|(_, s)| !matches!(s, Shape::Refused(_))).map(|(n, _)| *n);
        let hint = nearest(key, names).map(|n| format!("; did you mean {n:?}?")).unwrap_or_default();
        match self.validation {
            FieldValidation::Strict => {
                self.out.unknown_field(&path, &hint);
                return false;
            }
            FieldValidation::Warn => self.warnings.push(format!("unknown field {path:?}{hint}")),
            FieldValidation::Ignore => {}
        }
        true
    }

    fn leaf(&mut self, value: &mut Value, shape: &Shape) {
        if matches!(shape, Shape::Quantity) && value.is_number() {
            // YAML made a number of it (`cpu: 1`); types and clients want text.
            *value = Value::String(value.to_string());
        }
        let field = || self.path();
        let text = value.as_str();
        match shape {
            Shape::Str if text.is_none() => {
                self.out.wrong_type(field(), value, "a string (quote it if it looks like a number or a boolean)");
            }
            Shape::OneOf(allowed) if !text.is_some_and(|t| allowed.contains(&t)) => {
                self.out.unsupported(field(), value, allowed);
            }
            Shape::Int(min, max) => match value.as_i64() {
                None => self.out.wrong_type(field(), value, "a whole number"),
                Some(n) if !(*min..=*max).contains(&n) => {
                    self.out.invalid(field(), n, range(*min, *max));
                }
                Some(_) => {}
            },
            Shape::Bool if !value.is_boolean() => self.out.wrong_type(field(), value, "true or false"),
            Shape::Only(only) => match value.as_bool() {
                Some(b) if b == *only => {}
                Some(_) => self.out.forbidden(field(), format!("only {only} is supported on this node")),
                None => self.out.wrong_type(field(), value, "true or false"),
            },
            Shape::Port => match value {
                Value::Number(n) if n.as_i64().is_some_and(|n| (1..=65535).contains(&n)) => {}
                Value::Number(_) => self.out.invalid(field(), value.clone(), "must be between 1 and 65535, inclusive"),
                Value::String(_) => {}
                _ => self.out.wrong_type(field(), value, "a port number or name"),
            },
            Shape::IntOrPercent => {
                let number = value.as_i64().is_some_and(|n| (0..=i64::from(i32::MAX)).contains(&n));
                if !number && !text.is_some_and(is_percent) {
                    let why = "must be a whole number from 0 or a percentage such as 25%";
                    self.out.invalid(field(), value.clone(), why);
                }
            }
            Shape::Quantity if text.and_then(crate::quantity::millis).is_none() => {
                self.out.invalid(field(), value.clone(), "must be a quantity such as 250m or 64Mi");
            }
            Shape::List(_) => self.out.wrong_type(field(), value, "a list"),
            Shape::Obj(_) => self.out.wrong_type(field(), value, "an object"),
            Shape::StrMap | Shape::BytesMap => self.out.wrong_type(field(), value, "a map of strings"),
            _ => {}
        }
    }
}

fn is_percent(text: &str) -> bool {
    text.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.len() <= 4 && n.bytes().all(|b| b.is_ascii_digit()))
}

fn range(min: i64, max: i64) -> String {
    match (min, max) {
        (0, max) if max >= i64::from(i32::MAX) => "must be greater than or equal to 0".into(),
        (1, max) if max >= i64::from(i32::MAX) => "must be greater than 0".into(),
        (min, max) if min == max => format!("must be {min} on this node"),
        (min, max) => format!("must be between {min} and {max}, inclusive"),
    }
}
