//! JSON with a memory for fields that are given twice. The last one counts, as
//! everywhere; whether the client is told is `fieldValidation`'s business.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// So many are reported.
const REPORTED_MAX: usize = 20;

/// Parse JSON; beside the value, the paths of fields that stand twice.
///
/// # Errors
/// If it is not JSON.
pub fn parse(bytes: &[u8]) -> Result<(Value, Vec<String>), serde_json::Error> {
    let doubled = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Node { path: String::new(), doubled: &doubled }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, doubled.into_inner()))
}

struct Node<'a> {
    path: String,
    doubled: &'a RefCell<Vec<String>>,
}

impl Node<'_> {
    fn child(&self, path: String) -> Node<'_> {
        Node { path, doubled: self.doubled }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.child(format!("{}[{}]", self.path, items.len())))? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            let value = map.next_value_seed(self.child(path.clone()))?;
            if fields.insert(key, value).is_some() {
                let mut doubled = self.doubled.borrow_mut();
                if doubled.len() < REPORTED_MAX && !doubled.contains(&path) {
                    doubled.push(path);
                }
            }
        }
        Ok(fields.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn doubled_fields_are_named_and_the_last_counts() {
        let (value, doubled) = parse(br#"{"a":1,"spec":{"c":[{"n":1,"n":2}],"x":null},"a":2.5}"#).unwrap();
        assert_eq!(value, json!({"a": 2.5, "spec": {"c": [{"n": 2}], "x": null}}));
        assert_eq!(doubled, ["spec.c[0].n", "a"]);
        assert!(parse(b"{} {}").is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err(), "deep nesting is refused, not a stack overflow");
    }

    proptest! {
        #[test]
        fn same_as_serde_json(bytes in "[\\[\\]{}\",:0-9a-z ]{0,60}") {
            let ours = parse(bytes.as_bytes()).ok().map(|(v, _)| v);
            prop_assert_eq!(ours, serde_json::from_str::<Value>(&bytes).ok());
        }
    }
}
