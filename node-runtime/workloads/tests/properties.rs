//! Admission of anything: no panic, and twice is once.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use skerry_machinery::{KINDS, Kind};
use skerry_workloads::{
    FieldValidation, Fields, Level, Shape, admit, check_manifests, initial_status, parse_manifests, shape_of,
};

/// Words that mean something somewhere, so that values are often good.
const WORDS: &[&str] =
    &["a", "web", "x.y", "", "Always", "Never", "None", "ALL", "v1", "*", "/data", "10.96.0.1", "64Mi", "1", "-", "Ä"];

fn leaf() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..70000).prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        prop::sample::select(WORDS).prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
    ]
    .boxed()
}

/// Anything, mostly of this shape.
fn shaped(shape: &'static Shape, depth: usize) -> BoxedStrategy<Value> {
    let good = match shape.inner() {
        Shape::Str => prop::sample::select(WORDS).prop_map(Value::from).boxed(),
        Shape::OneOf(allowed) => prop::sample::select(*allowed).prop_map(Value::from).boxed(),
        Shape::Int(min, max) => (*min..=(*max).min(*min + 200)).prop_map(Value::from).boxed(),
        Shape::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Only(b) => Just(Value::from(*b)).boxed(),
        Shape::Port => prop_oneof![Just(json!(80)), Just(json!("web"))].boxed(),
        Shape::IntOrPercent => prop_oneof![Just(json!(1)), Just(json!("25%"))].boxed(),
        Shape::Quantity => prop_oneof![Just(json!(1)), Just(json!("64Mi"))].boxed(),
        Shape::StrMap | Shape::BytesMap => {
            prop::collection::btree_map("[a-z]{1,3}", prop::sample::select(&["", "web", "YQ=="][..]), 0..2)
                .prop_map(|m| json!(m))
                .boxed()
        }
        Shape::List(item) if depth > 0 => {
            prop::collection::vec(shaped(item, depth - 1), 0..3).prop_map(Value::Array).boxed()
        }
        Shape::Obj(fields) if depth > 0 => object(fields, depth),
        _ => leaf(),
    };
    prop_oneof![60 => good, 1 => leaf()].boxed()
}

