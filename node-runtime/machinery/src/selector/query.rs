//! The query grammar of label selectors:
//!
//! ```text
//! selector    = [ requirement { "," requirement } ]
//! requirement = [ "!" ] KEY
//!             | KEY ( "=" | "==" | "!=" | ">" | "<" ) [ VALUE ]
//!             | KEY ( "in" | "notin" ) "(" [ VALUE ] { "," [ VALUE ] } ")"
//! ```

use std::iter::Peekable;

use super::{Operator, Requirement};

/// Splits a query into requirements, without looking into keys and values.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    let words = words(text);
    let mut words = words.iter().copied().peekable();
    let mut list = vec![];
    if words.peek().is_none() {
        return Ok(list);
    }
    loop {
        list.push(requirement(&mut words, if list.is_empty() { "identifier" } else { "identifier after ','" })?);
        match words.next() {
            None => return Ok(list),
            Some(",") => {}
            Some(other) => return Err(found(Some(other), "',' or end")),
        }
    }
}

/// Identifiers and operators.
fn words(text: &str) -> Vec<&str> {
    const SIGNS: &str = "!=<>(),";
    let mut words = vec![];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("==") || rest.starts_with("!=") {
            2
        } else if SIGNS.contains(first) {
            1
        } else {
            rest.find(|c: char| SIGNS.contains(c) || c.is_whitespace()).unwrap_or(rest.len())
        };
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

fn is_identifier(word: &str) -> bool {
    !word.starts_with(['!', '=', '<', '>', '(', ')', ','])
}

fn found(word: Option<&str>, expected: &str) -> String {
    format!("found '{}', expected: {expected}", word.unwrap_or_default())
}

fn requirement<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, expected: &str) -> Result<Requirement, String> {
    let absent = words.next_if_eq(&"!").is_some();
    let key = match words.next() {
        Some(word) if is_identifier(word) => word.to_string(),
        other => return Err(found(other, expected)),
    };
    if absent {
        return Ok(Requirement { key, operator: Operator::DoesNotExist, values: vec![] });
    }
    let (operator, set) = match words.peek().copied() {
        None | Some(",") => return Ok(Requirement { key, operator: Operator::Exists, values: vec![] }),
        Some("=" | "==") => (Operator::In, false),
        Some("!=") => (Operator::NotIn, false),
        Some(">") => (Operator::Gt, false),
        Some("<") => (Operator::Lt, false),
        Some("in") => (Operator::In, true),
        Some("notin") => (Operator::NotIn, true),
        other => return Err(found(other, "in, notin, =, ==, !=, > or <")),
    };
    words.next();
    let values = if set { set_of_values(words)? } else { vec![value(words)] };
    Ok(Requirement { key, operator, values })
}

/// The identifier that follows, or the empty value.
fn value<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>) -> String {
    words.next_if(|w| is_identifier(w)).unwrap_or_default().into()
}

fn set_of_values<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>) -> Result<Vec<String>, String> {
    match words.next() {
        Some("(") => {}
        other => return Err(found(other, "'('")),
    }
    let mut values = vec![];
    loop {
        let value = value(words);
        if !values.contains(&value) {
            values.push(value);
        }
        match words.next() {
            Some(",") => {}
            Some(")") => return Ok(values),
            other => return Err(found(other, "',' or ')'")),
        }
    }
}
