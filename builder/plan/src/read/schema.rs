//! A table-driven check of TOML documents against what a file may contain.
//!
//! It runs before serde does: serde stops at the first error, people want all.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{Problem, Reporter};

/// Says what is wrong with a string, if something is.
pub(crate) type Check = fn(&str) -> Result<(), String>;

/// What a value must be.
#[derive(Clone, Copy)]
pub(crate) enum Type {
    /// A string that passes the check.
    Str(Check),
    /// An integer from the first to the second number.
    Int(i64, i64),
    /// An array of strings that pass the check.
    List(Check),
    /// A table with these keys.
    Table(&'static [Field]),
    /// An array of tables with these keys.
    Tables(&'static [Field]),
    /// A table from names that pass the first check to arrays of strings that
    /// pass the second.
    Lists(Check, Check),
}

/// A key and what its value must be.
pub(crate) struct Field {
    name: &'static str,
    ty: Type,
    required: bool,
}

/// A key that must be there.
pub(crate) const fn must(name: &'static str, ty: Type) -> Field {
    Field { name, ty, required: true }
}

/// A key that may be there.
pub(crate) const fn may(name: &'static str, ty: Type) -> Field {
    Field { name, ty, required: false }
}

/// Parse and check `text`; on no problems, deserialize it and let `more` check
/// what needs the whole.
pub(crate) fn read<T: DeserializeOwned>(
    file: &str,
    text: &str,
    fields: &'static [Field],
    more: impl FnOnce(&T, &DeTable<'_>, &mut Reporter<'_>),
) -> Result<T, Vec<Problem>> {
    let mut report = Reporter::new(file, text);
    let (doc, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        report.at(error.span().unwrap_or(0..0), format!("not valid TOML: {}", error.message()));
    }
    if !report.is_empty() {
        return Err(report.finish());
    }
    table(doc.get_ref(), 0..0, "", fields, &mut report);
    if !report.is_empty() {
        return Err(report.finish());
    }
    let value: T = match toml::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            report.at(error.span().unwrap_or(0..0), error.message());
            return Err(report.finish());
        }
    };
    more(&value, doc.get_ref(), &mut report);
    if report.is_empty() { Ok(value) } else { Err(report.finish()) }
}

/// Place of a value: `["app", "0", "image"]`. Falls back to the nearest parent.
pub(crate) fn span_of(doc: &DeTable<'_>, path: &[&str]) -> Range<usize> {
    let mut span = 0..0;
    let mut at: Option<&Spanned<DeValue<'_>>> = None;
    for part in path {
        let next = match at.map(Spanned::get_ref) {
            None => doc.get(*part),
            Some(DeValue::Table(table)) => table.get(*part),
            Some(DeValue::Array(array)) => part.parse::<usize>().ok().and_then(|i| array.get(i)),
            Some(_) => None,
        };
        let Some(next) = next else { break };
        span = next.span();
        at = Some(next);
    }
    span
}

fn in_table(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" in [{name}]") }
}

fn table(table: &DeTable<'_>, span: Range<usize>, name: &str, fields: &'static [Field], report: &mut Reporter<'_>) {
    // A misspelt key is one mistake, not an unknown and a missing one.
    let mut meant = Vec::new();
    for (key, val) in table {
        match fields.iter().find(|f| f.name == key.get_ref()) {
            Some(field) => {
                let full = if name.is_empty() { field.name.to_string() } else { format!("{name}.{}", field.name) };
                value(val, &full, field.ty, report);
            }
            None => {
                let near = nearest(key.get_ref(), fields.iter().map(|f| f.name));
                meant.extend(near);
                report.at(key.span(), unknown_key(key.get_ref(), name, near, fields));
            }
        }
    }
    for field in fields.iter().filter(|f| f.required && !table.contains_key(f.name) && !meant.contains(&f.name)) {
        let example = match field.ty {
            Type::Table(_) => format!("[{}]", field.name),
            Type::Tables(_) => format!("[[{}]]", field.name),
            Type::Int(..) => format!("{} = 1", field.name),
            Type::List(_) | Type::Lists(..) => format!("{} = [\"…\"]", field.name),
            Type::Str(_) => format!("{} = \"…\"", field.name),
        };
        report.at(span.clone(), format!("missing key \"{}\"{}; add `{example}`", field.name, in_table(name)));
    }
}

fn unknown_key(key: &str, name: &str, near: Option<&str>, fields: &[Field]) -> String {
    let hint = match near {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known keys: {}", fields.iter().map(|f| f.name).collect::<Vec<_>>().join(", ")),
    };
    format!("unknown key \"{key}\"{}; {hint}", in_table(name))
}

/// The candidate that was probably meant.
pub(crate) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|(distance, c)| *distance <= (c.len().max(word.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

fn value(value: &Spanned<DeValue<'_>>, name: &str, ty: Type, report: &mut Reporter<'_>) {
    let found = value.get_ref();
    let span = value.span();
    match (ty, found) {
        (Type::Str(check), DeValue::String(text)) => string(text, name, check, span, report),
        (Type::Int(min, max), DeValue::Integer(int)) => {
            let parsed = i64::from_str_radix(int.as_str(), int.radix()).ok();
            if parsed.is_none_or(|n| n < min || n > max) {
                report.at(span, format!("{name} = {int} is out of range; it must be {}", range(min, max)));
            }
        }
        (Type::List(check), DeValue::Array(items)) => {
            for item in items {
                match item.get_ref() {
                    DeValue::String(text) => string(text, name, check, item.span(), report),
                    other => report.at(item.span(), format!("{name} must contain strings only, found {}", kind(other))),
                }
            }
        }
        (Type::Table(fields), DeValue::Table(inner)) => table(inner, span, name, fields, report),
        (Type::Tables(fields), DeValue::Array(items)) => {
            for item in items {
                match item.get_ref() {
                    DeValue::Table(inner) => table(inner, item.span(), name, fields, report),
                    other => report.at(item.span(), format!("{name} must contain tables only, found {}", kind(other))),
                }
            }
        }
        (Type::Lists(key_check, check), DeValue::Table(inner)) => {
            for (key, val) in inner {
                let full = format!("{name}.{}", key.get_ref());
                string(key.get_ref(), &full, key_check, key.span(), report);
                self::value(val, &full, Type::List(check), report);
            }
        }
        (ty, other) => report.at(span, format!("{name} must be {}, found {}", wanted(ty, name), kind(other))),
    }
}

fn string(text: &str, name: &str, check: Check, span: Range<usize>, report: &mut Reporter<'_>) {
    if let Err(why) = check(text) {
        report.at(span, format!("{name} = {text:?}: {why}"));
    }
}

fn range(min: i64, max: i64) -> String {
    match max {
        i64::MAX => format!("at least {min}"),
        max => format!("from {min} to {max}"),
    }
}

fn wanted(ty: Type, name: &str) -> String {
    match ty {
        Type::Str(_) => "a string".into(),
        Type::Int(..) => "an integer".into(),
        Type::List(_) => "an array of strings".into(),
        Type::Table(_) | Type::Lists(..) => format!("a table `[{name}]`"),
        Type::Tables(_) => format!("an array of tables `[[{name}]]`"),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