fn object(fields: Fields, depth: usize) -> BoxedStrategy<Value> {
    let likely =
        |name: &str| ["metadata", "spec", "template", "containers", "name", "image", "selector"].contains(&name);
    let each: Vec<_> = fields
        .iter()
        .filter(|(_, s)| !matches!(s, Shape::Refused(_)))
        .map(|(name, shape)| {
            let p = if likely(name) { 0.95 } else { 0.15 };
            prop::option::weighted(p, shaped(shape, depth - 1)).prop_map(move |v| v.map(|v| ((*name).to_owned(), v)))
        })
        .collect();
    each.prop_map(|pairs| Value::Object(pairs.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

fn any_object() -> BoxedStrategy<(&'static Kind, Value)> {
    let kinds: Vec<&'static Kind> = KINDS.iter().filter(|k| shape_of(k).is_some()).collect();
    prop::sample::select(kinds)
        .prop_flat_map(|k| {
            shaped(shape_of(k).unwrap(), 12).prop_map(move |mut v| {
                if let Some(map) = v.as_object_mut() {
                    map.insert("apiVersion".into(), k.api_version().into());
                    map.insert("kind".into(), k.kind.into());
                }
                (k, v)
            })
        })
        .boxed()
}

fn any_json() -> BoxedStrategy<Value> {
    leaf()
        .prop_recursive(6, 40, 5, |inner| {
            let key = prop_oneof!["spec", "metadata", "template", "containers", "name", "[a-z]{0,3}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(key, inner, 0..5).prop_map(|m| json!(m)),
            ]
        })
        .boxed()
}

/// The objects of the fixtures, as written.
fn written() -> Vec<(&'static Kind, Value)> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().map(|f| std::fs::read_to_string(f).unwrap());
    let values = texts.flat_map(|t| serde_saphyr::from_multiple::<Value>(&t).unwrap());
    let items = values.flat_map(|v| match v.get("items") {
        Some(Value::Array(items)) => items.clone(),
        _ => vec![v],
    });
    let kind = |v: &Value| skerry_machinery::by_kind(v["apiVersion"].as_str()?, v["kind"].as_str()?);
    items.filter(|v| !v.is_null()).map(|v| (kind(&v).unwrap(), v)).collect()
}

/// Visit the parts of a value; at the wanted one, in order, put another value,
/// or nothing.
fn damage(value: &mut Value, left: &mut usize, with: &Option<Value>) -> bool {
    let mut gone = None;
    let done = match value {
        Value::Object(map) => map.iter_mut().any(|(key, v)| damage_part(v, left, with, || gone = Some(key.clone()))),
        Value::Array(list) => {
            let mut at = None;
            let done = list.iter_mut().enumerate().any(|(i, v)| damage_part(v, left, with, || at = Some(i)));
            if let Some(i) = at {
                list.remove(i);
            }
            done
        }
        _ => false,
    };
    if let (Some(key), Value::Object(map)) = (gone, value) {
        map.shift_remove(&key);
    }
    done
}

fn damage_part(v: &mut Value, left: &mut usize, with: &Option<Value>, remove: impl FnOnce()) -> bool {
    if *left > 0 {
        *left -= 1;
        return damage(v, left, with);
    }
    match with {
        Some(new) => *v = new.clone(),
        None => remove(),
    }
    true
}

/// A real object, with up to three parts gone or replaced.
fn damaged() -> BoxedStrategy<(&'static Kind, Value)> {
    let hits = prop::collection::vec((0usize..120, prop::option::weighted(0.3, leaf())), 0..4);
    (prop::sample::select(written()), hits)
        .prop_map(|((kind, mut object), hits)| {
            for (mut at, with) in hits {
                damage(&mut object, &mut at, &with);
            }
            (kind, object)
        })
        .boxed()
}

fn either() -> BoxedStrategy<(&'static Kind, Value)> {
    prop_oneof![3 => damaged(), 1 => any_object()].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn twice_is_once((kind, object) in either(), lax in any::<bool>()) {
        let validation = if lax { FieldValidation::Ignore } else { FieldValidation::Strict };
        let mut first = object;
        if admit(kind, &mut first, None, validation).is_ok() {
            let mut second = first.clone();
            prop_assert_eq!(admit(kind, &mut second, None, FieldValidation::Strict), Ok(vec![]));
            prop_assert_eq!(&second, &first);
            prop_assert_eq!(admit(kind, &mut second, Some(&first), FieldValidation::Strict), Ok(vec![]));
            prop_assert_eq!(&second, &first);
            initial_status(kind, &first);
        }
    }

    #[test]
    fn any_json_is_answered(at in 0..KINDS.len(), mut object in any_json(), old in any_json()) {
        for validation in [FieldValidation::Strict, FieldValidation::Warn, FieldValidation::Ignore] {
            let _ = admit(&KINDS[at], &mut object.clone(), None, validation);
        }
        let _ = admit(&KINDS[at], &mut object, Some(&old), FieldValidation::Ignore);
    }

    #[test]
    fn any_text_is_answered(text in "[ -~\\n]{0,300}", level in prop::sample::select(&[Level::Baseline, Level::Restricted][..])) {
        check_manifests(&[("f".into(), text.into_bytes())], level);
    }
}

/// The objects that are made here are often good; else `twice_is_once` would
/// say nothing.
#[test]
fn many_made_objects_are_admitted() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut admitted = std::collections::BTreeMap::<&str, u32>::new();
    let made = either();
    for _ in 0..600 {
        let (kind, mut object) = made.new_tree(&mut runner).unwrap().current();
        let ok = admit(kind, &mut object, None, FieldValidation::Ignore).is_ok();
        *admitted.entry(kind.kind).or_default() += u32::from(ok);
    }
    assert!(admitted.values().filter(|n| **n >= 5).count() >= 12, "{admitted:?}");
}

#[test]
fn deep_and_wide_files_are_answered() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_map = format!("{}1{}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    let bomb = format!(
        "a: &a [{0}]\nb: &b [{1}]\nc: &c [{2}]\nd: &d [{3}]\ne: &e [{4}]\nf: [{5}]\n",
        vec!["x"; 30].join(","),
        ["*a"; 30].join(","),
        ["*b"; 30].join(","),
        ["*c"; 30].join(","),
        ["*d"; 30].join(","),
        ["*e"; 30].join(","),
    );
    let many = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n".repeat(2000);
    for text in [deep, deep_map, bomb, many] {
        assert!(parse_manifests(&[("f.yaml".into(), text.into_bytes())]).is_err());
    }
}
